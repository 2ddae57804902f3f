/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State records: round trip, what must be refused, hostile bytes. */
#include "tests/unit/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sample {
	uint64_t wide;
	uint32_t word;
	uint16_t half[3];
	uint8_t byte;
	uint8_t grid[2][3];
};

static const struct state_field v1_fields[] = {
	STATE_FIELD(struct sample, wide, 1),
	STATE_FIELD(struct sample, word, 1),
	STATE_ARRAY(struct sample, half, 1),
	STATE_FIELD(struct sample, byte, 1),
};

static const struct state_field v2_fields[] = {
	STATE_FIELD(struct sample, wide, 1),
	STATE_FIELD(struct sample, word, 1),
	STATE_ARRAY(struct sample, half, 1),
	STATE_FIELD(struct sample, byte, 1),
	STATE_ARRAY2(struct sample, grid, 2),
};

static bool sample_check(const void *state, GError **error)
{
	const struct sample *s = state;

	return s->byte < 200 ? true : (fail)(error, SERAI_ERROR_STATE, "byte %u", s->byte);
}

static const struct state_class v1 = { "sample", 1, sizeof(struct sample), v1_fields, ARRAY_LEN(v1_fields),
	NULL };
static const struct state_class v2 = { "sample", 2, sizeof(struct sample), v2_fields, ARRAY_LEN(v2_fields),
	sample_check };

static const struct sample some = {
	.wide = 0x1122334455667788,
	.word = 0xdeadbeef,
	.half = { 1, 2, 3 },
	.byte = 7,
	.grid = { { 1, 2, 3 }, { 4, 5, 6 } },
};

static GBytes *written(const struct state_class *cls, const struct sample *s)
{
	struct state_writer *w = state_writer_new();
	const uint8_t *data;
	GBytes *bytes;
	size_t len;

	state_put(w, cls, "0", s);
	data = state_writer_bytes(w, &len);
	bytes = g_bytes_new(data, len);
	state_writer_free(w);
	return bytes;
}

/* NULL when it loads, else the message (freed by the caller). */
static char *load_error(const struct state_class *cls, const void *data, size_t len, struct sample *s)
{
	GError *error = NULL;
	struct state_reader *r = state_reader_new(data, len, &error);
	char *text = NULL;

	if (!r || !state_get(r, cls, "0", s, &error) || !state_reader_finish(r, &error)) {
		assert_non_null(error);
		text = g_strdup(error->message);
	}
	g_clear_error(&error);
	state_reader_free(r);
	return text;
}

static char *reload_error(const struct state_class *from, const struct state_class *to, struct sample *s)
{
	g_autoptr(GBytes) bytes = written(from, &some);
	gsize len;
	const void *data = g_bytes_get_data(bytes, &len);

	return load_error(to, data, len, s);
}

static void covers(void **state)
{
	static const struct state_field hole[] = {
		STATE_FIELD(struct sample, wide, 1),
		STATE_ARRAY(struct sample, half, 1),
		STATE_FIELD(struct sample, byte, 1),
		STATE_ARRAY2(struct sample, grid, 1),
	};
	struct state_class holed = v2;

	(void)state;
	assert_true(state_covers_every_byte(&v2));
	assert_false(state_covers_every_byte(&v1));
	holed.fields = hole;
	holed.field_count = ARRAY_LEN(hole);
	assert_false(state_covers_every_byte(&holed));
}

static void round_trip(void **state)
{
	struct sample s = { 0 };
	char *text = reload_error(&v2, &v2, &s);

	(void)state;
	assert_null(text);
	assert_memory_equal(&s, &some, sizeof(s));
}

static void newer_field_keeps_reset_value(void **state)
{
	struct sample s = { .grid = { { 9 } } };
	char *text = reload_error(&v1, &v2, &s);

	(void)state;
	assert_null(text);
	assert_int_equal(s.word, 0xdeadbeef);
	assert_int_equal(s.grid[0][0], 9);
}

static void refusals(void **state)
{
	static const struct state_field other_width[] = {
		STATE_FIELD(struct sample, wide, 1),
		STATE_ARRAY(struct sample, half, 1),
		STATE_FIELD(struct sample, byte, 1),
		{ "word", 1, offsetof(struct sample, word), 2, 2 },
	};
	struct state_class cls = v1;
	struct sample s = { 0 }, bad = some;
	g_autoptr(GBytes) bytes = NULL;
	char *text;

	(void)state;
	/* a newer version, hence an unknown field too */
	text = reload_error(&v2, &v1, &s);
	assert_non_null(strstr(text, "version 2"));
	g_free(text);
	/* an unknown field of the same version */
	cls.version = 2;
	text = reload_error(&v2, &cls, &s);
	assert_non_null(strstr(text, "unknown field grid"));
	g_free(text);
	/* a field that every version has is absent */
	cls = v2;
	cls.fields = v1_fields + 1;
	cls.field_count = 3;
	text = reload_error(&cls, &v1, &s);
	assert_non_null(text);
	g_free(text);
	cls.version = 1;
	text = reload_error(&cls, &v1, &s);
	assert_non_null(strstr(text, "field wide is missing"));
	g_free(text);
	/* other shape */
	cls = v1;
	cls.fields = other_width;
	text = reload_error(&v1, &cls, &s);
	assert_non_null(strstr(text, "field word"));
	g_free(text);
	/* a class or instance nobody asked for, or that is not there */
	cls = v1;
	cls.name = "other";
	text = reload_error(&v1, &cls, &s);
	assert_non_null(strstr(text, "no other 0"));
	g_free(text);
	/* the class's own check; the state stays as it was */
	bad.byte = 250;
	bytes = written(&v2, &bad);
	text = load_error(&v2, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &s);
	assert_non_null(strstr(text, "byte 250"));
	assert_int_equal(s.byte, 0);
	g_free(text);
}

