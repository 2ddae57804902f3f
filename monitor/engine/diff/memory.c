/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/memory.c - the second side's copy of RAM: kept the same, compared, and brought back.
 *
 * Between slices both are equal.  Pages that anybody is about to write in a slice are kept as they were; they
 * are the ones to compare at its end, and what to put back when it is to be run once more.
 */
#include "monitor/engine/diff/diff.h"

#include "monitor/cpu/arch.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

bool memory_create(struct diff *d, GError **error)
{
	struct ram *ram = d->outer->mem->ram;

	if (!ram_create(&d->shadow, ram->size, error))
		return false;
	d->is_kept = calloc(ram->size >> PAGE_SHIFT, 1);
	if (!d->is_kept)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for comparing");
	return true;
}

void memory_destroy(struct diff *d)
{
	ram_destroy(&d->shadow);
	free(d->is_kept);
	free(d->kept);
}

/* The next stretch of a memory file at or behind `at` that was ever written. */
static bool next_data(int fd, uint64_t *at, uint64_t *end)
{
	off_t from = lseek(fd, (off_t)*at, SEEK_DATA), to;

	if (from < 0)
		return false;
	to = lseek(fd, from, SEEK_HOLE);
	*at = (uint64_t)from;
	*end = (uint64_t)to;
	return to > from;
}

void memory_copy_all(struct diff *d)
{
	struct ram *ram = d->outer->mem->ram;
	uint64_t at, end;

	for (at = 0; next_data(d->shadow.fd, &at, &end); at = end)
		memset(d->shadow.base + at, 0, end - at);
	for (at = 0; next_data(ram->fd, &at, &end); at = end)
		memcpy(d->shadow.base + at, ram->base + at, end - at);
}

/* ---- pages of the slice */

static void keep(struct diff *d, const struct ram *ram, uint64_t offset)
{
	uint64_t page = offset >> PAGE_SHIFT;

	if (d->is_kept[page])
		return;
	if (d->kept_count == d->kept_room) {
		d->kept_room = d->kept_room ? 2 * d->kept_room : 256;
		d->kept = realloc(d->kept, d->kept_room * sizeof(*d->kept));
		if (!d->kept)
			abort();
	}
	d->is_kept[page] = 1;
	d->kept[d->kept_count].offset = page << PAGE_SHIFT;
	memcpy(d->kept[d->kept_count].bytes, ram->base + (page << PAGE_SHIFT), PAGE_SIZE);
	d->kept_count++;
}

void memory_begin_slice(struct diff *d)
{
	for (unsigned k = 0; k < d->kept_count; k++)
		d->is_kept[d->kept[k].offset >> PAGE_SHIFT] = 0;
	d->kept_count = 0;
	tlb_flush_writes(d->first.v);
	tlb_flush_writes(d->second.v);
}

void memory_restore(struct diff *d)
{
	for (unsigned k = 0; k < d->kept_count; k++) {
		memcpy(d->first.ram->base + d->kept[k].offset, d->kept[k].bytes, PAGE_SIZE);
		memcpy(d->second.ram->base + d->kept[k].offset, d->kept[k].bytes, PAGE_SIZE);
	}
	tlb_flush_writes(d->first.v);
	tlb_flush_writes(d->second.v);
}

void memory_writes(struct vcpu *v, const uint8_t *host)
{
	const struct side *s = v->platform->opaque;

	if (ram_contains(s->ram, host))
		keep(s->diff, s->ram, ram_offset(s->ram, host));
}

void memory_put(struct side *s, uint64_t offset, const void *bytes, uint64_t len)
{
	memcpy(s->ram->base + offset, bytes, len);
	for (uint64_t at = offset & PAGE_MASK; at < offset + len; at += PAGE_SIZE) {
		uint64_t from = MAX_OF(at, offset), to = MIN_OF(at + PAGE_SIZE, offset + len);

		if (ram_kept(s->ram, s->ram->base + at))
			s->engine->invalidate(s->v, from, to - from);
	}
}

void memory_dma(void *opaque, uint8_t *host, const void *bytes, uint64_t len)
{
	struct diff *d = opaque;
	struct record r = { .kind = REC_DMA, .value = len };

	if (!ram_contains(d->first.ram, host))
		return;
	r.at = ram_offset(d->first.ram, host);
	if (!d->in_slice) {
		memory_put(&d->second, r.at, bytes, len);
		return;
	}
	if (!d->in_window)
		log_warn("diff", "DMA without the device lock: differences will follow");
	for (uint64_t at = r.at & PAGE_MASK; at < r.at + len; at += PAGE_SIZE)
		keep(d, d->first.ram, at);
	r.data = malloc(len);
	if (!r.data)
		abort();
	memcpy(r.data, bytes, len);
	log_add(d, &r);
}

/* ---- comparing */

#define ENTRY_AGES (PTE_A | PTE_D | (PTE_A | PTE_D) << 32)

/*
 * Only accessed and dirty bits of entries that are present?  A guest may take them away without telling its
 * TLB, and what a TLB still knows is no promise: the sides may set them at different times.  The first side's
 * hold.
 */
static bool only_aged(struct diff *d, uint64_t offset)
{
	const uint64_t *a = (const uint64_t *)(d->first.ram->base + offset);
	uint64_t *b = (uint64_t *)(d->second.ram->base + offset);

	for (unsigned k = 0; k < PAGE_SIZE / 8; k++) {
		uint64_t changed = a[k] ^ b[k];

		if (changed & ~ENTRY_AGES)
			return false;
		if (((uint32_t)changed && !(a[k] & PTE_P)) || (changed >> 32 && !(a[k] >> 32 & PTE_P)))
			return false;
	}
	for (unsigned k = 0; k < PAGE_SIZE / 8; k++) {
		if (a[k] == b[k])
			continue;
		d->aged++;
		log_debug("diff", "entry at 0x%llx: %llx, %llx", (unsigned long long)(offset + 8 * k),
			(unsigned long long)a[k], (unsigned long long)b[k]);
		b[k] = a[k];
	}
	return true;
}

static uint64_t compare_page(struct diff *d, uint64_t offset)
{
	const uint8_t *a = d->first.ram->base + offset, *b = d->second.ram->base + offset;

	if (memcmp(a, b, PAGE_SIZE) == 0 || only_aged(d, offset))
		return UINT64_MAX;
	while (*a == *b)
		a++, b++, offset++;
	return offset;
}

static uint64_t compare_stretches(struct diff *d, int fd)
{
	uint64_t at, end;

	for (at = 0; next_data(fd, &at, &end); at = end) {
		if (memcmp(d->first.ram->base + at, d->second.ram->base + at, end - at) == 0)
			continue;
		for (; at < end; at += PAGE_SIZE) {
			uint64_t offset = compare_page(d, at);

			if (offset != UINT64_MAX)
				return offset;
		}
	}
	return UINT64_MAX;
}

uint64_t memory_compare(struct diff *d, bool all)
{
	uint64_t offset = UINT64_MAX;

	for (unsigned k = 0; k < d->kept_count && offset == UINT64_MAX; k++)
		offset = compare_page(d, d->kept[k].offset);
	if (all && offset == UINT64_MAX)
		offset = compare_stretches(d, d->first.ram->fd);
	if (all && offset == UINT64_MAX)
		offset = compare_stretches(d, d->second.ram->fd);
	return offset;
}
