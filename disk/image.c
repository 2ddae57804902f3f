/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk/image.c - the front door: opening, locking, checked ranges, the read and write loops, flushing.
 *
 * Owns:    struct image.
 * Promise: see disk/disk.h.
 * Not here: where a sector lies (format/), the workers (pool.c).
 */
#include "disk/format/format.h"

#include "base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>

#define ZERO_CHUNK  65536u
#define ZERO_DETECT 4096u /* smaller writes are not worth looking for zeros */
#define IOV_BATCH   64

static const struct image_format *const formats[] = { &format_raw, &format_iso };

static const struct image_format *format_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (g_str_equal(formats[i]->name, name))
			return formats[i];
	return NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------- */

/* Readers share, a writer is alone.  An open file description's lock dies with it, also when the process is
 * killed. */
static bool image_lock(struct image *img, GError **error)
{
	struct flock lock = { .l_type = img->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(img->fd, F_OFD_SETLK, &lock) == 0)
		return true;
	if (errno == EAGAIN || errno == EACCES)
		return fail(error, SERAI_ERROR_STATE, "in use by another program (another VM has it open%s)",
			img->read_only ? " for writing" : "");
	/* A file system without locks: better to run than to refuse. */
	return errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL ||
	       fail_errno(error, SERAI_ERROR_IO, errno, "cannot lock");
}

static bool image_measure(struct image *img, GError **error)
{
	struct stat st;

	if (fstat(img->fd, &st))
		return fail_errno(error, SERAI_ERROR_IO, errno, "cannot stat");
	if (S_ISDIR(st.st_mode))
		return fail(error, SERAI_ERROR_FORMAT, "is a directory, not a disk image");
	if (S_ISREG(st.st_mode)) {
		img->file_bytes = (uint64_t)st.st_size;
		return true;
	}
	if (!S_ISBLK(st.st_mode))
		return fail(error, SERAI_ERROR_FORMAT, "is neither a file nor a block device");
	if (ioctl(img->fd, BLKGETSIZE64, &img->file_bytes))
		return fail_errno(error, SERAI_ERROR_IO, errno, "cannot get the device's size");
	return true;
}

