/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/vm/test_vmx.c - the .vmx parser against VMware's own spelling, and against slips. */
#include "vm/vmx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static struct vmx *parse(const char *text)
{
	GError *error = NULL;
	struct vmx *v = vmx_parse("a.vmx", text, strlen(text), &error);

	if (error)
		print_error("%s\n", error->message);
	assert_null(error);
	assert_non_null(v);
	return v;
}

static void refused(const char *text, const char *message)
{
	g_autoptr(GError) error = NULL;

	assert_null(vmx_parse("a.vmx", text, strlen(text), &error));
	assert_non_null(error);
	assert_string_equal(error->message, message);
}

static const char workstation[] = "#!/usr/bin/vmware\n"
				  ".encoding = \"UTF-8\"\n"
				  "config.version = \"8\"\n"
				  "\n"
				  "memsize = \"256\"\r\n"
				  "  ide0:0.present=TRUE # yes\n"
				  "ide0:0.fileName = \"my |22disk|22 |7C.vmdk\"\n"
				  "weird.unknown.key = \"kept\"\n"
				  "displayName = \"G\xc3\xa4ste\"\n";

static void reads_vmware_files(void **state)
{
	struct vmx *v = parse(workstation);
	uint64_t mem = 0;
	bool present = false;

	(void)state;
	assert_true(vmx_get_uint(v, "MemSize", 0, 4, 1024, &mem, NULL));
	assert_int_equal(mem, 256);
	assert_true(vmx_get_bool(v, "IDE0:0.Present", false, &present, NULL));
	assert_true(present);
	assert_string_equal(vmx_get(v, "ide0:0.filename"), "my \"disk\" |.vmdk");
	assert_string_equal(vmx_get(v, "displayname"), "G\xc3\xa4ste");
	assert_null(vmx_get(v, "nothing"));
	vmx_free(v);
}

static void rewrites_only_what_changed(void **state)
{
	struct vmx *v = parse(workstation);
	g_autofree char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_true(vmx_set(v, "memsize", "512", NULL));
	assert_true(vmx_set(v, "annotation", "two\nlines | \"q\"", NULL));
	assert_true(vmx_remove(v, "config.version"));
	text = vmx_to_text(v, &len);
	assert_string_equal(text, "#!/usr/bin/vmware\n"
				  ".encoding = \"UTF-8\"\n"
				  "\n"
				  "memsize = \"512\"\n"
				  "  ide0:0.present=TRUE # yes\n"
				  "ide0:0.fileName = \"my |22disk|22 |7C.vmdk\"\n"
				  "weird.unknown.key = \"kept\"\n"
				  "displayName = \"G\xc3\xa4ste\"\n"
				  "annotation = \"two|0Alines |7C |22q|22\"\n");
	vmx_free(v);
}

static void other_encodings_survive(void **state)
{
	const char latin[] = "# caf\xe9\n.encoding = \"windows-1252\"\ndisplayName = \"\x80 5\"\n";
	struct vmx *v = parse(latin);
	g_autofree char *same = NULL, *wider = NULL;
	size_t len = 0;

	(void)state;
	assert_string_equal(vmx_get(v, "displayName"), "\xe2\x82\xac 5");
	same = vmx_to_text(v, &len);
	assert_int_equal(len, sizeof(latin) - 1);
	assert_memory_equal(same, latin, len);
	assert_true(vmx_set(v, "displayName", "\xe5\xae\xbf", NULL));
	wider = vmx_to_text(v, &len);
	assert_string_equal(wider, "# caf\xc3\xa9\n.encoding = \"UTF-8\"\ndisplayName = \"\xe5\xae\xbf\"\n");
	vmx_free(v);
	vmx_free(parse("displayName = \"no encoding given: \xe9\"\n"));
}

static void names_the_place(void **state)
{
	(void)state;
	refused("a = \"1\"\nmemsize 256\n", "a.vmx:2:9: '=' was expected after the key (KEY = \"VALUE\")");
	refused("a = \"open\n", "a.vmx:1:10: the quoted value is not closed with \"");
	refused("a = \"1\" b\n", "a.vmx:1:9: text after the value");
	refused("= 5\n", "a.vmx:1:1: a key was expected (KEY = \"VALUE\")");
	refused("a = x\"y\n", "a.vmx:1:6: a quote inside an unquoted value; write |22 inside quotes");
	refused("a = \"|00\"\n", "a.vmx:1:6: a value cannot hold |00");
	refused("\xc3\xa4 = \"|FF\"\n", "a.vmx:1:9: the value's |XX bytes are not UTF-8");
	refused(".encoding = \"UTF-8\"\nx = \"\xff\"\n", "a.vmx:2:6: not UTF-8, which .encoding promises");
}

