/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/fetch.c - from CS:RIP to decoded instructions.
 */
#include "monitor/engine/interp/interp.h"
#include "monitor/engine/operands.h"

#include <stdlib.h>

#define CODE_BYTES_MAX 15

int interp_run_end(struct vcpu *v, const struct insn *i)
{
	(void)v;
	(void)i;
	return INSN_JUMP;
}

static int raise_too_long(struct vcpu *v, const struct insn *i)
{
	(void)i;
	cpu_raise_error(v, EXC_GP, 0);
}

void interp_forget_thunks(struct interp *in)
{
	thunk_arena_reset(&in->thunks);
	memset(in->oneshot, 0, sizeof(in->oneshot));
}

static void forget_everything(struct vcpu *v, struct interp *in)
{
	code_cache_flush(&in->code, v);
	interp_forget_thunks(in);
}

/* A near branch whose target lies in the same page of code: the engine may remember where it leads. */
static bool is_local_branch(const struct vcpu *v, const struct insn *i, const struct decoded *d, unsigned off)
{
	int64_t target = (int64_t)off + i->len + i->disp;

	if (v->code_size != CODE_64 && i->opsize != 4)
		return false;
	return v->cs_flat && d->in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && !i->far &&
	       !(i->flags & INSN_MEM) && (d->in.attributes & ZYDIS_ATTRIB_IS_RELATIVE) && target >= 0 &&
	       target < (int64_t)PAGE_SIZE;
}

/* What decode() tells beside its result. */
struct decode_note {
	struct decoded d;
	bool last; /* the run ends with it */
	bool full; /* no room for its thunk */
};

/* Decode one instruction ready to run.  DECODE_MORE leaves *i unset; others give something to execute. */
static enum decode_result decode(struct vcpu *v, struct interp *in, const uint8_t *code, size_t len,
	struct insn *i, struct decode_note *note)
{
	enum decode_result r = insn_decode(code, len, v->code_size, i, &note->d);

	note->full = false;
	note->last = r != DECODE_OK || operand_always_leaves(&note->d);
	switch (r) {
	case DECODE_OK:
		if (!i->exec && !interp_bind_plain(&in->thunks, i, &note->d, code))
			note->full = true;
		break;
	case DECODE_INVALID:
		*i = (struct insn){ .exec = insn_undefined };
		break;
	case DECODE_LONG:
		*i = (struct insn){ .exec = raise_too_long };
		break;
	default:
		break;
	}
	return r;
}

static struct code_page *lookup_page(struct vcpu *v, struct interp *in, uint64_t la)
{
	struct code_page *p;
	struct page_walk w;
	uint8_t *host;

	if (v->la_mask == UINT64_MAX && !is_canonical(la))
		cpu_raise_error(v, EXC_GP, 0);
	if (!paging_walk(v, la, ACC_FETCH | (v->cpl == 3 ? ACC_USER : 0), &w))
		cpu_page_fault(v, la, w.error);
	host = phys_host(v, w.gpa & PAGE_MASK, false);
	/* Nobody tells of writes to memory that is not RAM: video memory is not kept. */
	if (!host || (!ram_contains(v->mem->ram, host) && phys_host(v, w.gpa & PAGE_MASK, true) == host))
		return NULL;
	p = code_page_get(&in->code, host);
	if (!p) {
		forget_everything(v, in);
		p = code_page_get(&in->code, host);
	}
	p->writable = w.writable;
	tlb_fill(v, v->cpl == 3 ? TLB_USER : TLB_SUPER_OPEN, TLB_CODE, la, (uintptr_t)p,
		(struct tlb_page){ w.page_size, w.global });
	return p;
}

/* The page's bytes, NULL: not memory.  Raises what executing there raises. */
static const uint8_t *code_bytes(struct vcpu *v, struct interp *in, uint64_t la)
{
	const struct code_page *p = tlb_find_code(v, la);

	if (unlikely(!p))
		p = lookup_page(v, in, la);
	return p ? p->host : NULL;
}

