/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/run.c - the engine: finding the block to run, running it, and what translated code asks of C.
 *
 * Promise: at every exit the guest's state is whole in struct vcpu; attention is seen wherever code can loop.
 * Threads: the vCPU's own; invalidation from others goes through interp's posted writes.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/arch.h"
#include "monitor/cpu/fpu.h"
#include "monitor/cpu/segment.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- called from translated code */

/* What the guest's TSC is more than the host's. */
static uint64_t tsc_ahead(const struct vcpu *v)
{
	return v->clock->tsc_origin - v->clock->host_origin + v->s.tsc_offset;
}

/* The interpreter does the instruction at RIP; counted: its block, if it counts, has it in its count already. */
static void one_instruction(struct vcpu *v, struct bt *b, bool counted)
{
	b->held = b->in.left - !(counted && b->counting);
	b->in.left = 1;
	b->stats.singles++;
	interp_run_freely(v, &b->in, NULL);
	b->in.left += b->held;
	b->held = 0;
}

/*
 * Is the code that runs still right?  POPF may have asked for alignment checks, the kernel flushed its TLB, the host run
 * out of mappings.
 */
static bool view_stays(struct vcpu *v, struct bt *b)
{
	return !(b->mode & BT_VIEW) || (view_is_possible(v) && view_current(v, &b->views)->on);
}

int bt_miss(struct vcpu *v, uint64_t la, const struct bt_miss *m)
{
	struct bt *b = v->engine_data;
	uint64_t next;

	b->stats.misses++;
	v->s.rip = v->bt.page + m->offset;
	v->bt.rest = m->rest;
	if (!(m->align && la & (m->align - 1u)) && (la & (PAGE_SIZE - 1)) + m->size <= PAGE_SIZE && v->view != TLB_CHECKED &&
		access_fill(v, la, m->kind)) {
		v->bt.rest = 0;
		return 0;
	}
	next = v->s.rip + m->len;
	one_instruction(v, b, true);
	if (m->len && v->s.rip == next && !atomic_load_explicit(&v->attention, memory_order_relaxed) && view_stays(v, b)) {
		v->bt.rest = 0;
		return 1;
	}
	return 2;
}

int bt_group_miss(struct vcpu *v, uint64_t la, const struct bt_miss *m)
{
	struct bt *b = v->engine_data;

	b->stats.group_misses++;
	if (v->view != TLB_CHECKED && access_fill_softly(v, la, m->kind))
		return 0;
	b->stats.group_failures++;
	return 1;
}

/* ---- what may be run */

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

static void forget(struct vcpu *v, bool all)
{
	struct bt *b = v->engine_data;

	pthread_mutex_lock(&b->cache->lock);
	bt_cache_forget(v, b, all);
	pthread_mutex_unlock(&b->cache->lock);
}

/* vtable's invalidate, vcpu's code_written. */
static void written(struct vcpu *v, uint64_t ram_offset, uint64_t len)
{
	struct bt *b = v->engine_data;

	bt_cache_written(b->cache, ram_offset, len);
	interp_invalidate(v, ram_offset, len);
}

/* ---- the jump cache */

/*
 * Contexts differ in the bits over a canonical address's sign, so no two canonical addresses have the same tag.  But
 * guests may also jump to addresses that are not canonical: the lower bits are random, so that they cannot know which
 * of those would pass for another context's, or for an empty slot.
 */
static uint64_t new_tag(struct bt *b)
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (uint64_t)b->context_count << 48 | (z ^ z >> 31) >> 16;
}

static uint64_t new_context(struct vcpu *v, struct bt *b)
{
	if (++b->context_count == 1u << 15) {
		memset(b->contexts, 0, sizeof(b->contexts));
		memset(v->bt.jump_tag, 0, sizeof(v->bt.jump_tag));
		memset(v->bt.linked, 0, sizeof(v->bt.linked));
		b->context_count = 1;
	}
	return new_tag(b);
}

