/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shapes.c - the classic small programs about two shared variables, each with every form of access.
 *
 * x86 keeps program order but for one thing: a load may be done before an older store to another place, which still
 * waits in the store buffer.  Everybody sees the stores of others in one order.
 */
#include "smp.h"
#include "forms.h"

/* What one thread does with x, y and its results; named after its accesses, "s" meaning x again. */
typedef void step(void *x, void *y, uint64_t *r);

enum program {
	W,      /* x = 1 */
	W2,     /* x = 2 */
	W_R,    /* x = 1, r0 = y */
	W2_R,   /* x = 2, r0 = y */
	W_F_R,  /* with MFENCE between */
	W2_F_R,
	W_L_R,  /* with a LOCKed operation on something else between */
	W_X_R,  /* with XCHG on something else between */
	W_C_R,  /* with CPUID between */
	W_I_R,  /* with IRET between */
	W_S_R,  /* with SFENCE and LFENCE between */
	R_W,    /* r0 = x, y = 1 */
	W_W,    /* x = 1, y = 1 */
	W_W2,   /* x = 1, y = 2 */
	W2_W,   /* x = 2, y = 1 */
	R_R,    /* r0 = x, r1 = y */
	W_RS,   /* x = 1, r0 = x */
	R_RS,   /* r0 = x, r1 = x */
	W_WS,   /* x = 1, x = 2 */
	W_RS_R, /* x = 1, r0 = x, r1 = y */
	PROGRAMS
};

INLINE void locked(void)
{
	uint64_t other;

	__asm__ volatile("lock orl $0, %0" : "=m"(other) : : "memory", "cc");
}

INLINE void exchanged(void)
{
	uint64_t other, v = 0;

	__asm__ volatile("xchg %0, %1" : "+r"(v), "=m"(other) : : "memory");
}

#define PROGRAM(F, NAME, BODY) \
	static void F##_##NAME(void *x, void *y, uint64_t *r) \
	{ \
		(void)x, (void)y, (void)r; \
		BODY \
	}
#define ST(F, P, V) store_##F(P, V);
#define LD(F, R, P) r[R] = load_##F(P);

#define FORM(F, SIZE, LOCKED) \
	PROGRAM(F, w, ST(F, x, 1)) \
	PROGRAM(F, w2, ST(F, x, 2)) \
	PROGRAM(F, w_r, ST(F, x, 1) LD(F, 0, y)) \
	PROGRAM(F, w2_r, ST(F, x, 2) LD(F, 0, y)) \
	PROGRAM(F, w_f_r, ST(F, x, 1) __asm__ volatile("mfence" : : : "memory"); LD(F, 0, y)) \
	PROGRAM(F, w2_f_r, ST(F, x, 2) __asm__ volatile("mfence" : : : "memory"); LD(F, 0, y)) \
	PROGRAM(F, w_l_r, ST(F, x, 1) locked(); LD(F, 0, y)) \
	PROGRAM(F, w_x_r, ST(F, x, 1) exchanged(); LD(F, 0, y)) \
	PROGRAM(F, w_c_r, ST(F, x, 1) cpuid(); LD(F, 0, y)) \
	PROGRAM(F, w_i_r, ST(F, x, 1) interrupt_return(); LD(F, 0, y)) \
	PROGRAM(F, w_s_r, ST(F, x, 1) __asm__ volatile("sfence\n\tlfence" : : : "memory"); LD(F, 0, y)) \
	PROGRAM(F, r_w, LD(F, 0, x) ST(F, y, 1)) \
	PROGRAM(F, w_w, ST(F, x, 1) ST(F, y, 1)) \
	PROGRAM(F, w_w2, ST(F, x, 1) ST(F, y, 2)) \
	PROGRAM(F, w2_w, ST(F, x, 2) ST(F, y, 1)) \
	PROGRAM(F, r_r, LD(F, 0, x) LD(F, 1, y)) \
	PROGRAM(F, w_rs, ST(F, x, 1) LD(F, 0, x)) \
	PROGRAM(F, r_rs, LD(F, 0, x) LD(F, 1, x)) \
	PROGRAM(F, w_ws, ST(F, x, 1) ST(F, x, 2)) \
	PROGRAM(F, w_rs_r, ST(F, x, 1) LD(F, 0, x) LD(F, 1, y))

FORMS(FORM)
#undef FORM

