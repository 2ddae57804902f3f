/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/run.c - the way into translated code and out again, and the engine around it.
 *
 * Promise: at every exit the guest's state is whole in struct vcpu; attention is seen at the head of every
 * block. Threads: the vCPU's own; invalidation from others goes through interp's posted writes.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/fpu.h"
#include "monitor/cpu/segment.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <asm/prctl.h>

/* ---- code made once
 * -------------------------------------------------------------------------------------------------- */

/* Guest registers that live in host registers. */
static void emit_registers(struct emit *e, bool store)
{
	for (unsigned g = 0; g < 12; g++)
		(store ? emit_store_vcpu : emit_load_vcpu)(
			e, 8, guest_home(g), offsetof(struct vcpu, s.gpr) + 8 * g);
}

#define GUEST_MXCSR (offsetof(struct vcpu, s.xsave) + FX_MXCSR)
#define HOST_MXCSR  offsetof(struct vcpu, host_mxcsr)

/* C runs with the host's MXCSR, translated code with the guest's. */
static void emit_to_c(struct emit *e)
{
	emit_mxcsr(e, true, GUEST_MXCSR);
	emit_mxcsr(e, false, HOST_MXCSR);
	emit_registers(e, true);
}

static void emit_restore_host(struct emit *e)
{
	static const uint8_t code[] = {
		0x48, 0x83, 0xc4, 8, /* add rsp, 8 */
		0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b,
		0xc3, /* pop r15..r12 rbp rbx; ret */
	};

	emit_bytes(e, code, sizeof(code));
}

/* void enter(code, v): GS base is v already. */
static void emit_enter(struct emit *e)
{
	static const uint8_t save[] = {
		0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, /* push rbx rbp r12..r15 */
		0x48, 0x83, 0xec, 8,                                        /* sub rsp, 8 */
		0x48, 0x89, 0xf8,                                           /* mov rax, rdi */
	};
	static const uint8_t jump[] = { 0xff, 0xe0 }; /* jmp rax */

	emit_bytes(e, save, sizeof(save));
	emit_mxcsr(e, false, GUEST_MXCSR);
	emit_registers(e, false);
	emit_bytes(e, jump, sizeof(jump));
}

/* Through the jump cache to the linear address in R14, or out to look it up. */
static void emit_indirect_jump(struct emit *e)
{
	static const uint8_t index[] = {
		0x44, 0x89, 0xf0, /* mov eax, r14d */
		0xc1, 0xe8, 9,    /* shr eax, 9 */
		0x44, 0x31, 0xf0, /* xor eax, r14d */
		0x25,             /* and eax, imm32 */
	};
	static const uint8_t scale[] = { 0xc1, 0xe0, 4 };                           /* shl eax, 4 */
	static const uint8_t tag[] = { 0x4d, 0x89, 0xf5 };                          /* mov r13, r14 */
	static const uint8_t compare[] = { 0x4c, 0x3b, 0x28 };                      /* cmp r13, [rax] */
	static const uint8_t page[] = { 0x49, 0x81, 0xe6, 0x00, 0xf0, 0xff, 0xff }; /* and r14, -4096 */
	static const uint8_t jump[] = { 0xff, 0x60, 0x08 };                         /* jmp [rax + 8] */
	uint8_t *miss;

	emit_bytes(e, index, sizeof(index));
	emit_u32(e, BT_JUMPS - 1);
	emit_bytes(e, scale, sizeof(scale));
	emit_bytes(e, tag, sizeof(tag));
	emit_op_vcpu(e, 0x33, H_13, offsetof(struct vcpu, bt.context));
	emit_op_vcpu(e, 0x03, H_AX, offsetof(struct vcpu, bt.jumps));
	emit_bytes(e, compare, sizeof(compare));
	miss = emit_jcc_later(e, 5);
	emit_bytes(e, page, sizeof(page));
	emit_store_vcpu(e, 8, H_14, offsetof(struct vcpu, bt.page));
	emit_bytes(e, jump, sizeof(jump));
	emit_patch(miss, e->at);
}

