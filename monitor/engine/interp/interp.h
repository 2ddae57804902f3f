/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/interp.h - the interpreter's parts, known to each other only.
 */
#ifndef SERAI_MONITOR_ENGINE_INTERP_INTERP_H
#define SERAI_MONITOR_ENGINE_INTERP_INTERP_H

#include "monitor/engine/engine.h"
#include "monitor/engine/interp/code.h"

/* What trap.c jumps to vcpu.recover with when the host itself failed; exceptions use 1. */
#define INTERP_BROKEN 2
#define INTERP_AGAIN  3 /* the instruction at RIP is the interpreter's to do */
#define INTERP_RETRY  4 /* nowhere: the host's instruction will not fault again */

#define RUN_MAX 64 /* instructions in a run */

/* A decoded instruction outside the pages' runs; as pure a function of its bytes as they are. */
struct oneshot {
	struct insn insn[2]; /* it, and the end of the run */
	uint8_t bytes[15];
	uint8_t code_size;
};

struct interp {
	/* The translator's: a host exception at pc in its code.  Brings the guest's state into the vCPU; what to jump
	 * to vcpu.recover with, 0: not its code.  May be NULL. */
	int (*recover)(struct vcpu *v, const void *ucontext, uintptr_t pc);
	/* The translator's: what was made from code is to be forgotten; all: from RAM too.  May be NULL. */
	void (*forget)(struct vcpu *v, bool all);
	struct thunk_arena thunks;
	const struct thunk_arena *sites; /* the translator's: thunks that are not this vCPU's alone; may be NULL */
	struct code_cache code;
	_Atomic pthread_t thread;    /* the vCPU's */
	uint64_t left;               /* instructions of the budget still to run */
	uint64_t counted;            /* what `left` was when the statistics were last brought up to date */
	struct oneshot oneshot[512]; /* by linear address */
};

/* The instruction at CS:RIP and those behind it.  Raises what fetching and decoding raise. (fetch.c) */
const struct insn *interp_fetch(struct vcpu *v, struct interp *in);

/* Set exec and thunk of a plain instruction; false: no room for its thunk there. (plain_exec.c) */
bool interp_bind_plain(struct thunk_arena *thunks, struct insn *i, const struct decoded *d, const uint8_t *code);

/* Between instructions, when attention is asked for: requests, interrupts, single steps; true: leave with
 * *why. */
bool interp_attend(struct vcpu *v, struct interp *in, enum vcpu_exit *why);

/* Instructions until attention, the end of in->left, or (at a jump) until `enough` (may be NULL) says so. */
void interp_run_freely(struct vcpu *v, struct interp *in, bool (*enough)(const struct vcpu *v));

/* The record of the page CS:RIP lies in, and the linear address; NULL: not memory.  Raises as a fetch does.
 */
struct code_page *interp_code_page(struct vcpu *v, struct interp *in, uint64_t *la);
/* The same for any linear address. */
struct code_page *interp_code_page_at(struct vcpu *v, struct interp *in, uint64_t la);

/* vtable's invalidate: tells every vCPU that keeps the page. */
void interp_invalidate(struct vcpu *v, uint64_t ram_off, uint64_t len);

/* What interp_create and interp_destroy do, for an engine that embeds struct interp. */
bool interp_init(struct vcpu *v, struct interp *in, GError **error);
void interp_fini(struct vcpu *v, struct interp *in);

/* Forget all thunks and what points to them outside the code cache. */
void interp_forget_thunks(struct interp *in);

/* Ends a run that goes on elsewhere. */
insn_fn interp_run_end;

/* Host exceptions in this thread's thunks become the guest's while v runs; NULL: no longer. (trap.c) */
void interp_trap_enter(struct vcpu *v);

/* Put the process's signal handlers in place, once. */
void interp_trap_install(void);

#endif
