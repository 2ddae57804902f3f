/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/compare.h - two outcomes side by side.
 */
#ifndef SERAI_TESTS_CPU_COMPARE_H
#define SERAI_TESTS_CPU_COMPARE_H

#include "tests/cpu/case.h"

#include <glib.h>

/* What the architecture leaves open in a case (undefined.c): bits that are 1 are not compared. */
struct loose {
	uint64_t rflags;
	uint64_t cr2;
	bool error_code;
	bool x87;                 /* its registers and tags */
	uint32_t mxcsr;           /* bits */
	uint16_t gpr;             /* registers by number */
	uint32_t same_vectors[3]; /* sets of vectors that count as one: several faults, no order laid down */
	bool skip;                /* nothing can be said of this outcome; counted apart */
	unsigned range_count;
	struct loose_range {
		uint32_t from, to; /* offsets in the memory image */
	} range[4 * 4];
};

/* Instructions whose image holds FPU pointers; only alone can they be found in memory again. */
bool saves_fpu_pointers(ZydisMnemonic mnemonic);

/* Flags an instruction leaves undefined that the interpreter cannot take from the host CPU; 0 for most. */
uint64_t undefined_flags(ZydisMnemonic mnemonic);

void loose_for(const struct test_case *tc, const struct outcome *native, const struct outcome *guest,
	struct loose *loose);

/* True when they agree; otherwise appends a line a differing field to `why` (may be NULL). */
bool outcomes_agree(
	const struct test_case *tc, const struct outcome *native, const struct outcome *guest, GString *why);

/* "#PF", "exit", ... */
const char *vector_name(unsigned vector);

/* Disassembly and start state of a case. */
void report_case(const struct test_case *tc, GString *out);

/* Mnemonics of its instructions, for a title. */
void report_title(const struct test_case *tc, GString *out);

#endif
