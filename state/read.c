/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state/read.c - reading state records from hostile bytes.
 *
 * Promise: nothing outside the buffer is read, nothing outside the caller's struct is written, whatever the
 * bytes say.
 */
#include "state/wire.h"

struct record {
	uint32_t kind;
	const uint8_t *data; /* payload behind the names */
	size_t len;
	bool used;
};

struct state_reader {
	uint8_t *data;
	size_t len;
	GHashTable *records; /* "class\ninstance" or "\nblob" -> struct record */
};

/* A window on the bytes; every take_* fails when too little is left. */
struct cursor {
	const uint8_t *p;
	size_t left;
};

static bool take(struct cursor *c, void *out, size_t n)
{
	if (n > c->left)
		return false;
	memcpy(out, c->p, n);
	c->p += n;
	c->left -= n;
	return true;
}

static bool skip(struct cursor *c, uint64_t n)
{
	if (n > c->left)
		return false;
	c->p += n;
	c->left -= n;
	return true;
}

/* A new string, or NULL. */
static char *take_name(struct cursor *c)
{
	uint16_t n;
	char *s;

	if (!take(c, &n, sizeof(n)) || n == 0 || n > STATE_NAME_MAX || n > c->left)
		return NULL;
	for (unsigned i = 0; i < n; i++) {
		if (c->p[i] < 0x20 || c->p[i] > 0x7e)
			return NULL;
	}
	s = g_strndup((const char *)c->p, n);
	skip(c, n);
	return s;
}

static bool damaged(GError **error, const struct state_reader *r, const struct cursor *c, const char *what)
{
	return fail(error, SERAI_ERROR_FORMAT, "saved state: %s at byte %zu", what, (size_t)(c->p - r->data));
}

/* Names of one record become its key; the rest is parsed when the record is asked for. */
static bool parse_record(struct state_reader *r, uint32_t kind, struct cursor body, GError **error)
{
	g_autofree char *cls = NULL, *name = NULL;
	struct record *rec;
	char *key;

	if (kind == STATE_RECORD && !(cls = take_name(&body)))
		return damaged(error, r, &body, "bad class name");
	if (!(name = take_name(&body)))
		return damaged(error, r, &body, "bad instance name");
	key = g_strconcat(cls ? cls : "", "\n", name, NULL);
	if (g_hash_table_contains(r->records, key)) {
		g_free(key);
		return fail(error, SERAI_ERROR_FORMAT, "saved state: %s %s occurs twice", cls ? cls : "blob",
			name);
	}
	rec = g_new(struct record, 1);
	*rec = (struct record){ .kind = kind, .data = body.p, .len = body.left };
	g_hash_table_insert(r->records, key, rec);
	return true;
}

static bool parse(struct state_reader *r, GError **error)
{
	struct cursor c = { r->data, r->len };
	uint32_t records = 0;

	if (c.left < STATE_MAGIC_LEN || memcmp(c.p, STATE_MAGIC, STATE_MAGIC_LEN) != 0)
		return fail(error, SERAI_ERROR_FORMAT, "not a saved state (no %s at the start)", STATE_MAGIC);
	skip(&c, STATE_MAGIC_LEN);
	for (;;) {
		uint32_t kind, count;
		uint64_t len;
		struct cursor body;

		if (!take(&c, &kind, sizeof(kind)) || !take(&c, &len, sizeof(len)))
			return damaged(error, r, &c, "file ends inside a record header");
		body = c;
		if (!skip(&c, len))
			return damaged(error, r, &c, "file ends inside a record");
		body.left = len;
		if (kind == STATE_END) {
			if (len != sizeof(count) || !take(&body, &count, sizeof(count)) || count != records)
				return damaged(error, r, &body, "bad end record");
			if (c.left)
				return damaged(error, r, &c, "bytes behind the end record");
			return true;
		}
		if (kind != STATE_RECORD && kind != STATE_BLOB)
			return damaged(error, r, &body, "unknown kind of record");
		if (!parse_record(r, kind, body, error))
			return false;
		records++;
	}
}

/* Takes over `data`. */
static struct state_reader *reader_take(uint8_t *data, size_t len, GError **error)
{
	struct state_reader *r = g_new0(struct state_reader, 1);

	r->data = data;
	r->len = len;
	r->records = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (parse(r, error))
		return r;
	state_reader_free(r);
	return NULL;
}

struct state_reader *state_reader_open(const char *path, GError **error)
{
	g_autoptr(GError) why = NULL;
	struct state_reader *r;
	char *data = NULL;
	gsize len = 0;

	if (!g_file_get_contents(path, &data, &len, &why)) {
		fail(error, SERAI_ERROR_IO, "%s", why->message);
		return NULL;
	}
	r = reader_take((uint8_t *)data, len, error);
	if (!r)
		g_prefix_error(error, "%s: ", path);
	return r;
}

struct state_reader *state_reader_new(const void *data, size_t len, GError **error)
{
	return reader_take(g_memdup2(data, len), len, error);
}

void state_reader_free(struct state_reader *r)
{
	if (!r)
		return;
	g_hash_table_destroy(r->records);
	g_free(r->data);
	g_free(r);
}

static struct record *find(struct state_reader *r, const char *cls, const char *name)
{
	g_autofree char *key = g_strconcat(cls, "\n", name, NULL);
	struct record *rec = g_hash_table_lookup(r->records, key);

	if (rec)
		rec->used = true;
	return rec;
}