static unsigned jump_index(uint64_t la)
{
	return (uint32_t)((uint32_t)la >> 9 ^ (uint32_t)la) & (BT_JUMPS - 1);
}

/* One instruction by its semantics, from inside a block; nonzero: leave the block (RIP is right). */
static int call_site(struct vcpu *v, const struct bt_site *site)
{
	int r;

	v->s.rip = v->bt.page + site->offset;
	r = site->insn.exec(v, &site->insn);
	if (likely(r == INSN_NEXT) && likely(!atomic_load_explicit(&v->attention, memory_order_relaxed)))
		return 0;
	if (r != INSN_JUMP)
		v->s.rip += site->insn.len;
	if (r == INSN_SHADOW) {
		v->s.irq_shadow = SHADOW_STI;
		atomic_store(&v->attention, 1);
	}
	return 1;
}

/* RAX: site, R13: where to go on. */
static void emit_slow(struct emit *e)
{
	static const uint8_t call[] = {
		0x41, 0x55, 0x41, 0x55,       /* push r13 twice: the stack stays aligned */
		0x48, 0x89, 0xc6,             /* mov rsi, rax */
		0xf3, 0x48, 0x0f, 0xae, 0xcf, /* rdgsbase rdi */
	};
	static const uint8_t after[] = {
		0xff, 0xd0,             /* call rax */
		0x41, 0x5d, 0x41, 0x5d, /* pop r13 twice */
		0x85, 0xc0,             /* test eax, eax */
	};
	static const uint8_t jump[] = { 0x41, 0xff, 0xe5 }; /* jmp r13 */
	uint8_t *leave;

	emit_to_c(e);
	emit_bytes(e, call, sizeof(call));
	emit_mov_imm(e, H_AX, (uintptr_t)call_site);
	emit_bytes(e, after, sizeof(after));
	leave = emit_jcc_later(e, 5);
	emit_mxcsr(e, false, GUEST_MXCSR);
	emit_registers(e, false);
	emit_load_flags(e);
	emit_bytes(e, jump, sizeof(jump));
	emit_patch(leave, e->at);
	emit_restore_host(e);
}

static const uint8_t *here(const struct emit *e)
{
	return emit_run_address(e, e->at);
}

static bool make_fixed_code(struct bt *b, GError **error)
{
	struct emit e = { .at = b->rw, .end = b->rw + 4096, .run_delta = b->rx - b->rw };

	b->enter = (void (*)(const uint8_t *, struct vcpu *))(uintptr_t)here(&e);
	emit_enter(&e);
	b->slow = here(&e);
	emit_slow(&e);
	b->indirect = here(&e);
	emit_indirect_jump(&e);
	b->exit_lookup = here(&e); /* R14: the guest's RIP; a miss above falls in here */
	emit_store_vcpu(&e, 8, H_14, offsetof(struct vcpu, s.rip));
	emit_to_c(&e);
	emit_restore_host(&e);
	b->exit_link = here(&e);
	emit_store_vcpu(&e, 8, H_AX, offsetof(struct vcpu, bt.link));
	emit_jmp(&e, b->exit_lookup);
	if (e.overflow)
		return fail(error, SERAI_ERROR_HOST, "the translator's own code does not fit");
	b->fixed = b->used = (size_t)(e.at - b->rw + 63) & ~63ull;
	return true;
}

/* ---- the engine
 * -------------------------------------------------------------------------------------------------------- */

#define MXCSR_MASKED 0x1f80u

/* What of the vector instructions may be used without asking. */
static unsigned vector_mode(const struct vcpu *v)
{
	if ((fpu_mxcsr(v) & MXCSR_MASKED) != MXCSR_MASKED)
		return 0;
	return (v->fpu_closed & FPU_SSE ? 0 : BT_SSE) | (v->fpu_closed & FPU_AVX ? 0 : BT_AVX);
}