/* Instruction bytes that lie in a device. */
static void fetch_from_device(struct vcpu *v, uint64_t la, uint8_t *buf, unsigned n)
{
	struct page_walk w;

	if (!paging_walk(v, la, ACC_FETCH | (v->cpl == 3 ? ACC_USER : 0), &w))
		cpu_page_fault(v, la, w.error);
	for (unsigned k = 0; k < n; k++) {
		struct phys_region r;

		buf[k] = physmap_find(v->mem, w.gpa + k, &r) ? (uint8_t)phys_io_read(v->mem, &r, w.gpa + k, 1)
							     : 0xff;
	}
}

/* Fetch bytes one page at a time, as far as they may be executed; raises the fault of the byte that is
 * needed. */
static unsigned fetch_bytes(struct vcpu *v, struct interp *in, uint64_t la, uint8_t *buf, unsigned have)
{
	unsigned n;
	const uint8_t *host;

	la = (la + have) & v->la_mask;
	n = MIN_OF((unsigned)(PAGE_SIZE - (la & (PAGE_SIZE - 1))), CODE_BYTES_MAX - have);
	host = code_bytes(v, in, la);
	if (host)
		memcpy(buf + have, host + (la & (PAGE_SIZE - 1)), n);
	else
		fetch_from_device(v, la, buf + have, n);
	return have + n;
}

/* The same bytes decoded before?  Fetches the rest of them when the instruction goes on behind `have`. */
static bool is_remembered(
	struct vcpu *v, struct interp *in, const struct oneshot *o, uint64_t la, uint8_t *buf, unsigned *have)
{
	unsigned len = o->insn[0].len;

	if (!len || o->code_size != v->code_size || memcmp(buf, o->bytes, MIN_OF(len, *have)) != 0)
		return false;
	if (*have < len)
		*have = fetch_bytes(v, in, la, buf, *have);
	return *have >= len && memcmp(buf, o->bytes, len) == 0;
}

/* One instruction that belongs to no page's runs: it straddles two, or lies in no memory, or near CS's limit.
 */
static const struct insn *fetch_oneshot(struct vcpu *v, struct interp *in, uint64_t la)
{
	struct oneshot *o = &in->oneshot[(la ^ la >> 12) % ARRAY_LEN(in->oneshot)];
	uint8_t buf[CODE_BYTES_MAX];
	unsigned have = fetch_bytes(v, in, la, buf, 0);
	struct decode_note note;
	enum decode_result r;

	if (!is_remembered(v, in, o, la, buf, &have)) {
		*o = (struct oneshot){ .code_size = v->code_size, .insn[1] = { .exec = interp_run_end } };
		while ((r = decode(v, in, buf, have, &o->insn[0], &note)) == DECODE_MORE &&
			have < CODE_BYTES_MAX) {
			o->insn[0] = (struct insn){ 0 };
			have = fetch_bytes(v, in, la, buf, have);
		}
		if (note.full) {
			forget_everything(v, in);
			o->insn[1].exec = interp_run_end;
			decode(v, in, buf, have, &o->insn[0], &note);
		}
		o->code_size = v->code_size;
		memcpy(o->bytes, buf, sizeof(o->bytes));
	}
	/* One that is undefined has no length; its first byte is within the limit. */
	if (v->code_size != CODE_64 && o->insn[0].len && v->s.rip + o->insn[0].len - 1 > v->s.seg[S_CS].limit)
		cpu_raise_error(v, EXC_GP, 0);
	return o->insn;
}

/* Decode from an offset of a page to the end of the run, no more than are to be run now, and write where it lies to
 * *place; NULL: the first instruction straddles the page's end. */
static const struct insn *build_run(
	struct vcpu *v, struct interp *in, struct code_page *p, unsigned off, uint32_t *place)
{
	unsigned max = (unsigned)MIN_OF(MAX_OF(in->left, 1ull), (uint64_t)RUN_MAX);
	struct insn *first = &in->code.insns[in->code.insn_used], *i = first;
	unsigned start = off, seen = off; /* bytes before `seen` made the run what it is */
	struct decode_note note = { .last = false };
	uint8_t bytes[CODE_BYTES_MAX];

