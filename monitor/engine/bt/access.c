/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/access.c - guest memory from translated code: the one place that knows how.
 *
 * A look-up: T0 is the linear address, T1 the TLB's entry; the address less the entry's tag is the offset in the page
 * when it hits, and too large for the access when it misses or the access leaves the page.  A group's look-up covers
 * the range of all its accesses and leaves the origin's host address in a slot of the vCPU, from where each access
 * takes it without a check.  Where that fails, the block goes on in a variant in which every access checks for itself.
 */
#include "monitor/engine/bt/build.h"

#define SLOT(n) (offsetof(struct vcpu, bt.slot) + 8 * (size_t)(n))

static bool uses_segment(const struct access *a)
{
	return a->seg == S_FS || a->seg == S_GS;
}

bool access_possible(const struct build *u, const struct access *a, int64_t disp)
{
	if (disp != (int32_t)disp)
		return false;
	if (u->width == 8) /* T1 is not free for it while the address is made again */
		return !a->narrow || !in_memory(a->index);
	if (a->seg == S_FS)
		return u->mode & BT_PLAIN_FS;
	if (a->seg == S_GS)
		return u->mode & BT_PLAIN_GS;
	return a->seg == S_DS || a->seg == S_SS;
}

void store_guest(struct build *u, unsigned n, unsigned scratch)
{
	emit_store_vcpu(&u->e, 8, scratch, GPR_OFFSET(n));
	if (scratch == T0) {
		u->t0_at = u->e.at;
		u->t0_guest = n;
	}
}

void load_guest(struct build *u, unsigned n, unsigned scratch)
{
	if (scratch != T0 || u->t0_at != u->e.at || u->t0_guest != n) {
		emit_load_vcpu(&u->e, 8, scratch, GPR_OFFSET(n));
		return;
	}
	for (unsigned k = 0; k < u->colds; k++) {
		if (u->cold[k].back == u->e.at)
			u->cold[k].t0 = (uint8_t)(n + 1);
	}
}

void emit_t0_back(struct build *u, const struct cold *c)
{
	if (c->t0)
		emit_load_vcpu(&u->e, 8, T0, GPR_OFFSET(c->t0 - 1u));
}

unsigned guest_reg(struct build *u, unsigned n, unsigned scratch)
{
	if (!in_memory(n))
		return n;
	load_guest(u, n, scratch);
	return scratch;
}

/* reg <- base + index + disp of the operand, `width` bytes; T0 is lost, and T1 when both live in memory. */
static void emit_sum(struct build *u, unsigned width, unsigned reg, const struct access *a, int64_t disp)
{
	struct host_mem m = { H_NONE, H_NONE, a->scale, false, (int32_t)disp };

	if (a->base == GPR_RIP) {
		emit_load_vcpu(&u->e, 8, T0, offsetof(struct vcpu, bt.page));
		m.base = T0;
	} else if (a->base != GPR_NONE) {
		m.base = (uint8_t)guest_reg(u, a->base, T0);
	}
	if (a->index != GPR_NONE)
		m.index = (uint8_t)guest_reg(u, a->index, T1);
	emit_lea(&u->e, width, reg, &m);
}

/* T0 <- the same, truncated to its width. */
static void emit_offset(struct build *u, const struct access *a, int64_t disp)
{
	emit_sum(u, a->narrow ? 4 : 8, T0, a, disp);
}

/* T0 <- T0 and the bit string's displacement: T1 and flags are lost. */
static void emit_bit_offset(struct build *u, const struct access *a)
{
	unsigned shift = a->unit + 3u;
	struct host_mem m = { T0, T1, a->unit, false, 0 };
	unsigned r = guest_reg(u, a->bits - 1u, T1);

	if (r != T1)
		emit_mov(&u->e, 8, T1, r);
	if (a->unit < 3) { /* the number is as wide as the operand */
		emit_op_reg(&u->e, 8, 0xc1, 4, T1); /* shl */
		emit_byte(&u->e, a->unit == 2 ? 32 : 48);
		shift += a->unit == 2 ? 32 : 48;
	}
	emit_op_reg(&u->e, 8, 0xc1, 7, T1); /* sar */
	emit_byte(&u->e, shift);
	emit_lea(&u->e, a->narrow ? 4 : 8, T0, &m);
}

