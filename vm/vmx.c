/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm/vmx.c - parsing and writing .vmx text, and typed look-ups.
 *
 * The file is kept as its lines; only lines that were changed are written anew, so comments, order and
 * spelling of everything else stay as the person left them.
 */
#include "vm/vmx.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vmx_line {
	char *raw;       /* text without line end, as it will be written */
	char *key;       /* NULL: a comment or blank line */
	char *value;     /* decoded, UTF-8 */
	unsigned line;   /* 1-based; 0: set by a program or the command line */
	unsigned column; /* of the value, in characters, 1-based */
	bool overridden; /* by vmx_override: paths are relative to the working directory */
};

struct vmx {
	char *name;
	char *encoding;    /* as iconv spells it */
	GPtrArray *lines;  /* of struct vmx_line */
	GHashTable *index; /* lower-case key -> struct vmx_line, the last of that key */
};

struct cursor {
	const char *name;
	const char *text; /* the whole line */
	const char *p;
	unsigned line;
};

static void line_free(void *data)
{
	struct vmx_line *l = data;

	g_free(l->raw);
	g_free(l->key);
	g_free(l->value);
	g_free(l);
}

struct vmx *vmx_new(const char *name)
{
	struct vmx *vmx = g_new0(struct vmx, 1);

	vmx->name = g_strdup(name);
	vmx->encoding = g_strdup("UTF-8");
	vmx->lines = g_ptr_array_new_with_free_func(line_free);
	vmx->index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return vmx;
}

void vmx_free(struct vmx *vmx)
{
	if (!vmx)
		return;
	g_hash_table_destroy(vmx->index);
	g_ptr_array_free(vmx->lines, TRUE);
	g_free(vmx->encoding);
	g_free(vmx->name);
	g_free(vmx);
}

static bool key_char(char c)
{
	return (unsigned char)c > ' ' && c != '=' && c != '"' && c != '#' && c != 0x7f;
}

static unsigned column_of(const struct cursor *c)
{
	return (unsigned)g_utf8_pointer_to_offset(c->text, c->p) + 1;
}

static bool syntax(const struct cursor *c, GError **error, const char *what)
{
	return fail(error, SERAI_ERROR_CONFIG, "%s:%u:%u: %s", c->name, c->line, column_of(c), what);
}

static void skip_blanks(struct cursor *c)
{
	while (*c->p == ' ' || *c->p == '\t')
		c->p++;
}

/* A quoted value; c->p is behind the opening quote and ends behind the closing one. */
static char *parse_quoted(struct cursor *c, GError **error)
{
	g_autoptr(GString) s = g_string_new(NULL);

	for (; *c->p && *c->p != '"'; c->p++) {
		if (c->p[0] == '|' && g_ascii_isxdigit(c->p[1]) && g_ascii_isxdigit(c->p[2])) {
			int byte = g_ascii_xdigit_value(c->p[1]) * 16 + g_ascii_xdigit_value(c->p[2]);

			if (!byte)
				return syntax(c, error, "a value cannot hold |00"), NULL;
			g_string_append_c(s, (char)byte);
			c->p += 2;
		} else {
			g_string_append_c(s, *c->p);
		}
	}
	if (*c->p != '"')
		return syntax(c, error, "the quoted value is not closed with \""), NULL;
	if (!g_utf8_validate(s->str, (gssize)s->len, NULL))
		return syntax(c, error, "the value's |XX bytes are not UTF-8"), NULL;
	c->p++;
	return g_strdup(s->str);
}

/* Up to a comment or the line's end, blanks at the end not counted. */
static char *parse_bare(struct cursor *c, GError **error)
{
	const char *start = c->p, *end;

	while (*c->p && *c->p != '#') {
		if (*c->p == '"')
			return syntax(c, error, "a quote inside an unquoted value; write |22 inside quotes"),
			       NULL;
		c->p++;
	}
	end = c->p;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return g_strndup(start, (gsize)(end - start));
}