	while (!note.last && i < first + max && off < PAGE_SIZE) {
		unsigned room = MIN_OF((unsigned)(PAGE_SIZE - off), (unsigned)CODE_BYTES_MAX);
		enum decode_result r;

		memcpy(bytes, p->host + off, room); /* other vCPUs may be writing there */
		r = decode(v, in, bytes, room, i, &note);
		if (r == DECODE_MORE || note.full)
			break;
		if (r == DECODE_OK && is_local_branch(v, i, &note.d, off))
			i->local = 1;
		/* What is no instruction may become one by any of its bytes. */
		seen = r == DECODE_OK ? off + i->len : (unsigned)MIN_OF(off + CODE_BYTES_MAX, PAGE_SIZE);
		off += i->len;
		i++;
	}
	if (i == first)
		return NULL;
	*i++ = (struct insn){ .exec = interp_run_end };
	*place = in->code.insn_used;
	in->code.insn_used += (uint32_t)(i - first);
	p->chunks |= bits_put(0, (seen - 1) / 64, start / 64, ~0ull);
	return first;
}

struct code_page *interp_code_page_at(struct vcpu *v, struct interp *in, uint64_t la)
{
	struct code_page *p = tlb_find_code(v, la);

	return likely(p) ? p : lookup_page(v, in, la);
}

struct code_page *interp_code_page(struct vcpu *v, struct interp *in, uint64_t *la)
{
	*la = v->code_size == CODE_64 ? v->s.rip : (v->s.seg[S_CS].base + v->s.rip) & 0xffffffffu;
	if (v->code_size != CODE_64 && v->s.rip > v->s.seg[S_CS].limit)
		cpu_raise_error(v, EXC_GP, 0);
	return interp_code_page_at(v, in, *la);
}

static const struct insn *fetch_slow(struct vcpu *v, struct interp *in, uint64_t la)
{
	struct code_page *p = lookup_page(v, in, la);
	unsigned off = (unsigned)(la & (PAGE_SIZE - 1));
	const struct insn *i;
	uint32_t *place;

	if (!p)
		return fetch_oneshot(v, in, la);
	if (!code_cache_has_room(&in->code, RUN_MAX + 1)) {
		forget_everything(v, in);
		p = lookup_page(v, in, la);
		if (!p) /* others write page tables */
			return fetch_oneshot(v, in, la);
	}
	place = code_page_place(p, v->code_size, off);
	if (!place)
		return fetch_oneshot(v, in, la);
	if (*place)
		return &in->code.insns[*place];
	p->idle_writes = 0;
	if (!p->marked)
		code_page_mark(v, p);
	i = build_run(v, in, p, off, place);
	return i ? i : fetch_oneshot(v, in, la);
}

const struct insn *interp_fetch(struct vcpu *v, struct interp *in)
{
	uint64_t la = v->s.rip;
	const struct code_page *p;

	if (v->code_size != CODE_64) {
		const struct segment *cs = &v->s.seg[S_CS];

		la = (cs->base + la) & 0xffffffffu;
		if (unlikely(v->s.rip > cs->limit))
			cpu_raise_error(v, EXC_GP, 0);
		/* Runs are checked against the limit as a whole; near it, instruction by instruction. */
		if (unlikely(cs->limit - v->s.rip < RUN_MAX * CODE_BYTES_MAX && cs->limit != 0xffffffffu))
			return fetch_oneshot(v, in, la);
	}
	p = tlb_find_code(v, la);
	if (likely(p)) {
		uint32_t at = code_page_find(p, v->code_size, la & (PAGE_SIZE - 1));

		if (likely(at))
			return &in->code.insns[at];
	}
	return fetch_slow(v, in, la);
}