/* T0 <- the linear address of the operand. */
static void emit_linear(struct build *u, const struct access *a, int64_t disp)
{
	emit_offset(u, a, disp);
	if (a->bits)
		emit_bit_offset(u, a);
	if (!uses_segment(a))
		return;
	emit_op_vcpu(&u->e, OP_ADD, T0, offsetof(struct vcpu, seg_base) + 8 * a->seg);
	if (u->width == 4)
		emit_mov(&u->e, 4, T0, T0);
}

void access_emit_lea(struct build *u, const struct op *o)
{
	const struct insn *i = &o->i;
	struct access a = { .base = i->base,
		.index = i->index,
		.scale = i->scale,
		.seg = S_DS,
		.narrow = i->addr_shift || u->width == 4 };
	unsigned r = i->r[0], to = in_memory(r) ? T0 : r;

	if (a.index != GPR_NONE && in_memory(a.index))
		t1_lost(u);
	emit_sum(u, a.narrow || i->opsize == 4 ? 4 : 8, to, &a, i->disp + (i->base == GPR_RIP ? o->offset : 0));
	if (to == T0)
		store_guest(u, r, T0);
}

void emit_here(struct build *u, unsigned reg, int64_t offset)
{
	struct host_mem m = mem_at(reg, (int32_t)offset);

	emit_load_vcpu(&u->e, 8, reg, offsetof(struct vcpu, bt.page));
	if (offset || u->width == 4)
		emit_lea(&u->e, u->width, reg, &m);
}

/* T0 is a linear address: off to cold code unless T1 is the TLB's entry for it. */
static struct cold *emit_look_up(struct build *u, const struct op *o, const struct access *a,
	const struct bt_miss *miss, enum cold_kind how)
{
	struct emit *e = &u->e;
	struct host_mem tag = mem_at(T1, 0);
	uint8_t *again = e->at;
	struct cold *c;

	_Static_assert(PAGE_SHIFT - 8 == 4 && sizeof(struct tlb_entry) == 16, "the shift below");
	emit_rorx(e, 4, T1, T0, 8);
	emit_imm(e, 4, IMM_AND, T1, (TLB_SIZE - 1) << 4);
	emit_op_vcpu(e, OP_ADD, T1, offsetof(struct vcpu, tlb_data) + 8 * miss->kind);
	emit_op_mem(e, 8, OP_SUB, T0, &tag);
	emit_imm(e, 8, IMM_CMP, T0, (int32_t)(PAGE_SIZE - miss->size));
	c = add_cold(u, how, emit_jcc_later(e, CC_A), o);
	c->again = again;
	c->access = a;
	c->miss = *miss;
	return c;
}

#define QUICK(n, field) (offsetof(struct vcpu, bt.quick[n].field))

/*
 * Will an access probably meet the page again that it met last?  The stack, variables at fixed addresses,
 * thread-local ones; and what a loop goes through.  Objects on the heap are elsewhere every time.
 */
static bool stays_in_page(const struct build *u, const struct access *a)
{
	bool fixed = (a->base == GPR_RIP || a->base == GPR_NONE) && a->index == GPR_NONE;

	if (u->mode & BT_SUPER) /* the kernel's stacks change, and its TLB is emptied more often */
		return u->loops;
	return fixed || a->base == R_SP || a->vid[0] == R_SP || uses_segment(a) || u->loops;
}

/*
 * T0: linear address; behind it T1 is the addend of its page.  Where it helps the access remembers the page it met last,
 * which spares finding the entry; tlb.c forgets it with the TLB.
 */
static struct cold *emit_find(struct build *u, const struct op *o, const struct access *a, enum tlb_kind kind,
	unsigned size, enum cold_kind how)
{
	struct bt_miss miss = { o->offset, (uint16_t)size, (uint8_t)kind, 0, 0 };
	struct host_mem addend = mem_at(T1, 8);
	struct emit *e = &u->e;
	struct cold *c;
	unsigned place;

	if (!stays_in_page(u, a)) {
		c = emit_look_up(u, o, a, &miss, how);
		emit_op_mem(e, 8, OP_LOAD, T1, &addend);
		return c;
	}
	/* Others may have the same place, but none that reads where one writes, or is the kernel where one is not. */
	u->c->quick = (u->c->quick + 2) % (VCPU_QUICKS / 2);
	place = u->c->quick | (kind == TLB_WRITE) | (u->mode & BT_SUPER ? VCPU_QUICKS / 2 : 0);
	emit_op_vcpu(e, OP_SUB, T0, QUICK(place, tag));
	emit_imm(e, 8, IMM_CMP, T0, (int32_t)(PAGE_SIZE - size));
	c = add_cold(u, COLD_QUICK, emit_jcc_later(e, CC_A), o);
	c->access = a;
	c->miss = miss;
	c->how = (uint8_t)how;
	c->quick = (uint16_t)place;
	emit_load_vcpu(e, 8, T1, QUICK(c->quick, addend));
	c->again = e->at;
	return c;
}

