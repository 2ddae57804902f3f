/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/build.c - one block: head, instructions, what is rarely taken, tables.
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/rows.h"

/* ---- what waits to be emitted behind the hot path */

struct cold *add_cold(struct build *u, enum cold_kind kind, uint8_t *from, const struct op *o)
{
	struct cold *c = &u->cold[u->colds];

	if (u->colds + 1 < COLD_MAX)
		u->colds++;
	else
		u->e.overflow = true;
	*c = (struct cold){ .kind = (uint8_t)kind, .from = from, .op = o };
	if (kind == COLD_SITE)
		c->site = add_site(u, o);
	return c;
}

uint32_t add_site(struct build *u, const struct op *o)
{
	struct bt_site *s = &u->site[u->sites];

	if (u->sites + 1 == ARRAY_LEN(u->site)) {
		u->e.overflow = true;
		return 0;
	}
	*s = (struct bt_site){ o->i, o->offset, (uint16_t)rest_behind(u, o), o->kind == K_LEAVE_BLOCK };
	if (!s->insn.exec && !interp_bind_plain(&u->c->thunks, &s->insn, &o->d, o->code))
		u->c->thunks_full = u->e.overflow = true;
	return u->sites++;
}

struct cold *site_if(struct build *u, unsigned condition, const struct op *o)
{
	return add_cold(u, COLD_SITE, emit_jcc_later(&u->e, condition), o);
}

/* ---- state while emitting */

void flush_sp(struct build *u)
{
	struct host_mem m = mem_at(H_SP, u->sp_pending);

	if (u->sp_pending)
		emit_lea(&u->e, u->width, H_SP, &m);
	u->sp_pending = 0;
}

void flags_to_memory(struct build *u, uint16_t live)
{
	if (u->flags == FLAGS_HOST && live) {
		emit_save_flags(&u->e);
		u->flags = FLAGS_BOTH;
	}
}

void flags_to_host(struct build *u)
{
	if (u->flags == FLAGS_MEMORY) {
		emit_load_flags(&u->e);
		u->flags = FLAGS_BOTH;
	}
}

void flags_clobbered(struct build *u, uint16_t live)
{
	flags_to_memory(u, live);
	u->flags = u->flags == FLAGS_HOST || u->flags == FLAGS_LOST ? FLAGS_LOST : FLAGS_MEMORY;
}

/* Before an instruction that reads flags, or leaves some alone that somebody reads later. */
static void flags_for(struct build *u, const struct op *o)
{
	if (o->tested || (o->written && (o->live_out & ~o->killed)))
		flags_to_host(u);
}

static void flags_from(struct build *u, const struct op *o)
{
	if (o->written)
		u->flags = FLAGS_HOST;
}

/* ---- instructions */

static void do_site(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	uint8_t *back;

	flags_clobbered(u, o->live_in);
	flush_sp(u);
	t1_lost(u);
	u->site_at[add_site(u, o)] = emit_lea_later(e, T0);
	back = emit_lea_later(e, T1);
	emit_jmp(e, u->c->site);
	emit_patch(back, e->at);
	u->flags = o->live_out ? FLAGS_BOTH : FLAGS_LOST;
}

/* Host exceptions that an instruction may raise are the guest's: #DE, and #GP of what must be aligned. */
static bool host_traps(const struct op *o)
{
	bool aligned = (o->i.fpu & FPU_SSE) && (o->i.flags & INSN_MEM) && o->i.memsize >= 16;

	return aligned || o->i.align || o->i.mnemonic == ZYDIS_MNEMONIC_DIV || o->i.mnemonic == ZYDIS_MNEMONIC_IDIV;
}

/* The page that an access met last may be one that does not exist: when it has met none. */
static bool may_trap(const struct op *o)
{
	return host_traps(o) || o->accesses;
}

/* Its registers are where they are natively. */
static bool has_own_registers(const struct build *u, const struct op *o)
{
	return u->width == 8 && !(o->gprs_used & (1u << R_14 | 1u << R_15));
}

/* The same bytes do the same here. */
static bool is_identical(const struct build *u, const struct op *o)
{
	return has_own_registers(u, o) && !(o->i.flags & INSN_MEM);
}