static void leftover_record(void **state)
{
	struct state_writer *w = state_writer_new();
	struct state_reader *r;
	struct sample s = { 0 };
	GError *error = NULL;
	const uint8_t *data;
	size_t len;

	(void)state;
	state_put(w, &v2, "0", &some);
	state_put(w, &v2, "1", &some);
	data = state_writer_bytes(w, &len);
	r = state_reader_new(data, len, NULL);
	assert_true(state_get(r, &v2, "0", &s, NULL));
	assert_false(state_reader_finish(r, &error));
	assert_non_null(strstr(error->message, "sample 1"));
	g_clear_error(&error);
	state_reader_free(r);
	/* twice the same */
	state_put(w, &v2, "1", &some);
	data = state_writer_bytes(w, &len);
	assert_null(state_reader_new(data, len, &error));
	assert_non_null(strstr(error->message, "twice"));
	g_clear_error(&error);
	state_writer_free(w);
}

static void truncated_everywhere(void **state)
{
	g_autoptr(GBytes) bytes = written(&v2, &some);
	gsize len;
	const uint8_t *data = g_bytes_get_data(bytes, &len);

	(void)state;
	for (size_t n = 0; n < len; n++) {
		struct sample s = { 0 };
		g_autofree uint8_t *cut = g_memdup2(data, n); /* exact size, so ASan sees one byte too many */
		char *text = load_error(&v2, cut, n, &s);

		assert_non_null(text);
		g_free(text);
	}
}

static void fuzzed(void **state)
{
	struct state_writer *w = state_writer_new();
	static uint8_t page[3 * 4096 + 100], out[sizeof(page)];
	unsigned seed = 1;
	const uint8_t *data;
	size_t len;

	(void)state;
	page[5000] = 1;
	state_put(w, &v2, "0", &some);
	state_put_blob(w, "ram", page, sizeof(page));
	data = state_writer_bytes(w, &len);
	for (unsigned round = 0; round < 20000; round++) {
		g_autofree uint8_t *copy = g_memdup2(data, len);
		struct state_reader *r;
		struct sample s = { 0 };

		for (unsigned i = rand_r(&seed) % 4 + 1; i > 0; i--) {
			size_t at = (size_t)rand_r(&seed) % (round & 1 ? 200 : len);

			copy[at] = round & 2 ? (uint8_t)rand_r(&seed)
					     : (uint8_t)(copy[at] + (rand_r(&seed) & 1 ? 1 : -1));
		}
		r = state_reader_new(copy, len, NULL);
		if (!r)
			continue;
		state_get(r, &v2, "0", &s, NULL);
		state_get_blob(r, "ram", out, sizeof(out), NULL);
		state_reader_finish(r, NULL);
		state_reader_free(r);
	}
	state_writer_free(w);
}

static void blobs(void **state)
{
	static uint8_t in[5 * 4096 + 17], out[sizeof(in)];
	struct state_writer *w = state_writer_new();
	struct state_reader *r;
	GError *error = NULL;
	const uint8_t *data;
	size_t len;

	(void)state;
	memset(in + 4096, 0x5a, 4096);
	in[sizeof(in) - 1] = 1;
	memset(out, 0xff, sizeof(out));
	state_put_blob(w, "ram", in, sizeof(in));
	state_put_blob(w, "empty", in, 0);
	data = state_writer_bytes(w, &len);
	assert_true(len < 3 * 4096); /* zero pages are not stored */
	r = state_reader_new(data, len, NULL);
	assert_false(state_get_blob(r, "ram", out, sizeof(out) - 1, &error));
	g_clear_error(&error);
	assert_true(state_get_blob(r, "ram", out, sizeof(out), NULL));
	assert_memory_equal(in, out, sizeof(in));
	assert_true(state_get_blob(r, "empty", out, 0, NULL));
	assert_true(state_reader_finish(r, NULL));
	state_reader_free(r);
	state_writer_free(w);
}

static void files(void **state)
{
	g_autofree char *dir = g_dir_make_tmp("serai-XXXXXX", NULL),
			*path = g_build_filename(dir, "a.vmss", NULL);
	struct state_writer *w = state_writer_new();
	struct state_reader *r;
	struct sample s = { 0 };
	GError *error = NULL;
	GDir *list;

	(void)state;
	state_put(w, &v2, "0", &some);
	assert_true(state_writer_save(w, path, &error));
	assert_true(state_writer_save(w, path, &error)); /* over an old one */
	r = state_reader_open(path, &error);
	assert_non_null(r);
	assert_true(state_get(r, &v2, "0", &s, &error));
	state_reader_free(r);
	list = g_dir_open(dir, 0, NULL);
	assert_string_equal(g_dir_read_name(list), "a.vmss");
	assert_null(g_dir_read_name(list)); /* no temporary left */
	g_dir_close(list);
	unlink(path);
	rmdir(dir);
	assert_false(state_writer_save(w, path, &error));
	assert_int_equal(error->code, SERAI_ERROR_IO);
	g_clear_error(&error);
	assert_null(state_reader_open(path, &error));
	assert_int_equal(error->code, SERAI_ERROR_IO);
	g_clear_error(&error);
	state_writer_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(covers),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(newer_field_keeps_reset_value),
		cmocka_unit_test(refusals),
		cmocka_unit_test(leftover_record),
		cmocka_unit_test(truncated_everywhere),
		cmocka_unit_test(fuzzed),
		cmocka_unit_test(blobs),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