static bool image_open_file(struct image *img, const struct image_options *o, GError **error)
{
	/* Non-blocking, so that a FIFO by mistake does not hang us; means nothing for files. */
	img->fd = open(img->path, (img->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (img->fd < 0 && errno == EISDIR)
		return fail(error, SERAI_ERROR_FORMAT, "is a directory, not a disk image");
	if (img->fd < 0)
		return fail_errno(
			error, SERAI_ERROR_IO, errno, "cannot open%s", img->read_only ? "" : " for writing");
	if (!image_measure(img, error))
		return false;
	if (!o->no_lock && !image_lock(img, error))
		return false;
	return img->format->open(img, error);
}

struct image *image_open(const char *path, const struct image_options *options, GError **error)
{
	static const struct image_options defaults;
	const struct image_options *o = options ? options : &defaults;
	const struct image_format *format = format_by_name(o->format ? o->format : "raw");
	struct image *img;

	if (!format) {
		fail(error, SERAI_ERROR_CONFIG, "%s: no image format is called \"%s\" (raw, iso)", path,
			o->format);
		return NULL;
	}
	img = g_new0(struct image, 1);
	img->path = g_strdup(path);
	img->fd = -1;
	img->format = format;
	img->read_only = o->read_only || format->read_only;
	pthread_mutex_init(&img->meta, NULL);
	if (!image_open_file(img, o, error) || !(img->pool = image_pool_new(img, o, error))) {
		g_prefix_error(error, "%s: ", path);
		image_close(img);
		return NULL;
	}
	return img;
}

bool image_close(struct image *img)
{
	bool ok = true;

	if (!img)
		return true;
	image_pool_free(img->pool);
	if (img->pool && !img->read_only && atomic_load(&img->dirty))
		ok = image_flush(img, NULL);
	if (img->format->close)
		img->format->close(img);
	if (img->fd >= 0)
		close(img->fd);
	pthread_mutex_destroy(&img->meta);
	g_free(img->path);
	g_free(img);
	return ok;
}

uint64_t image_sectors(const struct image *img)
{
	return img->sectors;
}

bool image_read_only(const struct image *img)
{
	return img->read_only;
}

const char *image_path(const struct image *img)
{
	return img->path;
}

/* ---- a position in a vector of buffers -------------------------------------------------------------- */

struct cursor {
	const struct iovec *iov;
	unsigned count;
	size_t at; /* in iov[0] */
};

/* Up to `bytes` from the cursor on as a vector of at most IOV_BATCH; returns its length. */
static int cursor_take(const struct cursor *c, uint64_t bytes, struct iovec out[IOV_BATCH])
{
	int n = 0;
	size_t at = c->at;

	for (unsigned i = 0; i < c->count && n < IOV_BATCH && bytes; i++, at = 0) {
		size_t len = MIN_OF((uint64_t)(c->iov[i].iov_len - at), bytes);

		if (!len)
			continue;
		out[n++] = (struct iovec){ (char *)c->iov[i].iov_base + at, len };
		bytes -= len;
	}
	return n;
}

static void cursor_skip(struct cursor *c, uint64_t bytes)
{
	while (c->count && bytes >= c->iov->iov_len - c->at) {
		bytes -= c->iov->iov_len - c->at;
		c->iov++;
		c->count--;
		c->at = 0;
	}
	c->at += bytes;
}

static void cursor_clear(struct cursor *c, uint64_t bytes)
{
	struct iovec v[IOV_BATCH];

	while (bytes) {
		int n = cursor_take(c, bytes, v);
		uint64_t done = 0;

		if (!n)
			return;
		for (int i = 0; i < n; i++) {
			memset(v[i].iov_base, 0, v[i].iov_len);
			done += v[i].iov_len;
		}
		cursor_skip(c, done);
		bytes -= done;
	}
}

static bool bytes_are_zero(const uint8_t *p, size_t len)
{
	/* Comparing the buffer with itself one byte on: zero all along if its first byte is. */
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static bool vector_is_zero(const struct iovec *iov, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!bytes_are_zero(iov[i].iov_base, iov[i].iov_len))
			return false;
	return true;
}

/* ---- reading and writing ---------------------------------------------------------------------------- */

static int io_failed(int err, const char *verb, uint64_t offset, GError **error)
{
	fail_errno(error, SERAI_ERROR_IO, err, "cannot %s at byte %" PRIu64, verb, offset);
	return err;
}

static int read_data(const struct extent *x, struct cursor *c, uint64_t bytes, GError **error)
{
	uint64_t offset = x->offset;
	struct iovec v[IOV_BATCH];

	while (bytes) {
		ssize_t n = preadv(x->fd, v, cursor_take(c, bytes, v), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return io_failed(errno, "read", offset, error);
		if (n == 0 && offset < x->end) {
			fail(error, SERAI_ERROR_IO,
				"the file ends at byte %" PRIu64 ": it was cut while open", offset);
			return EIO;
		}
		if (n == 0) {
			cursor_clear(c, bytes);
			return 0;
		}
		cursor_skip(c, (uint64_t)n);
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

static int write_data(const struct extent *x, struct cursor *c, uint64_t bytes, GError **error)
{
	uint64_t offset = x->offset;
	struct iovec v[IOV_BATCH];

	while (bytes) {
		ssize_t n = pwritev(x->fd, v, cursor_take(c, bytes, v), (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return io_failed(n < 0 ? errno : EIO, "write", offset, error);
		cursor_skip(c, (uint64_t)n);
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* Where lba lies, for reading or writing; at most `sectors` of it. */
static int locate(
	struct image *img, bool write, uint64_t lba, uint64_t sectors, struct extent *x, GError **error)
{
	bool ok;

	pthread_mutex_lock(&img->meta);
	ok = write && img->format->allocate ? img->format->allocate(img, lba, x, error)
					    : img->format->map(img, lba, x, error);
	pthread_mutex_unlock(&img->meta);
	if (!ok)
		return EIO;
	x->sectors = MIN_OF(x->sectors, sectors);
	return 0;
}

static int transfer(
	struct image *img, bool write, uint64_t lba, uint64_t sectors, struct cursor c, GError **error)
{
	while (sectors) {
		struct extent x;
		int err = locate(img, write, lba, sectors, &x, error);
		uint64_t bytes;

		if (err)
			return err;
		bytes = x.sectors * SECTOR_SIZE;
		if (x.kind == EXTENT_ZERO && !write)
			cursor_clear(&c, bytes);
		else
			err = write ? write_data(&x, &c, bytes, error) : read_data(&x, &c, bytes, error);
		if (err)
			return err;
		lba += x.sectors;
		sectors -= x.sectors;
	}
	return 0;
}

static bool already_zero(struct image *img, uint64_t lba, uint64_t sectors)
{
	bool zero;

	if (!img->format->is_zero)
		return false;
	pthread_mutex_lock(&img->meta);
	zero = img->format->is_zero(img, lba, sectors);
	pthread_mutex_unlock(&img->meta);
	return zero;
}

static int do_write(struct image *img, uint64_t lba, uint64_t sectors, const struct iovec *iov,
	unsigned count, GError **error)
{
	if (sectors * SECTOR_SIZE >= ZERO_DETECT && vector_is_zero(iov, count) &&
		already_zero(img, lba, sectors))
		return 0;
	return transfer(img, true, lba, sectors, (struct cursor){ iov, count, 0 }, error);
}

static int write_zeros(struct image *img, uint64_t lba, uint64_t sectors, GError **error)
{
	uint8_t *zeros = g_malloc0(ZERO_CHUNK);
	int err = 0;

	while (sectors && !err) {
		uint64_t n = MIN_OF(sectors, (uint64_t)(ZERO_CHUNK / SECTOR_SIZE));
		struct iovec v = { zeros, n * SECTOR_SIZE };

		err = do_write(img, lba, n, &v, 1, error);
		lba += n;
		sectors -= n;
	}
	g_free(zeros);
	return err;
}

static int do_zero(struct image *img, uint64_t lba, uint64_t sectors, bool must, GError **error)
{
	int err = EOPNOTSUPP;

	if (img->format->zero && sectors) {
		pthread_mutex_lock(&img->meta);
		err = img->format->zero(img, lba, sectors);
		pthread_mutex_unlock(&img->meta);
	}
	return err && must ? write_zeros(img, lba, sectors, error) : 0;
}

/*
 * Once the host said it could not write, it may have marked the pages clean: a second fsync would succeed and
 * the data be gone all the same.  So the first failure stays.
 */
static int do_flush(struct image *img, GError **error)
{
	int err = atomic_load(&img->flush_failed), none = 0;

	if (err) {
		fail_errno(error, SERAI_ERROR_IO, err, "an earlier flush failed, so data may be lost");
		return err;
	}
	if (img->read_only)
		return 0;
	atomic_store(&img->dirty, false);
	if (img->format->flush)
		err = img->format->flush(img);
	if (!err && fdatasync(img->fd))
		err = errno;
	if (err) {
		atomic_compare_exchange_strong(&img->flush_failed, &none, err);
		fail_errno(error, SERAI_ERROR_IO, err, "cannot flush to stable storage");
	}
	return err;
}

static bool vector_covers(const struct iovec *iov, unsigned count, uint64_t sectors)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		if (__builtin_add_overflow(sum, (uint64_t)iov[i].iov_len, &sum))
			return false;
	return sum == sectors * SECTOR_SIZE;
}

static int check_request(struct image *img, enum image_op op, uint64_t lba, uint64_t sectors,
	const struct iovec *iov, unsigned iov_count, GError **error)
{
	if (op == IMAGE_FLUSH)
		return 0;
	if (!range_fits(lba, sectors, img->sectors)) {
		fail(error, SERAI_ERROR_RANGE,
			"sectors %" PRIu64 "+%" PRIu64 " lie past the end (%" PRIu64 ")", lba, sectors,
			img->sectors);
		return EINVAL;
	}
	if ((op == IMAGE_READ || op == IMAGE_WRITE) && !vector_covers(iov, iov_count, sectors)) {
		fail(error, SERAI_ERROR_RANGE, "the buffers do not hold %" PRIu64 " sectors", sectors);
		return EINVAL;
	}
	if (op != IMAGE_READ && img->read_only) {
		fail(error, SERAI_ERROR_IO, "opened read-only");
		return EROFS;
	}
	return 0;
}

int image_execute(struct image *img, enum image_op op, uint64_t lba, uint64_t sectors,
	const struct iovec *iov, unsigned iov_count, GError **error)
{
	int err = check_request(img, op, lba, sectors, iov, iov_count, error);

	if (err)
		goto out;
	if (op != IMAGE_READ && op != IMAGE_FLUSH)
		atomic_store(&img->dirty, true);
	switch (op) {
	case IMAGE_READ:
		err = transfer(img, false, lba, sectors, (struct cursor){ iov, iov_count, 0 }, error);
		break;
	case IMAGE_WRITE:
		err = do_write(img, lba, sectors, iov, iov_count, error);
		break;
	case IMAGE_ZERO:
		err = do_zero(img, lba, sectors, true, error);
		break;
	case IMAGE_DISCARD:
		err = do_zero(img, lba, sectors, false, error);
		break;
	case IMAGE_FLUSH:
		err = do_flush(img, error);
		break;
	default:
		fail(error, SERAI_ERROR_RANGE, "no such operation: %d", (int)op);
		err = EINVAL;
	}
out:
	if (err)
		g_prefix_error(error, "%s: ", img->path);
	return err;
}

/* ---- synchronous forms ------------------------------------------------------------------------------ */

bool image_read(struct image *img, uint64_t lba, void *buf, uint64_t sectors, GError **error)
{
	struct iovec v = { buf, sectors * SECTOR_SIZE };

	return image_execute(img, IMAGE_READ, lba, sectors, &v, 1, error) == 0;
}

bool image_write(struct image *img, uint64_t lba, const void *buf, uint64_t sectors, GError **error)
{
	struct iovec v = { (void *)buf, sectors * SECTOR_SIZE };

	return image_execute(img, IMAGE_WRITE, lba, sectors, &v, 1, error) == 0;
}

bool image_zero(struct image *img, uint64_t lba, uint64_t sectors, GError **error)
{
	return image_execute(img, IMAGE_ZERO, lba, sectors, NULL, 0, error) == 0;
}

bool image_discard(struct image *img, uint64_t lba, uint64_t sectors, GError **error)
{
	return image_execute(img, IMAGE_DISCARD, lba, sectors, NULL, 0, error) == 0;
}

bool image_flush(struct image *img, GError **error)
{
	return image_execute(img, IMAGE_FLUSH, 0, 0, NULL, 0, error) == 0;
}