/* BT and its like: the look-up found the bytes, the bit's number in them is left.  No flags are lost for it. */
static void emit_bit(struct build *u, const struct op *o, const struct host_mem *m)
{
	struct emit *e = &u->e;
	struct host_mem mask = mem_vcpu(offsetof(struct vcpu, bt.bit_mask[o->access[0].unit]));
	unsigned r = guest_reg(u, o->i.r[1], T0), w = o->i.opsize == 8 ? 8 : 4;

	emit_byte(e, 0x65); /* pext t0, r, mask */
	emit_byte(e, 0xc4), emit_byte(e, 0x62), emit_byte(e, 0x82 | (~r & 15) << 3), emit_byte(e, 0xf5);
	emit_modrm_mem(e, T0, &mask);
	if (o->i.opsize == 2)
		emit_byte(e, 0x66);
	if (o->i.flags & INSN_LOCK)
		emit_byte(e, 0xf0);
	emit_byte(e, 0x40 | emit_rex_mem(w, T0, m));
	emit_byte(e, 0x0f), emit_byte(e, o->d.in.opcode);
	emit_modrm_mem(e, T0, m);
}

static void do_plain(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	struct host_mem m = { 0 };
	bool trap = host_traps(o);

	if (trap)
		flags_to_memory(u, o->live_in);
	if (trap || o->gprs_used & 1u << R_SP)
		flush_sp(u);
	if (o->i.flags & INSN_MEM)
		m = access_emit(u, o, 0);
	if (m.index == T0 && u->flags == FLAGS_MEMORY) { /* loading flags takes T0 */
		t1_lost(u);
		emit_lea(e, 8, T1, &m);
		m = mem_at(T1, 0);
	}
	flags_for(u, o);
	if (o->i.fpu & (FPU_SSE | FPU_AVX))
		u->uses_vectors = true;
	if (is_identical(u, o))
		emit_bytes(e, o->code, o->i.len);
	else if (o->access[0].bits && o->accesses)
		emit_bit(u, o, &m);
	else
		mangle(u, o, o->i.flags & INSN_MEM ? &m : NULL);
	flags_from(u, o);
}

static void do_lea(struct build *u, const struct op *o)
{
	const struct insn *i = &o->i;

	if (o->gprs_used & 1u << R_SP)
		flush_sp(u);
	if (has_own_registers(u, o) && i->base != GPR_RIP)
		emit_bytes(&u->e, o->code, i->len);
	else
		access_emit_lea(u, o);
}

static void do_push(struct build *u, const struct op *o)
{
	struct emit *e = &u->e;
	struct host_mem m;

	if (o->i.r[0] == R_SP)
		flush_sp(u);
	if (o->i.flags & INSN_MEM) {
		flush_sp(u);
		m = access_emit(u, o, 0);
		emit_op_mem(e, u->width, OP_LOAD, T0, &m);
		emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, bt.temp));
		m = access_emit(u, o, 1);
		emit_load_vcpu(e, 8, T0, offsetof(struct vcpu, bt.temp));
		emit_op_mem(e, u->width, OP_STORE, T0, &m);
		u->sp_pending -= (int)u->width;
		return;
	}
	m = access_emit(u, o, 0);
	if (o->i.r[0] != OP_NONE) {
		emit_op_mem(e, u->width, OP_STORE, guest_reg(u, o->i.r[0], T0), &m);
	} else {
		emit_op_mem(e, u->width, 0xc7, 0, &m);
		emit_u32(e, (uint32_t)o->i.imm);
	}
	u->sp_pending -= (int)u->width;
}

static void do_pop(struct build *u, const struct op *o)
{
	struct host_mem m = access_emit(u, o, 0);

	if (o->i.r[0] == R_SP) {
		emit_op_mem(&u->e, u->width, OP_LOAD, H_SP, &m);
		u->sp_pending = 0;
		return;
	}
	if (in_memory(o->i.r[0])) {
		emit_op_mem(&u->e, u->width, OP_LOAD, T0, &m);
		store_guest(u, o->i.r[0], T0);
	} else {
		emit_op_mem(&u->e, u->width, OP_LOAD, o->i.r[0], &m);
	}
	u->sp_pending += (int)u->width;
}

