/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/block.h - what the parts of the generator of blocks share: a case being written, its labels, the
 * registers' roles.
 *
 * A block is built of constructs that nest (a loop, a call with its subroutine, a branch over something), so
 * that it ends whatever the data are.  Registers that a construct relies on are reserved: nothing else writes
 * them.  Labels are instruction numbers; where one is used before it is known, a fixup fills it in.
 */
#ifndef SERAI_TESTS_CPU_BLOCK_H
#define SERAI_TESTS_CPU_BLOCK_H

#include "tests/cpu/gen.h"
#include "tests/cpu/segments.h"

#define BLOCK_LABELS 128
#define BLOCK_FIXUPS 128
#define BLOCK_BASES  3

enum fixup_kind {
	FIX_RELATIVE, /* in an instruction: from its end */
	FIX_ABSOLUTE, /* in an instruction */
	FIX_GPR,      /* start value of a register */
	FIX_PATCH,    /* in memory */
};

struct block {
	struct gen g;
	struct rng *r; /* g's */
	struct test_case *tc;
	uint64_t va;        /* of the next instruction */
	unsigned limit;     /* instructions wanted */
	unsigned depth;     /* of constructs */
	unsigned loops;     /* around here */
	unsigned calls;     /* around here: the stack must stay level */
	int counter;        /* register of the innermost loop, small; -1: none */
	uint16_t reserved;  /* registers only their construct writes */
	bool integer;       /* no vectors, no drawn forms: EFLAGS.AC or TF is set */
	bool faults;        /* wanted, somewhere */
	uint32_t next_slot; /* of memory that no other access is aimed at */
	struct block_base { /* the first one's alignment is known all the time */
		uint8_t reg;
		bool edge;      /* close to the end of a page */
		uint64_t start; /* its value in the beginning */
	} base[BLOCK_BASES];
	unsigned base_count;
	unsigned label_count, fixup_count;
	uint8_t label[BLOCK_LABELS];
	struct block_fixup {
		uint8_t kind, label, size;
		uint8_t where; /* instruction, register or patch */
		uint8_t at;    /* byte in it */
		uint8_t add;   /* to the label's address */
	} fixup[BLOCK_FIXUPS];
};

/* ---- block.c: bytes and labels
 * ----------------------------------------------------------------------------- */

typedef ZydisEncoderOperand block_op;

static inline unsigned block_word(const struct block *b)
{
	return b->tc->bits / 8;
}

/* Register by number and size in bytes. */
ZydisRegister block_register(unsigned n, unsigned size);
block_op block_reg(ZydisRegister reg);
block_op block_gpr(unsigned n, unsigned size);
block_op block_imm(int64_t value);
block_op block_mem(unsigned size, ZydisRegister base, ZydisRegister index, unsigned scale, int64_t disp);

/* Append an instruction; false when there is no such encoding, no room, or it would write a reserved
 * register. prefixes: ZYDIS_ATTRIB_HAS_*. */
bool block_put(struct block *b, ZydisMnemonic mnemonic, unsigned count, ...);
bool block_put_ops(
	struct block *b, uint64_t prefixes, ZydisMnemonic mnemonic, unsigned count, const block_op *ops);
bool block_put_bytes(struct block *b, const void *bytes, unsigned len);
/* The same for an instruction that is decoded already; writes are checked. */
bool block_put_decoded(struct block *b, const uint8_t *bytes, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops);

unsigned block_label(struct block *b);            /* somewhere later */
void block_here(struct block *b, unsigned label); /* before the next instruction */
void block_fix(
	struct block *b, enum fixup_kind kind, unsigned where, unsigned at, unsigned size, unsigned label);

/* A jump with 8 or 32 bits: opcode 0xeb: jmp, 0x70 + cc: jcc, 0xe8: call (32 only), 0xe0..0xe3 (8 only). */
void block_jump(struct block *b, unsigned opcode, bool near, unsigned label);
/* mov reg, label. */
void block_load_label(struct block *b, unsigned reg, unsigned label);

/* Fill in what the fixups say. */
void block_finish(struct block *b);

/* A general register that may be written; not RSP.  block_any_gpr: that may be read. */
unsigned block_scratch(struct block *b);
unsigned block_any_gpr(struct block *b);
/* One nobody may write until it is given back; -1: too few are left. */
int block_reserve(struct block *b, int wanted);

/* `size` bytes of data memory for a construct alone; its offset in the memory image. */
uint32_t block_slot(struct block *b, unsigned size);

/* ---- block_operand.c, block_data.c, block_vector.c, block_fault.c: straight instructions
 * --------------------------------------------------- */

/* A memory operand of the block's, with a segment prefix perhaps; `aligned`: its address is a multiple of
 * size as long as its base register stands still. */
block_op block_operand(struct block *b, unsigned size, bool aligned, uint64_t *prefixes);
/* Through a base register; there must be one. */
block_op block_based(struct block *b, unsigned size, bool aligned);

void block_integer(struct block *b);
void block_stack_run(struct block *b);
/* Make flags, do something that leaves them alone, use them. */
void block_far_flags(struct block *b);
/* One that leaves the flags alone; memory accesses mostly. */
void block_neutral(struct block *b);
void block_vector(struct block *b);
/* Any form there is. */
void block_form(struct block *b);
/* Something that faults, nearly certainly. */
void block_fault(struct block *b);

/* ---- block_flow.c, block_call.c, block_leave.c, block_smc.c: constructs; block_gen.c: what they are filled with
 * ------------------------- */

/* About `n` instructions of anything. */
void block_region(struct block *b, unsigned n);
void block_flow(struct block *b, unsigned n);
void block_call(struct block *b, unsigned n);
/* Flags that are read only behind a way out. */
void block_leave(struct block *b);
/* A store to the code and, behind a jump, what it changed. */
void block_smc(struct block *b, unsigned n);

/* Case number N of a seed, as a block. */
void gen_block_case(
	const struct form_table *t, const struct gen_options *o, uint64_t number, struct test_case *tc);

#endif
