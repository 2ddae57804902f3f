/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state/state.c - writing records and the field tables they come from; reading is read.c.
 */
#include "state/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state_writer {
	uint8_t *data;
	size_t len, room;
	uint32_t records;
	bool ended;
};

static bool width_ok(uint32_t width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

static int by_offset(const void *a, const void *b)
{
	const struct state_field *x = *(const struct state_field *const *)a;
	const struct state_field *y = *(const struct state_field *const *)b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* A hole is the compiler's when it ends at the next multiple of `align` after `end`. */
static bool is_padding(uint64_t end, uint64_t next, uint32_t align)
{
	return (end + align - 1) / align * align == next;
}

bool state_covers_every_byte(const struct state_class *cls)
{
	g_autofree const struct state_field **sorted =
		g_new(const struct state_field *, cls->field_count + 1);
	uint64_t end = 0;
	uint32_t widest = 1;

	for (size_t i = 0; i < cls->field_count; i++)
		sorted[i] = &cls->fields[i];
	qsort(sorted, cls->field_count, sizeof(*sorted), by_offset);
	for (size_t i = 0; i < cls->field_count; i++) {
		const struct state_field *f = sorted[i];

		if (!width_ok(f->width) || !f->count || f->since < 1 || f->since > cls->version)
			return false;
		if (f->offset < end || !is_padding(end, f->offset, f->width))
			return false;
		end = f->offset + (uint64_t)f->width * f->count;
		widest = MAX_OF(widest, f->width);
	}
	return end <= cls->size && is_padding(end, cls->size, widest);
}

struct state_writer *state_writer_new(void)
{
	struct state_writer *w = g_new0(struct state_writer, 1);

	w->room = 65536;
	w->data = g_malloc(w->room);
	memcpy(w->data, STATE_MAGIC, STATE_MAGIC_LEN);
	w->len = STATE_MAGIC_LEN;
	return w;
}

void state_writer_free(struct state_writer *w)
{
	if (!w)
		return;
	g_free(w->data);
	g_free(w);
}

static void append(struct state_writer *w, const void *bytes, size_t n)
{
	if (n > w->room - w->len) {
		w->room = MAX_OF(w->room * 2, w->len + n);
		w->data = g_realloc(w->data, w->room);
	}
	if (n)
		memcpy(w->data + w->len, bytes, n);
	w->len += n;
}

static void append_u16(struct state_writer *w, uint16_t v)
{
	append(w, &v, sizeof(v));
}

static void append_u32(struct state_writer *w, uint32_t v)
{
	append(w, &v, sizeof(v));
}

static void append_u64(struct state_writer *w, uint64_t v)
{
	append(w, &v, sizeof(v));
}

static void append_name(struct state_writer *w, const char *s)
{
	size_t n = strlen(s);

	append_u16(w, (uint16_t)n);
	append(w, s, n);
}

/* Record header with a length to be patched by record_close. */
static size_t record_open(struct state_writer *w, uint32_t kind)
{
	if (w->ended) { /* the end record moves behind what comes now */
		w->len -= STATE_END_SIZE;
		w->ended = false;
	}
	append_u32(w, kind);
	append_u64(w, 0);
	return w->len;
}

static void record_close(struct state_writer *w, size_t start)
{
	uint64_t n = w->len - start;

	memcpy(w->data + start - sizeof(n), &n, sizeof(n));
}

void state_put(struct state_writer *w, const struct state_class *cls, const char *instance, const void *state)
{
	size_t start = record_open(w, STATE_RECORD);

	append_name(w, cls->name);
	append_name(w, instance);
	append_u32(w, cls->version);
	append_u32(w, (uint32_t)cls->field_count);
	for (size_t i = 0; i < cls->field_count; i++) {
		const struct state_field *f = &cls->fields[i];

		append_name(w, f->name);
		append_u32(w, f->width);
		append_u32(w, f->count);
		append(w, (const char *)state + f->offset, (size_t)f->width * f->count);
	}
	record_close(w, start);
	w->records++;
}

void state_put_blob(struct state_writer *w, const char *name, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t start = record_open(w, STATE_BLOB);
	size_t off = 0;

	append_name(w, name);
	append_u64(w, len);
	while (off < len) {
		size_t end = off;

		while (end < len && !state_is_zero(p + end, MIN_OF(len - end, STATE_PAGE)))
			end += MIN_OF(len - end, STATE_PAGE);
		if (end == off) {
			off += MIN_OF(len - off, STATE_PAGE);
			continue;
		}
		append_u64(w, off);
		append_u64(w, end - off);
		append(w, p + off, end - off);
		off = end;
	}
	record_close(w, start);
	w->records++;
}

const uint8_t *state_writer_bytes(struct state_writer *w, size_t *len)
{
	if (!w->ended) {
		size_t start = record_open(w, STATE_END);

		append_u32(w, w->records);
		record_close(w, start);
		w->ended = true;
	}
	*len = w->len;
	return w->data;
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, MIN_OF(len, (size_t)1 << 30));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* Make the rename itself durable. */
static bool sync_parent(const char *path, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	int err = errno;

	if (fd >= 0)
		close(fd);
	return ok ? true : fail_errno(error, SERAI_ERROR_IO, err, "%s: cannot sync directory", dir);
}

bool state_writer_save(struct state_writer *w, const char *path, GError **error)
{
	g_autofree char *temp = g_strdup_printf("%s.XXXXXX", path);
	size_t len;
	const uint8_t *data = state_writer_bytes(w, &len);
	int fd = mkostemp(temp, O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return fail_errno(error, SERAI_ERROR_IO, errno, "%s: cannot create", temp);
	if (!write_all(fd, data, len) || fsync(fd) < 0)
		err = errno;
	if (close(fd) < 0 && !err)
		err = errno;
	if (!err && rename(temp, path) < 0)
		err = errno;
	if (err) {
		unlink(temp);
		return fail_errno(error, SERAI_ERROR_IO, err, "%s: cannot write", path);
	}
	return sync_parent(path, error);
}
