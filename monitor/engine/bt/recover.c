/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/recover.c - host exceptions in translated code: back to the guest instruction, with its exact state.  The
 * interpreter does it once more and raises what there is to raise.
 *
 * Translated code runs without a stack, so signals must have one of their own, and one that stays in place whatever
 * the guest's RSP is: SS_AUTODISARM, put up again (run.c) after each signal that was left by a jump; not before, or the
 * next signal would begin on top of this one's frame.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/arch.h"
#include "monitor/cpu/fpu.h"

#include <signal.h>
#include <ucontext.h>

/* So many in so many milliseconds: of user code, of the kernel. */
static const unsigned faults_max[2] = { 64, 32 };
static const uint32_t period[2] = { 4, 256 };

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

void bt_signal_stack(struct bt *b, stack_t *before)
{
	stack_t ss = { .ss_sp = b->signal_stack, .ss_size = sizeof(b->signal_stack), .ss_flags = (int)SS_AUTODISARM };

	sigaltstack(&ss, before);
}

static const int gregs[14] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9,
	REG_R10, REG_R11, REG_R12, REG_R13 };

/* The kernel saved them in the standard XSAVE format, as we keep them. */
static void take_vectors(struct vcpu *v, const ucontext_t *uc)
{
	const uint8_t *frame = (const uint8_t *)uc->uc_mcontext.fpregs;

	if (v->vectors_out)
		return;
	memcpy(v->s.xsave.bytes + FX_XMM, frame + FX_XMM, 16 * 16);
	le_store(v->s.xsave.bytes + FX_MXCSR, 4, le_load(frame + FX_MXCSR, 4));
	if (__builtin_cpu_supports("avx")) {
		if (le_load(frame + XS_HEADER, 8) & 4)
			memcpy(v->s.xsave.bytes + XS_AVX, frame + XS_AVX, 16 * 16);
		else /* in their initial state */
			memset(v->s.xsave.bytes + XS_AVX, 0, 16 * 16);
	}
	v->vectors_out = 1;
}

/* As LAHF and SETO leave them. */
static uint16_t flags_of(uint64_t eflags)
{
	return (uint16_t)((eflags & 0xd5) << 8 | 2 << 8 | (eflags >> 11 & 1));
}

/* An access through a view (view.h): true: what it needs is mapped now. */
static bool was_mapped(struct vcpu *v, const ucontext_t *uc)
{
	struct bt *b = v->engine_data;
	bool write = uc->uc_mcontext.gregs[REG_ERR] & PF_WRITE;

	return uc->uc_mcontext.gregs[REG_TRAPNO] == EXC_PF &&
	       view_fault(v, &b->views, (uintptr_t)uc->uc_mcontext.gregs[REG_CR2], write);
}

/* One that cannot be mapped: a page of code that does so often is better off with look-ups. */
static void note_fault(struct bt *b, struct bt_page *page, bool kernel)
{
	uint32_t now = (uint32_t)(b->views.ticked / 1000000);

	if (now - atomic_load(&page->view_since) >= period[kernel]) {
		atomic_store(&page->view_since, now);
		atomic_store(&page->view_faults, 0);
	}
	if (atomic_fetch_add(&page->view_faults, 1) >= faults_max[kernel])
		b->faulty = page;
}

int bt_recover(struct vcpu *v, const void *context, uintptr_t pc)
{
	struct bt *b = v->engine_data;
	const ucontext_t *uc = context;
	const struct bt_block *k;
	uint32_t at;

	if (pc - (uintptr_t)b->cache->rx < BT_CACHE_SIZE && was_mapped(v, uc))
		return INTERP_RETRY;
	b->stack_gone = true; /* thunks' exceptions leave by a jump too */
	k = bt_cache_owner(b->cache, (const uint8_t *)pc);
	if (!k)
		return 0;
	at = (uint32_t)((const uint8_t *)pc - k->host_code);
	for (unsigned n = 0; n < k->point_count; n++) {
		const struct bt_point *p = &bt_points(k)[n];

		if (at - p->start >= p->size)
			continue;
		for (unsigned g = 0; g < 14; g++)
			v->s.gpr[g] = (uint64_t)uc->uc_mcontext.gregs[gregs[g]];
		v->s.gpr[R_SP] += (uint64_t)(int64_t)p->sp;
		if (p->flags)
			v->cc = flags_of((uint64_t)uc->uc_mcontext.gregs[REG_EFL]);
		v->s.rip = v->bt.page + p->offset;
		v->bt.rest = p->rest;
		take_vectors(v, uc);
		if (k->mode & BT_VIEW) {
			view_missing(v, &b->views, (uintptr_t)uc->uc_mcontext.gregs[REG_CR2]);
			b->views.refusals++;
			note_fault(b, k->page, k->mode & BT_SUPER);
		}
		return INTERP_AGAIN;
	}
	return INTERP_BROKEN;
}
