/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/fixed.c - code made once: the way into translated code, the ways out, and what slow paths share.
 *
 * Translated code has no stack of its own: whoever wants C brings the registers into the vCPU and takes C's stack.
 */
#include "monitor/engine/bt/build.h"

#include "monitor/cpu/arch.h"
#include "monitor/cpu/fpu.h"

#define BT_AT(field) offsetof(struct vcpu, bt.field)

/* Guest registers that live in host registers; all, or those that C may have changed. */
static void emit_registers(struct emit *e, bool store, uint16_t which)
{
	for (unsigned g = 0; g < 14; g++) {
		if (which & 1u << g)
			(store ? emit_store_vcpu : emit_load_vcpu)(e, 8, g, GPR_OFFSET(g));
	}
}

#define ALL 0x3fffu
/* RAX RCX RDX RSP RSI RDI R8..R11 */
#define CALLER_SAVED 0x0fd7u

/* RBX <- the guest's vector registers were in; they are out. */
static void emit_vectors_out(struct emit *e, bool avx, bool note)
{
	uint8_t *out;

	if (note)
		emit_load_vcpu(e, 4, H_BX, offsetof(struct vcpu, vectors_out));
	emit_compare_vcpu(e, 4, offsetof(struct vcpu, vectors_out), 0);
	out = emit_jcc_later(e, CC_NE);
	emit_vectors_store(e, avx);
	emit_set_vcpu(e, offsetof(struct vcpu, vectors_out), 1);
	emit_patch(out, e->at);
}

static void emit_vectors_in(struct emit *e, bool avx)
{
	emit_vectors_load(e, avx);
	emit_set_vcpu(e, offsetof(struct vcpu, vectors_out), 0);
}

/* As emit_vectors_out found them. */
static void emit_vectors_back(struct emit *e, bool avx)
{
	uint8_t *out;

	emit_op_reg(e, 4, 0x85, H_BX, H_BX); /* test ebx, ebx */
	out = emit_jcc_later(e, CC_NE);
	emit_vectors_in(e, avx);
	emit_patch(out, e->at);
}

static const uint8_t *here(const struct emit *e)
{
	return emit_run_address(e, e->at);
}

/* void enter(code, v): GS base is v already. */
static void emit_enter(struct emit *e)
{
	static const uint8_t save[] = {
		0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, /* push rbx rbp r12..r15 */
		0x48, 0x83, 0xec, 8,                                        /* sub rsp, 8 */
	};

	emit_bytes(e, save, sizeof(save));
	emit_store_vcpu(e, 8, H_SP, BT_AT(host_sp));
	emit_mov(e, 8, T0, H_DI);
	emit_registers(e, false, ALL);
	emit_jmp_reg(e, T0);
}

/* Back to enter's caller; C's stack is in use. */
static void emit_return(struct emit *e)
{
	static const uint8_t restore[] = {
		0x48, 0x83, 0xc4, 8, /* add rsp, 8 */
		0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b,
		0xc3, /* pop r15..r12 rbp rbx; ret */
	};

	emit_bytes(e, restore, sizeof(restore));
}

static void emit_to_c(struct emit *e)
{
	emit_registers(e, true, ALL);
	emit_load_vcpu(e, 8, H_SP, BT_AT(host_sp));
}

/* Out, to the offset in the page that the lower bits of a field at T1 are. */
static void emit_exit_in_page(const struct bt_cache *c, struct emit *e, size_t field)
{
	struct host_mem m = mem_at(T1, (int32_t)field);

	emit_movzx(e, 2, T0, &m);
	emit_imm(e, 4, IMM_AND, T0, (int32_t)~PAGE_MASK);
	emit_op_vcpu(e, OP_ADD, T0, BT_AT(page));
	emit_jmp(e, c->exit_lookup);
}

/* What T1 leads to asks to be linked. */
static void emit_ask(struct emit *e, enum bt_link_kind kind)
{
	emit_store_vcpu(e, 8, T1, BT_AT(link));
	emit_set_vcpu(e, BT_AT(link_kind), kind);
}

static void emit_exits(struct bt_cache *c, struct emit *e, bool avx)
{
	c->exit_lookup = here(e);
	emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, s.rip));
	emit_to_c(e);
	emit_vectors_out(e, avx, false);
	emit_return(e);
	for (unsigned k = 0; k < ARRAY_LEN(c->exit_link); k++) {
		c->exit_link[k] = here(e);
		emit_ask(e, k);
		emit_exit_in_page(c, e, offsetof(struct bt_exit, offset));
	}
	c->exit_single = here(e);
	emit_set_vcpu(e, BT_AT(single), 1);
	emit_ask(e, LINK_ANY);
	emit_exit_in_page(c, e, offsetof(struct bt_exit, offset));
	c->exit_head[1] = here(e);
	emit_set_vcpu(e, BT_AT(single), 1);
	c->exit_head[0] = here(e);
	emit_exit_in_page(c, e, offsetof(struct bt_block, guest));
}

