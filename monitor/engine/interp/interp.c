/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/interp.c - the interpreter: fetch, execute, and what happens between instructions.
 *
 * Promise: complete and exact; the oracle of the other engines.
 * Theory:  ARCHITECTURE.md, "the interpreter".
 */
#include "monitor/engine/interp/interp.h"

#include "monitor/cpu/debug.h"
#include "monitor/cpu/segment.h"

#include "base/log.h"

#include <stdlib.h>

static void tell(struct vcpu *v, uint64_t ram_off, uint64_t len)
{
	struct interp *in = v->engine_data;

	if (pthread_equal(pthread_self(), in->thread))
		code_written(&in->code, v, ram_off, len);
	else
		code_post(&in->code, v, ram_off, len);
}

void interp_invalidate(struct vcpu *v, uint64_t ram_off, uint64_t len)
{
	uint64_t stop;

	for (uint64_t end = ram_off + len; ram_off < end; ram_off = stop) {
		uint64_t kept = ram_kept(v->mem->ram, v->mem->ram->base + ram_off);

		stop = MIN_OF(end, (ram_off & PAGE_MASK) + PAGE_SIZE);
		if (!v->first)
			tell(v, ram_off, stop - ram_off);
		for (unsigned n = 0; v->first && n < v->count; n++) {
			if ((kept & 1ull << n) && v->first[n].engine_data)
				tell(&v->first[n], ram_off, stop - ram_off);
		}
	}
}

bool interp_init(struct vcpu *v, struct interp *in, GError **error)
{
	v->engine_data = in;
	v->code_written = interp_invalidate;
	in->thread = pthread_self();
	interp_trap_install();
	return thunk_arena_create(&in->thunks, error) && code_cache_create(&in->code, error);
}

void interp_fini(struct vcpu *v, struct interp *in)
{
	code_cache_destroy(&in->code, v);
	thunk_arena_destroy(&in->thunks);
	v->engine_data = NULL;
}

static bool interp_create(struct vcpu *v, GError **error)
{
	struct interp *in = calloc(1, sizeof(*in));

	if (!in)
		return fail(error, SERAI_ERROR_HOST, "vCPU %u: no memory for the interpreter", v->index);
	v->engine = &engine_interp;
	return interp_init(v, in, error);
}

static void interp_destroy(struct vcpu *v)
{
	struct interp *in = v->engine_data;

	if (!in)
		return;
	interp_fini(v, in);
	free(in);
}

static void start_processor(struct vcpu *v)
{
	unsigned vector = atomic_load(&v->sipi_vector);

	if (!v->s.wait_for_sipi)
		return;
	v->s.wait_for_sipi = 0;
	v->s.seg[S_CS].selector = (uint16_t)(vector << 8);
	v->s.seg[S_CS].base = (uint64_t)vector << 12;
	v->s.rip = 0;
	cpu_update_mode(v);
}

/* Requests that are not interrupts; true: leave the engine with *why. */
static bool serve_requests(struct vcpu *v, struct interp *in, uint32_t pending, enum vcpu_exit *why)
{
	if (pending & VCPU_FLUSH) {
		vcpu_lower(v, VCPU_FLUSH);
		tlb_flush_all(v);
		code_cache_remap(&in->code, v);
		if (in->forget)
			in->forget(v, false);
		v->region_cache.size = 0;
	}
	if (pending & VCPU_FORGET) {
		vcpu_lower(v, VCPU_FORGET);
		code_cache_flush(&in->code, v);
		if (in->forget)
			in->forget(v, true);
	}
	if (pending & VCPU_CODE) {
		vcpu_lower(v, VCPU_CODE);
		code_take_posted(&in->code, v);
	}
	if (pending & VCPU_INIT) {
		vcpu_lower(v, VCPU_INIT);
		vcpu_reset(v, true);
	}
	if (pending & VCPU_SIPI) {
		vcpu_lower(v, VCPU_SIPI);
		start_processor(v);
	}
	if (pending & VCPU_EXIT) {
		vcpu_lower(v, VCPU_EXIT);
		*why = VCPU_RAN_KICKED;
		atomic_store(&v->attention, 1); /* what else is pending is looked at on the way back in */
		return true;
	}
	return false;
}

