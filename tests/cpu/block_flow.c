/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block_flow.c - branches and loops of a block.
 *
 * Branches lead forward, to a label of their own construct; loops count a register that nothing in them
 * writes.  So every path ends.
 */
#include "tests/cpu/block.h"

#define M(name)   ZYDIS_MNEMONIC_##name
#define NONE      ZYDIS_REGISTER_NONE
#define CHANCE(p) rng_percent(b->r, p)
#define JCC       (0x70 + rng_below(b->r, 16))
#define JMP       0xebu
#define JNZ       0x75u

static unsigned part(struct block *b, unsigned n)
{
	return 1 + rng_below(b->r, MAX_OF(n, 1));
}

static void forward(struct block *b, unsigned n)
{
	unsigned out = block_label(b);
	bool jmp = CHANCE(25);

	block_jump(b, jmp ? JMP : JCC, CHANCE(40), out);
	block_region(b, part(b, MIN_OF(n, 5)));
	block_here(b, out);
}

static void two_ways(struct block *b, unsigned n)
{
	unsigned other = block_label(b), out = block_label(b);

	block_jump(b, JCC, CHANCE(40), other);
	block_region(b, part(b, n / 2));
	block_jump(b, JMP, CHANCE(40), out);
	block_here(b, other);
	block_region(b, part(b, n / 2));
	block_here(b, out);
}

/* Several branches on one set of flags, as compilers make them. */
static void chain(struct block *b, unsigned n)
{
	unsigned out = block_label(b), more = 2 + rng_below(b->r, 3);

	for (unsigned i = 0; i < more; i++) {
		block_jump(b, JCC, true, out);
		if (CHANCE(70))
			block_neutral(b);
	}
	block_region(b, part(b, n / 2));
	block_here(b, out);
}

static void over_jrcxz(struct block *b, unsigned n)
{
	unsigned out = block_label(b);

	if (CHANCE(30) && !(b->reserved & 2))
		block_put(b, M(XOR), 2, block_gpr(1, 4), block_gpr(1, 4));
	block_jump(b, 0xe3, false, out);
	block_region(b, part(b, MIN_OF(n, 4)));
	block_here(b, out);
}

/* Memory of a construct's own with the addresses of labels in it. */
static block_op label_table(struct block *b, const unsigned *labels, unsigned count, int index)
{
	struct test_case *tc = b->tc;
	unsigned word = block_word(b), k = tc->patch_count;
	uint32_t at = block_slot(b, word * count);

	if (k < CASE_PATCHES) {
		tc->patches[k] = (struct patch){ .offset = at, .len = (uint8_t)(word * count) };
		for (unsigned i = 0; i < count; i++)
			block_fix(b, FIX_PATCH, k, i * word, word, labels[i]);
		tc->patch_count++;
	}
	return block_mem(word, NONE, index >= 0 ? block_register((unsigned)index, word) : NONE, word,
		(int64_t)case_mem_address(at));
}

/* JMP through a register or memory; what lies between is not reached. */
static void indirect(struct block *b, unsigned n)
{
	unsigned out = block_label(b), reg = block_scratch(b);

	if (CHANCE(50)) {
		uint16_t reserved = b->reserved;

		block_load_label(b, reg, out);
		b->reserved |= (uint16_t)(1u << reg);
		if (CHANCE(50))
			block_neutral(b);
		b->reserved = reserved;
		block_put(b, M(JMP), 1, block_gpr(reg, block_word(b)));
	} else {
		block_put(b, M(JMP), 1, label_table(b, &out, 1, -1));
	}
	block_region(b, part(b, MIN_OF(n, 3)));
	block_here(b, out);
}

/* Counts down or up to nothing; rcx has instructions of its own for it. */
static unsigned draw_count(struct block *b)
{
	unsigned most = b->loops == 0 ? (CHANCE(12) ? 60 : 8) : b->loops == 1 ? 4 : 2;

	return 1 + rng_below(b->r, most);
}

static void set_counter(struct block *b, unsigned c, unsigned value)
{
	if (!b->depth && !((b->g.written | b->g.pinned) >> c & 1)) {
		b->tc->init.gpr[c] = value;
		b->g.pinned |= (uint16_t)(1u << c);
		return;
	}
	b->reserved &= (uint16_t) ~(1u << c);
	block_put(b, M(MOV), 2, block_gpr(c, 4), block_imm(value));
	b->reserved |= (uint16_t)(1u << c);
}

/* The counter's change and the branch back; flags of one may reach the other over other instructions. */
static void loop_end(struct block *b, unsigned c, unsigned count, unsigned head, bool up)
{
	unsigned word = CHANCE(50) ? 4 : block_word(b), kind = rng_below(b->r, c == 1 ? 8 : 5);
	block_op reg = block_gpr(c, word);
	unsigned out;

	b->reserved &= (uint16_t) ~(1u << c);
	if (up) {
		block_put(b, M(ADD), 2, reg, block_imm(1));
		block_put(b, M(CMP), 2, reg, block_imm(count));
		block_jump(b, CHANCE(50) ? 0x72 : 0x7c, CHANCE(30), head); /* jb, jl */
	} else if (kind < 3) {
		if (kind == 0)
			block_put(b, M(DEC), 1, reg);
		else
			block_put(b, kind == 1 ? M(SUB) : M(ADD), 2, reg, block_imm(kind == 1 ? 1 : -1));
		b->reserved |= (uint16_t)(1u << c);
		for (unsigned i = rng_below(b->r, 3); i-- > 0;)
			block_neutral(b);
		block_jump(b, JNZ, CHANCE(30), head);
	} else if (kind < 5) {
		block_put(b, M(LEA), 2, reg,
			block_mem(block_word(b), block_register(c, block_word(b)), NONE, 0, -1));
		block_put(b, M(TEST), 2, reg, reg);
		block_jump(b, JNZ, CHANCE(30), head);
	} else if (kind < 7) {
		block_jump(b, CHANCE(60) ? 0xe2 : CHANCE(50) ? 0xe0 : 0xe1, false, head);
	} else {
		out = block_label(b);
		block_put(b, M(DEC), 1, block_gpr(1, block_word(b)));
		block_jump(b, 0xe3, false, out);
		block_jump(b, JMP, CHANCE(30), head);
		block_here(b, out);
	}
	b->reserved |= (uint16_t)(1u << c);
}

