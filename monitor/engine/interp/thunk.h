/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/thunk.h - plain instructions, each as a few host instructions over the guest's registers in memory.
 *
 * Owns:    one region of generated code per vCPU, written through one mapping and run through another (W^X).
 * Promise: a thunk loads the registers its instruction uses, runs it with its memory operand at the host
 * address in RSI, and stores what it wrote: results and flags are the processor's own.  A host exception
 * inside it leaves the guest's state untouched (but MXCSR's sticky flags). Threads: the vCPU's own.
 */
#ifndef SERAI_MONITOR_ENGINE_INTERP_THUNK_H
#define SERAI_MONITOR_ENGINE_INTERP_THUNK_H

#include "monitor/cpu/insn.h"

/* v in RDI; the memory operand, or anything, in RSI.  Returns INSN_NEXT, so a register-only thunk is an
 * insn_fn. */
typedef int thunk_fn(struct vcpu *v, const void *memory);

struct thunk_slot {
	uint32_t offset; /* 0: empty (the first bytes of the region are not used) */
	uint32_t length;
};

struct thunk_arena {
	uint8_t *rw, *rx;
	size_t size, used;
	struct thunk_slot *slots; /* open addressing by hash of the code */
	unsigned slot_count, slots_used;
};

bool thunk_arena_create(struct thunk_arena *a, GError **error);
void thunk_arena_destroy(struct thunk_arena *a);

/* Forget all thunks. */
void thunk_arena_reset(struct thunk_arena *a);

/* The thunk of a plain instruction; NULL: the region is full, reset it and everything that points into it. */
thunk_fn *thunk_get(
	struct thunk_arena *a, const struct decoded *d, const uint8_t *code, const struct insn *i);

static inline bool thunk_arena_contains(const struct thunk_arena *a, uintptr_t pc)
{
	return pc - (uintptr_t)a->rx < a->size;
}

#endif