/* Deliver an NMI or interrupt if one may come now. */
static void take_interrupt(struct vcpu *v, uint32_t pending)
{
	int vector;

	if ((pending & VCPU_NMI) && !v->s.nmi_blocked) {
		vcpu_lower(v, VCPU_NMI);
		v->s.nmi_blocked = 1;
		vector = EXC_NMI;
	} else if ((pending & VCPU_INTR) && (v->s.rflags & FLAG_IF)) {
		vector = v->platform->ack_interrupt(v->platform->opaque, v->index);
		if (vector < 0)
			return;
	} else {
		return;
	}
	v->s.halted = 0;
	v->event = (struct cpu_event){ .vector = (int16_t)vector, .external = true };
	cpu_deliver(v);
}

/* One instruction with everything a debugger in the guest may have set. */
static void step(struct vcpu *v, struct interp *in)
{
	bool trap = v->s.rflags & FLAG_TF, shadow = v->s.irq_shadow == SHADOW_MOV_SS;
	uint64_t la = v->seg_base[S_CS] + v->s.rip;
	const struct insn *i;
	uint64_t hits;
	int r;

	if (!(v->s.rflags & FLAG_RF) && !shadow) {
		hits = debug_check_code(v, la & v->la_mask);
		if (hits)
			debug_raise(v, hits);
	}
	i = interp_fetch(v, in);
	v->s.irq_shadow = 0;
	if (!shadow) /* a trap that MOV SS held back comes now */
		v->debug_hits = 0;
	atomic_store(&v->attention, 1); /* strings stop after one element */
	in->left--;
	v->s.rflags &=
		~FLAG_RF; /* a fault sets it in its frame again; IRET may set it for the next instruction */
	r = i->exec(v, i);
	if (r == INSN_AGAIN)
		in->left++;
	else if (r != INSN_JUMP)
		v->s.rip += i->len;
	if (r == INSN_SHADOW)
		v->s.irq_shadow = SHADOW_STI;
	if (i->mnemonic == ZYDIS_MNEMONIC_SYSCALL) /* SFMASK clears TF in time (AMD APM 3, SYSCALL) */
		trap = v->s.rflags & FLAG_TF;
	hits = v->debug_hits | (trap ? DR6_BS : 0);
	if (hits && v->s.irq_shadow != SHADOW_MOV_SS) {
		v->s.dr[6] = (v->s.dr[6] & ~0xfull) | DR6_FIXED | hits;
		v->s.halted = 0; /* the trap ends the HLT it follows */
		v->event = (struct cpu_event){ .vector = EXC_DB, .trap = true };
		cpu_deliver(v);
	}
}

/* What has run since the last time, into the statistics others read. */
static void count_instructions(struct vcpu *v, struct interp *in)
{
	atomic_fetch_add_explicit(&v->stats.instructions, in->counted - in->left, memory_order_relaxed);
	in->counted = in->left;
}

/* Between instructions, when somebody asked; true: leave with *why. */
bool interp_attend(struct vcpu *v, struct interp *in, enum vcpu_exit *why)
{
	uint32_t pending;

	count_instructions(v, in);
	atomic_store(&v->attention, 0);
	pending = atomic_load(&v->pending);
	if (pending && serve_requests(v, in, pending, why))
		return true;
	if (v->s.wait_for_sipi) {
		*why = VCPU_RAN_HALTED;
		return true;
	}
	if (!v->s.irq_shadow)
		take_interrupt(v, pending);
	if (v->s.halted > HALT_HLT && vcpu_has_work(v))
		v->s.halted = HALT_NONE;
	if (v->s.halted) {
		*why = VCPU_RAN_HALTED;
		return true;
	}
	if (debug_wants_steps(v) || (v->s.rflags & FLAG_RF)) {
		if (in->left)
			step(v, in);
		atomic_store(&v->attention, 1);
	}
	return false;
}