/* Everything a linear address's meaning depends on, as a number to be mixed with it. */
static void update_context(struct vcpu *v, struct bt *b, unsigned mode)
{
	uint64_t generation = tlb_code_generation(v);
	uint64_t hash = (generation * 31 + mode) * 0x9e3779b97f4a7c15ull;
	struct bt_context *c = &b->contexts[mode & BT_SUPER ? 1 : 0][hash >> (64 - BT_CONTEXT_BITS)];

	if (unlikely(c->generation != generation || c->mode != mode || !c->tag))
		*c = (struct bt_context){ .generation = generation, .mode = mode, .tag = new_context(v, b) };
	v->bt.context = c->tag;
	if ((mode & (BT_VIEW | BT_SUPER)) == BT_VIEW)
		view_install(v, &b->views);
}

/* ---- finding the block */

/* So many jumps into other pages go the long way before one of them is linked (anew). */
#define RELINK_EVERY 8

static void link_page(struct vcpu *v, struct bt *b, struct bt_link *l, struct bt_block *k)
{
	bool leads_there = atomic_load(&l->code) == k->host_code; /* another vCPU has seen to it */

	v->bt.relink = RELINK_EVERY;
	if (!leads_there) {
		pthread_mutex_lock(&b->cache->lock);
		leads_there = bt_cache_link(b->cache, l, k);
		pthread_mutex_unlock(&b->cache->lock);
	}
	if (!leads_there)
		v->bt.linked[l->id] = 0;
	else if (v->bt.link_kind == LINK_PAGE)
		v->bt.linked[l->id] = v->bt.page ^ v->bt.context;
}

/* The jump that asked leads to this block from now on. */
static void link_block(struct vcpu *v, struct bt *b, struct bt_block *k)
{
	struct bt_cache *c = b->cache;
	const struct bt_block *from;
	const struct bt_exit *asks;
	const uint8_t *to;
	uint8_t *at;

	if (!v->bt.link)
		return;
	at = c->rw + (v->bt.link - c->rx);
	if (v->bt.link_kind == LINK_PAGE || v->bt.link_kind == LINK_GONE) {
		link_page(v, b, (struct bt_link *)at, k);
		return;
	}
	asks = (const struct bt_exit *)at;
	from = (const struct bt_block *)(const void *)(at - asks->block);
	pthread_mutex_lock(&c->lock);
	to = k->host_code;
	if (v->bt.link_kind == LINK_FORWARD_VECTORS || (v->bt.link_kind == LINK_FORWARD && !k->uses_vectors))
		to += k->skip;
	/* What is mapped at the address, and the mode, may be others by now.  Both blocks must die together. */
	if (!k->second && !from->dead && !k->dead && from->page == k->page && !((from->mode ^ k->mode) & ~BT_SINGLE)) {
		c->stats.links++;
		bt_cache_patch(c, at + asks->jump, to);
	}
	pthread_mutex_unlock(&c->lock);
}

/* The page that the instruction at la goes on in, when it is the page's last one; NULL: it does not. */
static struct code_page *second_page(struct vcpu *v, struct bt *b, const struct code_page *page, uint64_t la)
{
	unsigned off = (unsigned)(la & (PAGE_SIZE - 1)), room = PAGE_SIZE - off;
	uint8_t bytes[15];
	struct decoded d;
	struct insn i;

	if (room >= sizeof(bytes))
		return NULL;
	memcpy(bytes, page->host + off, room);
	if (insn_decode(bytes, room, v->code_size, &i, &d) != DECODE_MORE)
		return NULL;
	return interp_code_page_at(v, &b->in, (la + PAGE_SIZE - off) & v->la_mask);
}