static bool parse_line(struct cursor *c, struct vmx_line *l, GError **error)
{
	const char *start;

	l->line = c->line;
	skip_blanks(c);
	if (!*c->p || *c->p == '#')
		return true;
	start = c->p;
	while (key_char(*c->p))
		c->p++;
	if (c->p == start)
		return syntax(c, error, "a key was expected (KEY = \"VALUE\")");
	l->key = g_strndup(start, (gsize)(c->p - start));
	skip_blanks(c);
	if (*c->p != '=')
		return syntax(c, error, "'=' was expected after the key (KEY = \"VALUE\")");
	c->p++;
	skip_blanks(c);
	l->column = column_of(c);
	if (*c->p == '"') {
		c->p++;
		l->value = parse_quoted(c, error);
	} else {
		l->value = parse_bare(c, error);
	}
	if (!l->value)
		return false;
	skip_blanks(c);
	if (*c->p && *c->p != '#')
		return syntax(c, error, "text after the value");
	return true;
}

static void index_line(struct vmx *vmx, struct vmx_line *l)
{
	char *low = g_ascii_strdown(l->key, -1);
	struct vmx_line *old = g_hash_table_lookup(vmx->index, low);

	if (old && l->line)
		log_warn("vmx", "%s:%u: %s was given in line %u already; the last one counts", vmx->name,
			l->line, l->key, old->line);
	g_hash_table_replace(vmx->index, low, l);
}

/* The value of `.encoding`, found before the text's encoding is known: the key and encoding names are ASCII.
 */
static char *find_encoding(const char *text, size_t len)
{
	const char *p = text, *end = text + len;

	while (end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;

		while (p < stop && (*p == ' ' || *p == '\t'))
			p++;
		if (stop - p > 9 && g_ascii_strncasecmp(p, ".encoding", 9) == 0 && !key_char(p[9])) {
			p += 9;
			while (p < stop && (*p == ' ' || *p == '\t' || *p == '=' || *p == '"'))
				p++;
			for (nl = p; nl < stop && *nl != '"' && *nl != '#' && *nl > ' ';)
				nl++;
			return nl > p ? g_strndup(p, (gsize)(nl - p)) : NULL;
		}
		p = stop + 1;
	}
	return NULL;
}

/* Line and column of a byte, for a message about bytes that are no text. */
static bool fail_at_byte(const char *name, const char *text, const char *at, GError **error, const char *what)
{
	unsigned line = 1, column = 1;

	for (const char *p = text; p < at; p++, column++) {
		if (*p == '\n') {
			line++;
			column = 0;
		}
	}
	return fail(error, SERAI_ERROR_CONFIG, "%s:%u:%u: %s", name, line, column, what);
}

/* The text as UTF-8; vmx->encoding is set to what it was. */
static char *decode(struct vmx *vmx, const char *text, size_t len, GError **error)
{
	g_autofree char *encoding = find_encoding(text, len);
	const char *bad = memchr(text, 0, len);
	bool named = encoding;
	g_autofree char *again = NULL;
	g_autoptr(GError) why = NULL;
	char *out;

	if (bad)
		return fail_at_byte(vmx->name, text, bad, error, "a zero byte; this is not a .vmx file"),
		       NULL;
	if (!encoding && !g_utf8_validate(text, (gssize)len, NULL)) {
		log_warn("vmx", "%s: no .encoding and not UTF-8; read as windows-1252", vmx->name);
		encoding = g_strdup("windows-1252");
	}
	if (!encoding || g_ascii_strcasecmp(encoding, "UTF-8") == 0) {
		if (!g_utf8_validate(text, (gssize)len, &bad))
			return fail_at_byte(
				       vmx->name, text, bad, error, "not UTF-8, which .encoding promises"),
			       NULL;
		return g_strndup(text, len);
	}
	out = g_convert(text, (gssize)len, "UTF-8", encoding, NULL, NULL, &why);
	if (!out || !g_utf8_validate(out, -1, NULL)) {
		g_free(out);
		return fail(error, SERAI_ERROR_CONFIG, "%s: cannot read it as .encoding = \"%s\": %s",
			       vmx->name, encoding, why ? why->message : "not text"),
		       NULL;
	}
	/* Encodings in which ASCII is not ASCII (UTF-16, EBCDIC) cannot be what the line says. */
	again = find_encoding(out, strlen(out));
	if (named && g_strcmp0(again, encoding) != 0) {
		g_free(out);
		return fail(error, SERAI_ERROR_CONFIG, "%s: .encoding = \"%s\" is not this file's encoding",
			       vmx->name, encoding),
		       NULL;
	}
	g_free(vmx->encoding);
	vmx->encoding = g_steal_pointer(&encoding);
	return out;
}