/* T0 <- the address that the struct bt_link at T1 leads to. */
static void emit_link_address(struct emit *e, unsigned width)
{
	struct host_mem offset = mem_at(T1, offsetof(struct bt_link, offset)), page = mem_vcpu(BT_AT(page));

	emit_op_mem(e, 8, 0x63, T0, &offset); /* movsxd */
	emit_op_mem(e, width, OP_ADD, T0, &page);
}

/*
 * The jump cache leads where the link at vcpu.bt.temp leads to in other address spaces: from now on it is believed in this
 * one.  T1: the jump cache's slot.  Returns a jump to what is to be done if it leads elsewhere.
 */
static uint8_t *emit_believe(struct emit *e, unsigned width)
{
	struct host_mem host = { H_NONE, T1, 3, true, (int32_t)BT_AT(jump_host) };
	struct host_mem linked = { H_NONE, T1, 3, true, (int32_t)BT_AT(linked) };
	struct host_mem code = mem_at(T0, offsetof(struct bt_link, code)), id = mem_at(T0, offsetof(struct bt_link, id));
	struct host_mem offset = mem_at(T0, offsetof(struct bt_link, offset));
	struct host_mem page = mem_vcpu(BT_AT(page)), resume = mem_vcpu(BT_AT(resume));
	uint8_t *differs;

	emit_op_mem(e, 8, OP_LOAD, T1, &host);
	emit_load_vcpu(e, 8, T0, BT_AT(temp));
	emit_op_mem(e, 8, OP_CMP, T1, &code);
	differs = emit_jcc_later(e, CC_NE);
	emit_store_vcpu(e, 8, T1, BT_AT(resume)); /* others may take the link's away */
	emit_op_mem(e, 4, OP_LOAD, T1, &id);
	emit_load_vcpu(e, 8, T0, BT_AT(page));
	emit_op_vcpu(e, OP_XOR, T0, BT_AT(context));
	emit_op_mem(e, 8, OP_STORE, T0, &linked);
	emit_load_vcpu(e, 8, T0, BT_AT(temp));
	emit_op_mem(e, 8, 0x63, T0, &offset);
	emit_imm(e, 8, IMM_AND, T0, (int32_t)PAGE_MASK);
	emit_op_mem(e, width, 0x01, T0, &page); /* add */
	emit_jmp_mem(e, &resume);
	return differs;
}

/* Where a jump into another page does not lead where it last did, it is linked anew now and then. */
static void emit_exit_page(struct bt_cache *c, struct emit *e, unsigned width)
{
	struct host_mem relink = mem_vcpu(BT_AT(relink));
	uint8_t *other, *due, *differs;
	const uint8_t *hit;

	c->exit_page[width == 8] = here(e);
	emit_store_vcpu(e, 8, T1, BT_AT(temp));
	emit_link_address(e, width);
	emit_jump_compare(e);
	other = emit_jcc_later(e, CC_NE);
	hit = e->at;
	differs = emit_believe(e, width);
	emit_patch(other, e->at);
	emit_jump_other(e);
	emit_patch(emit_jcc_later(e, CC_E), hit);
	emit_patch(differs, e->at);
	emit_load_vcpu(e, 8, T1, BT_AT(temp));
	emit_link_address(e, width);
	emit_op_mem(e, 4, 0x83, IMM_SUB, &relink);
	emit_byte(e, 1);
	due = emit_jcc_later(e, CC_S);
	emit_jmp(e, c->indirect);
	emit_patch(due, e->at);
	emit_ask(e, LINK_PAGE);
	emit_jmp(e, c->exit_lookup);
}

/* The page was left for the other one already. */
static void emit_exit_gone(struct bt_cache *c, struct emit *e)
{
	c->exit_gone = here(e);
	emit_ask(e, LINK_GONE);
	emit_exit_in_page(c, e, offsetof(struct bt_link, offset));
}

static void emit_call(struct emit *e, uintptr_t function)
{
	emit_mov_imm(e, H_AX, function);
	emit_op_reg(e, 4, 0xff, 2, H_AX);
}

/* T0: site, T1: where to go on.  0: there; 1: leave; 2: the block at vcpu.bt.resume is next. */
static void emit_site(struct emit *e, bool avx)
{
	struct host_mem resume = mem_vcpu(BT_AT(resume));
	uint8_t *gone, *leave;

	emit_store_vcpu(e, 8, T1, BT_AT(resume));
	emit_to_c(e);
	emit_vectors_out(e, avx, true);
	emit_mov(e, 8, H_SI, T0);
	emit_load_vcpu(e, 8, H_DI, BT_AT(self));
	emit_call(e, (uintptr_t)bt_call_site);
	emit_op_reg(e, 4, 0x85, H_AX, H_AX);
	gone = emit_jcc_later(e, CC_NE);
	emit_vectors_back(e, avx);
	emit_registers(e, false, ALL);
	emit_load_flags(e);
	emit_jmp_mem(e, &resume);
	emit_patch(gone, e->at);
	emit_imm(e, 4, IMM_CMP, H_AX, 2);
	leave = emit_jcc_later(e, CC_NE);
	emit_registers(e, false, ALL);
	emit_jmp_mem(e, &resume);
	emit_patch(leave, e->at);
	emit_return(e);
}