static const struct form {
	const char *name;
	bool locked; /* its stores are */
	step *program[PROGRAMS];
} forms[] = {
#define FORM(F, SIZE, LOCKED) \
	{ #F, \
		LOCKED, \
		{ [W] = F##_w, \
			[W2] = F##_w2, \
			[W_R] = F##_w_r, \
			[W2_R] = F##_w2_r, \
			[W_F_R] = F##_w_f_r, \
			[W2_F_R] = F##_w2_f_r, \
			[W_L_R] = F##_w_l_r, \
			[W_X_R] = F##_w_x_r, \
			[W_C_R] = F##_w_c_r, \
			[W_I_R] = F##_w_i_r, \
			[W_S_R] = F##_w_s_r, \
			[R_W] = F##_r_w, \
			[W_W] = F##_w_w, \
			[W_W2] = F##_w_w2, \
			[W2_W] = F##_w2_w, \
			[R_R] = F##_r_r, \
			[W_RS] = F##_w_rs, \
			[R_RS] = F##_r_rs, \
			[W_WS] = F##_w_ws, \
			[W_RS_R] = F##_w_rs_r } },
	FORMS(FORM)
#undef FORM
};

/* ---- the shapes --------------------------------------------------------------------------------- */

struct outcome {
	uint64_t r[THREADS][2];
	uint64_t x, y;
};

struct part {
	enum program program;
	bool turned; /* x is y and y is x */
};

struct shape {
	const char *name;
	int threads;
	bool (*seen)(const struct outcome *);
	struct part part[THREADS];
	struct part instead[THREADS]; /* with --break: a fence less, or a variable that is not stored to */
	bool allowed;                 /* the outcome, unless the form's stores are LOCKed: said, not judged */
	bool sure;                    /* --break shows it */
	bool writes_twice;            /* a place gets two stores */
};

static bool both_zero(const struct outcome *o)
{
	return !o->r[0][0] && !o->r[1][0];
}

static bool both_one(const struct outcome *o)
{
	return o->r[0][0] && o->r[1][0];
}

static bool second_only(const struct outcome *o)
{
	return o->r[1][0] && !o->r[1][1];
}

static bool two_orders(const struct outcome *o)
{
	return o->r[2][0] && !o->r[2][1] && o->r[3][0] && !o->r[3][1];
}

static bool first_stores_last(const struct outcome *o)
{
	return o->x == 1 && o->y == 1;
}

static bool r_shape(const struct outcome *o)
{
	return o->y == 2 && !o->r[1][0];
}

static bool s_shape(const struct outcome *o)
{
	return o->r[1][0] && o->x == 2;
}

static bool chain(const struct outcome *o)
{
	return o->r[1][0] && o->r[2][0] && !o->r[2][1];
}

static bool rwc(const struct outcome *o)
{
	return o->r[1][0] && !o->r[1][1] && !o->r[2][0];
}

static bool own_store(const struct outcome *o)
{
	return !o->r[0][0] || (o->r[0][0] == 2 && o->x == 1);
}

static bool one_after_two(const struct outcome *o)
{
	return o->x != 2 || (o->r[1][0] == 2 && o->r[1][1] != 2) || (o->r[1][0] == 1 && !o->r[1][1]);
}

static bool crossed(const struct outcome *o)
{
	return o->r[0][0] == 2 && o->r[1][0] == 1;
}

static bool own_first(const struct outcome *o)
{
	return !o->r[0][0] || !o->r[1][0];
}

static bool forwarded(const struct outcome *o)
{
	return !o->r[0][1] && !o->r[1][1];
}

static const struct shape shapes[] = {
	{ "SB", 2, both_zero, { { W_R, 0 }, { W_R, 1 } }, { { W_R, 0 }, { W_R, 1 } }, .allowed = true },
	{ "SB+mfence", 2, both_zero, { { W_F_R, 0 }, { W_F_R, 1 } }, { { W_R, 0 }, { W_R, 1 } } },
	{ "SB+lock", 2, both_zero, { { W_L_R, 0 }, { W_L_R, 1 } }, { { W_R, 0 }, { W_R, 1 } } },
	{ "SB+xchg", 2, both_zero, { { W_X_R, 0 }, { W_X_R, 1 } }, { { W_R, 0 }, { W_R, 1 } } },
	{ "SB+mfence+lock", 2, both_zero, { { W_F_R, 0 }, { W_L_R, 1 } }, { { W_R, 0 }, { W_L_R, 1 } } },
	{ "SB+cpuid", 2, both_zero, { { W_C_R, 0 }, { W_C_R, 1 } }, { { W_R, 0 }, { W_R, 1 } } },
	{ "SB+iret", 2, both_zero, { { W_I_R, 0 }, { W_I_R, 1 } }, { { W_R, 0 }, { W_R, 1 } } },
	{ "SB+sfence+lfence", 2, both_zero, { { W_S_R, 0 }, { W_S_R, 1 } }, { { W_R, 0 }, { W_R, 1 } }, .allowed = true },
	{ "LB", 2, both_one, { { R_W, 0 }, { R_W, 1 } }, { { W_RS, 0 }, { W_RS, 1 } }, .sure = true },
	{ "MP", 2, second_only, { { W_W, 0 }, { R_R, 1 } }, { { W, 0 }, { R_R, 0 } }, .sure = true },
	{ "2+2W", 2, first_stores_last, { { W_W2, 0 }, { W_W2, 1 } }, { { W2_W, 1 }, { W_W2, 1 } }, .writes_twice = true },
	{ "R", 2, r_shape, { { W_W, 0 }, { W2_R, 1 } }, { { W_W, 0 }, { W2_R, 1 } }, .allowed = true, .writes_twice = true },
	{ "R+mfence", 2, r_shape, { { W_W, 0 }, { W2_F_R, 1 } }, { { W_W, 0 }, { W2_R, 1 } }, .writes_twice = true },
	{ "S", 2, s_shape, { { W2_W, 0 }, { R_W, 1 } }, { { W_W2, 1 }, { R_W, 1 } }, .writes_twice = true },
	{ "CoRR", 2, second_only, { { W, 0 }, { R_RS, 0 } }, { { W, 0 }, { R_R, 0 } }, .sure = true },
	{ "CoWR", 2, own_store, { { W_RS, 0 }, { W2, 0 } }, { { W_R, 0 }, { W2, 0 } }, .sure = true, .writes_twice = true },
	{ "CoWW", 2, one_after_two, { { W_WS, 0 }, { R_RS, 0 } }, { { W, 0 }, { R_RS, 0 } }, .sure = true,
		.writes_twice = true },
	{ "n5", 2, crossed, { { W_RS, 0 }, { W2, 0 } }, { { W_RS, 0 }, { W2, 0 } }, .writes_twice = true },
	{ "SB+rfi, own store", 2, own_first, { { W_RS_R, 0 }, { W_RS_R, 1 } }, { { R_R, 0 }, { W_RS_R, 1 } }, .sure = true },
	{ "SB+rfi", 2, forwarded, { { W_RS_R, 0 }, { W_RS_R, 1 } }, { { W_RS_R, 0 }, { W_RS_R, 1 } }, .allowed = true },
	{ "WRC", 3, chain, { { W, 0 }, { R_W, 0 }, { R_R, 1 } }, { { W, 0 }, { R_W, 0 }, { R_R, 0 } } },
	{ "RWC+mfence", 3, rwc, { { W, 0 }, { R_R, 0 }, { W_F_R, 1 } }, { { W, 0 }, { R_R, 0 }, { W_R, 1 } } },
	{ "IRIW", 4, two_orders, { { W, 0 }, { W, 1 }, { R_R, 0 }, { R_R, 1 } },
		{ { W, 0 }, { W, 0 }, { R_R, 0 }, { R_R, 0 } }, .sure = true },
};

/* ---- running one -------------------------------------------------------------------------------- */

/* Instances lie in `batch` places; where x and y of one are, differs from batch to batch. */
enum { BATCH = 128, STEP = 256, KINDS = 4 };

struct run {
	const struct shape *shape;
	step *program[THREADS];
	bool turned[THREADS];
	unsigned batches;
	struct memory *memory;
	struct barrier barrier;
	struct {
		_Alignas(LINE) uint64_t at;
	} progress[THREADS];
	struct outcome outcome[BATCH];
	_Alignas(LINE) uint64_t turn;
	uint64_t seen;
};

static uint8_t *place(const struct run *run, unsigned batch, unsigned i, bool second)
{
	size_t half = run->memory->pages / 2 * PAGE;
	size_t at = 64 + (size_t)i * STEP;

	switch (batch % KINDS) {
	case 0: /* lines of their own */
		return run->memory->plain + at + second * 128;
	case 1: /* one line, another mapping for each variable */
		return (second ? run->memory->again : run->memory->plain) + at + second * 16;
	case 2: /* pages of their own */
		return run->memory->plain + at + second * half;
	default: /* pages whose code is run */
		return run->memory->code + at + second * half;
	}
}

static void clear(struct run *run, unsigned batch)
{
	for (unsigned i = 0; i < BATCH; i++) {
		memset(place(run, batch, i, false), 0, 16);
		memset(place(run, batch, i, true), 0, 16);
	}
}

static void collect(struct run *run, unsigned batch)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct outcome *o = &run->outcome[i];

		o->x = *place(run, batch, i, false);
		o->y = *place(run, batch, i, true);
		run->seen += run->shape->seen(o);
	}
}

