/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map.c - translations that other processors hold: when mmap, munmap, mprotect, madvise or fork has returned, nobody
 * reaches memory the old way.
 */
#include "smp.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { FRAMES = 8 };

struct run {
	struct memory memory;
	uint8_t *window; /* one page: what is mapped there changes */
	int threads;
	uint64_t rounds;
	struct barrier barrier;
	_Alignas(LINE) uint64_t generation;
	_Alignas(LINE) uint64_t end;
	struct {
		_Alignas(LINE) uint64_t did;
		uint64_t wrong;
	} of[THREADS];
};

static struct run run;

static void *map_frame(uint64_t frame, int protection)
{
	void *p = mmap(run.window, PAGE, protection, MAP_SHARED | MAP_FIXED, run.memory.file, (off_t)(frame * PAGE));

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

/* Everybody has done something since. */
static void let_others_work(void)
{
	for (int i = 1; i < run.threads; i++) {
		uint64_t before = get(&run.of[i].did);
		unsigned turns = 0;

		while (get(&run.of[i].did) == before)
			wait_a_little(&turns);
	}
}

/* ---- reads --------------------------------------------------------------------------------------- */

/* Frame n % FRAMES holds n.  What is read is at least what had been mapped when it was begun. */
static void remap(uint64_t i)
{
	put(run.memory.plain + i % FRAMES * PAGE, i);
	if (broken) {
		put(&run.generation, i);
		let_others_work();
	}
	map_frame(i % FRAMES, PROT_READ | PROT_WRITE);
	put(&run.generation, i);
	if (i % 4 == 0)
		let_others_work();
}

static void look(int me)
{
	uint64_t least = get(&run.generation);
	uint64_t v = get(run.window);
	uint64_t most = get(&run.generation) + 1;

	run.of[me].wrong += v < least || v > most;
}

/* Memory that is given back reads as zero, until somebody writes again. */
static void give_back(uint64_t i)
{
	put(run.window, i);
	let_others_work();
	if (broken) {
		put(&run.generation, i);
		let_others_work();
	}
	madvise(run.window, PAGE, MADV_DONTNEED);
	put(&run.generation, i);
	let_others_work();
	put(&run.generation, 0);
}

static void look_for_zero(int me)
{
	uint64_t gone = get(&run.generation);
	uint64_t v = get(run.window);

	if (gone && get(&run.generation) == gone)
		run.of[me].wrong += v != 0;
}

/* ---- writes -------------------------------------------------------------------------------------- */

/* The frame that was mapped before gets no more stores. */
static void take_away(uint64_t i)
{
	uint8_t *old = run.memory.plain + i % FRAMES * PAGE;
	uint64_t v[THREADS];

	let_others_work();
	if (!broken)
		map_frame((i + 1) % FRAMES, PROT_READ | PROT_WRITE);
	for (int k = 1; k < run.threads; k++)
		v[k] = get(old + k * LINE);
	let_others_work();
	for (int k = 1; k < run.threads; k++)
		run.of[0].wrong += get(old + k * LINE) != v[k];
	if (broken)
		map_frame((i + 1) % FRAMES, PROT_READ | PROT_WRITE);
}

static void keep_writing(int me)
{
	static __thread uint64_t n;

	put(run.window + me * LINE, ++n);
}

/* By an instruction that reads and writes, and by one that is LOCKed. */
static void keep_counting(int me)
{
	uint8_t *p = run.window + me * LINE;

	__asm__ volatile("incq (%0)\n\tlock incq (%0)" : : "r"(p) : "memory", "cc");
}

/* Page 0 of the file stays; what it may be used for changes.  Whoever is stopped waits in the signal handler. */
static void protect(uint64_t i)
{
	uint64_t v[THREADS];

	(void)i;
	let_others_work();
	put(&run.generation, 1);
	if (!broken)
		mprotect(run.window, PAGE, PROT_READ);
	for (int k = 1; k < run.threads; k++)
		v[k] = get(run.memory.plain + k * LINE);
	if (broken)
		let_others_work();
	delay(300);
	sched_yield();
	for (int k = 1; k < run.threads; k++)
		run.of[0].wrong += get(run.memory.plain + k * LINE) != v[k];
	mprotect(run.window, PAGE, PROT_READ | PROT_WRITE);
	put(&run.generation, 0);
}

static void stopped(int signal)
{
	unsigned turns = 0;

	(void)signal;
	while (get(&run.generation))
		wait_a_little(&turns);
}

/* Unmapped: whoever reaches it is told.  The others jump out of the signal handler. */
static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t trying;

static void jumped(int signal)
{
	(void)signal;
	if (!trying)
		abort();
	siglongjmp(back, 1);
}

static void unmap(uint64_t i)
{
	let_others_work();
	if (!broken)
		munmap(run.window, PAGE);
	put(&run.generation, i);
	let_others_work();
	put(&run.generation, 0);
	map_frame(0, PROT_READ | PROT_WRITE);
}

static void touch(int me)
{
	uint64_t gone = get(&run.generation);

	if (sigsetjmp(back, 1))
		return;
	trying = 1;
	get(run.window);
	trying = 0;
	/* It was there, although it had been unmapped before and was until after. */
	if (gone && get(&run.generation) == gone)
		run.of[me].wrong++;
}

/* ---- fork --------------------------------------------------------------------------------------- */

/* The child's memory stands still, whatever the parent's other threads write to theirs. */
static void part_ways(uint64_t i)
{
	pid_t child;
	int status = 0;

	(void)i;
	let_others_work();
	if (broken) /* shared instead of copied */
		map_frame(0, PROT_READ | PROT_WRITE);
	child = fork();
	if (child == 0) {
		uint64_t v[THREADS], wrong = 0;

		for (int k = 1; k < run.threads; k++)
			v[k] = get(run.window + k * LINE);
		for (int turn = 0; turn < 20; turn++) {
			usleep(100);
			for (int k = 1; k < run.threads; k++)
				wrong += get(run.window + k * LINE) != v[k];
		}
		_exit(wrong != 0);
	}
	waitpid(child, &status, 0);
	run.of[0].wrong += status != 0;
}

/* ---- all of them --------------------------------------------------------------------------------- */

static const struct kind {
	const char *name;
	void (*change)(uint64_t i);
	void (*use)(int me);
	void (*signal)(int);
	uint64_t rounds;
	bool anonymous;
} kinds[] = {
	{ "mapped anew, read", remap, look, NULL, 80, false },
	{ "given back, read", give_back, look_for_zero, NULL, 50, true },
	{ "mapped anew, written", take_away, keep_writing, NULL, 50, false },
	{ "mapped anew, counted in", take_away, keep_counting, NULL, 50, false },
	{ "protected, written", protect, keep_writing, stopped, 50, false },
	{ "protected, counted in", protect, keep_counting, stopped, 50, false },
	{ "unmapped, read", unmap, touch, jumped, 50, false },
	{ "forked, written", part_ways, keep_writing, NULL, 10, true },
};

static void body(int me, void *opaque)
{
	const struct kind *kind = opaque;

	meet(&run.barrier, run.threads, 1);
	if (me == 0) {
		for (uint64_t i = 1; i <= run.rounds; i++)
			kind->change(i);
		put(&run.end, 1);
		return;
	}
	for (uint64_t n = 1; !get(&run.end); n++) {
		for (int burst = 0; burst < 20; burst++)
			kind->use(me);
		put(&run.of[me].did, n);
		if (run.threads > processors)
			sched_yield();
	}
}

static void attempt(const struct kind *kind, int threads)
{
	struct sigaction action = { .sa_handler = kind->signal ? kind->signal : SIG_DFL };
	uint64_t wrong = 0;
	char name[64];

	memset(&run, 0, sizeof(run));
	run.threads = threads;
	run.rounds = times(kind->rounds);
	memory_make(&run.memory, FRAMES);
	sigaction(SIGSEGV, &action, NULL);
	run.window = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (run.window == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	if (!kind->anonymous)
		map_frame(kind->change == take_away, PROT_READ | PROT_WRITE);
	together(threads, body, (void *)kind);
	signal(SIGSEGV, SIG_DFL);
	for (int i = 0; i < threads; i++)
		wrong += run.of[i].wrong;
	snprintf(name, sizeof(name), "memory %s, %d threads", kind->name, threads);
	judge(name, run.rounds, wrong, true);
	munmap(run.window, PAGE);
	memory_free(&run.memory);
}

void test_map(void)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		attempt(&kinds[i], 2);
		if (!broken)
			attempt(&kinds[i], THREADS);
	}
}
