/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/fuzz/fuzz_vmx.c - any bytes as a .vmx file; what was accepted must read back the same. */
#include "base/log.h"
#include "vm/vmx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(void *opaque, const char *key, const char *value)
{
	const char *again = vmx_get(opaque, key);

	if (!again || strcmp(again, value) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmx *v, *w;
	g_autofree char *text = NULL;
	uint64_t n;
	size_t len;
	bool b;

	log_set_level(LOG_LEVEL_ERROR);
	v = vmx_parse("fuzz", data, size, NULL);
	if (!v)
		return 0;
	vmx_get_uint(v, "memsize", 1, 0, 9, &n, NULL);
	vmx_get_bool(v, "noReboot", false, &b, NULL);
	text = vmx_to_text(v, &len);
	w = vmx_parse("again", text, len, NULL);
	if (!w)
		abort();
	vmx_foreach(v, compare, w);
	vmx_free(w);
	vmx_free(v);
	return 0;
}
