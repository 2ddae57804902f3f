/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/case.h - what one differential test is: instructions, the state they start from, the state they
 * leave.
 *
 * A case is self-contained, so that the shrinker can change any part of it and both sides run the same thing
 * again.
 */
#ifndef SERAI_TESTS_CPU_CASE_H
#define SERAI_TESTS_CPU_CASE_H

#include "base/compiler.h"
#include "tests/cpu/native_layout.h"

#include <Zydis/Zydis.h>

#define CASE_INSNS   64
#define CASE_PATCHES 16
#define CASE_PAGE    4096u

/* Memory the tested code may write or read: data pages 0..2 (2 is read-only), then the two stack pages. */
#define DATA_PAGES  3
#define STACK_PAGES 2
#define MEM_PAGES   (DATA_PAGES + STACK_PAGES)
#define MEM_BYTES   (MEM_PAGES * CASE_PAGE)

/* Where instructions lie; a block may run from one page into the next. */
#define CODE_PAGES 2
#define CODE_BYTES (CODE_PAGES * CASE_PAGE)

#define XSAVE_BYTES 832 /* standard format: legacy, header, AVX */

struct insn_bytes {
	uint8_t len;
	uint8_t bytes[15];
	uint8_t kept_for; /* this and the instruction of that number plus 1 make sense together only; 0: none
			   */
	bool nop;         /* the shrinker's, in place of another */
};

enum { SEL_I_DS, SEL_I_ES, SEL_I_FS, SEL_I_GS, SEL_I_SS };

struct cpu_state {
	uint64_t gpr[16]; /* hardware order */
	uint64_t rip, rflags;
	uint64_t fs_base, gs_base; /* 64-bit code */
	uint16_t sel[5];           /* ds es fs gs ss, as SEL_I_* */
	uint8_t xsave[XSAVE_BYTES] __attribute__((aligned(64)));
};

/* Bytes laid over the base memory image before the run. */
struct patch {
	uint32_t offset; /* in the memory image, bytes */
	uint8_t len;
	uint8_t bytes[40];
};

struct test_case {
	uint64_t number;
	unsigned bits; /* 64 or 32 */
	unsigned count;
	uint32_t code_off; /* of the first instruction in the code pages */
	bool cut;          /* the code runs into the end of its pages: no way to EXIT_BASE behind it */
	bool block;        /* control flow inside (block.h); run in the engine in every enum guest_way */
	bool writable;     /* the code pages are writable, and may be changed by the code itself */
	bool precise;      /* flags nobody reads must be right, too, when a fault shows them */
	bool views;        /* user code gets its view at once (engine bt) */
	bool zero_memory;  /* the base image is all zero (shrinker) */
	struct insn_bytes insns[CASE_INSNS];
	struct cpu_state init;
	unsigned patch_count;
	struct patch patches[CASE_PATCHES];
};

#define VECTOR_EXIT 0x100 /* came to EXIT_BASE */
#define VECTOR_HUNG 0x101 /* did not come back: a loop */
#define VECTOR_LOST 0x102 /* guest only: triple fault, broken engine, or halted elsewhere */

struct outcome {
	unsigned vector;
	uint32_t error_code;
	uint64_t cr2; /* vector 14 only, else 0 */
	struct cpu_state s;
	const uint8_t *mem;  /* MEM_BYTES, in the order of the image */
	const uint8_t *code; /* CODE_BYTES */
};

/* Memory image offset of a linear address, or -1. */
static inline int64_t case_mem_offset(uint64_t va)
{
	if (va - DATA_BASE < DATA_PAGES * CASE_PAGE)
		return (int64_t)(va - DATA_BASE);
	if (va - STACK_BASE < STACK_PAGES * CASE_PAGE)
		return (int64_t)(va - STACK_BASE + DATA_PAGES * CASE_PAGE);
	return -1;
}

static inline uint64_t case_mem_address(uint32_t offset)
{
	return offset < DATA_PAGES * CASE_PAGE ? DATA_BASE + offset
					       : STACK_BASE + offset - DATA_PAGES * CASE_PAGE;
}

/* The code pages: int3, the instructions, a jump to EXIT_BASE. */
void case_code(const struct test_case *tc, uint8_t pages[CODE_BYTES]);

/* The memory the case starts with. `base` is the seed's image. */
void case_memory(const struct test_case *tc, const uint8_t *base, uint8_t *mem);

/* Address of instruction i, or of what follows the last for i == count. */
uint64_t case_insn_address(const struct test_case *tc, unsigned i);

#endif