static void loop(struct block *b, unsigned n)
{
	int c = block_reserve(b, CHANCE(50) ? 1 : -1), outer = b->counter;
	unsigned head = block_label(b), middle = block_label(b), count = draw_count(b);
	bool up = CHANCE(20), enter_middle = CHANCE(15);

	if (c < 0) {
		forward(b, n);
		return;
	}
	set_counter(b, (unsigned)c, up ? 0 : count);
	b->counter = c;
	b->loops++;
	b->depth++;
	if (enter_middle)
		block_jump(b, JMP, CHANCE(30), middle);
	block_here(b, head);
	block_region(b, part(b, n));
	block_here(b, middle);
	if (enter_middle)
		block_region(b, part(b, n / 2));
	loop_end(b, (unsigned)c, count, head, up);
	b->depth--;
	b->loops--;
	b->counter = outer;
	b->reserved &= (uint16_t) ~(1u << c);
}

/* A number of several words, carry and all, over DEC, which leaves it alone. */
static void carry_loop(struct block *b)
{
	int c = block_reserve(b, -1), i = c < 0 ? -1 : block_reserve(b, -1);
	unsigned word = block_word(b), head = block_label(b), value = block_scratch(b),
		 n = 2 + rng_below(b->r, 6);
	block_op from, to, index;

	if (i >= 0) {
		uint64_t base =
			DATA_BASE + 8 * rng_below(b->r, 0x380) + rng_below(b->r, 2) * (CHANCE(20) ? 3 : 0);

		from = block_mem(word, NONE, block_register((unsigned)i, word), word, (int64_t)base);
		to = block_mem(word, NONE, block_register((unsigned)i, word), word, (int64_t)base + 64);
		index = block_gpr((unsigned)i, word);
		set_counter(b, (unsigned)c, n);
		set_counter(b, (unsigned)i, 0);
		b->reserved &= (uint16_t) ~(1u << c | 1u << i);
		block_put(b, CHANCE(50) ? M(CLC) : M(STC), 0);
		block_here(b, head);
		block_put(b, M(MOV), 2, block_gpr(value, word), from);
		block_put(b, CHANCE(50) ? M(ADC) : M(SBB), 2, to, block_gpr(value, word));
		block_put(
			b, M(LEA), 2, index, block_mem(word, block_register((unsigned)i, word), NONE, 0, 1));
		block_put(b, M(DEC), 1, block_gpr((unsigned)c, word));
		block_jump(b, JNZ, CHANCE(30), head);
		b->reserved &= (uint16_t) ~(1u << i);
	}
	if (c >= 0)
		b->reserved &= (uint16_t) ~(1u << c);
}

/* A loop whose body is chosen by a jump through a table: another target every time. */
static void table_loop(struct block *b, unsigned n)
{
	int c = block_reserve(b, -1), outer = b->counter;
	unsigned word = block_word(b), head = block_label(b), join = block_label(b), count, labels[4];
	block_op reg;

	if (c < 0) {
		forward(b, n);
		return;
	}
	count = 2 + rng_below(b->r, 3);
	reg = block_gpr((unsigned)c, word);
	set_counter(b, (unsigned)c, count);
	b->counter = c;
	b->loops++;
	b->depth++;
	block_here(b, head);
	for (unsigned i = 0; i < count; i++)
		labels[i] = block_label(b);
	b->reserved &= (uint16_t) ~(1u << c);
	block_put(b, M(LEA), 2, reg, block_mem(word, block_register((unsigned)c, word), NONE, 0, -1));
	b->reserved |= (uint16_t)(1u << c);
	block_put(b, M(JMP), 1, label_table(b, labels, count, c));
	for (unsigned i = 0; i < count; i++) {
		block_here(b, labels[i]);
		block_region(b, part(b, n / count));
		if (CHANCE(60))
			block_jump(b, JMP, CHANCE(30), join);
	}
	block_here(b, join);
	block_put(b, M(TEST), 2, reg, reg);
	block_jump(b, JNZ, CHANCE(30), head);
	b->depth--;
	b->loops--;
	b->counter = outer;
	b->reserved &= (uint16_t) ~(1u << c);
}

void block_flow(struct block *b, unsigned n)
{
	unsigned k = rng_below(b->r, 100);

	if (b->depth >= 3) {
		forward(b, n);
		return;
	}
	if (k < 22)
		forward(b, n);
	else if (k < 32)
		two_ways(b, n);
	else if (k < 38)
		chain(b, n);
	else if (k < 43)
		over_jrcxz(b, n);
	else if (k < 50)
		indirect(b, n);
	else if (k < 56)
		carry_loop(b);
	else if (k < 63)
		table_loop(b, n);
	else if (k < 80)
		loop(b, n);
	else if (k < 88)
		block_leave(b);
	else
		block_call(b, n);
}