/* The others may be elsewhere: wait for them a while, not for ever. */
static void keep_step(struct run *run, int me, uint64_t at)
{
	put(&run->progress[me].at, at);
	for (int i = 0; i < run->shape->threads; i++) {
		for (unsigned turns = 0; turns < 40 && get(&run->progress[i].at) < at; turns++)
			pause_here();
	}
}

static void body(int me, void *opaque)
{
	struct run *run = opaque;
	int count = run->shape->threads;
	unsigned turns = 0;
	uint64_t round = 0, chance = (uint64_t)me * 77 + 1;

	for (unsigned batch = 0; batch < run->batches; batch++) {
		if (me == 0)
			clear(run, batch);
		if (batch % KINDS == KINDS - 1) {
			for (size_t i = 0; i < run->memory->pages; i++)
				run_code(run->memory->code + i * PAGE);
		}
		meet(&run->barrier, count, ++round);
		/* --break: one after the other, where that shows it. */
		while (broken && run->shape->sure && get(&run->turn) < batch * (uint64_t)count + (uint64_t)me)
			wait_a_little(&turns);
		for (unsigned i = 0; i < BATCH; i++) {
			uint8_t *x = place(run, batch, i, run->turned[me]);
			uint8_t *y = place(run, batch, i, !run->turned[me]);

			if (count <= processors && !(broken && run->shape->sure))
				keep_step(run, me, (uint64_t)batch * BATCH + i);
			chance = chance * 6364136223846793005u + 1442695040888963407u;
			for (unsigned wait = chance >> 61; wait; wait--)
				__asm__ volatile("");
			run->program[me](x, y, run->outcome[i].r[me]);
		}
		if (broken && run->shape->sure)
			put(&run->turn, batch * (uint64_t)count + (uint64_t)me + 1);
		meet(&run->barrier, count, ++round);
		if (me == 0)
			collect(run, batch);
	}
}

