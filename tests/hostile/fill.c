/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/fill.c - what a guest's memory is full of: noise, real programs with and without damage,
 * templates; and addresses worth trying.
 */
#include "tests/hostile/world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_MAX  (2u << 20)
#define CHANCE(p) rng_percent(r, p)

/* The first that is there; the last always is. */
bool pool_open(struct pool *p)
{
	static const char *const programs[] = { "/bin/busybox", "/usr/bin/busybox",
		"/lib/x86_64-linux-gnu/libc.so.6", "/proc/self/exe" };
	ssize_t n = 0;

	p->bytes = malloc(POOL_MAX);
	p->len = 0;
	for (unsigned i = 0; p->bytes && i < ARRAY_LEN(programs) && p->len < 65536; i++) {
		int fd = open(programs[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		for (p->len = 0; p->len < POOL_MAX; p->len += (size_t)n) {
			n = read(fd, p->bytes + p->len, POOL_MAX - p->len);
			if (n <= 0)
				break;
		}
		close(fd);
	}
	return p->len >= 65536;
}

static void noise(struct rng *r, uint8_t *page)
{
	for (unsigned i = 0; i < 4096; i += 8)
		le_store(page + i, 8, rng_u64(r));
}

static void real_code(const struct pool *p, struct rng *r, uint8_t *page)
{
	unsigned damage = CHANCE(30) ? 0 : rng_below(r, CHANCE(50) ? 40 : 600);

	memcpy(page, p->bytes + rng_below(r, (uint32_t)p->len - 4096), 4096);
	for (unsigned i = 0; i < damage; i++) {
		unsigned at = rng_below(r, 4096), from = rng_below(r, 4096), n = 1 + rng_below(r, 16);

		if (CHANCE(40))
			page[at] ^= (uint8_t)(1u << rng_below(r, 8));
		else if (CHANCE(50))
			page[at] = (uint8_t)rng_u64(r);
		else
			memmove(page + at, page + from, MIN_OF(n, 4096 - MAX_OF(at, from)));
	}
}

void fill_code_page(struct world *w, const struct pool *p, struct rng *r, unsigned number)
{
	uint8_t page[4096];
	unsigned k = rng_below(r, 100);

	if (k < 15)
		noise(r, page);
	else if (k < 40)
		real_code(p, r, page);
	else
		template_page(w, r, page);
	phys_write(&w->mem, GPA(number), page, sizeof(page));
}

/* Data is full of addresses, so that what is loaded leads somewhere. */
static void fill_data_page(struct world *w, struct rng *r, unsigned number)
{
	unsigned word = world_bits(w) / 8;
	uint8_t page[4096];

	noise(r, page);
	for (unsigned i = 0; i < 4096; i += word)
		if (CHANCE(40))
			le_store(page + i, word, wild_address(w, r));
	phys_write(&w->mem, GPA(number), page, sizeof(page));
}

void fill_memory(struct world *w, const struct pool *p, struct rng *r)
{
	for (unsigned i = 0; i < RAM_PAGES; i++) {
		if (i >= PAGE_CODE && i < PAGE_CODE + CODE_PAGES)
			fill_code_page(w, p, r, i);
		else if (i >= PAGE_DATA || CHANCE(50))
			fill_data_page(w, r, i);
	}
}

static uint64_t far_address(const struct world *w, struct rng *r)
{
	uint64_t near = rng_below(r, 64);

	switch (rng_below(r, 10)) {
	case 0:
		return 0x800000000000 - near; /* the canonical hole, from below */
	case 1:
		return 0x800000000000 + near;
	case 2:
		return 0xffff800000000000 - near;
	case 3:
		return 0xffff800000000000 + near * 16;
	case 4: /* round the end */
		return 0 - near;
	case 5:
		return 0xffffffff - near;
	case 6: /* what would be right for the host: only translation lies between */
		return (uintptr_t)w->v + rng_below(r, sizeof(w->v));
	case 7:
		return (uintptr_t)w->ram.base + rng_below(r, GPA(RAM_PAGES));
	case 8:
		return (uintptr_t)&near - 512 + near * 16;
	default:
		return rng_u64(r);
	}
}

static uint64_t near_address(const struct world *w, struct rng *r)
{
	unsigned k = rng_below(r, 100);

	if (k < 35)
		return GPA(PAGE_DATA) + rng_below(r, GPA(DATA_PAGES));
	if (k < 42) /* the end of some page */
		return GPA(PAGE_DATA + rng_below(r, RAM_PAGES)) - rng_below(r, 40);
	if (k < 50) /* a hole's beginning */
		return GPA(PAGE_MORE + 3 + 4 * rng_below(r, 12)) - rng_below(r, 40);
	if (k < 60)
		return GPA(PAGE_CODE) + rng_below(r, GPA(CODE_PAGES));
	if (k < 66) /* page tables, descriptors, handlers */
		return GPA(PAGE_PML4) + rng_below(r, GPA(PAGE_CODE - PAGE_PML4));
	if (k < 72)
		return GPA(PAGE_HOLE) + rng_below(r, GPA(PAGE_MORE - PAGE_HOLE));
	if (k < 76)
		return DEVICE_BASE - 16 + rng_below(r, DEVICE_BYTES + 32);
	if (k < 82)
		return 0x200000 + rng_below(r, 0x400000);
	if (k < 84)
		return rng_below(r, 0x1000);
	return far_address(w, r);
}

uint64_t wild_address(const struct world *w, struct rng *r)
{
	bool high = w->mode == MODE_64 && CHANCE(40);

	return near_address(w, r) + (high ? WORLD_HIGH : 0);
}
