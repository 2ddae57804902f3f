/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/flow.c - the ways out of a block.
 *
 * Within a page jumps are linked: they lead to an exit until the exit has found the target, and to the target from
 * then on.  Everything else goes through the jump cache, looked up inline; its entries are tagged with what their
 * meaning depends on (run.c).
 */
#include "monitor/engine/bt/build.h"


/* From T0, the linear address; T1 is lost. sp: what is to be added to RSP when it is found. */
static struct cold *emit_jump_cache(struct build *u, const struct op *o, enum cold_kind miss, int sp)
{
	struct emit *e = &u->e;
	struct cold *c;

	emit_jump_compare(e);
	c = add_cold(u, miss, emit_jcc_later(e, CC_NE), o);
	c->tagged = true;
	c->again = e->at;
	if (sp) {
		struct host_mem m = mem_at(H_SP, sp);

		emit_lea(e, u->width, H_SP, &m);
	}
	emit_jump_hit(e);
	return c;
}

/* What vcpu.bt.linked knows the block's nth jump into other pages by. */
uint32_t link_id(const struct build *u, unsigned n)
{
	return u->c->filling * BT_LINKS + u->c->region[u->c->filling].links + n;
}

uint8_t *emit_jump_whole(struct build *u)
{
	emit_whole(&u->e, 1);
	return emit_jmp_later(&u->e);
}

void emit_link_request(struct build *u, uint8_t *jump, unsigned offset, const uint8_t *exit)
{
	struct emit *e = &u->e;
	uint8_t *lea = emit_lea_later(e, T1);
	struct bt_exit asks;

	emit_jmp(e, exit);
	emit_patch(lea, e->at);
	asks = (struct bt_exit){ (int32_t)(jump - e->at), (uint16_t)(e->at - (uint8_t *)u->block), (uint16_t)offset };
	emit_bytes(e, &asks, sizeof(asks));
}

/* Into another page: straight on where the link says so (struct bt_link), else by the jump cache. */
static void emit_page_exit(struct build *u, const struct op *o, int64_t target)
{
	struct host_mem page = mem_vcpu(offsetof(struct vcpu, bt.page));
	struct emit *e = &u->e;
	unsigned n = u->links;
	struct cold *c;

	if (u->links + 1 < ARRAY_LEN(u->link))
		u->links++;
	else
		e->overflow = true;
	u->link[n].offset = (int32_t)target;
	emit_load_vcpu(e, 8, T0, offsetof(struct vcpu, bt.page));
	emit_op_vcpu(e, OP_XOR, T0, offsetof(struct vcpu, bt.context));
	emit_op_vcpu(e, OP_CMP, T0, offsetof(struct vcpu, bt.linked[link_id(u, n)]));
	c = add_cold(u, COLD_PAGE, emit_jcc_later(e, CC_NE), o);
	c->site = n;
	emit_op_mem(e, u->width, 0x81, IMM_ADD, &page);
	emit_u32(e, (uint32_t)((uint64_t)target & PAGE_MASK));
	u->link[n].jump = emit_jump_whole(u);
}

/* Not linked, or not for here; and what the jump itself leads to while there is nothing else. */
static void emit_cold_page(struct build *u, unsigned n)
{
	struct emit *e = &u->e;

	u->link[n].lea[0] = emit_lea_later(e, T1);
	emit_jmp(e, u->c->exit_page[u->width == 8]);
	u->link[n].cold = e->at;
	u->link[n].lea[1] = emit_lea_later(e, T1);
	emit_jmp(e, u->c->exit_gone);
}

static bool in_page(const struct build *u, int64_t target)
{
	return target >= 0 && target < (int64_t)PAGE_SIZE && !(u->end_unsure && target == u->end);
}

void emit_uncount(struct build *u, unsigned n)
{
	struct host_mem left = mem_vcpu(offsetof(struct vcpu, bt.left));

	if (!(u->mode & BT_COUNT) || !n)
		return;
	emit_op_mem(&u->e, 8, 0x81, IMM_ADD, &left);
	emit_u32(&u->e, n);
}

