/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * atomic.c - LOCKed operations and XCHG lose nothing: at aligned addresses, across cache lines, across pages that are
 * not adjacent in physical memory, in pages with code, and through different mappings.
 *
 * An operation comes with a bookkeeping: a counter that all increment, a bit of each thread's own that it flips and
 * looks at, or tokens that are swapped and none of which may vanish.
 */
#include "smp.h"

enum { TURNS = 64 }; /* operations between two looks at the code on the page */

/* Does the operation `times` times; returns what was wrong on the way. */
typedef uint64_t operation(uint8_t *p, uint64_t times, int me);

#define ADDER(NAME, BODY) \
	static uint64_t NAME(uint8_t *p, uint64_t times, int me) \
	{ \
		(void)me; \
		while (times--) { \
			BODY; \
		} \
		return 0; \
	}
#define ONE(TEXT) __asm__ volatile(TEXT : : "r"(p) : "memory", "cc")

#define SIZES(NAME, TEXT) \
	ADDER(NAME##_1, ONE(TEXT("b"))) \
	ADDER(NAME##_2, ONE(TEXT("w"))) \
	ADDER(NAME##_4, ONE(TEXT("l"))) \
	ADDER(NAME##_8, ONE(TEXT("q")))
#define INC(S) "lock inc" S " (%0)"
#define ADD(S) "lock add" S " $1, (%0)"
#define SUB(S) "lock sub" S " $-1, (%0)"
#define ADC(S) "stc\n\tlock adc" S " $0, (%0)"
#define SBB(S) "clc\n\tlock sbb" S " $-1, (%0)"
SIZES(inc, INC)
SIZES(add, ADD)
SIZES(sub, SUB)
SIZES(adc, ADC)
SIZES(sbb, SBB)

#define XADD(N, TYPE, S) \
	ADDER(xadd_##N, TYPE v = 1; __asm__ volatile("lock xadd" S " %0, (%1)" : "+q"(v) : "r"(p) : "memory", "cc"))
XADD(1, uint8_t, "b")
XADD(2, uint16_t, "w")
XADD(4, uint32_t, "l")
XADD(8, uint64_t, "q")

#define CMPXCHG(N, TYPE, S) \
	ADDER(cmpxchg_##N, TYPE old; uint8_t done; memcpy(&old, p, sizeof(old)); do { \
		__asm__ volatile("lock cmpxchg" S " %3, (%2)\n\tsetz %1" \
				 : "+a"(old), "=&q"(done) \
				 : "r"(p), "q"((TYPE)(old + 1)) \
				 : "memory", "cc"); \
	} while (!done))
CMPXCHG(1, uint8_t, "b")
CMPXCHG(2, uint16_t, "w")
CMPXCHG(4, uint32_t, "l")
CMPXCHG(8, uint64_t, "q")

/* Both halves count, and must stay equal but for what the carry of neither does. */
#define CMPXCHG_PAIR(NAME, TYPE) \
	static uint64_t NAME(uint8_t *p, uint64_t times, int me) \
	{ \
		uint64_t wrong = 0; \
\
		(void)me; \
		while (times--) { \
			TYPE low = 0, high = 0; \
			uint8_t done; \
\
			do { \
				__asm__ volatile("lock " #NAME " (%3)\n\tsetz %2" \
						 : "+a"(low), "+d"(high), "=&q"(done) \
						 : "r"(p), "b"((TYPE)(low + 1)), "c"((TYPE)(high + 1)) \
						 : "memory", "cc"); \
				wrong += low != high; \
			} while (!done); \
		} \
		return wrong; \
	}
CMPXCHG_PAIR(cmpxchg8b, uint32_t)
CMPXCHG_PAIR(cmpxchg16b, uint64_t)

/* A bit of one's own: set, cleared, flipped; CF must be what this thread left. */
#define OWN_BIT(NAME, TEXT, TYPE) \
	static uint64_t NAME(uint8_t *p, uint64_t times, int me) \
	{ \
		TYPE bit = (TYPE)me; \
		uint64_t wrong = 0; \
\
		while (times--) { \
			for (int twice = 0; twice < 2; twice++) { \
				uint8_t was; \
\
				if (twice) \
					__asm__ volatile(TEXT("r") "\n\tsetc %0" \
							 : "=q"(was) \
							 : "r"(p), "r"(bit) \
							 : "memory", "cc"); \
				else \
					__asm__ volatile(TEXT("s") "\n\tsetc %0" \
							 : "=q"(was) \
							 : "r"(p), "r"(bit) \
							 : "memory", "cc"); \
				wrong += was != twice; \
			} \
		} \
		return wrong; \
	}
#define BT16(X) "lock bt" X "w %2, (%1)"
#define BT32(X) "lock bt" X "l %2, (%1)"
#define BT64(X) "lock bt" X "q %2, (%1)"
OWN_BIT(bit_2, BT16, uint16_t)
OWN_BIT(bit_4, BT32, uint32_t)
OWN_BIT(bit_8, BT64, uint64_t)

static uint64_t flip_4(uint8_t *p, uint64_t times, int me)
{
	uint32_t bit = (uint32_t)me;
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < 2 * times; i++) {
		uint8_t was;

		__asm__ volatile("lock btcl %2, (%1)\n\tsetc %0" : "=q"(was) : "r"(p), "r"(bit) : "memory", "cc");
		wrong += was != (i & 1);
	}
	return wrong;
}

/* The same with XOR, OR and AND, whose result is looked at with a load. */
static uint64_t logic_4(uint8_t *p, uint64_t times, int me)
{
	uint32_t bit = 1u << me;
	uint64_t wrong = 0;

	while (times--) {
		uint32_t v;

		__asm__ volatile("lock orl %1, (%0)" : : "r"(p), "r"(bit) : "memory", "cc");
		memcpy(&v, p, 4);
		wrong += !(v & bit);
		__asm__ volatile("lock andl %1, (%0)" : : "r"(p), "r"(~bit) : "memory", "cc");
		memcpy(&v, p, 4);
		wrong += !!(v & bit);
		__asm__ volatile("lock xorl %1, (%0)\n\tlock xorl %1, (%0)" : : "r"(p), "r"(bit) : "memory", "cc");
	}
	return wrong;
}

static uint64_t logic_8(uint8_t *p, uint64_t times, int me)
{
	uint64_t bit = 1ull << (8 * me), wrong = 0;

	while (times--) {
		uint64_t v;

		__asm__ volatile("lock orq %1, (%0)" : : "r"(p), "r"(bit) : "memory", "cc");
		memcpy(&v, p, 8);
		wrong += !(v & bit);
		__asm__ volatile("lock xorq %1, (%0)" : : "r"(p), "r"(bit) : "memory", "cc");
		memcpy(&v, p, 8);
		wrong += !!(v & bit);
	}
	return wrong;
}

/* An even number of NOTs of everybody, two by each. */
ADDER(not_4, ONE("lock notl (%0)\n\tlock notl (%0)"))
ADDER(neg_8, ONE("lock negq (%0)\n\tlock negq (%0)"))

/* For --break: an increment in pieces, and two threads that meet between them. */
static struct barrier between;

static uint64_t in_pieces(uint8_t *p, uint64_t times, int me)
{
	static uint64_t rounds[THREADS];

	while (times--) {
		uint64_t v = get(p);

		meet(&between, 2, ++rounds[me]);
		put(p, v + 1);
	}
	return 0;
}

/* ---- tokens ------------------------------------------------------------------------------------- */

/* Each thread holds a token, one lies in memory; XCHG hands them round, and all must be there in the end. */
static uint64_t held[THREADS];

#define XCHG(N, TYPE, S) \
	static uint64_t xchg_##N(uint8_t *p, uint64_t times, int me) \
	{ \
		TYPE v = (TYPE)held[me]; \
\
		while (times--) \
			__asm__ volatile("xchg" S " %0, (%1)" : "+q"(v) : "r"(p) : "memory"); \
		held[me] = v; \
		return 0; \
	}
XCHG(1, uint8_t, "b")
XCHG(2, uint16_t, "w")
XCHG(4, uint32_t, "l")
XCHG(8, uint64_t, "q")

/* A thread's token has its mark in every byte: half of one and half of another is no token. */
static uint64_t token(int who, unsigned size)
{
	return (0x0101010101010101ull << who) & (size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1);
}

/* ---- what to try ------------------------------------------------------------------------------- */

enum bookkeeping { COUNT, PAIR, ZERO, TOKEN };

struct trial {
	const char *name;
	unsigned size;
	enum bookkeeping kept;
	operation *run[THREADS]; /* the first for the others too, unless they have their own */
	bool aligned_only;
};

static const struct trial trials[] = {
	{ "lock inc 1", 1, COUNT, { inc_1 }, false },
	{ "lock inc 2", 2, COUNT, { inc_2 }, false },
	{ "lock inc 4", 4, COUNT, { inc_4 }, false },
	{ "lock inc 8", 8, COUNT, { inc_8 }, false },
	{ "lock add 1", 1, COUNT, { add_1 }, false },
	{ "lock add 2", 2, COUNT, { add_2 }, false },
	{ "lock add 4", 4, COUNT, { add_4 }, false },
	{ "lock add 8", 8, COUNT, { add_8 }, false },
	{ "lock xadd 1", 1, COUNT, { xadd_1 }, false },
	{ "lock xadd 2", 2, COUNT, { xadd_2 }, false },
	{ "lock xadd 4", 4, COUNT, { xadd_4 }, false },
	{ "lock xadd 8", 8, COUNT, { xadd_8 }, false },
	{ "lock cmpxchg 1", 1, COUNT, { cmpxchg_1 }, false },
	{ "lock cmpxchg 2", 2, COUNT, { cmpxchg_2 }, false },
	{ "lock cmpxchg 4", 4, COUNT, { cmpxchg_4 }, false },
	{ "lock cmpxchg 8", 8, COUNT, { cmpxchg_8 }, false },
	{ "lock sub, adc, sbb, inc 1", 1, COUNT, { sub_1, adc_1, sbb_1, inc_1 }, false },
	{ "lock sub, adc, sbb, xadd 2", 2, COUNT, { sub_2, adc_2, sbb_2, xadd_2 }, false },
	{ "lock sub, cmpxchg, adc, sbb 4", 4, COUNT, { sub_4, cmpxchg_4, adc_4, sbb_4 }, false },
	{ "lock cmpxchg, xadd, sbb, adc 8", 8, COUNT, { cmpxchg_8, xadd_8, sbb_8, adc_8 }, false },
	{ "lock sub, add 8", 8, COUNT, { sub_8, add_8, sub_8, add_8 }, false },
	{ "lock cmpxchg8b", 8, PAIR, { cmpxchg8b }, false },
	{ "lock cmpxchg16b", 16, PAIR, { cmpxchg16b }, true },
	{ "lock bts, btr 2", 2, ZERO, { bit_2 }, false },
	{ "lock bts, btr 4", 4, ZERO, { bit_4 }, false },
	{ "lock bts, btr 8", 8, ZERO, { bit_8 }, false },
	{ "lock btc, or, and, xor 4", 4, ZERO, { flip_4, logic_4, bit_4, logic_4 }, false },
	{ "lock or, xor 8", 8, ZERO, { logic_8 }, false },
	{ "lock not 4", 4, ZERO, { not_4 }, false },
	{ "lock neg 8", 8, ZERO, { neg_8 }, false },
	{ "xchg 1", 1, TOKEN, { xchg_1 }, false },
	{ "xchg 2", 2, TOKEN, { xchg_2 }, false },
	{ "xchg 4", 4, TOKEN, { xchg_4 }, false },
	{ "xchg 8", 8, TOKEN, { xchg_8 }, false },
};

static const struct trial without_lock = { "no lock", 8, COUNT, { in_pieces }, false };

enum place { ALIGNED, MAPPED_TWICE, ACROSS_LINES, ACROSS_PAGES, CODE, CODE_ACROSS_LINES, CODE_ACROSS_PAGES, PLACES };

static const char *const place_names[] = { "aligned", "mapped twice", "across lines", "across pages", "beside code",
	"beside code, across lines", "across pages with code" };

struct run {
	const struct trial *trial;
	enum place place;
	struct memory *memory;
	uint64_t times;
	uint64_t wrong[THREADS];
	struct barrier barrier;
	int threads;
};

/* Where thread `me` sees it. */
static uint8_t *address(const struct run *run, int me)
{
	unsigned size = run->trial->size, back = size > 1 ? size / 2 : 0;

	switch (run->place) {
	case MAPPED_TWICE:
		return (me & 1 ? run->memory->again : run->memory->plain) + 1024;
	case ACROSS_LINES:
		return run->memory->plain + 1024 - back;
	case ACROSS_PAGES:
		return run->memory->swapped + PAGE - back;
	case CODE:
		return run->memory->code + 1024;
	case CODE_ACROSS_LINES:
		return run->memory->code + 1024 - back;
	case CODE_ACROSS_PAGES: /* ahead of the code's page lies that one, too */
		return run->memory->code + 2 * PAGE - back;
	default:
		return run->memory->plain + 1024;
	}
}

static void body(int me, void *opaque)
{
	struct run *run = opaque;
	operation *op = run->trial->run[me] ? run->trial->run[me] : run->trial->run[0];
	uint8_t *p = address(run, me);

	meet(&run->barrier, run->threads, 1);
	for (uint64_t left = run->times; left;) {
		uint64_t now = left < TURNS ? left : TURNS;

		if (run->place >= CODE) {
			run_code(run->memory->code);
			run_code(run->memory->code + PAGE);
		}
		run->wrong[me] += op(p, now, me);
		left -= now;
	}
}

/* What is still missing or too much, when all are through. */
static uint64_t missing(const struct run *run, const uint8_t *p)
{
	uint64_t v[2] = { 0, 0 }, all = run->times * (uint64_t)run->threads;
	unsigned size = run->trial->size;
	uint64_t mask = size >= 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

	memcpy(v, p, size);
	switch (run->trial->kept) {
	case COUNT:
		return v[0] != (all & mask);
	case PAIR:
		if (size == 16)
			return v[0] != all || v[1] != all;
		return (uint32_t)v[0] != (uint32_t)all || v[0] >> 32 != (uint32_t)all;
	case ZERO:
		return v[0] != 0;
	case TOKEN: /* each with one holder; halves of two are none */
		for (int who = 0; who <= run->threads; who++) {
			unsigned holders = v[0] == token(who, size);

			for (int i = 0; i < run->threads; i++)
				holders += held[i] == token(who, size);
			if (holders != 1)
				return 1;
		}
		return 0;
	}
	return 1;
}

static void attempt(struct memory *memory, const struct trial *trial, enum place place, int threads, uint64_t times)
{
	static struct run run;
	char name[96];
	uint64_t wrong = 0;
	uint8_t *p;

	memset(&run, 0, sizeof(run));
	run.trial = trial;
	run.place = place;
	run.memory = memory;
	run.times = times;
	run.threads = threads;
	p = address(&run, 0);
	memset(p, 0, 16);
	if (trial->kept == TOKEN) {
		uint64_t mine = token(threads, trial->size);

		memcpy(p, &mine, trial->size);
		for (int i = 0; i < threads; i++)
			held[i] = token(i, trial->size);
	}
	together(threads, body, &run);
	for (int i = 0; i < threads; i++)
		wrong += run.wrong[i];
	snprintf(name, sizeof(name), "%s, %s, %d threads", trial->name, place_names[place], threads);
	judge(name, times * (uint64_t)threads, wrong + missing(&run, p), true);
}

/* ---- neighbours --------------------------------------------------------------------------------- */

/* A LOCKed counter of 8 bytes, a byte of somebody else's on each side of it: each sees only its own stores. */
struct neighbours {
	uint8_t *p;
	uint64_t times;
	uint64_t wrong[3];
	struct barrier barrier;
};

static void beside(int me, void *opaque)
{
	struct neighbours *n = opaque;
	volatile uint8_t *own = n->p + (me == 1 ? -1 : 8);

	meet(&n->barrier, 3, 1);
	for (uint64_t i = 0; i < n->times; i++) {
		if (me == 0) {
			/* --break: one byte too far down. */
			__asm__ volatile("lock incq (%0)" : : "r"(n->p - broken) : "memory", "cc");
			continue;
		}
		*own = (uint8_t)i;
		n->wrong[me] += *own != (uint8_t)i;
	}
}

static void neighbours(struct memory *memory, enum place place)
{
	static const struct trial eight = { "", 8, COUNT, { NULL }, false };
	static struct neighbours n;
	struct run where = { .trial = &eight, .place = place, .memory = memory };
	uint64_t v;
	char name[96];

	memset(&n, 0, sizeof(n));
	n.p = address(&where, 0);
	n.times = times(place >= ACROSS_LINES ? 500 : 5000);
	memset(n.p - 1, 0, 10);
	together(3, beside, &n);
	memcpy(&v, n.p, 8);
	snprintf(name, sizeof(name), "bytes beside a counter, %s", place_names[place]);
	judge(name, 3 * n.times, n.wrong[1] + n.wrong[2] + (v != n.times), true);
}

void test_atomic(void)
{
	struct memory memory;

	memory_make(&memory, 4);
	if (broken)
		attempt(&memory, &without_lock, ALIGNED, 2, 100);
	for (size_t i = 0; i < sizeof(trials) / sizeof(*trials) && !broken; i++) {
		for (enum place place = 0; place < PLACES; place++) {
			bool across = place == ACROSS_LINES || place == ACROSS_PAGES || place >= CODE_ACROSS_LINES;
			/* Processors take long for these, some machines stop them for that. */
			uint64_t count = times(across ? 120 : 1000);

			if (across && (trials[i].aligned_only || trials[i].size == 1))
				continue;
			/* Two on processors of their own, and more than there may be. */
			attempt(&memory, &trials[i], place, 2, count);
			if (place == ALIGNED || place == ACROSS_PAGES)
				attempt(&memory, &trials[i], place, THREADS, count);
		}
	}
	for (enum place place = 0; place < PLACES; place++)
		neighbours(&memory, place);
	memory_free(&memory);
}
