/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.c - mappings: aliases, copies on write, moves, files, and pages that come and go. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { PAGE = 4096, PAGES = 300 };

static void aliases(void)
{
	int file = memfd_create("alias", 0);
	CHECK_EQ(ftruncate(file, PAGES * PAGE), 0);
	uint64_t *one = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	uint64_t *two = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	uint64_t *own = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	uint64_t seed = 11, wrong = 0, word;
	for (int i = 0; i < 3000; i++) {
		size_t at = next_random(&seed) % (PAGES * PAGE / 8);
		one[at] = i;
		wrong += two[at] != (uint64_t)i;
		two[at] += 5;
		wrong += one[at] != (uint64_t)i + 5;
	}
	own[0] = 1;
	one[0] = 2;
	CHECK_EQ(own[0], 1);
	CHECK_EQ(pread(file, &word, 8, 0), 8);
	CHECK_EQ(word, 2);
	CHECK_EQ(wrong, 0);
	CHECK_EQ(ftruncate(file, PAGE), 0);
	CHECK_EQ(ftruncate(file, PAGES * PAGE), 0);
	CHECK_EQ(digest(one + PAGE / 8, PAGE), digest(one + PAGE, PAGE));
	CHECK_EQ(one[PAGE], 0);
	munmap(one, PAGES * PAGE);
	munmap(two, PAGES * PAGE);
	munmap(own, PAGES * PAGE);
	close(file);
}

static void moves(void)
{
	char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < PAGES; i++)
		memset(area + i * PAGE, i & 127, PAGE);
	uint64_t before = digest(area, PAGES * PAGE);
	for (int i = 0; i < 10; i++)
		area = mremap(area, (PAGES + i) * PAGE, (PAGES + i + 1) * PAGE, MREMAP_MAYMOVE);
	CHECK_EQ(digest(area, PAGES * PAGE), before);
	CHECK_EQ(area[(PAGES + 5) * PAGE], 0);
	madvise(area, PAGES * PAGE, MADV_DONTNEED);
	CHECK_EQ(area[7 * PAGE], 0);
	unsigned char resident[PAGES];
	area[3 * PAGE] = 1;
	CHECK_EQ(mincore(area, PAGES * PAGE, resident), 0);
	CHECK_EQ(resident[3] & 1, 1);
	munmap(area, (PAGES + 10) * PAGE);
}

/* Accesses of every size at every offset around a page's end. */
static void crossings(void)
{
	char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t wrong = 0;
	for (int back = 0; back <= 40; back++) {
		char *at = area + PAGE - back;
		volatile uint16_t *w = (void *)at;
		volatile uint32_t *d = (void *)at;
		volatile uint64_t *q = (void *)at;
		*q = 0x0102030405060708;
		wrong += *d != 0x05060708 || *w != 0x0708 || at[7] != 1;
		*d += 0x10000000;
		wrong += *q != 0x0102030415060708;
		*w ^= 0xffff;
		wrong += *q != 0x010203041506f8f7;
		memset(at, 0, 64);
		__atomic_fetch_add((uint64_t *)(area + PAGE), back, __ATOMIC_SEQ_CST);
		wrong += *(uint64_t *)(area + PAGE) != (uint64_t)back;
	}
	CHECK_EQ(wrong, 0);
	munmap(area, 2 * PAGE);
}

static void heap(void)
{
	void *blocks[200] = { 0 };
	size_t sizes[200] = { 0 };
	uint64_t seed = 12, wrong = 0;
	for (int i = 0; i < 5000; i++) {
		size_t n = next_random(&seed) % 200, size = next_random(&seed) % (i % 50 ? 3000 : 300000) + 1;
		char *block = blocks[n];
		if (block)
			wrong += block[0] != (char)n || block[sizes[n] - 1] != (char)(n + 1) * (sizes[n] > 1) + (char)n * (sizes[n] == 1);
		if (i & 1) {
			free(block);
			block = malloc(size);
		} else {
			block = realloc(block, size);
		}
		block[size - 1] = (char)(n + 1);
		block[0] = (char)n;
		blocks[n] = block;
		sizes[n] = size;
	}
	for (int i = 0; i < 200; i++)
		free(blocks[i]);
	CHECK_EQ(wrong, 0);
}

void test_memory(void)
{
	aliases();
	moves();
	crossings();
	heap();
}
