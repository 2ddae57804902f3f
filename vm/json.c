/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/json.h"

#include <string.h>

/* ---- writing
 * ---------------------------------------------------------------------------------------------------- */

void json_begin(GString *s)
{
	g_string_append_c(s, '{');
}

static void put_string(GString *s, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	g_string_append_c(s, '"');
	for (const unsigned char *p = (const unsigned char *)valid; *p; p++) {
		if (*p == '"' || *p == '\\')
			g_string_append_printf(s, "\\%c", *p);
		else if (*p == '\n')
			g_string_append(s, "\\n");
		else if (*p < 0x20)
			g_string_append_printf(s, "\\u%04x", *p);
		else
			g_string_append_c(s, (char)*p);
	}
	g_string_append_c(s, '"');
}

static void put_key(GString *s, const char *key)
{
	if (s->len && s->str[s->len - 1] != '{')
		g_string_append_c(s, ',');
	put_string(s, key);
	g_string_append_c(s, ':');
}

void json_add_string(GString *s, const char *key, const char *value)
{
	put_key(s, key);
	put_string(s, value);
}

void json_add_uint(GString *s, const char *key, uint64_t value)
{
	put_key(s, key);
	g_string_append_printf(s, "%" G_GUINT64_FORMAT, value);
}

void json_add_bool(GString *s, const char *key, bool value)
{
	json_add_raw(s, key, value ? "true" : "false");
}

void json_add_raw(GString *s, const char *key, const char *text)
{
	put_key(s, key);
	g_string_append(s, text);
}

void json_end(GString *s)
{
	g_string_append(s, "}\n");
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------------- */

struct json {
	GHashTable *members;
};

struct reader {
	const char *start, *p, *end;
};

static void skip_space(struct reader *r)
{
	while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p)
		r->p++;
}

static bool accept(struct reader *r, char c)
{
	skip_space(r);
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* Four hexadecimal digits; -1 when they are not. */
static int read_hex4(struct reader *r)
{
	int v = 0;

	if (r->end - r->p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = g_ascii_xdigit_value(*r->p++);

		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	return v;
}

static bool read_escape(struct reader *r, GString *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	int u, low;

	if (r->p >= r->end)
		return false;
	if (*r->p != 'u') {
		at = *r->p ? strchr(from, *r->p) : NULL;
		if (!at)
			return false;
		r->p++;
		g_string_append_c(out, to[at - from]);
		return true;
	}
	r->p++;
	u = read_hex4(r);
	if (u <= 0 || (u >= 0xdc00 && u <= 0xdfff))
		return false;
	if (u >= 0xd800 && u <= 0xdbff) {
		if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u')
			return false;
		r->p += 2;
		low = read_hex4(r);
		if (low < 0xdc00 || low > 0xdfff)
			return false;
		u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
	}
	g_string_append_unichar(out, (gunichar)u);
	return true;
}

/* The opening quote is next. */
static char *read_string(struct reader *r)
{
	GString *out;
	bool ok = true;

	if (!accept(r, '"'))
		return NULL;
	out = g_string_new(NULL);
	while (ok && r->p < r->end && *r->p != '"') {
		char c = *r->p++;

		if (c == '\\')
			ok = read_escape(r, out);
		else if ((unsigned char)c < 0x20)
			ok = false;
		else
			g_string_append_c(out, c);
	}
	if (ok && r->p < r->end && g_utf8_validate(out->str, (gssize)out->len, NULL)) {
		r->p++;
		return g_string_free(out, FALSE);
	}
	g_string_free(out, TRUE);
	return NULL;
}

static bool skip_value(struct reader *r, unsigned depth);

static bool skip_list(struct reader *r, char close, bool keys, unsigned depth)
{
	if (accept(r, close))
		return true;
	do {
		if (keys) {
			g_autofree char *key = read_string(r);

			if (!key || !accept(r, ':'))
				return false;
		}
		if (!skip_value(r, depth + 1))
			return false;
	} while (accept(r, ','));
	return accept(r, close);
}

/* Any value; words and numbers are taken as runs of their characters. */
static bool skip_value(struct reader *r, unsigned depth)
{
	const char *start;

	if (depth > JSON_DEPTH)
		return false;
	if (accept(r, '{'))
		return skip_list(r, '}', true, depth);
	if (accept(r, '['))
		return skip_list(r, ']', false, depth);
	if (r->p < r->end && *r->p == '"') {
		g_autofree char *s = read_string(r);

		return s;
	}
	start = r->p;
	while (r->p < r->end && (g_ascii_isalnum(*r->p) || *r->p == '-' || *r->p == '+' || *r->p == '.'))
		r->p++;
	return r->p > start;
}

static bool read_member(struct reader *r, struct json *j)
{
	g_autofree char *key = read_string(r);
	const char *start;
	char *value;

	if (!key || !accept(r, ':'))
		return false;
	skip_space(r);
	start = r->p;
	if (r->p < r->end && *r->p == '"') {
		value = read_string(r);
	} else {
		value = skip_value(r, 1) ? g_strndup(start, (gsize)(r->p - start)) : NULL;
	}
	if (!value)
		return false;
	g_hash_table_replace(j->members, g_steal_pointer(&key), value);
	return true;
}

static bool read_object(struct reader *r, struct json *j)
{
	if (!accept(r, '{'))
		return false;
	if (accept(r, '}'))
		return true;
	do {
		if (!read_member(r, j))
			return false;
	} while (accept(r, ','));
	return accept(r, '}');
}

struct json *json_parse(const char *text, size_t len, GError **error)
{
	struct reader r = { text, text, text + len };
	struct json *j = g_new0(struct json, 1);

	j->members = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (read_object(&r, j)) {
		skip_space(&r);
		if (r.p == r.end)
			return j;
	}
	json_free(j);
	fail(error, SERAI_ERROR_FORMAT, "byte %zu: not a JSON object", (size_t)(r.p - r.start));
	return NULL;
}

void json_free(struct json *j)
{
	if (!j)
		return;
	g_hash_table_destroy(j->members);
	g_free(j);
}

const char *json_get(const struct json *j, const char *key)
{
	return g_hash_table_lookup(j->members, key);
}