static void do_leave(struct build *u, const struct op *o)
{
	struct host_mem m = access_emit(u, o, 0), sp = mem_at(H_BP, (int32_t)u->width);

	u->sp_pending = 0; /* RSP comes from RBP */
	emit_op_mem(&u->e, u->width, OP_LOAD, T0, &m); /* may fault: nothing has changed yet */
	emit_lea(&u->e, u->width, H_SP, &sp);
	emit_mov(&u->e, u->width, H_BP, T0);
}

static void do_copy(struct build *u, const struct op *o)
{
	flags_for(u, o);
	if (o->d.in.mnemonic == ZYDIS_MNEMONIC_VZEROUPPER || o->d.in.mnemonic == ZYDIS_MNEMONIC_VZEROALL)
		u->uses_vectors = true;
	emit_bytes(&u->e, o->code, o->i.len);
	flags_from(u, o);
}

static void translate(struct build *u, const struct op *o)
{
	switch (o->kind) {
	case K_NOTHING:
		break;
	case K_COPY:
		do_copy(u, o);
		break;
	case K_PLAIN:
		do_plain(u, o);
		break;
	case K_LEA:
		do_lea(u, o);
		break;
	case K_PUSH:
		do_push(u, o);
		break;
	case K_POP:
		do_pop(u, o);
		break;
	case K_LEAVE:
		do_leave(u, o);
		break;
	case K_PUSHF:
		system_pushf(u, o);
		break;
	case K_POPF:
		system_popf(u, o);
		break;
	case K_CLI:
		system_cli(u, o);
		break;
	case K_STI:
		system_sti(u, o);
		break;
	case K_RDTSC:
		system_rdtsc(u, o);
		break;
	case K_PAUSE:
		system_pause(u, o);
		break;
	case K_SMAP:
		system_smap(u, o);
		break;
	case K_SWAPGS:
		system_swapgs(u, o);
		break;
	case K_CLD:
		system_cld(u, o);
		break;
	case K_MOV_FROM:
		system_mov_from(u, o);
		break;
	case K_STRING:
		string_rep(u, o);
		break;
	case K_ELEMENT:
		string_element(u, o);
		break;
	case K_JMP:
		flags_to_memory(u, o->live_out);
		flow_exit(u, o->target);
		break;
	case K_CALL:
	case K_CALL_TO:
		flow_call(u, o);
		break;
	case K_JCC:
		flow_jcc(u, o);
		break;
	case K_LOOP:
		flow_loop(u, o);
		break;
	case K_JMP_TO:
		flow_indirect(u, o);
		break;
	case K_RET:
		flow_ret(u, o);
		break;
	case K_LEAVE_BLOCK:
		do_site(u, o);
		u->ended = true;
		break;
	default:
		do_site(u, o);
		break;
	}
}

/* ---- the block */

/* What comes before the first instruction; leave: jumps to code that emit_leave makes. */
struct head {
	uint8_t *count, *leave[2];
};

static void emit_head(struct build *u, struct head *h)
{
	struct emit *e = &u->e;
	struct host_mem left = mem_vcpu(offsetof(struct vcpu, bt.left));

	_Static_assert(offsetof(struct vcpu, vectors_out) == offsetof(struct vcpu, attention) + 4 &&
			       offsetof(struct vcpu, attention) % 8 == 0,
		"one look at both");
	*h = (struct head){ 0 };
	if (u->mode & BT_COUNT) {
		emit_op_mem(e, 8, 0x81, IMM_SUB, &left);
		emit_u32(e, u->count);
		h->leave[1] = emit_jcc_later(e, CC_S);
	}
	emit_compare_vcpu(e, u->uses_vectors ? 8 : 4, offsetof(struct vcpu, attention), 0);
	h->leave[0] = emit_jcc_later(e, CC_NE);
	u->block->skip = (uint16_t)(e->at - e->start);
	if (u->mode & BT_TALLY) {
		struct host_mem runs = mem_at(T0, 0);

		_Static_assert(sizeof(u->block->runs) == 4, "the increment's width");
		emit_mov_imm(e, T0, (uintptr_t)&u->block->runs);
		emit_op_mem(e, 4, 0xff, 0, &runs); /* inc */
	}
}

