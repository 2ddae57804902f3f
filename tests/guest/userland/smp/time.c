/* SPDX-License-Identifier: GPL-2.0-or-later */
/* time.c - one time for all processors: what is read after a message was seen is not before what the sender read. */
#include "smp.h"

#include <time.h>

struct run {
	uint64_t (*read)(void);
	int threads;
	uint64_t rounds;
	struct barrier barrier;
	_Alignas(LINE) uint64_t turn;
	_Alignas(LINE) uint64_t last;
	uint64_t wrong[THREADS];
};

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t rdtscp(void)
{
	uint32_t low, high, processor;

	__asm__ volatile("rdtscp\n\tlfence" : "=a"(low), "=d"(high), "=c"(processor) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The turn goes round; whoever has it reads the time and compares it with the one the last reader left. */
static void body(int me, void *opaque)
{
	struct run *run = opaque;

	meet(&run->barrier, run->threads, 1);
	for (uint64_t i = (uint64_t)me; i < run->rounds; i += (uint64_t)run->threads) {
		unsigned turns = 0;
		uint64_t now;

		while (get(&run->turn) < i)
			wait_a_little(&turns);
		now = run->read() - (broken && me == 1 ? 1000000 : 0);
		run->wrong[me] += now < get(&run->last);
		put(&run->last, now);
		put(&run->turn, i + 1);
	}
}

static void attempt(const char *name, uint64_t (*read)(void), int threads)
{
	static struct run run;
	uint64_t wrong = 0;
	char text[64];

	memset(&run, 0, sizeof(run));
	run.read = read;
	run.threads = threads;
	run.rounds = times(400);
	together(threads, body, &run);
	for (int i = 0; i < threads; i++)
		wrong += run.wrong[i];
	snprintf(text, sizeof(text), "%s goes forward, %d threads", name, threads);
	judge(text, run.rounds, wrong, true);
}

void test_time(void)
{
	attempt("RDTSC", rdtsc, 2);
	attempt("RDTSC", rdtsc, THREADS);
	attempt("RDTSCP", rdtscp, 2);
	attempt("clock_gettime", clock_now, 2);
	attempt("clock_gettime", clock_now, THREADS);
}