/* Can the code the vCPU is about to run be translated, and how? */
static unsigned mode_of(const struct vcpu *v)
{
	const unsigned need = 1u << S_DS | 1u << S_SS;

	if (v->code_size == CODE_64)
		return BT_64 | vector_mode(v);
	if (v->code_size != CODE_32 || !v->cs_flat || v->v86 || !v->protected_mode)
		return BT_NONE;
	if ((v->seg_plain & need) != need || v->seg_base[S_CS] || v->seg_base[S_DS] || v->seg_base[S_SS] ||
		!(v->s.seg[S_SS].attr & SEG_DB))
		return BT_NONE;
	return BT_32 | vector_mode(v) | (v->seg_plain & 1u << S_FS ? BT_PLAIN_FS : 0) |
	       (v->seg_plain & 1u << S_GS ? BT_PLAIN_GS : 0);
}

static bool can_translate(const struct vcpu *v)
{
	return mode_of(v) != BT_NONE;
}

static void forget(struct vcpu *v, struct code_page *p)
{
	struct bt *b = v->engine_data;

	for (struct bt_block *k = p->blocks; k; k = k->next_in_page)
		k->dead = true;
	if (p->blocks)
		b->context_flushes = UINT64_MAX; /* no jump may lead there any more */
	p->blocks = NULL;
}

static void forget_all(struct vcpu *v)
{
	bt_cache_flush(v->engine_data);
}

/* The jump cache's tag follows everything a linear address's meaning depends on. */
static void update_context(struct vcpu *v, struct bt *b, unsigned mode)
{
	unsigned key = mode << 1 | (v->cpl == 3);

	if (b->context_flushes != v->tlb_flushes) {
		b->context_flushes = v->tlb_flushes;
		if (++b->context_count == 1u << 8) {
			b->context_count = 1;
			memset(b->jumps, 0, BT_JUMPS * sizeof(*b->jumps));
		}
	}
	/* 15 bits over a canonical address's sign: two contexts never give one tag. */
	v->bt.context = (uint64_t)(b->context_count << 7 | key) << 48;
}

static void link_block(struct vcpu *v, struct bt *b, const struct bt_block *block)
{
	uint8_t *at = v->bt.link;

	if (at)
		le_store(b->rw + (at - b->rx), 4, (uint64_t)(block->host_code - (at + 4)));
}

/* The block at CS:RIP; NULL: let the interpreter do one instruction. */
static struct bt_block *find_block(struct vcpu *v, struct bt *b, unsigned mode)
{
	uint64_t la;
	struct code_page *page = interp_code_page(v, &b->in, &la);
	struct bt_block *block;
	unsigned off = (unsigned)(la & (PAGE_SIZE - 1));

	if (!page)
		return NULL;
	block = bt_cache_find(b, page->host + off, mode);
	if (!block) {
		block = bt_build(v, b, page, off, mode);
		if (!block) {
			v->bt.link = NULL;
			code_cache_flush(&b->in.code, v);
			interp_forget_thunks(&b->in);
			page = interp_code_page(v, &b->in, &la);
			block = page ? bt_build(v, b, page, off, mode) : NULL;
		}
	}
	if (!block || !block->host_code)
		return NULL;
	link_block(v, b, block);
	b->jumps[jump_index(la)] = (struct bt_jump){ la ^ v->bt.context, block->host_code };
	v->bt.page = la & PAGE_MASK;
	return block;
}

static void one_instruction(struct vcpu *v, struct bt *b)
{
	b->held = b->in.left - 1;
	b->in.left = 1;
	interp_run_freely(v, &b->in, NULL);
	b->in.left += b->held;
	b->held = 0;
}