static bool parse_text(struct vmx *vmx, char *text, GError **error)
{
	unsigned number = 0;
	char *p = text;

	while (g_str_has_prefix(p, "\xef\xbb\xbf"))
		p += 3;
	while (*p) {
		char *nl = strchr(p, '\n'), *end = nl ? nl : p + strlen(p);
		struct vmx_line *l = g_new0(struct vmx_line, 1);
		struct cursor c = { .name = vmx->name, .line = ++number };

		g_ptr_array_add(vmx->lines, l);
		while (end > p && end[-1] == '\r')
			end--;
		l->raw = g_strndup(p, (gsize)(end - p));
		c.text = c.p = l->raw;
		if (!parse_line(&c, l, error))
			return false;
		if (l->key)
			index_line(vmx, l);
		if (!nl)
			break;
		p = nl + 1;
	}
	return true;
}

struct vmx *vmx_parse(const char *name, const void *data, size_t len, GError **error)
{
	struct vmx *vmx = vmx_new(name);
	g_autofree char *text = NULL;

	if (len > VMX_MAX_BYTES) {
		fail(error, SERAI_ERROR_CONFIG,
			"%s: larger than %u bytes; this is not a .vmx file (--disk and --cdrom take images)",
			name, VMX_MAX_BYTES);
	} else {
		text = decode(vmx, data ? data : "", len, error);
		if (text && parse_text(vmx, text, error))
			return vmx;
	}
	vmx_free(vmx);
	return NULL;
}

/* The whole file, but never more than one byte over the limit. */
static GByteArray *read_limited(int fd)
{
	GByteArray *bytes = g_byte_array_new();
	uint8_t buf[16384];
	ssize_t n;

	while (bytes->len <= VMX_MAX_BYTES) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			g_byte_array_unref(bytes);
			return NULL;
		}
		if (n == 0)
			break;
		g_byte_array_append(bytes, buf, (guint)n);
	}
	return bytes;
}

struct vmx *vmx_load(const char *path, GError **error)
{
	g_autoptr(GByteArray) bytes = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */

	if (fd < 0)
		return fail_errno(error, SERAI_ERROR_CONFIG, errno, "%s", path), NULL;
	bytes = read_limited(fd);
	if (!bytes) {
		fail_errno(error, SERAI_ERROR_CONFIG, errno, "%s", path);
		close(fd);
		return NULL;
	}
	close(fd);
	return vmx_parse(path, bytes->data, bytes->len, error);
}

static char *format_line(const char *key, const char *value)
{
	GString *s = g_string_new(key);

	g_string_append(s, " = \"");
	for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
		if (*p < 0x20 || *p == 0x7f || *p == '"' || *p == '|' || *p == '#')
			g_string_append_printf(s, "|%02X", *p);
		else
			g_string_append_c(s, (char)*p);
	}
	g_string_append_c(s, '"');
	return g_string_free(s, FALSE);
}

static GString *join_lines(const struct vmx *vmx, bool as_utf8)
{
	GString *s = g_string_new(NULL);

	for (guint i = 0; i < vmx->lines->len; i++) {
		const struct vmx_line *l = vmx->lines->pdata[i];
		bool is_encoding = l->key && g_ascii_strcasecmp(l->key, ".encoding") == 0;

		g_string_append(s, as_utf8 && is_encoding ? ".encoding = \"UTF-8\"" : l->raw);
		g_string_append_c(s, '\n');
	}
	return s;
}