static struct bt_block *build(struct vcpu *v, struct bt *b, struct code_page *page, struct code_page *second,
	unsigned off, unsigned mode)
{
	struct bt_page *first = bt_page_at(b->cache, page->host), *next = second ? bt_page_at(b->cache, second->host) : NULL;
	struct bt_block *k;

	if (!first || (second && !next))
		return NULL;
	pthread_mutex_lock(&b->cache->lock);
	first->host = page->host;
	if (next)
		next->host = second->host;
	k = bt_cache_find(b->cache, page->host + off, next, mode); /* another vCPU may have been faster */
	if (!k)
		k = bt_build(v, b, first, next, off, mode);
	pthread_mutex_unlock(&b->cache->lock);
	return k;
}

static struct bt_block *find_or_build(struct vcpu *v, struct bt *b, unsigned mode, uint64_t *la)
{
	struct code_page *page = interp_code_page(v, &b->in, la), *second;
	unsigned off = (unsigned)(*la & (PAGE_SIZE - 1));
	const struct bt_page *t = page ? bt_page_at(b->cache, page->host) : NULL;
	struct bt_block *k;

	if (!t)
		return NULL;
	mode = bt_page_mode(page, t, mode);
	k = bt_cache_find(b->cache, page->host + off, NULL, mode);
	if (k)
		return k;
	second = second_page(v, b, page, *la);
	if (second) {
		page = interp_code_page(v, &b->in, la); /* looking up the other may have made room */
		if (!page)
			return NULL;
		k = bt_cache_find(b->cache, page->host + off, bt_page_at(b->cache, second->host), mode);
		if (k)
			return k;
	}
	return build(v, b, page, second, off, mode);
}

/* The block at CS:RIP; NULL: let the interpreter do one instruction. */
static struct bt_block *find_block(struct vcpu *v, struct bt *b, unsigned mode)
{
	unsigned single = v->bt.single ? BT_SINGLE : 0;
	struct bt_block *k;
	uint64_t la;

	b->stats.dispatches++;
	v->bt.single = 0;
	k = find_or_build(v, b, mode | single, &la);
	if (!k)
		return NULL;
	link_block(v, b, k);
	if (!single)
		bt_insert_jump(v, b, la, k->host_code);
	if (!k->second) /* it may know one that is dead */
		*bt_known(v, b->cache, k->guest, k->mode) = (struct vcpu_known){ bt_known_key(k->guest, k->mode), k->host_code };
	v->bt.page = la & PAGE_MASK;
	return k;
}

static unsigned extra_mode(struct vcpu *v, struct bt *b)
{
	unsigned smap = !v->cpl && (v->s.cr4 & CR4_SMAP) && v->view != TLB_CHECKED ? BT_SMAP : 0;
	unsigned view = view_is_possible(v) && view_is_on(v, &b->views) ? BT_VIEW : 0;

	return smap | view | (v->cpl ? 0 : BT_SUPER) | ((v->cpl && (v->s.cr4 & CR4_TSD)) || v->outside ? 0 : BT_TSC) |
	       (b->counting ? BT_COUNT : 0) | (b->window.on ? BT_TALLY : 0) | (v->precise_flags ? BT_PRECISE : 0);
}

/* What translated code has carried out, off the budget. */
static void take_off(struct vcpu *v, struct bt *b)
{
	if (b->counting)
		b->in.left -= b->entered - v->bt.left - v->bt.rest;
	b->entered = v->bt.left;
	v->bt.rest = 0;
}

/*
 * The block at RIP, where it is known and nobody wants attention: translated code goes straight on there, as from the
 * system call's instruction into the kernel.
 */
