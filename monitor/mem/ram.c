/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/mem/ram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* MemAvailable of /proc/meminfo in bytes; UINT64_MAX when the host does not say. */
static uint64_t host_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t bytes = UINT64_MAX;
	unsigned long long kib;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			bytes = kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
	}
	if (f)
		fclose(f);
	return bytes;
}

static void *marks(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool ram_create(struct ram *ram, uint64_t size, GError **error)
{
	uint64_t available = host_available(), pages = size >> PAGE_SHIFT;
	void *base, *kept, *writers;

	*ram = (struct ram){ .fd = -1 };
	if (!size || size & ~PAGE_MASK || size > INT64_MAX)
		return fail(error, SERAI_ERROR_RANGE,
			"guest memory of %" G_GUINT64_FORMAT " bytes is not whole pages", size);
	if (size > available)
		return fail(error, SERAI_ERROR_HOST,
			"guest memory of %" G_GUINT64_FORMAT " MiB: this host has only %" G_GUINT64_FORMAT
			" MiB free",
			size >> 20, available >> 20);
	ram->fd = memfd_create("guest-ram", MFD_CLOEXEC);
	if (ram->fd < 0 || ftruncate(ram->fd, (off_t)size) < 0) {
		int err = errno;

		ram_destroy(ram);
		return fail_errno(error, SERAI_ERROR_HOST, err, "guest memory of %" G_GUINT64_FORMAT " MiB",
			size >> 20);
	}
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram->fd, 0);
	kept = marks(pages * sizeof(*ram->kept));
	writers = marks(pages * sizeof(*ram->writers));
	ram->size = size;
	ram->base = base == MAP_FAILED ? NULL : base;
	ram->kept = kept;
	ram->writers = writers;
	if (!ram->base || !ram->kept || !ram->writers) {
		ram_destroy(ram);
		return fail(error, SERAI_ERROR_HOST,
			"guest memory of %" G_GUINT64_FORMAT " MiB cannot be mapped", size >> 20);
	}
	return true;
}

void ram_destroy(struct ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
	if (ram->kept)
		munmap((void *)ram->kept, (ram->size >> PAGE_SHIFT) * sizeof(*ram->kept));
	if (ram->writers)
		munmap((void *)ram->writers, (ram->size >> PAGE_SHIFT) * sizeof(*ram->writers));
	if (ram->fd >= 0)
		close(ram->fd);
	*ram = (struct ram){ .fd = -1 };
}