/*
 * T0: linear address, T1: struct bt_miss.  0: look up again, by the jump that follows it; 1: the instruction is done (a
 * group: nothing is to be looked up), behind that jump; 2: leave.  C keeps T0 and T1.
 */
static void emit_miss(struct emit *e, bool avx, uintptr_t function, bool group)
{
	struct host_mem again = mem_at(T1, sizeof(struct bt_miss));
	struct host_mem done = mem_at(T1, sizeof(struct bt_miss) + BT_JMP_SIZE);
	uint8_t *other, *leave = NULL;

	emit_to_c(e);
	emit_vectors_out(e, avx, true);
	emit_mov(e, 8, H_SI, T0);
	emit_mov(e, 8, H_DX, T1);
	emit_load_vcpu(e, 8, H_DI, BT_AT(self));
	emit_call(e, function);
	emit_op_reg(e, 4, 0x85, H_AX, H_AX);
	other = emit_jcc_later(e, CC_NE);
	emit_vectors_back(e, avx);
	emit_registers(e, false, CALLER_SAVED | 1u << R_BX);
	emit_lea(e, 8, T1, &again);
	emit_jmp_reg(e, T1);
	emit_patch(other, e->at);
	if (!group) {
		emit_imm(e, 4, IMM_CMP, H_AX, 1);
		leave = emit_jcc_later(e, CC_NE);
	}
	emit_vectors_back(e, avx);
	emit_registers(e, false, ALL);
	emit_load_flags(e);
	emit_lea(e, 8, T1, &done);
	emit_jmp_reg(e, T1);
	if (leave) {
		emit_patch(leave, e->at);
		emit_return(e);
	}
}

static void emit_lookup(struct emit *e)
{
	struct host_mem resume = mem_vcpu(BT_AT(resume)), behind = mem_at(T1, BT_JMP_SIZE);
	uint8_t *unknown;

	emit_store_vcpu(e, 8, T1, BT_AT(resume));
	emit_registers(e, true, CALLER_SAVED);
	emit_load_vcpu(e, 8, H_SP, BT_AT(host_sp));
	emit_mov(e, 8, H_SI, T0);
	emit_op_vcpu(e, OP_XOR, H_SI, BT_AT(context));
	emit_load_vcpu(e, 8, H_DI, BT_AT(self));
	emit_call(e, (uintptr_t)bt_lookup);
	emit_mov(e, 4, T1, H_AX);
	emit_op_reg(e, 4, 0x85, H_AX, H_AX); /* test */
	emit_registers(e, false, CALLER_SAVED);
	unknown = emit_jcc_later(e, CC_S);
	emit_jmp_mem(e, &resume);
	emit_patch(unknown, e->at);
	emit_load_vcpu(e, 8, T1, BT_AT(resume));
	emit_lea(e, 8, T1, &behind);
	emit_jmp_reg(e, T1);
}

/* Through the jump cache, once more behind what C may have put there, or out. */
static void emit_indirect(const struct bt_cache *c, struct emit *e)
{
	uint8_t *hit[2], *lea, *again;

	emit_jump_compare(e);
	hit[0] = emit_jcc_later(e, CC_E);
	emit_jump_other(e);
	hit[1] = emit_jcc_later(e, CC_E);
	lea = emit_lea_later(e, T1);
	emit_jmp(e, c->lookup);
	emit_patch(lea, e->at);
	again = emit_jmp_later(e);
	emit_op_vcpu(e, OP_XOR, T0, BT_AT(context));
	emit_jmp(e, c->exit_lookup);
	emit_patch(hit[0], e->at);
	emit_patch(hit[1], e->at);
	emit_patch(again, e->at);
	emit_jump_hit(e);
}

bool bt_make_fixed_code(struct bt_cache *c, GError **error)
{
	struct emit e = {
		.start = c->rw, .at = c->rw, .end = c->rw + 16384, .run_delta = c->rx - c->rw
	};
	bool avx = __builtin_cpu_supports("avx");

	c->enter = (void (*)(const uint8_t *, struct vcpu *))(uintptr_t)here(&e);
	emit_enter(&e);
	c->site = here(&e);
	emit_site(&e, avx);
	c->miss = here(&e);
	emit_miss(&e, avx, (uintptr_t)bt_miss, false);
	c->group_miss = here(&e);
	emit_miss(&e, avx, (uintptr_t)bt_group_miss, true);
	c->lookup = here(&e);
	emit_lookup(&e);
	c->load_vectors = here(&e);
	emit_vectors_in(&e, avx);
	emit_jmp_reg(&e, T1);
	emit_exits(c, &e, avx);
	c->indirect = here(&e);
	emit_indirect(c, &e);
	emit_exit_page(c, &e, 4);
	emit_exit_page(c, &e, 8);
	emit_exit_gone(c, &e);
	if (e.overflow)
		return fail(error, SERAI_ERROR_HOST, "the translator's own code does not fit");
	c->fixed = (size_t)(e.at - c->rw + 63) & ~63ull;
	return true;
}