static bool is_oneshot(const struct interp *in, const struct insn *i)
{
	return (uintptr_t)i - (uintptr_t)in->oneshot < sizeof(in->oneshot);
}

/* Where a local branch leads, remembered in it: both ends are dropped together when their page is written. */
static const struct insn *follow(struct vcpu *v, struct interp *in, struct insn *branch)
{
	uint64_t flushes = v->stats.code_flushes;
	const struct insn *target = interp_fetch(v, in);

	if (flushes == v->stats.code_flushes && !is_oneshot(in, target))
		branch->link = target;
	return target;
}

/* Straight through decoded runs until somebody asks for attention or the budget ends. */
void interp_run_freely(struct vcpu *v, struct interp *in, bool (*enough)(const struct vcpu *v))
{
	const struct insn *i;

look_up:
	i = interp_fetch(v, in);
	for (;;) {
		int r;

		if (unlikely(in->left == 0))
			return;
		in->left--;
		r = i->exec(v, i);
		if (likely(r == INSN_NEXT)) {
			v->s.rip += i->len;
			if (unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed)))
				return;
			i++;
		} else if (r == INSN_JUMP) {
			if (i->exec == interp_run_end)
				in->left++;
			if (unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed)))
				return;
			if (unlikely(in->left == 0)) /* what comes next is not to be fetched */
				return;
			if (!i->local) {
				if (unlikely(enough && enough(v)))
					return;
				goto look_up;
			}
			i = i->link && v->cs_flat ? i->link : follow(v, in, (struct insn *)(uintptr_t)i);
		} else if (r == INSN_AGAIN) { /* attention is what interrupted it */
			in->left++;
			return;
		} else { /* INSN_SHADOW */
			v->s.rip += i->len;
			i++;
			if (i->exec == interp_run_end || in->left == 0) {
				v->s.irq_shadow = SHADOW_STI;
				atomic_store(&v->attention, 1);
				return;
			}
		}
	}
}

static enum vcpu_exit loop(struct vcpu *v, struct interp *in)
{
	enum vcpu_exit why;
	int raised = _setjmp(v->recover);

	if (raised == INTERP_BROKEN) {
		log_error("cpu", "vCPU %u: the host failed an access to guest memory at rip 0x%llx", v->index,
			(unsigned long long)v->s.rip);
		return VCPU_RAN_BROKEN;
	}
	if (raised && !cpu_escalate(v)) {
		v->event.vector = -1;
		return VCPU_RAN_TRIPLE_FAULT;
	}
	if (v->event.vector >= 0)
		cpu_deliver(v);
	for (;;) {
		if (atomic_load_explicit(&v->attention, memory_order_relaxed) && interp_attend(v, in, &why))
			return why;
		if (in->left == 0)
			return VCPU_RAN_BUDGET;
		if (!atomic_load_explicit(&v->attention, memory_order_relaxed))
			interp_run_freely(v, in, NULL);
	}
}

static enum vcpu_exit interp_run(struct vcpu *v, uint64_t budget)
{
	struct interp *in = v->engine_data;
	enum vcpu_exit why;

	in->thread = pthread_self();
	in->left = in->counted = budget;
	atomic_store(&v->attention, 1); /* it may have been halted, or changed from outside */
	interp_trap_enter(v);
	why = loop(v, in);
	interp_trap_enter(NULL);
	count_instructions(v, in);
	return why;
}

const struct engine engine_interp = {
	.name = "interp",
	.create = interp_create,
	.run = interp_run,
	.invalidate = interp_invalidate,
	.destroy = interp_destroy,
};
