/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/gen.h - case number N of a seed.
 */
#ifndef SERAI_TESTS_CPU_GEN_H
#define SERAI_TESTS_CPU_GEN_H

#include "tests/cpu/case.h"
#include "tests/cpu/forms.h"
#include "tests/cpu/rng.h"

struct gen_options {
	uint64_t seed;
	unsigned max_insns; /* of a sequence; 1: single instructions only */
	bool ldt;           /* the segments of segments.h are there */
};

/* The same arguments give the same case. */
void gen_case(const struct form_table *t, const struct gen_options *o, uint64_t number, struct test_case *tc);

/* MEM_BYTES of integers, floats and noise that all cases of a seed start from. */
void gen_base_memory(uint64_t seed, uint8_t *mem);

/* An instruction and what Zydis makes of it. */
struct drawn {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t bytes[15];
	unsigned len;
	bool decoded;
};

/* ---- values.c: what people who break CPUs would put into registers
 * ------------------------------------------ */

#define R_SP_INDEX 4

uint64_t gen_value(struct rng *r);
uint64_t gen_rflags(struct rng *r);
void gen_vector(struct rng *r, uint8_t bytes[16]);
void gen_x87(struct rng *r, uint8_t st[10]);
void gen_fpu_image(struct rng *r, uint8_t *xs);
void gen_cpu_state(struct rng *r, unsigned bits, bool ldt, struct cpu_state *s);

/* Mostly one that exists. */
uint16_t gen_selector(struct rng *r);

/* An address in the code page where only int3 lies. */
uint64_t gen_code_target(struct rng *r);

/* ---- encode.c
 * ----------------------------------------------------------------------------------------------- */

/* Up to 15 bytes of the form with random registers, addressing and prefixes; what follows the opcode's fields
 * is random, so a decoder finds displacement and immediate there. */
void gen_encode(struct rng *r, const struct form *f, unsigned bits, uint8_t out[15]);

/* ---- operands.c: make memory operands hit something
 * ---------------------------------------------------------- */

struct gen {
	const struct form_table *t;
	struct rng rng;
	struct test_case *tc;
	uint16_t pinned;  /* registers whose start value an instruction relies on */
	uint16_t written; /* registers an earlier instruction changes */
	bool calm;        /* a sequence: faults should be few */
	bool tame;        /* no address that faults on purpose */
};

/* One instruction of any form that may run; `alone`: it may be something that does not decode. */
bool gen_draw(struct gen *g, struct drawn *d, bool alone);

/* Give registers, displacements and memory values that make the instruction at `va` do its work; false when
 * an address could not be arranged. */
bool gen_operands(struct gen *g, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops,
	uint8_t *bytes, uint64_t va);

/* 0..15 for a general register of any size (AH..BH as their own register), else -1. */
int gen_gpr_index(ZydisRegister reg);

/* Note what the instruction writes. */
void gen_note_writes(struct gen *g, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops);

#endif