/* Not the page met last: look it up and remember it. */
static void emit_cold_quick(struct build *u, const struct cold *quick)
{
	struct host_mem tag = mem_at(T1, 0), addend = mem_at(T1, 8);
	struct host_mem used = mem_vcpu(offsetof(struct vcpu, bt.quick_used[quick->quick / VCPU_QUICK_GROUP]));
	struct host_mem view = mem_vcpu(offsetof(struct vcpu, view));
	struct cold q = *quick, *c;
	struct emit *e = &u->e;
	uint8_t *open = NULL;

	emit_linear(u, q.access, q.target);
	if (q.access->bits)
		emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, bt.temp));
	c = emit_look_up(u, q.op, q.access, &q.miss, q.how);
	c->back = q.back;
	c->sp = q.sp;
	c->t0 = q.t0;
	c->target = q.target;
	if (u->mode & BT_SMAP) { /* what is seen with AC set is not to be remembered */
		emit_byte(e, 0x65), emit_byte(e, 0x80); /* cmp byte gs:[view], closed */
		emit_modrm_mem(e, IMM_CMP, &view);
		emit_byte(e, TLB_SUPER_CLOSED);
		open = emit_jcc_later(e, CC_NE);
	}
	emit_op_mem(e, 8, OP_LOAD, T0, &tag);
	emit_store_vcpu(e, 8, T0, QUICK(q.quick, tag));
	emit_op_mem(e, 8, OP_LOAD, T1, &addend);
	emit_store_vcpu(e, 8, T1, QUICK(q.quick, addend));
	emit_byte(e, 0x65), emit_byte(e, 0xc6); /* mov byte gs:[used], 1 */
	emit_modrm_mem(e, 0, &used);
	emit_byte(e, 1);
	emit_patch(emit_jmp_later(e), q.again);
	if (!open)
		return;
	emit_patch(open, e->at);
	emit_op_mem(e, 8, OP_LOAD, T1, &addend);
	emit_patch(emit_jmp_later(e), q.again);
}

/* T1 will be lost: what a group needs again goes into its slot. */
void t1_lost(struct build *u)
{
	struct group *g = u->t1_group >= 0 ? &u->group[u->t1_group] : NULL;

	if (g && g->uses && !g->stored) {
		emit_store_vcpu(&u->e, 8, T1, SLOT(u->t1_group));
		g->stored = true;
	}
	u->t1_group = -1;
}

/* T1: the page's addend.  The operand of an access by itself. */
static struct host_mem operand(struct build *u, const struct access *a, int64_t disp)
{
	struct emit *e = &u->e;
	struct host_mem m = mem_at(T1, (int32_t)disp);

	if (a->bits) {
		emit_op_vcpu(e, OP_ADD, T1, offsetof(struct vcpu, bt.temp));
		return mem_at(T1, 0);
	}
	if (a->narrow) { /* addresses wrap: once more from the registers */
		emit_linear(u, a, disp);
		emit_op_reg(e, 8, OP_ADD, T1, T0);
		return mem_at(T1, 0);
	}
	if (uses_segment(a))
		emit_op_vcpu(e, OP_ADD, T1, offsetof(struct vcpu, seg_base) + 8 * a->seg);
	if (a->base == GPR_RIP)
		emit_op_vcpu(e, OP_ADD, T1, offsetof(struct vcpu, bt.page));
	else if (a->base != GPR_NONE && in_memory(a->base))
		emit_op_vcpu(e, OP_ADD, T1, GPR_OFFSET(a->base));
	else if (a->base != GPR_NONE && a->index == GPR_NONE)
		m = (struct host_mem){ a->base, T1, 0, false, (int32_t)disp };
	else if (a->base != GPR_NONE)
		emit_op_reg(e, 8, OP_ADD, T1, a->base);
	if (a->index != GPR_NONE) {
		m.index = (uint8_t)guest_reg(u, a->index, T0);
		m.scale = a->scale;
	}
	return m;
}

/* ---- through a view */

static bool through_view(const struct build *u, const struct access *a)
{
	return (u->mode & BT_VIEW) && !a->bits && !a->user;
}

