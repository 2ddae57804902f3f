/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image front door: opening, locking, ranges, holes, requests, failing flushes. */
#include "disk/format/format.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* after the four above */
#include <cmocka.h>

static int setup(void **state)
{
	*state = g_dir_make_tmp("serai-image-XXXXXX", NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	g_autofree char *file = g_build_filename(*state, "image", NULL);

	g_unlink(file);
	g_rmdir(*state);
	g_free(*state);
	return 0;
}

static char *make(void **state, off_t bytes)
{
	char *path = g_build_filename(*state, "image", NULL);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && ftruncate(fd, bytes) == 0);
	close(fd);
	return path;
}

static struct image *must_open(const char *path, const struct image_options *o)
{
	g_autoptr(GError) error = NULL;
	struct image *img = image_open(path, o, &error);

	if (!img)
		fail_msg("%s", error->message);
	return img;
}

static void refuse(const char *path, const struct image_options *o, enum serai_error code, const char *why)
{
	g_autoptr(GError) error = NULL;

	assert_null(image_open(path, o, &error));
	assert_int_equal(error->code, code);
	if (!strstr(error->message, why) || !strstr(error->message, path) || strchr(error->message, '\n'))
		fail_msg("unexpected message: %s", error->message);
}

static void bad_files(void **state)
{
	g_autofree char *path = make(state, 0);

	refuse(path, NULL, SERAI_ERROR_FORMAT, "empty");
	refuse(path, &(struct image_options){ .format = "qcow9" }, SERAI_ERROR_CONFIG, "qcow9");
	refuse(*state, NULL, SERAI_ERROR_FORMAT, "directory");
	refuse(*state, &(struct image_options){ .read_only = true }, SERAI_ERROR_FORMAT, "directory");
	refuse("/dev/null", NULL, SERAI_ERROR_FORMAT, "neither");
	g_free(path);
	path = make(state, 1000);
	refuse(path, NULL, SERAI_ERROR_FORMAT, "1000 bytes");
	g_unlink(path);
	refuse(path, NULL, SERAI_ERROR_IO, "No such file");
	if (geteuid() != 0) {
		g_free(path);
		path = make(state, 512);
		assert_int_equal(chmod(path, 0400), 0);
		refuse(path, NULL, SERAI_ERROR_IO, "Permission denied");
	}
}