void flow_exit(struct build *u, int64_t target)
{
	flush_sp(u);
	if (in_page(u, target)) {
		add_cold(u, COLD_EXIT, emit_jump_whole(u), &u->op[u->count - 1])->target = target;
	} else if (target >= 0 && target < (int64_t)PAGE_SIZE) { /* on two pages, or no instruction */
		emit_here(u, T0, target);
		emit_jump_cache(u, &u->op[u->count - 1], COLD_LOOKUP, 0);
	} else {
		emit_page_exit(u, &u->op[u->count - 1], target);
	}
	u->ended = true;
}

/* The condition code of a Jcc is the low half of its opcode. */
void flow_jcc(struct build *u, const struct op *o)
{
	bool forward = o->target > o->offset;
	struct cold *c;

	flush_sp(u);
	flags_to_host(u);
	if (!forward) /* those are mostly taken: no jump more for them */
		flags_to_memory(u, o->target_live);
	emit_whole(&u->e, 2);
	c = add_cold(u, COLD_EXIT, emit_jcc_later(&u->e, o->d.in.opcode & 15), o);
	c->target = o->target;
	c->saves = forward && o->target_live && u->flags == FLAGS_HOST;
}

void flow_loop(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	struct host_mem less = mem_at(H_CX, -1);
	bool loop = o->d.in.mnemonic == ZYDIS_MNEMONIC_LOOP;

	flush_sp(u);
	flags_to_memory(u, o->target_live);
	if (loop)
		emit_lea(e, u->width, H_CX, &less);
	emit_whole(e, (u->width == 4) + (loop ? 2 : 4) + 1);
	if (u->width == 4)
		emit_byte(e, 0x67);
	emit_byte(e, 0xe3); /* jrcxz */
	if (loop) {
		emit_byte(e, BT_JMP_SIZE);
	} else {
		emit_byte(e, 2);
		emit_byte(e, 0xeb), emit_byte(e, BT_JMP_SIZE);
	}
	add_cold(u, COLD_EXIT, emit_jmp_later(e), o)->target = o->target;
}

/* T0 <- the target of an indirect branch. */
static void emit_target(struct build *u, const struct op *o)
{
	if (o->i.flags & INSN_MEM) {
		struct host_mem m = access_emit(u, o, 0);

		emit_op_mem(&u->e, u->width, OP_LOAD, T0, &m);
	} else {
		unsigned r = guest_reg(u, o->i.r[0], T0);

		if (r != T0 || u->width == 4)
			emit_mov(&u->e, u->width, T0, r);
	}
}

static void push_return(struct build *u, const struct op *o)
{
	struct host_mem m = access_emit(u, o, o->accesses - 1u);

	emit_here(u, T0, (int64_t)o->offset + o->i.len);
	emit_op_mem(&u->e, u->width, OP_STORE, T0, &m);
	u->sp_pending -= (int)u->width;
}

/* Of an indirect call, while it pushes. */
#define CALL_HOST offsetof(struct vcpu, bt.string[0])
#define CALL_PAGE offsetof(struct vcpu, bt.string[1])

void flow_call(struct build *u, const struct op *o)
{
	struct host_mem host = { H_NONE, T1, 3, true, (int32_t)offsetof(struct vcpu, bt.jump_host) };
	struct host_mem found = mem_vcpu(CALL_HOST);
	struct emit *e = &u->e;
	struct cold *c;

	if (o->kind == K_CALL) {
		push_return(u, o);
		flags_to_memory(u, o->live_out);
		flow_exit(u, o->target);
		return;
	}
	/* The target is found first: what is wrong with it must come before the push. */
	flags_clobbered(u, o->live_out);
	flush_sp(u);
	emit_target(u, o);
	t1_lost(u);
	emit_jump_compare(e);
	c = add_cold(u, COLD_SITE, emit_jcc_later(e, CC_NE), o);
	c->tagged = true;
	c->again = e->at;
	emit_op_mem(e, 8, OP_LOAD, T1, &host);
	emit_store_vcpu(e, 8, T1, CALL_HOST);
	emit_op_vcpu(e, OP_XOR, T0, offsetof(struct vcpu, bt.context));
	emit_imm(e, 8, IMM_AND, T0, (int32_t)PAGE_MASK);
	emit_store_vcpu(e, 8, T0, CALL_PAGE);
	push_return(u, o);
	flush_sp(u);
	emit_load_vcpu(e, 8, T0, CALL_PAGE);
	emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, bt.page));
	emit_jmp_mem(e, &found);
	u->ended = true;
}

