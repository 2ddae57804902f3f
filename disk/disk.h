/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk/disk.h - the image front door: every reader and writer of a virtual disk comes through here.
 *
 * A sector is 512 bytes.  A format (disk/format/) only says where a sector lies; ranges, zeroing, the read
 * and write loops, locking, flushing and the worker threads live once, behind this header.
 *
 * Owns:    the host file, its lock, the worker threads.
 * Promise: no range outside the image reaches a format; a flush that succeeded is on stable storage, and once
 * a flush failed every later one fails too (the host may have dropped the pages: a retry would lie). Threads:
 * the synchronous calls from any thread but best not the vCPUs'; image_submit from any thread, never blocks
 *          on the medium.
 */
#ifndef SERAI_DISK_DISK_H
#define SERAI_DISK_DISK_H

#include "base/compiler.h"
#include "base/error.h"

#include <sys/uio.h>

#define SECTOR_SIZE 512u

struct image; /* opaque */

enum image_op {
	IMAGE_READ,
	IMAGE_WRITE,
	IMAGE_ZERO,    /* afterwards reads as zeros; the host may give the space back */
	IMAGE_DISCARD, /* the contents no longer matter; may do nothing */
	IMAGE_FLUSH,   /* everything completed before is on stable storage; lba and sectors unused */
};

/* One asynchronous request.  The caller owns it and its buffers and leaves both alone until `done`. */
struct image_request {
	enum image_op op;
	uint64_t lba;
	uint64_t sectors;
	const struct iovec *iov; /* READ, WRITE: covers exactly sectors * SECTOR_SIZE bytes */
	unsigned iov_count;
	void (*done)(struct image_request *r);
	void *opaque;

	int error; /* result: 0 or an errno value (EIO, ENOSPC, EROFS, EINVAL for a bad range) */
	struct image_request *next; /* the image's own while under way, the deliverer's afterwards */
};

/*
 * How a completed request gets home.  Called on a worker thread with no lock held; it must see to it that
 * image_finish is called once, there and then or later on another thread (for a machine: under the device
 * lock).
 */
typedef void image_deliver_fn(void *opaque, struct image_request *r);

struct image_options {
	const char *format; /* "raw", "iso"; never guessed from what a guest can write. NULL: "raw" */
	bool read_only;
	bool no_lock;              /* tools that only look */
	unsigned threads;          /* workers, 1 or 2; 0: 1 */
	image_deliver_fn *deliver; /* NULL: `done` runs on the worker thread */
	void *deliver_opaque;
};

/*
 * Open `path`.  Errors (SERAI_ERROR_CONFIG: no such format; FORMAT: empty, directory, not whole sectors; IO:
 * missing, permission; STATE: another process has it open) name the path.  NULL on error.
 */
struct image *image_open(const char *path, const struct image_options *options, GError **error);

/* Waits for everything under way, flushes what was written, closes.  NULL is fine.  False: the last flush
 * failed. */
bool image_close(struct image *img);

uint64_t image_sectors(const struct image *img);
bool image_read_only(const struct image *img);
const char *image_path(const struct image *img);

/* Synchronous forms.  SERAI_ERROR_RANGE when lba..lba+sectors is not inside the image. */
bool image_read(struct image *img, uint64_t lba, void *buf, uint64_t sectors, GError **error);
bool image_write(struct image *img, uint64_t lba, const void *buf, uint64_t sectors, GError **error);
bool image_zero(struct image *img, uint64_t lba, uint64_t sectors, GError **error);
bool image_discard(struct image *img, uint64_t lba, uint64_t sectors, GError **error);
bool image_flush(struct image *img, GError **error);

/* Queue a request; a bad one completes with EINVAL or EROFS like any other.  Completions come in any order.
 */
void image_submit(struct image *img, struct image_request *r);

/* What the deliverer calls at last: runs r->done. */
static inline void image_finish(struct image_request *r)
{
	r->done(r);
}

/* Wait until no request is queued or running; delivered ones may still be on their way to image_finish. */
void image_drain(struct image *img);

#endif
