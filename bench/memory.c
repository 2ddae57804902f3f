/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench/memory.c - see work.h. */
#include <stdlib.h>
#include <string.h>

#include "bench/work.h"

/* Pointers through 16 MiB in random order: misses of caches and TLBs. */
uint64_t work_chase(void)
{
	enum { COUNT = 2 << 20, STEPS = 4000000 };
	uint32_t *next = malloc(COUNT * 2 * sizeof(*next));
	uint64_t seed = 5, sum = 0;
	for (uint32_t i = 0; i < COUNT; i++)
		next[2 * i] = i;
	for (uint32_t i = COUNT - 1; i > 0; i--) { /* one cycle through all */
		uint32_t other = work_random(&seed) % i, kept = next[2 * i];
		next[2 * i] = next[2 * other];
		next[2 * other] = kept;
	}
	for (uint32_t i = 0, at = 0; i < STEPS; i++) {
		at = next[2 * at];
		sum += at;
	}
	free(next);
	return sum;
}

/* Copies of 4 MiB and of a few bytes. */
uint64_t work_copy(void)
{
	enum { SIZE = 4 << 20 };
	uint8_t *from = malloc(SIZE), *to = malloc(SIZE);
	uint64_t seed = 6, sum = 0;
	for (int i = 0; i < SIZE; i++)
		from[i] = (uint8_t)(i * 7 + (i >> 8));
	for (int round = 0; round < 300; round++) {
		memcpy(to, from + round, SIZE - round);
		sum += to[round * 1000];
	}
	for (int i = 0; i < 10000000; i++) {
		uint64_t random = work_random(&seed);
		memmove(to + (random & 0xffff), from + (random >> 16 & 0xffff), random >> 32 & 63);
	}
	for (int i = 0; i < 0x10000; i++)
		sum = sum * 31 + to[i];
	free(from);
	free(to);
	return sum;
}

/* Counting in a table of 8 MiB: loads and stores all over. */
uint64_t work_scatter(void)
{
	enum { COUNT = 1 << 20 };
	uint64_t *table = calloc(COUNT, sizeof(*table)), seed = 7, sum = 0;
	for (int i = 0; i < 60000000; i++)
		table[work_random(&seed) % COUNT] += i;
	for (int i = 0; i < COUNT; i++)
		sum = sum * 31 + table[i];
	free(table);
	return sum;
}
