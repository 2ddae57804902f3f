/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base/error.h - how a function says what went wrong: false plus a filled GError.
 *
 * The detector says what and which value; each layer above prefixes only what it alone
 * knows (g_prefix_error).  One line, no trailing dot: what, where, what to do.
 */
#ifndef SERAI_BASE_ERROR_H
#define SERAI_BASE_ERROR_H

#include "base/compiler.h"

#include <glib.h>

enum serai_error {
	SERAI_ERROR_CONFIG, /* a .vmx key, a command-line option: the person's to mend */
	SERAI_ERROR_FORMAT, /* a file is not what it should be, or is damaged */
	SERAI_ERROR_RANGE,  /* an offset or size outside what exists */
	SERAI_ERROR_IO,     /* the host's file or network failed; message carries strerror */
	SERAI_ERROR_HOST,   /* the host lacks something: memory, a CPU feature, a package */
	SERAI_ERROR_STATE,  /* a saved state does not fit this machine */
};

#define SERAI_ERROR (serai_error_quark())

GQuark serai_error_quark(void);

/* Fill *error (may be NULL) and return false.  The result must be returned at once. */
bool fail(GError **error, enum serai_error code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same for a failed host call: appends ": " and strerror(err). */
bool fail_errno(GError **error, enum serai_error code, int err, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
