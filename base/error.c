/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

#include <stdarg.h>

G_DEFINE_QUARK(serai-error, serai_error)

bool fail(GError **error, enum serai_error code, const char *fmt, ...)
{
	va_list ap;

	if (!error)
		return false;
	va_start(ap, fmt);
	*error = g_error_new_valist(SERAI_ERROR, code, fmt, ap);
	va_end(ap);
	return false;
}

bool fail_errno(GError **error, enum serai_error code, int err, const char *fmt, ...)
{
	va_list ap;
	g_autofree char *what = NULL;

	if (!error)
		return false;
	va_start(ap, fmt);
	what = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	return fail(error, code, "%s: %s", what, g_strerror(err));
}
