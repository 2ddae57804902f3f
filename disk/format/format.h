/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk/format/format.h - what the front door asks of an image format.  Private to disk/.
 *
 * A format answers "where is this sector?" with an extent; it never copies data, never checks ranges (the
 * front door did), never opens workers.
 *
 * Threads: open and close alone; map, allocate, zero under the image's metadata lock; flush without it.
 */
#ifndef SERAI_DISK_FORMAT_FORMAT_H
#define SERAI_DISK_FORMAT_FORMAT_H

#include "disk/disk.h"

#include <pthread.h>
#include <stdatomic.h>

enum extent_kind {
	EXTENT_DATA, /* bytes of a host file */
	EXTENT_ZERO, /* nothing stored: reads as zeros, a write needs `allocate` first */
};

struct extent {
	enum extent_kind kind;
	uint64_t sectors; /* how many from the asked one on, at least 1 */
	int fd;           /* DATA */
	uint64_t offset;  /* DATA: of the asked sector, bytes */
	uint64_t end;     /* DATA: the file's end when it was opened; what lies behind reads as zeros */
};

struct image_format {
	const char *name;
	bool read_only; /* never writable, whatever is asked */
	/* Set img->sectors and img->priv from the open, locked img->fd. */
	bool (*open)(struct image *img, GError **error);
	bool (*map)(struct image *img, uint64_t lba, struct extent *x, GError **error);
	/* As map, for writing; NULL: map never says ZERO. */
	bool (*allocate)(struct image *img, uint64_t lba, struct extent *x, GError **error);
	/* Make the range read as zeros without storing them; 0, or EOPNOTSUPP: the front door writes zeros.
	 */
	int (*zero)(struct image *img, uint64_t lba, uint64_t sectors);
	/* The range is known to read as zeros already: a write of zeros may be left out.  May be NULL. */
	bool (*is_zero)(struct image *img, uint64_t lba, uint64_t sectors);
	/* Metadata to stable storage, before the front door syncs the data; returns an errno.  May be NULL.
	 */
	int (*flush)(struct image *img);
	void (*close)(struct image *img); /* also after a failed open; may be NULL */
};

struct image {
	char *path;
	int fd;
	bool read_only;
	uint64_t sectors;
	uint64_t file_bytes; /* of fd when it was opened */
	const struct image_format *format;
	void *priv; /* the format's */
	pthread_mutex_t meta;
	_Atomic int flush_failed; /* errno of the first failed flush, for ever */
	_Atomic bool dirty;       /* written since the last flush began */
	struct image_pool *pool;
};

extern const struct image_format format_raw, format_iso;

/* One request, synchronously; 0 or an errno, with the story in *error.  The workers' entry. */
int image_execute(struct image *img, enum image_op op, uint64_t lba, uint64_t sectors,
	const struct iovec *iov, unsigned iov_count, GError **error);

/* pool.c */
struct image_pool *image_pool_new(struct image *img, const struct image_options *options, GError **error);
void image_pool_free(struct image_pool *pool); /* drains first */

#endif
