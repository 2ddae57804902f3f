/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/unit/dev/media.h - a temporary disk image whose completions the test delivers when it wants to.
 *
 * Sector n of a fresh image starts with the 32-bit number n and is filled with n's low byte.
 */
#ifndef SERAI_TESTS_UNIT_DEV_MEDIA_H
#define SERAI_TESTS_UNIT_DEV_MEDIA_H

#include "disk/disk.h"
#include "tests/unit/rig.h"

#include <glib/gstdio.h>
#include <unistd.h>

struct media {
	char *path;
	struct image *img;
	GAsyncQueue *done;
};

static inline void media_deliver(void *opaque, struct image_request *r)
{
	g_async_queue_push(opaque, r);
}

static inline void media_pattern(uint8_t *sector, uint32_t n)
{
	memset(sector, (int)(n & 0xff), SECTOR_SIZE);
	memcpy(sector, &n, sizeof(n));
}

static inline struct media *media_new(const char *format, uint32_t sectors, bool read_only)
{
	struct media *m = g_new0(struct media, 1);
	uint8_t *bytes = g_malloc((size_t)sectors * SECTOR_SIZE);
	g_autoptr(GError) error = NULL;
	int fd = g_file_open_tmp("serai-media-XXXXXX", &m->path, NULL);

	for (uint32_t n = 0; n < sectors; n++)
		media_pattern(bytes + (size_t)n * SECTOR_SIZE, n);
	assert_true(
		fd >= 0 && write(fd, bytes, (size_t)sectors * SECTOR_SIZE) == (ssize_t)sectors * SECTOR_SIZE);
	close(fd);
	g_free(bytes);
	m->done = g_async_queue_new();
	m->img = image_open(m->path,
		&(struct image_options){ .format = format,
			.read_only = read_only,
			.threads = 2,
			.deliver = media_deliver,
			.deliver_opaque = m->done },
		&error);
	if (!m->img)
		fail_msg("%s", error->message);
	return m;
}

/* Deliver completions under the device lock until nothing more comes of them. */
static inline void media_settle(struct rig *r, struct media *m)
{
	bool more = true;

	while (more) {
		struct image_request *req;

		more = false;
		image_drain(m->img);
		while ((req = g_async_queue_try_pop(m->done))) {
			pthread_mutex_lock(&r->mem.lock);
			image_finish(req);
			pthread_mutex_unlock(&r->mem.lock);
			more = true;
		}
	}
}

static inline void media_free(struct media *m)
{
	image_close(m->img);
	g_async_queue_unref(m->done);
	g_unlink(m->path);
	g_free(m->path);
	g_free(m);
}

#endif