static ssize_t field_index(const struct state_class *cls, const char *name)
{
	for (size_t i = 0; i < cls->field_count; i++) {
		if (strcmp(cls->fields[i].name, name) == 0)
			return (ssize_t)i;
	}
	return -1;
}

/* One field of the record into the copy of the state. */
static bool get_field(struct cursor *c, const struct state_class *cls, uint32_t version, uint8_t *copy,
	bool *seen, GError **error)
{
	g_autofree char *name = take_name(c);
	const struct state_field *f;
	uint32_t width, count;
	ssize_t at;

	if (!name || !take(c, &width, sizeof(width)) || !take(c, &count, sizeof(count)))
		return fail(error, SERAI_ERROR_FORMAT, "damaged field");
	at = field_index(cls, name);
	f = at < 0 ? NULL : &cls->fields[at];
	if (!f || f->since > version)
		return fail(error, SERAI_ERROR_STATE, "unknown field %s", name);
	if (f->width != width || f->count != count)
		return fail(error, SERAI_ERROR_STATE, "field %s is %u x %u bytes, here %u x %u", name, count,
			width, f->count, f->width);
	if (seen[at])
		return fail(error, SERAI_ERROR_FORMAT, "field %s occurs twice", name);
	seen[at] = true;
	if (!take(c, copy + f->offset, (size_t)f->width * f->count))
		return fail(error, SERAI_ERROR_FORMAT, "field %s is cut off", name);
	return true;
}

static bool get_fields(struct cursor c, const struct state_class *cls, uint8_t *copy, GError **error)
{
	g_autofree bool *seen = g_new0(bool, cls->field_count + 1);
	uint32_t version, fields;

	if (!take(&c, &version, sizeof(version)) || !take(&c, &fields, sizeof(fields)))
		return fail(error, SERAI_ERROR_FORMAT, "damaged record");
	if (version < 1 || version > cls->version)
		return fail(error, SERAI_ERROR_STATE, "version %u, this program knows up to %u", version,
			cls->version);
	for (uint32_t i = 0; i < fields; i++) {
		if (!get_field(&c, cls, version, copy, seen, error))
			return false;
	}
	if (c.left)
		return fail(error, SERAI_ERROR_FORMAT, "%zu bytes too many", c.left);
	for (size_t i = 0; i < cls->field_count; i++) {
		if (!seen[i] && cls->fields[i].since <= version)
			return fail(error, SERAI_ERROR_STATE, "field %s is missing", cls->fields[i].name);
	}
	return true;
}

bool state_get(struct state_reader *r, const struct state_class *cls, const char *instance, void *state,
	GError **error)
{
	struct record *rec = find(r, cls->name, instance);
	g_autofree uint8_t *copy = NULL;

	if (!rec || rec->kind != STATE_RECORD)
		return fail(error, SERAI_ERROR_STATE, "saved state: no %s %s in it", cls->name, instance);
	copy = g_memdup2(state, cls->size);
	if (!get_fields((struct cursor){ rec->data, rec->len }, cls, copy, error) ||
		(cls->check && !cls->check(copy, error))) {
		g_prefix_error(error, "saved state: %s %s: ", cls->name, instance);
		return false;
	}
	memcpy(state, copy, cls->size);
	return true;
}

/* Zero what is not zero: untouched pages of guest RAM stay unallocated. */
static void clear(uint8_t *p, size_t n)
{
	while (n) {
		size_t step = MIN_OF(n, STATE_PAGE);

		if (!state_is_zero(p, step))
			memset(p, 0, step);
		p += step;
		n -= step;
	}
}

/* Walk the runs of a blob; out NULL: only check that they fit `len` and ascend. */
static bool walk_runs(struct cursor c, uint8_t *out, uint64_t len)
{
	uint64_t at = 0;

	while (c.left) {
		uint64_t off, n;

		if (!take(&c, &off, sizeof(off)) || !take(&c, &n, sizeof(n)))
			return false;
		if (off < at || off > len || n > len - off || n > c.left)
			return false;
		if (out) {
			clear(out + at, off - at);
			memcpy(out + off, c.p, n);
		}
		skip(&c, n);
		at = off + n;
	}
	if (out)
		clear(out + at, len - at);
	return true;
}

bool state_get_blob(struct state_reader *r, const char *name, void *data, size_t len, GError **error)
{
	struct record *rec = find(r, "", name);
	struct cursor c;
	uint64_t stored;

	if (!rec || rec->kind != STATE_BLOB)
		return fail(error, SERAI_ERROR_STATE, "saved state: no %s in it", name);
	c = (struct cursor){ rec->data, rec->len };
	if (!take(&c, &stored, sizeof(stored)) || !walk_runs(c, NULL, stored))
		return fail(error, SERAI_ERROR_FORMAT, "saved state: %s is damaged", name);
	if (stored != len)
		return fail(error, SERAI_ERROR_STATE,
			"saved state: %s has %" G_GUINT64_FORMAT " bytes, here %zu", name, stored, len);
	walk_runs(c, data, len);
	return true;
}

bool state_reader_finish(struct state_reader *r, GError **error)
{
	GHashTableIter it;
	gpointer key, value;

	g_hash_table_iter_init(&it, r->records);
	while (g_hash_table_iter_next(&it, &key, &value)) {
		const struct record *rec = value;
		const char *cls = key, *split = strchr(cls, '\n');

		if (!rec->used)
			return fail(error, SERAI_ERROR_STATE,
				"saved state: holds %.*s%s%s, which this machine does not have",
				(int)(split - cls), cls, split == cls ? "" : " ", split + 1);
	}
	return true;
}