/* Not entered after all: vector registers are missing, or out. */
static void emit_leave(struct build *u, const struct head *h)
{
	struct emit *e = &u->e;
	struct host_mem left = mem_vcpu(offsetof(struct vcpu, bt.left));
	uint8_t *out = NULL, *lea;

	emit_patch(h->leave[0], e->at);
	if (u->uses_vectors) {
		emit_compare_vcpu(e, 4, offsetof(struct vcpu, attention), 0);
		out = emit_jcc_later(e, CC_NE);
		lea = emit_lea_later(e, T1);
		emit_patch(lea, e->start + u->block->skip);
		emit_jmp(e, u->c->load_vectors);
		emit_patch(out, e->at);
	}
	if (u->mode & BT_COUNT) {
		emit_patch(h->leave[1], e->at);
		emit_op_mem(e, 8, 0x81, IMM_ADD, &left);
		emit_u32(e, u->count);
	}
	u->block->out = (uint16_t)(e->at - (uint8_t *)u->block);
	emit_patch(emit_lea_later(e, T1), (const uint8_t *)u->block);
	emit_jmp(e, u->c->exit_head[u->mode & BT_SINGLE ? 1 : 0]);
}

static bool needs_vectors(const struct build *u)
{
	for (unsigned n = 0; n < u->count; n++) {
		const struct op *o = &u->op[n];

		if ((o->kind == K_PLAIN && (o->i.fpu & (FPU_SSE | FPU_AVX))) ||
			(o->kind == K_COPY && o->d.in.meta.category == ZYDIS_CATEGORY_AVX))
			return true;
	}
	return false;
}

/* What lies from `start` to here is the instruction's. */
static void add_points(struct build *u, const struct op *o, const uint8_t *start)
{
	while (start < u->e.at) {
		unsigned size = MIN_OF((unsigned)(u->e.at - start), (unsigned)UINT8_MAX);

		if (u->points == ARRAY_LEN(u->point)) {
			u->e.overflow = true;
			return;
		}
		u->point[u->points++] = (struct bt_point){ .start = (uint16_t)(start - u->e.start),
			.size = (uint8_t)size,
			.rest = (uint8_t)(rest_behind(u, o) + 1),
			.offset = o->offset,
			.flags = u->access_flags,
			.sp = (int16_t)u->access_sp };
		start += size;
	}
}

static void emit_body(struct build *u)
{
	const uint8_t *start;
	struct cold *miss;

	u->flags = FLAGS_MEMORY;
	u->sp_pending = 0;
	u->t1_group = -1;
	u->t0_at = NULL;
	u->ended = false;
	access_emit_early(u);
	for (unsigned n = 0; n < u->count; n++) {
		unsigned colds = u->colds;

		start = u->e.at;
		u->access_sp = 0;
		u->access_flags = false;
		translate(u, &u->op[n]);
		if (may_trap(&u->op[n]))
			add_points(u, &u->op[n], start);
		for (miss = &u->cold[colds]; miss < &u->cold[u->colds]; miss++) {
			if (miss->kind == COLD_MISS || miss->kind == COLD_QUICK || miss->here) {
				miss->back = u->e.at;
				miss->sp = u->sp_pending;
			}
		}
	}
	if (!u->ended) {
		flags_to_memory(u, u->live_at_end);
		flow_exit(u, u->end);
	}
}