/* T1 <- what lies between the linear address in a register and the host's.  No flags are lost. */
static void emit_delta(struct build *u, unsigned reg)
{
	static const uint8_t movzx[] = { 0x45, 0x0f, 0xb6, 0xff }; /* movzx t1d, t1b */
	struct host_mem entry = { H_NONE, T1, 3, true,
		(int32_t)(u->mode & BT_SUPER ? offsetof(struct vcpu, bt.view[1]) : offsetof(struct vcpu, bt.view[0])) };

	emit_rorx(&u->e, 8, T1, reg, VIEW_SHIFT);
	emit_bytes(&u->e, movzx, sizeof(movzx));
	emit_op_mem(&u->e, 8, OP_LOAD, T1, &entry);
}

/* Kernels that lie in the last 2 GiB have the address of an array in the displacement, and an index in the base. */
#define ARRAY_DISP (-(16 << 20))

/* base + index + disp as the registers are now: T1, and perhaps T0, become part of the operand. */
static struct host_mem view_operand(struct build *u, const struct access *a, int64_t disp)
{
	struct host_mem sum = { T0, T1, 0, false, 0 };
	bool array = (u->mode & BT_SUPER) && disp < ARRAY_DISP;
	unsigned base;

	if (!array && a->base < 16 && !in_memory(a->base) && a->index == GPR_NONE && !uses_segment(a) && !a->narrow) {
		if (a->base == R_SP)
			disp += u->sp_pending;
		emit_delta(u, a->base); /* the windows' guards are as wide as displacements go */
		return (struct host_mem){ a->base, T1, 0, false, (int32_t)disp };
	}
	if (a->base == GPR_RIP && !uses_segment(a) && !a->narrow) {
		emit_load_vcpu(&u->e, 8, T0, offsetof(struct vcpu, bt.page));
		emit_delta(u, T0);
		return (struct host_mem){ T1, T0, 0, false, (int32_t)disp };
	}
	if (a->base == R_SP)
		flush_sp(u);
	if (!array && a->small && a->index != GPR_NONE) { /* the guards are as wide as that, too */
		base = guest_reg(u, a->base, T0);
		sum.base = (uint8_t)base;
		emit_delta(u, base);
		emit_lea(&u->e, 8, T1, &sum);
		return (struct host_mem){ T1, (uint8_t)guest_reg(u, a->index, T0), a->scale, false, (int32_t)disp };
	}
	emit_offset(u, a, disp);
	if (uses_segment(a)) {
		emit_load_vcpu(&u->e, 8, T1, offsetof(struct vcpu, seg_base) + 8 * a->seg);
		emit_lea(&u->e, 8, T0, &sum);
	}
	emit_delta(u, T0);
	return (struct host_mem){ T1, T0, 0, false, 0 };
}

/* A group's origin into T1. */
static void emit_view_group(struct build *u, const struct access *a, unsigned n)
{
	struct group *g = &u->group[n];
	struct access base = *a;
	struct host_mem m;

	t1_lost(u);
	if (a->small)
		base.index = GPR_NONE;
	m = view_operand(u, &base, g->low - a->now);
	m.disp -= (int32_t)g->low;
	emit_lea(&u->e, 8, T1, &m);
	g->checked = true;
	u->t1_group = (int)n;
}

/* The look-up of a group, before instruction o: its origin's host address into T1 and its slot. */
static void emit_group(struct build *u, const struct op *o, const struct access *a, int64_t now, unsigned n)
{
	struct emit *e = &u->e;
	struct group *g = &u->group[n];
	struct cold *c;

	t1_lost(u);
	flush_sp(u);
	emit_linear(u, a, g->low - now);
	c = emit_find(u, o, a, g->kind, (unsigned)(g->high - g->low), COLD_GROUP_MISS);
	c->target = g->low - now;
	if (a->narrow) {
		struct host_mem origin = mem_at(T1, (int32_t)-g->low);

		operand(u, a, g->low - now);
		emit_lea(e, 8, T1, &origin);
	} else {
		struct host_mem origin = operand(u, a, -now);

		emit_lea(e, 8, T1, &origin);
	}
	g->checked = true;
	u->t1_group = (int)n;
}

void access_emit_early(struct build *u)
{
	for (unsigned n = 0; n < u->groups; n++) {
		if (!u->group[n].early)
			continue;
		u->group[n].key.base = R_SP;
		emit_group(u, &u->op[0], &u->group[n].key, 0, n);
	}
}