/* NULL when the encoding cannot carry the text there and back. */
static char *encode(const GString *s, const char *encoding, size_t *len)
{
	gsize out_len = 0;
	g_autofree char *out = g_convert(s->str, (gssize)s->len, encoding, "UTF-8", NULL, &out_len, NULL);
	g_autofree char *back =
		out ? g_convert(out, (gssize)out_len, "UTF-8", encoding, NULL, NULL, NULL) : NULL;

	if (!back || strcmp(back, s->str) != 0)
		return NULL;
	*len = out_len;
	return g_steal_pointer(&out);
}

char *vmx_to_text(const struct vmx *vmx, size_t *len)
{
	GString *s = join_lines(vmx, false);

	if (g_ascii_strcasecmp(vmx->encoding, "UTF-8") != 0) {
		char *out = encode(s, vmx->encoding, len);

		g_string_free(s, TRUE);
		if (out)
			return out;
		/* A value that the old encoding lacks was set: the file becomes UTF-8 and says so. */
		s = join_lines(vmx, true);
	}
	*len = s->len;
	return g_string_free(s, FALSE);
}

bool vmx_save(const struct vmx *vmx, const char *path, GError **error)
{
	g_autoptr(GError) why = NULL;
	size_t len = 0;
	g_autofree char *text = vmx_to_text(vmx, &len);

	if (g_file_set_contents_full(path, text, (gssize)len,
		    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0644, &why))
		return true;
	return fail(error, SERAI_ERROR_IO, "%s", why->message);
}

static struct vmx_line *lookup(const struct vmx *vmx, const char *key)
{
	g_autofree char *low = g_ascii_strdown(key, -1);

	return g_hash_table_lookup(vmx->index, low);
}

const char *vmx_get(const struct vmx *vmx, const char *key)
{
	const struct vmx_line *l = lookup(vmx, key);

	return l ? l->value : NULL;
}

const char *vmx_get_string(const struct vmx *vmx, const char *key, const char *fallback)
{
	const char *value = vmx_get(vmx, key);

	return value && *value ? value : fallback;
}

bool vmx_refuse(const struct vmx *vmx, const char *key, GError **error, const char *fmt, ...)
{
	const struct vmx_line *l = lookup(vmx, key);
	g_autofree char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	what = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	if (!l)
		return fail(error, SERAI_ERROR_CONFIG, "%s: %s", key, what);
	if (!l->line)
		return fail(error, SERAI_ERROR_CONFIG, "%s = \"%s\": %s", l->key, l->value, what);
	return fail(error, SERAI_ERROR_CONFIG, "%s:%u:%u: %s = \"%s\": %s", vmx->name, l->line, l->column,
		l->key, l->value, what);
}

bool vmx_get_bool(const struct vmx *vmx, const char *key, bool fallback, bool *out, GError **error)
{
	static const char *const yes[] = { "true", "yes", "on", "1", "t", "y" };
	static const char *const no[] = { "false", "no", "off", "0", "f", "n" };
	const char *value = vmx_get(vmx, key);

	*out = fallback;
	if (!value || !*value)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (g_ascii_strcasecmp(value, yes[i]) == 0)
			return *out = true;
		if (g_ascii_strcasecmp(value, no[i]) == 0) {
			*out = false;
			return true;
		}
	}
	return vmx_refuse(vmx, key, error, "neither TRUE nor FALSE");
}

bool vmx_get_uint(const struct vmx *vmx, const char *key, uint64_t fallback, uint64_t min, uint64_t max,
	uint64_t *out, GError **error)
{
	const char *value = vmx_get(vmx, key);
	bool hex;
	char *end;

	*out = fallback;
	if (!value || !*value)
		return true;
	hex = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
	errno = 0;
	*out = g_ascii_isdigit(value[0]) ? g_ascii_strtoull(value, &end, hex ? 16 : 10) : 0;
	if (!g_ascii_isdigit(value[0]) || *end || errno)
		return vmx_refuse(vmx, key, error, "not a whole number");
	if (*out < min || *out > max)
		return vmx_refuse(vmx, key, error,
			"out of range (%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")", min, max);
	return true;
}