/* Returns how often an outcome was seen that is allowed. */
static uint64_t run_one(struct memory *memory, const struct shape *shape, const struct form *form, unsigned batches)
{
	static struct run run;
	bool allowed = shape->allowed && !form->locked;
	char name[64];

	memset(&run, 0, sizeof(run));
	run.shape = shape;
	run.memory = memory;
	run.batches = batches;
	for (int i = 0; i < shape->threads; i++) {
		const struct part *p = broken ? &shape->instead[i] : &shape->part[i];

		run.program[i] = form->program[p->program];
		run.turned[i] = p->turned;
	}
	together(shape->threads, body, &run);
	snprintf(name, sizeof(name), "%s, %s", shape->name, form->name);
	if (allowed)
		return run.seen;
	judge(name, (uint64_t)batches * BATCH, run.seen, shape->sure);
	return 0;
}

/* Forms whose stores take 0 for granted, or may be told apart by their first value only. */
static bool fits(const struct shape *shape, const struct form *form)
{
	static const char *const once[] = { "modify", "setcc", "cmpxchg", "xadd" };

	for (size_t i = 0; shape->writes_twice && i < sizeof(once) / sizeof(*once); i++) {
		if (!strcmp(form->name, once[i]))
			return false;
	}
	return true;
}

void test_shapes(void)
{
	struct memory memory;

	/* x and y are up to half of it apart. */
	memory_make(&memory, (BATCH * STEP / PAGE + 1) * 2);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		unsigned batches = (unsigned)times(broken ? 150 : 8);
		uint64_t rounds = 0, seen = 0;

		for (size_t j = 0; j < sizeof(forms) / sizeof(*forms); j++) {
			if (!fits(&shapes[i], &forms[j]) || (broken && strcmp(forms[j].name, "mov32")))
				continue;
			seen += run_one(&memory, &shapes[i], &forms[j], batches);
			rounds += (uint64_t)batches * BATCH;
		}
		if (shapes[i].allowed)
			mention(shapes[i].name, rounds, seen, "times what it is allowed to be");
	}
	memory_free(&memory);
}
