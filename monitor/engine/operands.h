/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine/operands.h - what a decoded instruction uses, as the builders of host code ask for it.
 *
 * Pure; any thread.
 */
#ifndef SERAI_MONITOR_ENGINE_OPERANDS_H
#define SERAI_MONITOR_ENGINE_OPERANDS_H

#include "monitor/cpu/insn.h"

/* Number 0..15 of an XMM or YMM register; false: it is neither. */
bool operand_vector(ZydisRegister reg, unsigned *n);

/* Vector registers the instruction uses and writes, a bit each. */
void operand_vectors(const struct decoded *d, uint16_t *used, uint16_t *written);

/* Does it have a fourth register, in its immediate? */
bool operand_has_is4(const struct decoded *d);

/* in: the host's flags must be the guest's before it, because it reads some or leaves some alone; out: it
 * sets some. */
struct flags_use {
	bool in, out;
};
struct flags_use operand_flags(const struct decoded *d);

/* Is what stands behind it never reached by going straight on? */
bool operand_always_leaves(const struct decoded *d);

#endif
