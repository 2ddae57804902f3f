/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/mem/ram.h - guest RAM: one memfd, mapped shared, and one flag byte per page.
 *
 * Owns:    the memfd, its mapping, the page flags.
 * Threads: RAM is read and written by any thread without lock, as on hardware; flags are atomic.
 */
#ifndef SERAI_MONITOR_MEM_RAM_H
#define SERAI_MONITOR_MEM_RAM_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdatomic.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* A page flag: some engine caches something made from this page's bytes, so writes must be told to it. */
#define RAM_PAGE_CODE 0x01

struct ram {
	int fd;
	uint8_t *base;              /* host address of RAM offset 0 */
	uint64_t size;              /* bytes, a multiple of PAGE_SIZE */
	_Atomic uint8_t *page_flags; /* one per page */
};

/* `size` bytes, page aligned, all zero; fails with SERAI_ERROR_HOST when the host cannot hold it. */
bool ram_create(struct ram *ram, uint64_t size, GError **error);
void ram_destroy(struct ram *ram);

/* True when the host address lies in guest RAM. */
static inline bool ram_contains(const struct ram *ram, const void *hva)
{
	return (uintptr_t)hva - (uintptr_t)ram->base < ram->size;
}

static inline uint64_t ram_offset(const struct ram *ram, const void *hva)
{
	return (uintptr_t)hva - (uintptr_t)ram->base;
}

#endif
