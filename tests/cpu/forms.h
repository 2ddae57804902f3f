/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/forms.h - every instruction form there is: the opcode space walked with Zydis, once per run.
 *
 * A form is an opcode with its mandatory prefix, its ModRM.reg and whether ModRM names memory; what else can
 * vary (registers, addressing, optional prefixes, immediates) gen.c draws.
 */
#ifndef SERAI_TESTS_CPU_FORMS_H
#define SERAI_TESTS_CPU_FORMS_H

#include "base/error.h"

#include <Zydis/Zydis.h>

struct form {
	uint8_t vex;  /* 0: legacy, else VEX */
	uint8_t map;  /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
	uint8_t pp;   /* 0: none, 1: 66, 2: F3, 3: F2 */
	uint8_t w, l; /* REX.W or VEX.W; VEX.L */
	uint8_t opcode;
	uint8_t modrm; /* 0: none, 1: memory, 2: register */
	uint8_t reg;   /* ModRM.reg, low 3 bits */
	uint8_t rm;    /* ModRM.rm where it selects the instruction */
	uint16_t mnemonic;
};

struct form_table {
	unsigned bits;
	ZydisDecoder decoder;
	struct form *forms; /* sorted by mnemonic */
	unsigned count;
	struct form_group {
		uint16_t mnemonic;
		bool simd; /* SSE and younger, or x87 */
		unsigned first, count;
	} * groups;                        /* one per mnemonic */
	unsigned group_count, plain_count; /* groups 0..plain_count-1 are not SIMD */
};

/* `only` is a mnemonic in lower case or NULL; false when nothing has it. */
bool forms_build(struct form_table *t, unsigned bits, const char *only, GError **error);
void forms_free(struct form_table *t);

/* True when an instruction may run natively and is expected to behave the same in the guest; forms_excluded.c
 * says of each one left out why. */
bool form_allowed(const ZydisDecodedInstruction *insn);

/* True when bytes that Zydis does not decode may run natively: no system call hides behind their prefixes. */
bool form_bytes_harmless(const uint8_t *bytes, unsigned len, unsigned bits);

#endif