char *vmx_get_path(const struct vmx *vmx, const char *key)
{
	const struct vmx_line *l = lookup(vmx, key);
	g_autofree char *dir = NULL;

	if (!l || !*l->value)
		return NULL;
	if (g_path_is_absolute(l->value))
		return g_strdup(l->value);
	if (l->overridden || !l->line)
		return g_canonicalize_filename(l->value, NULL);
	dir = g_path_get_dirname(vmx->name);
	return g_build_filename(dir, l->value, NULL);
}

bool vmx_set(struct vmx *vmx, const char *key, const char *value, GError **error)
{
	struct vmx_line *l;

	if (!*key)
		return fail(error, SERAI_ERROR_CONFIG, "a key is missing before '='");
	for (const char *p = key; *p; p++)
		if (!key_char(*p))
			return fail(error, SERAI_ERROR_CONFIG, "'%s' cannot be a key", key);
	if (!g_utf8_validate(key, -1, NULL) || !g_utf8_validate(value, -1, NULL))
		return fail(error, SERAI_ERROR_CONFIG, "%s: not UTF-8", key);
	l = lookup(vmx, key);
	if (!l) {
		l = g_new0(struct vmx_line, 1);
		l->key = g_strdup(key);
		g_ptr_array_add(vmx->lines, l);
		index_line(vmx, l);
	}
	g_free(l->value);
	g_free(l->raw);
	l->value = g_strdup(value);
	l->raw = format_line(l->key, value);
	l->overridden = false;
	return true;
}

bool vmx_remove(struct vmx *vmx, const char *key)
{
	g_autofree char *low = g_ascii_strdown(key, -1);

	if (!g_hash_table_remove(vmx->index, low))
		return false;
	for (guint i = vmx->lines->len; i-- > 0;) {
		const struct vmx_line *l = vmx->lines->pdata[i];

		if (l->key && g_ascii_strcasecmp(l->key, key) == 0)
			g_ptr_array_remove_index(vmx->lines, i);
	}
	return true;
}

bool vmx_override(struct vmx *vmx, const char *assignment, GError **error)
{
	const char *eq = strchr(assignment, '=');
	g_autofree char *key = NULL;
	g_autofree char *near = NULL;
	struct vmx_line *l;

	if (!eq || eq == assignment)
		return fail(error, SERAI_ERROR_CONFIG, "'%s': KEY=VALUE was expected", assignment);
	key = g_strstrip(g_strndup(assignment, (gsize)(eq - assignment)));
	if (!vmx_key_known(key) && !vmx_get(vmx, key)) {
		near = vmx_key_suggest(key);
		if (near)
			return fail(
				error, SERAI_ERROR_CONFIG, "unknown key '%s'; did you mean '%s'?", key, near);
		log_warn("vmx", "unknown key '%s' is set but nothing reads it", key);
	}
	if (!vmx_set(vmx, key, eq + 1, error))
		return false;
	l = lookup(vmx, key);
	l->overridden = true;
	l->line = 0;
	return true;
}

void vmx_warn_mistyped(const struct vmx *vmx)
{
	for (guint i = 0; i < vmx->lines->len; i++) {
		const struct vmx_line *l = vmx->lines->pdata[i];
		g_autofree char *near =
			l->key && l->line && !vmx_key_known(l->key) ? vmx_key_suggest(l->key) : NULL;

		if (near)
			log_warn("vmx", "%s:%u: nothing reads %s; did you mean %s?", vmx->name, l->line,
				l->key, near);
	}
}

void vmx_foreach(
	const struct vmx *vmx, void (*fn)(void *opaque, const char *key, const char *value), void *opaque)
{
	for (guint i = 0; i < vmx->lines->len; i++) {
		const struct vmx_line *l = vmx->lines->pdata[i];

		if (l->key && lookup(vmx, l->key) == l)
			fn(opaque, l->key, l->value);
	}
}