static bool go_on(struct vcpu *v)
{
	struct bt *b = v->engine_data;
	const struct code_page *page;
	const uint8_t *host;
	unsigned mode, slot;

	if (b->counting || atomic_load_explicit(&v->attention, memory_order_relaxed))
		return false;
	mode = mode_of(v);
	if ((mode & 3) != BT_64)
		return false;
	mode |= extra_mode(v, b);
	update_context(v, b, mode);
	slot = bt_jump_slot(v->s.rip);
	if (v->bt.jump_tag[slot] != (v->s.rip ^ v->bt.context))
		slot ^= 1;
	if (v->bt.jump_tag[slot] != (v->s.rip ^ v->bt.context)) {
		page = tlb_find_code(v, v->s.rip);
		if (!page)
			return false;
		host = bt_find_in_page(v, b, page, v->s.rip & (PAGE_SIZE - 1), mode);
		if (!host)
			return false;
		slot = bt_insert_jump(v, b, v->s.rip, host);
	}
	b->mode = mode;
	v->bt.page = v->s.rip & PAGE_MASK;
	v->bt.resume = v->bt.jump_host[slot];
	v->bt.rest = 0;
	return true;
}

int bt_call_site(struct vcpu *v, const struct bt_site *site)
{
	struct bt *b = v->engine_data;
	int r;

	v->s.rip = v->bt.page + site->offset;
	v->bt.rest = site->rest;
	b->semantics[site->insn.mnemonic]++;
	r = site->insn.exec(v, &site->insn);
	v->bt.tsc_ahead = tsc_ahead(v);
	if (likely(r == INSN_NEXT) && !site->leaves && likely(!atomic_load_explicit(&v->attention, memory_order_relaxed)) &&
		likely(view_stays(v, b))) {
		v->bt.rest = 0;
		return 0;
	}
	if (r == INSN_AGAIN)
		v->bt.rest++; /* not carried out yet */
	else if (r != INSN_JUMP)
		v->s.rip += site->insn.len;
	if (r == INSN_SHADOW) {
		v->s.irq_shadow = SHADOW_STI;
		atomic_store(&v->attention, 1);
	}
	return go_on(v) ? 2 : 1;
}

static void run_block(struct vcpu *v, struct bt *b)
{
	unsigned mode = mode_of(v);
	struct bt_block *k;

	if (mode == BT_NONE) {
		v->bt.link = NULL;
		v->bt.single = 0;
		interp_run_freely(v, &b->in, can_translate);
		return;
	}
	if (unlikely(v->views_at_once))
		view_heat(v, &b->views);
	mode |= extra_mode(v, b);
	b->mode = mode;
	update_context(v, b, mode);
	k = find_block(v, b, mode);
	v->bt.link = NULL;
	if (k && (k->mode & BT_VIEW) && !view_current(v, &b->views)->on) /* it went while the block was made */
		return;
	if (!k || (b->counting && b->in.left < bt_limit(v))) {
		one_instruction(v, b, false);
		return;
	}
	v->bt.left = MIN_OF(b->in.left, (uint64_t)INT64_MAX);
	b->entered = v->bt.left;
	v->bt.rest = 0;
	b->cache->enter(k->host_code, v);
	take_off(v, b);
}

/* A raise leaves translated code without a word: take its instructions off the budget too. */
static void settle_budget(struct vcpu *v, struct bt *b)
{
	take_off(v, b);
	b->in.left += b->held;
	b->held = 0;
	v->bt.link = NULL;
	v->bt.single = 0;
	bt_window_note(v, b);
}

/* Too many accesses of this page's code cannot go through views. */
static void go_back_to_look_ups(struct bt *b)
{
	pthread_mutex_lock(&b->cache->lock);
	atomic_store(&b->faulty->no_view, true);
	bt_cache_kill_page(b->cache, b->faulty);
	bt_cache_attention(b->cache);
	pthread_mutex_unlock(&b->cache->lock);
	b->faulty = NULL;
}

static enum vcpu_exit loop(struct vcpu *v, struct bt *b)
{
	enum vcpu_exit why;
	int raised = _setjmp(v->recover);

