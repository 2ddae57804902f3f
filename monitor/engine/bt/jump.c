/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/jump.c - code that goes through the jump cache: linear address to host code, tagged with what the address's
 * meaning depends on (run.c).
 */
#include "monitor/engine/bt/build.h"

static struct host_mem slot_of(size_t table)
{
	return (struct host_mem){ H_NONE, T1, 3, true, (int32_t)table };
}

static void compare(struct emit *e)
{
	struct host_mem tag = slot_of(offsetof(struct vcpu, bt.jump_tag));

	emit_op_mem(e, 8, OP_CMP, T0, &tag);
}

void emit_jump_compare(struct emit *e)
{
	emit_op_reg(e, 4, 0x69, T1, T0); /* imul */
	emit_u32(e, BT_JUMP_FACTOR);
	emit_op_reg(e, 4, 0xc1, 5, T1); /* shr */
	emit_byte(e, 32 - VCPU_JUMP_BITS);
	emit_op_vcpu(e, OP_XOR, T0, offsetof(struct vcpu, bt.context));
	compare(e);
}

void emit_jump_other(struct emit *e)
{
	emit_imm(e, 4, IMM_XOR, T1, 1);
	compare(e);
}

void emit_jump_hit(struct emit *e)
{
	struct host_mem host = slot_of(offsetof(struct vcpu, bt.jump_host));

	emit_op_vcpu(e, OP_XOR, T0, offsetof(struct vcpu, bt.context));
	emit_imm(e, 8, IMM_AND, T0, (int32_t)PAGE_MASK);
	emit_store_vcpu(e, 8, T0, offsetof(struct vcpu, bt.page));
	emit_jmp_mem(e, &host);
}
