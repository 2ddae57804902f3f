/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/vm/test_json.c - the control protocol's lines, sound and hostile. */
#include "vm/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static void written_lines_read_back(void **state)
{
	g_autoptr(GString) s = g_string_new(NULL);
	struct json *j;

	(void)state;
	json_begin(s);
	json_add_string(s, "text", "a \"b\" \\ \n\t\x01 \xc3\xa4");
	json_add_uint(s, "n", UINT64_MAX);
	json_add_bool(s, "ok", true);
	json_add_raw(s, "o", "{\"x\":[1,2,{}]}");
	json_end(s);
	assert_string_equal(strchr(s->str, '\n') + 1, "");
	j = json_parse(s->str, s->len, NULL);
	assert_non_null(j);
	assert_string_equal(json_get(j, "text"), "a \"b\" \\ \n\t\x01 \xc3\xa4");
	assert_string_equal(json_get(j, "n"), "18446744073709551615");
	assert_string_equal(json_get(j, "ok"), "true");
	assert_string_equal(json_get(j, "o"), "{\"x\":[1,2,{}]}");
	assert_null(json_get(j, "none"));
	json_free(j);
}

static void escapes(void **state)
{
	const char text[] = " { \"a\" : \"\\u00e4\\ud83d\\ude00\\/\\b\" , \"b\":-1.5e3 } ";
	struct json *j = json_parse(text, strlen(text), NULL);

	(void)state;
	assert_non_null(j);
	assert_string_equal(json_get(j, "a"), "\xc3\xa4\xf0\x9f\x98\x80/\b");
	assert_string_equal(json_get(j, "b"), "-1.5e3");
	json_free(j);
}

static void hostile_text_is_refused(void **state)
{
	static const char *const bad[] = { "", "{", "}", "[]", "5", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
		"{\"a\":1}x", "{\"a\":\"\\u12\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}", "{\"a\":\"", "{\"a\":\"\\", "{a:1}", "{\"a\":\"\n\"}", "{\"a\":[1,2}" };
	g_autoptr(GString) deep = g_string_new("{\"a\":");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		g_autofree char *exact = g_memdup2(bad[i], strlen(bad[i]) + 1);
		g_autoptr(GError) error = NULL;

		assert_null(json_parse(exact, strlen(bad[i]), &error));
		assert_non_null(error);
	}
	for (unsigned i = 0; i < 100000; i++)
		g_string_append_c(deep, '[');
	assert_null(json_parse(deep->str, deep->len, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_lines_read_back),
		cmocka_unit_test(escapes),
		cmocka_unit_test(hostile_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