	if (raised) {
		if (b->stack_gone)
			bt_signal_stack(b, NULL);
		b->stack_gone = false;
		settle_budget(v, b);
		if (raised == INTERP_BROKEN)
			return VCPU_RAN_BROKEN;
		if (raised == INTERP_AGAIN) {
			v->event.vector = -1;
			if (b->faulty)
				go_back_to_look_ups(b);
			one_instruction(v, b, false);
		} else if (!cpu_escalate(v)) {
			v->event.vector = -1;
			return VCPU_RAN_TRIPLE_FAULT;
		}
	}
	if (v->event.vector >= 0)
		cpu_deliver(v);
	for (;;) {
		if (unlikely(b->window.on))
			bt_window_note(v, b);
		if (atomic_load_explicit(&v->attention, memory_order_relaxed)) {
			v->bt.link = NULL;
			view_heat(v, &b->views);
			if (unlikely(b->window.on != atomic_load(&v->measure)))
				bt_window_switch(v, b);
			if (interp_attend(v, &b->in, &why))
				return why;
		}
		if ((int64_t)b->in.left < b->least)
			return VCPU_RAN_BUDGET;
		bt_cache_catch_up(v, b);
		if (!atomic_load_explicit(&v->attention, memory_order_relaxed))
			run_block(v, b);
	}
}

/* ---- the engine */

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
	stack_t signal_stack;
	enum vcpu_exit why;

	b->in.thread = pthread_self();
	b->in.left = b->in.counted = MIN_OF(budget, (uint64_t)INT64_MAX);
	b->counting = budget != UINT64_MAX || b->window.on;
	b->window.left = b->in.left;
	b->least = v->soft_budget ? bt_limit(v) : 1;
	b->entered = v->bt.left = 0;
	v->bt.link = NULL;
	v->bt.single = 0;
	v->bt.self = v;
	for (unsigned n = 1; n < 4; n++)
		v->bt.bit_mask[n] = (8u << n) - 1;
	v->bt.tsc_ahead = tsc_ahead(v);
	v->vectors_out = 1;
	atomic_store(&v->attention, 1);
	set_gs_base((uintptr_t)v);
	bt_signal_stack(b, &signal_stack);
	interp_trap_enter(v);
	bt_cache_enter(v, b);
	why = loop(v, b);
	bt_cache_exit(b);
	interp_trap_enter(NULL);
	sigaltstack(&signal_stack, NULL);
	set_gs_base(before);
	if (b->cache->perf)
		bt_perf_flush(b->cache);
	atomic_fetch_add(&v->stats.instructions, b->in.counted - b->in.left);
	return why;
}

static bool host_is_fit(GError **error)
{
	if (!(getauxval(AT_HWCAP2) & 2))
		return fail(error, SERAI_ERROR_HOST,
			"engine bt: this kernel does not let programs set the GS base");
	if (!__builtin_cpu_supports("bmi2"))
		return fail(error, SERAI_ERROR_HOST, "engine bt: this processor has no BMI2");
	return true;
}

static bool bt_create(struct vcpu *v, GError **error)
{
	struct bt *b;

	if (!host_is_fit(error))
		return false;
	b = calloc(1, sizeof(*b));
	if (!b)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for the translator");
	v->engine = &engine_bt;
	if (getrandom(&b->random, sizeof(b->random), 0) != sizeof(b->random))
		return fail_errno(error, SERAI_ERROR_HOST, errno, "random numbers");
	if (!interp_init(v, &b->in, error) || !bt_cache_join(v, b, error))
		return false;
	views_create(v, &b->views, &b->cache->maps);
	pthread_mutex_init(&b->window_lock, NULL);
	v->code_written = written;
	b->in.forget = forget;
	b->in.recover = bt_recover;
	return true;
}

static void bt_destroy(struct vcpu *v)
{
	struct bt *b = v->engine_data;

	if (!b)
		return;
	bt_cache_leave(v, b);
	views_destroy(v, &b->views);
	interp_fini(v, &b->in);
	pthread_mutex_destroy(&b->window_lock);
	free(b);
}

const struct engine engine_bt = {
	.name = "bt",
	.fits = host_is_fit,
	.create = bt_create,
	.run = bt_run,
	.invalidate = written,
	.destroy = bt_destroy,
	.tell = bt_tell,
};
