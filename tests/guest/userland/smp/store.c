/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.c - plain aligned stores of up to eight bytes are one: nobody sees half of one (SDM 3A, 9.1.1), and none is
 * done a second time when somebody has already replaced what it stored.
 */
#include "smp.h"
#include "forms.h"

struct form {
	const char *name;
	unsigned size;
	bool locked;
	void (*store)(void *p, uint64_t v);
	uint64_t (*load)(void *p);
};

#define FORM(F, SIZE, LOCKED) \
	static void do_store_##F(void *p, uint64_t v) \
	{ \
		store_##F(p, v); \
	} \
	static uint64_t do_load_##F(void *p) \
	{ \
		return load_##F(p); \
	}
FORMS(FORM)
#undef FORM

static const struct form forms[] = {
#define FORM(F, SIZE, LOCKED) { #F, SIZE, LOCKED, do_store_##F, do_load_##F },
	FORMS(FORM)
#undef FORM
};

enum { PLAIN, CODE, PLACES };

struct run {
	const struct form *form;
	uint8_t *p;
	const uint8_t *code;
	uint64_t rounds, wrong;
	struct barrier barrier;
	_Alignas(LINE) uint64_t end;
	_Alignas(LINE) uint64_t looks;
};

static void run_both(const struct run *run)
{
	if (run->code)
		run_code(run->code);
}

/* ---- no half -------------------------------------------------------------------------------------- */

static uint64_t pattern(uint64_t i)
{
	return (i & 0x7f) * 0x0101010101010101ull;
}

static bool whole(uint64_t v, unsigned size)
{
	uint64_t mask = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

	return ((v ^ pattern(v & 0xff)) & mask) == 0;
}

static void tear(int me, void *opaque)
{
	struct run *run = opaque;
	unsigned size = run->form->size;

	meet(&run->barrier, 2, 1);
	if (me == 0) {
		for (uint64_t i = 0; i < (broken ? 100 : run->rounds); i++) {
			if (i % 256 == 0)
				run_both(run);
			if (broken) {
				uint64_t before = get(&run->looks);
				unsigned turns = 0;

				memset(run->p, (int)(i & 0x7f), size / 2);
				while (get(&run->looks) == before)
					wait_a_little(&turns);
				memset(run->p + size / 2, (int)(i & 0x7f), size / 2);
			} else {
				run->form->store(run->p, pattern(i));
			}
		}
		put(&run->end, 1);
		return;
	}
	/* All loads the stores may meet; a form's own load among them. */
	for (uint64_t turns = 0; !get(&run->end); turns++) {
		put(&run->looks, turns);
		if (!run->form->locked)
			run->wrong += !whole(run->form->load(run->p), size);
		switch (size) {
		case 2:
			run->wrong += !whole(load_mov16(run->p), 2);
			break;
		case 4:
			run->wrong += !whole(load_mov32(run->p), 4);
			break;
		default:
			run->wrong += !whole(load_mov64(run->p), 8);
		}
	}
}

/* ---- not twice ---------------------------------------------------------------------------------- */

enum { REPLACED = 0x80 };

/* The first stores i, the second replaces it, and looks whether i comes back before the next one. */
static void twice(int me, void *opaque)
{
	struct run *run = opaque;
	uint64_t mask = run->form->size >= 8 ? UINT64_MAX : (1ull << 8 * run->form->size) - 1;
	unsigned turns = 0;

	meet(&run->barrier, 2, 1);
	for (uint64_t i = 0; i < run->rounds; i++) {
		uint64_t v = i % 100 + 1, old = v, new = v | REPLACED;
		uint8_t done;

		if (me == 0) {
			if (i % 256 == 0)
				run_both(run);
			run->form->store(run->p, v);
			while (broken && (get(run->p) & 0xff) != (v | REPLACED))
				wait_a_little(&turns);
			if (broken)
				run->form->store(run->p, v);
			while (get(&run->end) <= i)
				wait_a_little(&turns);
			continue;
		}
		do {
			old = v;
			switch (run->form->size) {
			case 1:
				__asm__ volatile("lock cmpxchgb %3, (%2)\n\tsetz %1"
						 : "+a"(old), "=&q"(done)
						 : "r"(run->p), "q"((uint8_t)new)
						 : "memory", "cc");
				break;
			case 2:
				__asm__ volatile("lock cmpxchgw %w3, (%2)\n\tsetz %1"
						 : "+a"(old), "=&q"(done)
						 : "r"(run->p), "r"(new)
						 : "memory", "cc");
				break;
			case 4:
				__asm__ volatile("lock cmpxchgl %k3, (%2)\n\tsetz %1"
						 : "+a"(old), "=&q"(done)
						 : "r"(run->p), "r"(new)
						 : "memory", "cc");
				break;
			default:
				__asm__ volatile("lock cmpxchgq %3, (%2)\n\tsetz %1"
						 : "+a"(old), "=&q"(done)
						 : "r"(run->p), "r"(new)
						 : "memory", "cc");
			}
			if (!done)
				wait_a_little(&turns);
		} while (!done);
		for (unsigned look = 0; look < 30; look++)
			run->wrong += (load_mov64(run->p) & mask) != (new & mask);
		while (broken && (load_mov64(run->p) & mask) == (new & mask))
			wait_a_little(&turns);
		run->wrong += broken;
		/* Forms that add or compare start from 0. */
		memset(run->p, 0, 16);
		put(&run->end, i + 1);
	}
}

static void both(struct memory *memory, const struct form *form, int place, void (*body)(int, void *), const char *what,
	uint64_t rounds)
{
	static struct run run;
	char name[96];

	memset(&run, 0, sizeof(run));
	run.form = form;
	run.rounds = rounds;
	run.p = (place == CODE ? memory->code : memory->plain) + 512;
	run.code = place == CODE ? memory->code : NULL;
	memset(run.p, 0, 16);
	together(2, body, &run);
	snprintf(name, sizeof(name), "%s, %s, %s", what, form->name, place == CODE ? "beside code" : "plain");
	judge(name, rounds, run.wrong, true);
}

void test_store(void)
{
	struct memory memory;

	memory_make(&memory, 2);
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		const struct form *form = &forms[i];
		bool once = !strcmp(form->name, "modify") || !strncmp(form->name, "setcc", 5) ||
			    !strcmp(form->name, "cmpxchg") || !strcmp(form->name, "xadd");

		if (broken && strcmp(form->name, "mov32"))
			continue;
		for (int place = 0; place < PLACES; place++) {
			/* Stores of 16 bytes are not promised to be one, those that read are not plain. */
			if (form->size > 1 && form->size <= 8 && !once && strcmp(form->name, "rep"))
				both(&memory, form, place, tear, "no half of a store", times(5000));
			both(&memory, form, place, twice, "no store twice", times(60));
		}
	}
	memory_free(&memory);
}