static void iso_is_padded_and_read_only(void **state)
{
	g_autofree char *path = make(state, 2048 + 700);
	struct image *img = must_open(path, &(struct image_options){ .format = "iso" });
	uint8_t buf[4096];

	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(image_sectors(img), 8);
	assert_true(image_read_only(img));
	assert_true(image_read(img, 0, buf, 8, NULL));
	for (unsigned i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	assert_false(image_write(img, 0, buf, 1, NULL));
	assert_true(image_close(img));
}

static void one_writer_or_many_readers(void **state)
{
	g_autofree char *path = make(state, 4096);
	struct image *writer = must_open(path, NULL), *reader, *other;

	refuse(path, NULL, SERAI_ERROR_STATE, "in use");
	refuse(path, &(struct image_options){ .read_only = true }, SERAI_ERROR_STATE, "in use");
	image_close(must_open(path, &(struct image_options){ .read_only = true, .no_lock = true }));
	image_close(writer);
	reader = must_open(path, &(struct image_options){ .read_only = true });
	other = must_open(path, &(struct image_options){ .read_only = true });
	refuse(path, NULL, SERAI_ERROR_STATE, "in use");
	image_close(reader);
	image_close(other);
	image_close(must_open(path, NULL));
}

static void ranges(void **state)
{
	g_autofree char *path = make(state, 8 * 512);
	struct image *img = must_open(path, NULL);
	uint8_t buf[1024] = { 1, 2, 3 }, is[1024];
	g_autoptr(GError) error = NULL;

	assert_true(image_write(img, 6, buf, 2, NULL));
	assert_true(image_read(img, 6, is, 2, NULL));
	assert_memory_equal(buf, is, sizeof(buf));
	assert_false(image_read(img, 7, is, 2, &error));
	assert_int_equal(error->code, SERAI_ERROR_RANGE);
	assert_false(image_read(img, UINT64_MAX, is, 1, NULL));
	assert_false(image_write(img, UINT64_MAX - 1, is, 2, NULL));
	assert_false(image_zero(img, 8, 1, NULL));
	assert_true(image_read(img, 8, is, 0, NULL));
	assert_true(image_close(img));
}

static void zeros_leave_holes(void **state)
{
	g_autofree char *path = make(state, 16 << 20);
	struct image *img = must_open(path, NULL);
	uint8_t *buf = g_malloc0(1 << 20);
	struct stat st;

	for (unsigned i = 0; i < 16; i++)
		assert_true(image_write(img, i * 2048, buf, 2048, NULL));
	assert_true(stat(path, &st) == 0 && st.st_blocks < 64);
	memset(buf, 0xaa, 1 << 20);
	assert_true(image_write(img, 2048, buf, 2048, NULL));
	assert_true(image_zero(img, 2048, 1024, NULL));
	assert_true(image_read(img, 2048 + 1023, buf, 2, NULL));
	assert_int_equal(buf[511], 0);
	assert_int_equal(buf[512], 0xaa);
	/* Zeros over data are written, of course. */
	memset(buf, 0, 1 << 20);
	assert_true(image_write(img, 2048, buf, 2048, NULL));
	assert_true(image_read(img, 4000, buf, 1, NULL));
	assert_int_equal(buf[0], 0);
	assert_true(image_close(img));
	g_free(buf);
}

static void finished(struct image_request *r)
{
	__atomic_fetch_add((int *)r->opaque, 1, __ATOMIC_RELAXED);
}

static void many_requests(void **state)
{
	g_autofree char *path = make(state, 1024 * 512);
	struct image *img = must_open(path, &(struct image_options){ .threads = 2 });
	static struct image_request r[512];
	static struct iovec iov[512][3];
	uint8_t *bytes = g_malloc(1024 * 512), *is = g_malloc(1024 * 512);
	int done = 0;

	for (unsigned i = 0; i < 1024 * 512; i++)
		bytes[i] = (uint8_t)(i * 7 / 5);
	for (unsigned i = 0; i < 512; i++) {
		/* Uneven pieces, one of them empty. */
		iov[i][0] = (struct iovec){ bytes + i * 1024, 100 };
		iov[i][1] = (struct iovec){ NULL, 0 };
		iov[i][2] = (struct iovec){ bytes + i * 1024 + 100, 924 };
		r[i] = (struct image_request){ .op = IMAGE_WRITE,
			.lba = i * 2,
			.sectors = 2,
			.iov = iov[i],
			.iov_count = 3,
			.done = finished,
			.opaque = &done };
		image_submit(img, &r[i]);
	}
	image_drain(img);
	assert_int_equal(done, 512);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(r[i].error, 0);
	assert_true(image_read(img, 0, is, 1024, NULL));
	assert_memory_equal(is, bytes, 1024 * 512);
	/* Bad ones complete with an error like any other. */
	r[0].lba = 1023;
	r[1].sectors = 1; /* not what the buffers hold */
	r[2].op = IMAGE_FLUSH;
	for (unsigned i = 0; i < 3; i++)
		image_submit(img, &r[i]);
	image_drain(img);
	assert_int_equal(r[0].error, EINVAL);
	assert_int_equal(r[1].error, EINVAL);
	assert_int_equal(r[2].error, 0);
	assert_true(image_close(img));
	g_free(bytes);
	g_free(is);
}

static void a_file_cut_while_open(void **state)
{
	g_autofree char *path = make(state, 64 * 512);
	struct image *img = must_open(path, NULL);
	g_autoptr(GError) error = NULL;
	uint8_t buf[512];

	assert_int_equal(truncate(path, 10 * 512), 0);
	assert_false(image_read(img, 20, buf, 1, &error));
	assert_non_null(strstr(error->message, "cut"));
	assert_true(image_close(img));
}

/* The host may have dropped the pages after it said so: a later fsync proves nothing. */
static void a_failed_flush_is_remembered(void **state)
{
	g_autofree char *path = make(state, 512);
	struct image *img = must_open(path, NULL);
	int real = dup(img->fd), pipes[2];
	g_autoptr(GError) error = NULL;

	assert_int_equal(pipe(pipes), 0);
	assert_true(image_flush(img, NULL));
	dup2(pipes[0], img->fd); /* a pipe cannot be synced */
	assert_false(image_flush(img, NULL));
	dup2(real, img->fd);
	assert_false(image_flush(img, &error));
	assert_non_null(strstr(error->message, "earlier"));
	image_write(img, 0, (uint8_t[512]){ 1 }, 1, NULL);
	assert_false(image_close(img));
	close(real);
	close(pipes[0]);
	close(pipes[1]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bad_files),
		T(iso_is_padded_and_read_only),
		T(one_writer_or_many_readers),
		T(ranges),
		T(zeros_leave_holes),
		T(many_requests),
		T(a_file_cut_while_open),
		T(a_failed_flush_is_remembered),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
