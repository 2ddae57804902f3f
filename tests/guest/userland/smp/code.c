/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * code.c - code that one thread writes and another runs: after the writer has said so, and the other has executed a
 * serializing instruction, the new code is what runs (SDM 3A, 9.1.3).
 */
#include "smp.h"

/* How a round's function comes to the page, and how the caller serializes. */
struct way {
	const char *name;
	bool second_mapping;
	bool by_bytes;
	unsigned offset; /* of the function in its two pages */
	bool iret;       /* instead of CPUID */
	bool call_old;   /* the caller runs the old code until it sees the flag */
	bool remap;      /* another page is put where the old one was */
};

static const struct way ways[] = {
	{ "constant rewritten", false, false, 64, false, false, false },
	{ "constant rewritten, IRET", false, false, 64, true, false, false },
	{ "constant rewritten while it runs", false, false, 67, false, true, false },
	{ "rewritten byte by byte", false, true, 128, false, false, false },
	{ "rewritten byte by byte, IRET", false, true, 128, true, false, false },
	{ "across pages", false, true, PAGE - 3, false, false, false },
	{ "through a second mapping", true, false, 64, false, false, false },
	{ "through a second mapping while it runs", true, false, 67, false, true, false },
	{ "through a second mapping, across pages", true, true, PAGE - 2, false, false, false },
	{ "another page mapped", false, false, 64, false, false, true },
	{ "another page mapped while it runs", false, false, 64, false, true, true },
};

struct run {
	const struct way *way;
	int threads;
	uint64_t rounds;
	int file;
	uint8_t *runnable, *writable;
	struct barrier barrier;
	_Alignas(LINE) uint64_t flag;
	struct {
		_Alignas(LINE) uint64_t seen;
	} of[THREADS];
	uint64_t wrong[THREADS], torn[THREADS];
};

static void serialize(bool iret)
{
	if (iret)
		interrupt_return();
	else
		cpuid();
}

static uint32_t call(const uint8_t *code)
{
	uint32_t v;

	__asm__ volatile("call *%1" : "=a"(v) : "r"(code) : "memory");
	return v;
}

/* mov eax, value; ret */
static void write_function(const struct run *run, uint8_t *to, uint32_t value)
{
	uint8_t text[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(text + 1, &value, 4);
	for (unsigned i = 0; run->way->by_bytes && i < sizeof(text); i++)
		((volatile uint8_t *)to)[i] = text[i];
	/* The constant alone, in one aligned store where it is aligned. */
	if (!run->way->by_bytes)
		__asm__ volatile("movl %1, (%0)" : : "r"(to + 1), "r"(value) : "memory");
}

/* Two pages of the file, which have the value in turn. */
static void map_function(const struct run *run, uint32_t value)
{
	off_t page = (off_t)(2 + value % 2) * PAGE;
	uint8_t text[6] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(text + 1, &value, 4);
	memcpy(run->writable + page + run->way->offset, text, sizeof(text));
	if (mmap(run->runnable, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, run->file, page) == MAP_FAILED)
		perror("mmap");
}

static void change(const struct run *run, uint32_t value)
{
	if (run->way->remap)
		map_function(run, value);
	else
		write_function(run, (run->way->second_mapping ? run->writable : run->runnable) + run->way->offset,
			value);
}

static void wait_for_all(struct run *run, uint64_t i)
{
	unsigned turns = 0;

	for (int other = 1; other < run->threads; other++) {
		while (get(&run->of[other].seen) < i)
			wait_a_little(&turns);
	}
}

static void body(int me, void *opaque)
{
	struct run *run = opaque;
	const uint8_t *code = run->runnable + run->way->offset;

	meet(&run->barrier, run->threads, 1);
	for (uint64_t i = 1; i <= run->rounds; i++) {
		unsigned turns = 0;

		if (me == 0) {
			if (!broken)
				change(run, (uint32_t)i);
			put(&run->flag, i);
			wait_for_all(run, i);
			if (broken)
				change(run, (uint32_t)i);
			continue;
		}
		while (get(&run->flag) < i) {
			if (run->way->call_old) {
				/* An aligned constant changes at once: the old one or the new one. */
				uint32_t v = call(code);

				run->torn[me] += v != i && v != i - 1;
			}
			wait_a_little(&turns);
		}
		serialize(run->way->iret);
		run->wrong[me] += call(code) != i;
		put(&run->of[me].seen, i);
	}
}

static void attempt(const struct way *way, int threads)
{
	static struct run run;
	uint64_t wrong = 0, torn = 0;
	char name[96];

	memset(&run, 0, sizeof(run));
	run.way = way;
	run.threads = threads;
	run.rounds = times(way->remap ? 30 : 80);
	run.file = memfd_create("code", 0);
	if (run.file < 0 || ftruncate(run.file, 4 * PAGE)) {
		perror("memfd");
		return;
	}
	run.writable = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, run.file, 0);
	run.runnable = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, run.file, 0);
	if (run.writable == MAP_FAILED || run.runnable == MAP_FAILED) {
		perror("mmap");
		return;
	}
	memcpy(run.writable + way->offset, "\xb8\0\0\0\0\xc3", 6);
	together(threads, body, &run);
	for (int i = 0; i < threads; i++) {
		wrong += run.wrong[i];
		torn += run.torn[i];
	}
	snprintf(name, sizeof(name), "code %s, %d threads", way->name, threads);
	judge(name, run.rounds * (uint64_t)(threads - 1), wrong + torn, true);
	munmap(run.writable, 4 * PAGE);
	munmap(run.runnable, 2 * PAGE);
	close(run.file);
}

void test_code(void)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		attempt(&ways[i], 2);
		if (!broken)
			attempt(&ways[i], THREADS);
	}
}