/* Points and sites, behind the code. */
static void emit_tables(struct build *u)
{
	struct emit *e = &u->e;
	struct bt_block *k = u->block;
	unsigned bytes = u->points * (unsigned)sizeof(struct bt_point);

	while (((uintptr_t)e->at & 7) && !e->overflow)
		emit_byte(e, 0xcc);
	k->points = (uint16_t)(e->at - (uint8_t *)k);
	k->point_count = (uint16_t)u->points;
	emit_bytes(e, u->point, bytes);
	while (((uintptr_t)e->at & 7) && !e->overflow)
		emit_byte(e, 0xcc);
	k->links = (uint16_t)(e->at - (uint8_t *)k);
	k->link_count = (uint16_t)u->links;
	for (unsigned n = 0; n < u->links && !e->overflow; n++) {
		struct bt_link link = { .offset = u->link[n].offset,
			.jump = (int32_t)(u->link[n].jump - e->at),
			.cold = (int16_t)(u->link[n].cold - e->at),
			.id = link_id(u, n) };

		emit_patch(u->link[n].jump, u->link[n].cold);
		emit_patch(u->link[n].lea[0], e->at);
		emit_patch(u->link[n].lea[1], e->at);
		emit_bytes(e, &link, sizeof(link));
	}
	for (unsigned n = 0; n < u->sites && !e->overflow; n++) {
		emit_patch(u->site_at[n], e->at);
		emit_bytes(e, &u->site[n], sizeof(u->site[n]));
	}
}

static bool emit_block(struct build *u)
{
	struct bt_block *k = u->block;
	struct emit *e = &u->e;
	struct head head;

	e->start = e->at = u->hot;
	e->end = u->hot + BT_HOST_MAX - 64; /* patches stay inside even then */
	e->run_delta = u->c->rx - u->c->rw;
	e->overflow = false;
	u->colds = u->points = u->sites = u->links = 0;
	u->uses_vectors = needs_vectors(u);
	emit_head(u, &head);
	emit_body(u);
	k->host_size = (uint16_t)(e->at - e->start);
	e->at = (uint8_t *)(k + 1);
	e->end = (uint8_t *)k + BT_HOST_MAX - 64;
	emit_leave(u, &head);
	for (unsigned n = 0; n < u->colds && !e->overflow; n++) {
		if (u->cold[n].kind == COLD_QUICK || u->cold[n].kind == COLD_MISS ||
			u->cold[n].kind == COLD_GROUP_MISS)
			access_emit_cold(u, &u->cold[n]);
		else
			flow_emit_cold(u, &u->cold[n]);
	}
	emit_tables(u);
	k->size = (uint16_t)(((size_t)(e->at - (uint8_t *)k) + 15) & ~15u);
	k->host_code = emit_run_address(e, e->start);
	k->uses_vectors = u->uses_vectors;
	return !e->overflow;
}

/* What it was made from must be told, and stays as it is now. */
static void take_bytes(struct vcpu *v, struct build *u)
{
	memset(u->bytes, 0, sizeof(u->bytes));
	for (unsigned n = 0; n < 2; n++) {
		struct bt_page *p = n ? u->second : u->page;

		if (!p)
			continue;
		p->idle_writes = 0;
		if (!p->kept) {
			p->kept = true;
			code_keep(v, p->host, RAM_KEPT_SHARED);
		}
		memcpy(u->bytes + n * PAGE_SIZE, p->host, n ? sizeof(u->bytes) - PAGE_SIZE : PAGE_SIZE);
	}
}

struct bt_block *bt_build(struct vcpu *v, struct bt *b, struct bt_page *page, struct bt_page *second,
	unsigned offset, unsigned mode)
{
	struct bt_cache *c = b->cache;
	struct build *u = c->build;
	struct bt_block *k = bt_cache_room(v, b, &u->hot);

	if (!k)
		return NULL;
	u->c = c;
	u->page = page;
	u->second = second;
	u->block = k;
	u->mode = mode;
	u->width = (mode & 3) == BT_64 ? 8 : 4;
	u->start = offset;
	u->limit = second ? 1 : bt_limit(v);
	*k = (struct bt_block){ .guest = page->host + offset,
		.la = v->s.rip,
		.page = page,
		.second = second,
		.mode = (uint16_t)mode };
	take_bytes(v, u);
	if (!scan(u))
		return NULL;
	while (!emit_block(u)) { /* too much code for its place */
		u->limit = u->count / 2;
		if (!u->limit || !scan(u))
			return NULL;
	}
	if (second)
		second->chunks |= 1;
	if (u->turns_back)
		k->skip = 0;
	k->count = (uint16_t)u->count;
	c->stats.translated++;
	c->stats.guest_instructions += u->count;
	bt_cache_insert(c, k);
	if (c->perf)
		bt_perf_block(c, k);
	return k;
}