void flow_ret(struct build *u, const struct op *o)
{
	struct host_mem m;

	flags_to_memory(u, o->live_out);
	flush_sp(u);
	m = access_emit(u, o, 0);
	emit_op_mem(&u->e, u->width, OP_LOAD, T0, &m);
	emit_jump_cache(u, o, COLD_SITE, (int)(u->width + (o->i.imm & 0xffff)));
	u->ended = true;
}

void flow_indirect(struct build *u, const struct op *o)
{
	flags_to_memory(u, o->live_out);
	flush_sp(u);
	emit_target(u, o);
	emit_jump_cache(u, o, COLD_SITE, 0);
	u->ended = true;
}

static void emit_site_call(struct build *u, const struct cold *c)
{
	struct emit *e = &u->e;
	uint8_t *back;

	u->site_at[c->site] = emit_lea_later(e, T0);
	back = emit_lea_later(e, T1);
	emit_jmp(e, u->c->site);
	emit_patch(back, e->at);
}

void flow_emit_cold(struct build *u, const struct cold *c)
{
	struct emit *e = &u->e;
	uint8_t *lea, *link;

	emit_patch(c->from, e->at);
	if (c->tagged) { /* an address's other slot */
		emit_jump_other(e);
		emit_patch(emit_jcc_later(e, CC_E), c->again);
		lea = emit_lea_later(e, T1);
		emit_jmp(e, u->c->lookup);
		emit_patch(lea, e->at);
		emit_patch(emit_jmp_later(e), c->again);
	}
	switch (c->kind) {
	case COLD_SITE:
		emit_site_call(u, c);
		if (c->back) {
			struct host_mem sp = mem_at(H_SP, -c->sp);

			if (c->sp)
				emit_lea(e, u->width, H_SP, &sp);
			emit_t0_back(u, c);
			emit_patch(emit_jmp_later(e), c->back);
			break;
		}
		emit_here(u, T0, (int64_t)c->op->offset + c->op->i.len);
		emit_jmp(e, u->c->exit_lookup);
		break;
	case COLD_PAGE:
		emit_cold_page(u, c->site);
		break;
	case COLD_LOOKUP:
		emit_op_vcpu(e, OP_XOR, T0, offsetof(struct vcpu, bt.context));
		emit_jmp(e, u->c->exit_lookup);
		break;
	default:
		link = c->from;
		if (c->saves || (u->mode & BT_COUNT && rest_behind(u, c->op))) { /* what is linked is a jump behind this */
			if (c->saves)
				emit_save_flags(e);
			emit_uncount(u, rest_behind(u, c->op));
			link = emit_jump_whole(u);
			emit_patch(link, e->at);
		}
		if (c->target < 0 || c->target >= (int64_t)PAGE_SIZE) {
			emit_page_exit(u, c->op, c->target);
			break;
		}
		if (!in_page(u, c->target)) {
			emit_here(u, T0, c->target);
			emit_jump_cache(u, c->op, COLD_LOOKUP, 0);
			break;
		}
		emit_link_request(u, link, (unsigned)c->target,
			u->c->exit_link[c->target <= c->op->offset || u->mode & BT_COUNT ? LINK_ANY
					: u->uses_vectors                        ? LINK_FORWARD_VECTORS
										 : LINK_FORWARD]);
		break;
	}
}