static struct host_mem emit_access(struct build *u, const struct op *o, unsigned k)
{
	const struct access *a = &o->access[k];
	struct cold *c;

	if (a->group >= 0) {
		if (!u->group[a->group].checked && through_view(u, a)) {
			emit_view_group(u, a, (unsigned)a->group);
		} else if (!u->group[a->group].checked) {
			flags_clobbered(u, o->live_in);
			emit_group(u, o, a, a->now, (unsigned)a->group);
		} else if (u->t1_group != a->group) {
			t1_lost(u);
			emit_load_vcpu(&u->e, 8, T1, SLOT(a->group));
			u->t1_group = a->group;
		}
		u->group[a->group].uses--;
		if (a->small)
			return (struct host_mem){ T1, (uint8_t)guest_reg(u, a->index, T0), a->scale, false, (int32_t)a->disp };
		return mem_at(T1, (int32_t)a->disp);
	}
	if (through_view(u, a)) {
		t1_lost(u);
		return view_operand(u, a, a->disp - a->now);
	}
	flags_clobbered(u, o->live_in);
	flush_sp(u);
	t1_lost(u);
	emit_linear(u, a, a->disp - a->now);
	if (a->bits)
		emit_store_vcpu(&u->e, 8, T0, offsetof(struct vcpu, bt.temp));
	c = emit_find(u, o, a, a->kind, a->size, COLD_MISS);
	c->target = a->disp - a->now;
	return operand(u, a, a->disp - a->now);
}

struct host_mem access_emit(struct build *u, const struct op *o, unsigned k)
{
	struct host_mem m = emit_access(u, o, k);

	u->access_sp = u->sp_pending;
	u->access_flags = u->flags == FLAGS_HOST;
	return m;
}

void access_emit_string(struct build *u, const struct op *o, unsigned k)
{
	const struct access *a = &o->access[k];
	struct bt_miss miss = { o->offset, a->size, a->kind, 0, 0 };
	struct host_mem addend = mem_at(T1, 8);

	emit_linear(u, a, 0);
	emit_look_up(u, o, a, &miss, COLD_MISS);
	emit_op_mem(&u->e, 8, OP_LOAD, T1, &addend);
}

/* To the variant of the code from here on in which every access checks for itself. */
static void emit_single_exit(struct build *u, const struct cold *c)
{
	struct emit *e = &u->e;
	uint8_t *link;

	emit_uncount(u, rest_behind(u, c->op) + 1);
	link = emit_jump_whole(u);
	emit_patch(link, e->at);
	emit_link_request(u, link, c->op->offset, u->c->exit_single);
}

void access_emit_cold(struct build *u, const struct cold *c)
{
	struct emit *e = &u->e;
	struct host_mem tag = mem_at(T1, 0);
	uint8_t *lea, *crossing = NULL;
	struct bt_miss miss = c->miss;

	emit_patch(c->from, e->at);
	if (c->kind == COLD_QUICK) {
		emit_cold_quick(u, c);
		return;
	}
	if (c->kind == COLD_GROUP_MISS) { /* the page is there, but the range leaves it */
		emit_imm(e, 8, IMM_CMP, T0, PAGE_SIZE);
		crossing = emit_jcc_later(e, CC_B);
	}
	emit_op_mem(e, 8, OP_ADD, T0, &tag); /* the address again */
	lea = emit_lea_later(e, T1);
	emit_jmp(e, c->kind == COLD_MISS ? u->c->miss : u->c->group_miss);
	emit_patch(lea, e->at);
	miss.align = c->op->i.align;
	miss.rest = (uint8_t)rest_behind(u, c->op);
	/* Behind a push from memory the look-up for the stack would be left out. */
	miss.len = c->op->kind >= K_JMP || c->op->accesses == 2 ? 0 : c->op->i.len;
	emit_bytes(e, &miss, sizeof(miss));
	/* Come back here to look up again, or behind it when there is nothing to look up any more. */
	emit_patch(emit_jmp_later(e), c->again);
	if (c->kind == COLD_MISS) {
		struct host_mem sp = mem_at(H_SP, -c->sp);

		if (c->sp)
			emit_lea(e, u->width, H_SP, &sp);
		emit_t0_back(u, c);
		emit_patch(emit_jmp_later(e), c->back ? c->back : c->again);
		return;
	}
	emit_patch(crossing, e->at);
	emit_single_exit(u, c);
}
