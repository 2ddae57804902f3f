/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk/format/raw.c - the file's bytes are the disk's bytes; and ISO images, which are the same, read-only.
 *
 * Promise: holes of a sparse file stay holes when zeros are written to them.
 */
#include "disk/format/format.h"

#include "base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CD_SECTOR 2048u

static bool raw_open(struct image *img, GError **error)
{
	if (img->file_bytes == 0)
		return fail(error, SERAI_ERROR_FORMAT, "the file is empty");
	if (img->file_bytes % SECTOR_SIZE)
		return fail(error, SERAI_ERROR_FORMAT,
			"%" G_GUINT64_FORMAT
			" bytes are not a whole number of %u-byte sectors: not a raw disk image",
			img->file_bytes, SECTOR_SIZE);
	img->sectors = img->file_bytes / SECTOR_SIZE;
	return true;
}

/* Some tools leave the last CD sector short; a drive reads it padded with zeros. */
static bool iso_open(struct image *img, GError **error)
{
	if (img->file_bytes == 0)
		return fail(error, SERAI_ERROR_FORMAT, "the file is empty");
	img->sectors = align_up(img->file_bytes, CD_SECTOR) / SECTOR_SIZE;
	return true;
}

static bool raw_map(struct image *img, uint64_t lba, struct extent *x, GError **error)
{
	(void)error;
	*x = (struct extent){
		.kind = EXTENT_DATA,
		.sectors = img->sectors - lba,
		.fd = img->fd,
		.offset = lba * SECTOR_SIZE,
		.end = img->file_bytes,
	};
	return true;
}

static int raw_zero(struct image *img, uint64_t lba, uint64_t sectors)
{
	if (fallocate(img->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(lba * SECTOR_SIZE),
		    (off_t)(sectors * SECTOR_SIZE)) == 0)
		return 0;
	return errno == ENOSYS ? EOPNOTSUPP : errno;
}

static bool raw_is_zero(struct image *img, uint64_t lba, uint64_t sectors)
{
	off_t from = (off_t)(lba * SECTOR_SIZE), data = lseek(img->fd, from, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO; /* no data from here to the end */
	return data >= from + (off_t)(sectors * SECTOR_SIZE);
}

const struct image_format format_raw = {
	.name = "raw",
	.open = raw_open,
	.map = raw_map,
	.zero = raw_zero,
	.is_zero = raw_is_zero,
};

const struct image_format format_iso = {
	.name = "iso",
	.read_only = true,
	.open = iso_open,
	.map = raw_map,
};