static void zero_byte_and_size_are_refused(void **state)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *big = g_malloc0(VMX_MAX_BYTES + 1);

	(void)state;
	assert_null(vmx_parse("a.vmx", "a = 1\n\0", 7, &error));
	assert_string_equal(error->message, "a.vmx:2:1: a zero byte; this is not a .vmx file");
	g_clear_error(&error);
	memset(big, '#', VMX_MAX_BYTES + 1);
	assert_null(vmx_parse("a.vmx", big, VMX_MAX_BYTES + 1, &error));
	assert_non_null(error);
	g_clear_error(&error);
	assert_null(vmx_load("/nonexistent/a.vmx", &error));
	assert_string_equal(error->message, "/nonexistent/a.vmx: No such file or directory");
}

static void typed_getters_refuse(void **state)
{
	struct vmx *v = parse("memsize = \"12a\"\n  numvcpus = 99\nnoreboot = \"perhaps\"\nx = "
			      "-1\ny=18446744073709551616\n");
	GError *error = NULL;
	uint64_t n;
	bool b;

	(void)state;
	assert_false(vmx_get_uint(v, "memsize", 0, 1, 99, &n, &error));
	assert_string_equal(error->message, "a.vmx:1:11: memsize = \"12a\": not a whole number");
	g_clear_error(&error);
	assert_false(vmx_get_uint(v, "numvcpus", 0, 1, 32, &n, &error));
	assert_string_equal(error->message, "a.vmx:2:14: numvcpus = \"99\": out of range (1 to 32)");
	g_clear_error(&error);
	assert_false(vmx_get_bool(v, "noReboot", false, &b, &error));
	assert_string_equal(error->message, "a.vmx:3:12: noreboot = \"perhaps\": neither TRUE nor FALSE");
	g_clear_error(&error);
	assert_false(vmx_get_uint(v, "x", 0, 0, 32, &n, NULL));
	assert_false(vmx_get_uint(v, "y", 0, 0, UINT64_MAX, &n, NULL));
	vmx_free(v);
}

static void the_last_duplicate_counts(void **state)
{
	struct vmx *v = parse("a = 1\nA = 2\n");

	(void)state;
	assert_string_equal(vmx_get(v, "a"), "2");
	assert_true(vmx_remove(v, "a"));
	assert_null(vmx_get(v, "a"));
	assert_false(vmx_remove(v, "a"));
	vmx_free(v);
}

static void overrides_and_suggestions(void **state)
{
	struct vmx *v = parse("ide0:0.fileName = \"disk.vmdk\"\n");
	g_autofree char *from_file = vmx_get_path(v, "ide0:0.fileName"), *from_line = NULL;
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_string_equal(from_file, "./disk.vmdk");
	assert_true(vmx_override(v, "ide0:0.fileName=/d/other=x.vmdk", NULL));
	from_line = vmx_get_path(v, "ide0:0.fileName");
	assert_string_equal(from_line, "/d/other=x.vmdk");
	assert_false(vmx_override(v, "memsise=5", &error));
	assert_string_equal(error->message, "unknown key 'memsise'; did you mean 'memsize'?");
	g_clear_error(&error);
	assert_false(vmx_override(v, "ide1:0.flieName=5", &error));
	assert_string_equal(error->message, "unknown key 'ide1:0.flieName'; did you mean 'ide1:0.fileName'?");
	g_clear_error(&error);
	assert_false(vmx_override(v, "noequals", &error));
	g_clear_error(&error);
	assert_false(vmx_override(v, "bad key=1", &error));
	assert_true(vmx_override(v, "guestinfo.anything=1", NULL));
	assert_true(vmx_override(v, "scsi0:1.present=TRUE", NULL));
	vmx_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_vmware_files),
		cmocka_unit_test(rewrites_only_what_changed),
		cmocka_unit_test(other_encodings_survive),
		cmocka_unit_test(names_the_place),
		cmocka_unit_test(zero_byte_and_size_are_refused),
		cmocka_unit_test(typed_getters_refuse),
		cmocka_unit_test(the_last_duplicate_counts),
		cmocka_unit_test(overrides_and_suggestions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
