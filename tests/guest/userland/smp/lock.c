/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lock.c - mutual exclusion: what only works when stores are seen in order and fences do what they say. */
#include "smp.h"

struct run {
	void (*enter)(struct run *, int me);
	void (*leave)(struct run *, int me);
	int threads;
	uint64_t rounds;
	struct barrier barrier;
	struct {
		_Alignas(LINE) uint64_t wants;
	} of[THREADS];
	_Alignas(LINE) uint64_t turn;
	_Alignas(LINE) uint32_t ticket;
	_Alignas(LINE) uint32_t serving;
	_Alignas(LINE) uint64_t first, inside;
	uint64_t second, overlaps;
	struct barrier within;
	bool none; /* --break leaves no lock at all */
};

static void mfence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

/* Peterson's, with a fence between what I want and what the other wants. */
static void peterson(struct run *run, int me)
{
	unsigned turns = 0;

	put(&run->of[me].wants, 1);
	put(&run->turn, (uint64_t)!me);
	if (!broken)
		mfence();
	while (get(&run->of[!me].wants) && get(&run->turn) == (uint64_t)!me)
		wait_a_little(&turns);
}

/* The same, the turn given with XCHG, which is a fence. */
static void peterson_xchg(struct run *run, int me)
{
	uint64_t v = (uint64_t)!me;
	unsigned turns = 0;

	put(&run->of[me].wants, 1);
	if (broken)
		put(&run->turn, v);
	else
		__asm__ volatile("xchg %0, (%1)" : "+r"(v) : "r"(&run->turn) : "memory");
	while (get(&run->of[!me].wants) && get(&run->turn) == (uint64_t)!me)
		wait_a_little(&turns);
}

static void dekker(struct run *run, int me)
{
	unsigned turns = 0;

	put(&run->of[me].wants, 1);
	if (!broken)
		mfence();
	while (get(&run->of[!me].wants)) {
		if (get(&run->turn) == (uint64_t)me) {
			wait_a_little(&turns);
			continue;
		}
		put(&run->of[me].wants, 0);
		while (get(&run->turn) != (uint64_t)me)
			wait_a_little(&turns);
		put(&run->of[me].wants, 1);
		if (!broken)
			mfence();
	}
}

/* Only a plain store leaves. */
static void no_longer(struct run *run, int me)
{
	put(&run->turn, (uint64_t)!me);
	put(&run->of[me].wants, 0);
}

static void ticket(struct run *run, int me)
{
	uint32_t mine = 1;
	unsigned turns = 0;

	(void)me;
	__asm__ volatile("lock xaddl %0, (%1)" : "+r"(mine) : "r"(&run->ticket) : "memory", "cc");
	while (!broken && *(volatile uint32_t *)&run->serving != mine)
		wait_a_little(&turns);
}

static void next_ticket(struct run *run, int me)
{
	(void)me;
	__asm__ volatile("incl (%0)" : : "r"(&run->serving) : "memory", "cc");
}

static void spin(struct run *run, int me)
{
	unsigned turns = 0;

	(void)me;
	for (;;) {
		uint8_t was;

		__asm__ volatile("lock btsl $0, (%1)\n\tsetc %0" : "=q"(was) : "r"(&run->ticket) : "memory", "cc");
		if (!was || broken)
			return;
		while (*(volatile uint32_t *)&run->ticket)
			wait_a_little(&turns);
	}
}

static void unspin(struct run *run, int me)
{
	(void)me;
	__asm__ volatile("movl $0, (%0)" : : "r"(&run->ticket) : "memory");
}

static void body(int me, void *opaque)
{
	struct run *run = opaque;

	meet(&run->barrier, run->threads, 1);
	for (uint64_t i = 0; i < run->rounds; i++) {
		run->enter(run, me);
		uint64_t v = get(&run->first);
		uint64_t others = get(&run->inside);
		put(&run->inside, (uint64_t)me + 1);
		if (broken && run->none && i < 100) /* they all come here */
			meet(&run->within, run->threads, i + 1);
		put(&run->first, v + 1);
		run->overlaps += others != 0 || get(&run->inside) != (uint64_t)me + 1;
		put(&run->second, get(&run->second) + 1);
		put(&run->inside, 0);
		run->leave(run, me);
	}
}

static void attempt(const char *name, int threads, void (*enter)(struct run *, int), void (*leave)(struct run *, int),
	bool sure)
{
	static struct run run;
	uint64_t all;
	char text[64];

	memset(&run, 0, sizeof(run));
	run.enter = enter;
	run.leave = leave;
	run.threads = threads;
	run.none = sure;
	run.rounds = times(1000);
	all = run.rounds * (uint64_t)threads;
	together(threads, body, &run);
	snprintf(text, sizeof(text), "%s, %d threads", name, threads);
	judge(text, all, run.overlaps + (all - run.first) + (all - run.second), sure);
}

void test_lock(void)
{
	attempt("Peterson's lock", 2, peterson, no_longer, false);
	attempt("Peterson's lock by XCHG", 2, peterson_xchg, no_longer, false);
	attempt("Dekker's lock", 2, dekker, no_longer, false);
	attempt("ticket lock", 2, ticket, next_ticket, true);
	attempt("ticket lock", THREADS, ticket, next_ticket, true);
	attempt("spin lock", 2, spin, unspin, true);
	attempt("spin lock", THREADS, spin, unspin, true);
}
