/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/mem/ram.h - guest RAM: one memfd, mapped shared, and who must be told of what about each page.
 *
 * Owns:    the memfd, its mapping, the pages' marks.
 * Threads: RAM is read and written by any thread without lock, as on hardware; marks are atomic.
 *
 * Whoever makes something from a page's bytes sets its bit in `kept`, then reads the bytes; whoever writes to a page
 * without looking at `kept` each time has set its bit in `writers` before it looked.  Both are locked operations, so
 * one of the two sees the other.
 */
#ifndef SERAI_MONITOR_MEM_RAM_H
#define SERAI_MONITOR_MEM_RAM_H

#include "base/compiler.h"
#include "base/error.h"

#include <stdatomic.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* In `kept`, beside a bit per vCPU: what all vCPUs share. */
#define RAM_KEPT_SHARED (1ull << 63)

struct ram {
	int fd;
	uint8_t *base;              /* host address of RAM offset 0 */
	uint64_t size;              /* bytes, a multiple of PAGE_SIZE */
	_Atomic uint64_t *kept;     /* per page: who keeps something made from it, and must be told of writes */
	_Atomic uint32_t *writers;  /* per page: vCPUs that may write to it without a look-up, or could once */
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

/* Who keeps something made from the page that this host address of RAM lies in. */
static inline uint64_t ram_kept(const struct ram *ram, const void *hva)
{
	return atomic_load_explicit(&ram->kept[ram_offset(ram, hva) >> PAGE_SHIFT], memory_order_relaxed);
}

/* This vCPU is about to write to the page without further look-ups, unless it is kept. */
static inline void ram_note_writer(struct ram *ram, const void *hva, unsigned cpu)
{
	_Atomic uint32_t *w = &ram->writers[ram_offset(ram, hva) >> PAGE_SHIFT];

	if (!(atomic_load_explicit(w, memory_order_relaxed) & 1u << cpu))
		atomic_fetch_or(w, 1u << cpu);
	else
		atomic_thread_fence(memory_order_seq_cst);
}

/*
 * 1, 2, 4 or 8 bytes of guest memory by one instruction of the host, aligned or not.  memcpy may store bytes twice, and
 * what another vCPU wrote in between would be lost; a compiler may do the same.  Race detectors do not see these
 * accesses: guest memory is the guest's to order.
 */
static inline uint64_t ram_load(const void *p, unsigned size)
{
	uint64_t v;

	switch (size) {
	case 1:
		__asm__ volatile("movzbl %1, %k0" : "=r"(v) : "m"(*(const uint8_t(*)[1])p));
		break;
	case 2:
		__asm__ volatile("movzwl %1, %k0" : "=r"(v) : "m"(*(const uint8_t(*)[2])p));
		break;
	case 4:
		__asm__ volatile("movl %1, %k0" : "=r"(v) : "m"(*(const uint8_t(*)[4])p));
		break;
	default:
		__asm__ volatile("movq %1, %0" : "=r"(v) : "m"(*(const uint8_t(*)[8])p));
		break;
	}
	return v;
}

static inline void ram_store(void *p, unsigned size, uint64_t v)
{
	switch (size) {
	case 1:
		__asm__ volatile("movb %b1, %0" : "=m"(*(uint8_t(*)[1])p) : "q"(v));
		break;
	case 2:
		__asm__ volatile("movw %w1, %0" : "=m"(*(uint8_t(*)[2])p) : "r"(v));
		break;
	case 4:
		__asm__ volatile("movl %k1, %0" : "=m"(*(uint8_t(*)[4])p) : "r"(v));
		break;
	default:
		__asm__ volatile("movq %1, %0" : "=m"(*(uint8_t(*)[8])p) : "r"(v));
		break;
	}
}

/* Any number of bytes to or from guest memory, each once, in no order. */
static inline void ram_copy(void *to, const void *from, size_t len)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

#endif