static void run_block(struct vcpu *v, struct bt *b)
{
	unsigned mode = mode_of(v);
	struct bt_block *block;

	if (mode == BT_NONE) {
		v->bt.link = NULL;
		interp_run_freely(v, &b->in, can_translate);
		return;
	}
	update_context(v, b, mode);
	block = find_block(v, b, mode);
	v->bt.link = NULL;
	if (!block || b->in.left < BT_BLOCK_MAX) {
		one_instruction(v, b);
		return;
	}
	v->bt.left = MIN_OF(b->in.left, (uint64_t)INT64_MAX);
	b->entered = v->bt.left;
	b->enter(block->host_code, v);
	b->in.left -= b->entered - v->bt.left;
	b->entered = v->bt.left;
}

/* A raise leaves translated code without a word: take its instructions off the budget too. */
static void settle_budget(struct vcpu *v, struct bt *b)
{
	b->in.left -= b->entered - v->bt.left;
	b->entered = v->bt.left;
	b->in.left += b->held;
	b->held = 0;
	v->bt.link = NULL;
}

static enum vcpu_exit loop(struct vcpu *v, struct bt *b)
{
	enum vcpu_exit why;
	int raised = _setjmp(v->recover);

	if (raised) {
		settle_budget(v, b);
		if (raised == INTERP_BROKEN)
			return VCPU_RAN_BROKEN;
		if (!cpu_escalate(v)) {
			v->event.vector = -1;
			return VCPU_RAN_TRIPLE_FAULT;
		}
	}
	if (v->event.vector >= 0)
		cpu_deliver(v);
	for (;;) {
		if (atomic_load_explicit(&v->attention, memory_order_relaxed)) {
			v->bt.link = NULL;
			if (interp_attend(v, &b->in, &why))
				return why;
		}
		if ((int64_t)b->in.left <= 0)
			return VCPU_RAN_BUDGET;
		if (!atomic_load_explicit(&v->attention, memory_order_relaxed))
			run_block(v, b);
	}
}

static void set_gs_base(uint64_t base)
{
	__asm__ volatile("wrgsbase %0" : : "r"(base));
}

static uint64_t gs_base(void)
{
	uint64_t base;

	__asm__ volatile("rdgsbase %0" : "=r"(base));
	return base;
}

static enum vcpu_exit bt_run(struct vcpu *v, uint64_t budget)
{
	struct bt *b = v->engine_data;
	uint64_t before = gs_base();
	enum vcpu_exit why;

	b->in.thread = pthread_self();
	b->in.left = b->in.counted = MIN_OF(budget, (uint64_t)INT64_MAX);
	b->entered = v->bt.left = 0;
	v->bt.link = NULL;
	atomic_store(&v->attention, 1);
	set_gs_base((uintptr_t)v);
	interp_trap_enter(v);
	why = loop(v, b);
	interp_trap_enter(NULL);
	set_gs_base(before);
	atomic_fetch_add(&v->stats.instructions, b->in.counted - b->in.left);
	return why;
}

static bool bt_create(struct vcpu *v, GError **error)
{
	struct bt *b;

	if (!(getauxval(AT_HWCAP2) & 2))
		return fail(error, SERAI_ERROR_HOST,
			"engine bt: this kernel does not let programs set the GS base");
	b = calloc(1, sizeof(*b));
	if (!b)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for the translator");
	v->engine = &engine_bt;
	if (!interp_init(v, &b->in, error) || !bt_cache_create(b, error) || !make_fixed_code(b, error))
		return false;
	b->in.code.dropped = forget;
	b->in.code.flushed = forget_all;
	b->context_flushes = UINT64_MAX;
	v->bt.jumps = b->jumps;
	return true;
}

static void bt_destroy(struct vcpu *v)
{
	struct bt *b = v->engine_data;

	if (!b)
		return;
	b->in.code.dropped = NULL;
	b->in.code.flushed = NULL;
	interp_fini(v, &b->in);
	bt_cache_destroy(b);
	free(b);
}

const struct engine engine_bt = {
	.name = "bt",
	.create = bt_create,
	.run = bt_run,
	.invalidate = interp_invalidate,
	.destroy = bt_destroy,
};
