/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/plain_exec.c - running plain instructions: find the memory operand, call the thunk.
 */
#include "monitor/cpu/fpu.h"
#include "monitor/engine/interp/interp.h"

#define OPERAND_MAX 128 /* bytes of the largest plain memory operand: FNSAVE's 108 */

static thunk_fn *thunk_of(const struct insn *i)
{
	return (thunk_fn *)i->thunk;
}

/* AMD lets MXCSR.MM switch the check off, and does not make it for SHA. */
static bool may_be_misaligned(const struct vcpu *v, const struct insn *i)
{
	if (fpu_mxcsr(v) & 1u << 17)
		return true;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_SHA1MSG1:
	case ZYDIS_MNEMONIC_SHA1MSG2:
	case ZYDIS_MNEMONIC_SHA1NEXTE:
	case ZYDIS_MNEMONIC_SHA1RNDS4:
	case ZYDIS_MNEMONIC_SHA256MSG1:
	case ZYDIS_MNEMONIC_SHA256MSG2:
	case ZYDIS_MNEMONIC_SHA256RNDS2:
		return !v->cpuid->intel;
	default:
		return false;
	}
}

/* XCHG locks without being told to. */
static bool is_locked(const struct insn *i)
{
	return (i->flags & INSN_LOCK) || i->mnemonic == ZYDIS_MNEMONIC_XCHG;
}

/*
 * The operand straddles pages, is a device, lies in a page with code, or is watched: through a copy at the
 * same alignment, so that an alignment check fails as it would in place.  One page of memory is still used in
 * place, and two by locked instructions, which keeps them atomic.
 */
static NOINLINE int slow(struct vcpu *v, const struct insn *i, uint64_t la)
{
	uint8_t copy[OPERAND_MAX + 64] __attribute__((aligned(64)));
	uint8_t *buf = copy + (la & 63);
	bool write = i->flags & INSN_WRITE;
	void *host, *part[2];

	/* Misalignment is found before the page is. */
	if (i->align && (la & (i->align - 1)) && !may_be_misaligned(v, i))
		cpu_raise_error(v, EXC_GP, 0);
	host = lin_direct(v, la, i->memsize, write ? TLB_WRITE : TLB_READ, i->seg);

	if (host) {
		thunk_of(i)(v, host);
		if (write)
			lin_written(v, host, i->memsize);
		return INSN_NEXT;
	}
	if (is_locked(i) && (host = lin_straddling(v, la, i->memsize, i->seg, part))) {
		unsigned first = (unsigned)(PAGE_SIZE - (la & (PAGE_SIZE - 1)));

		thunk_of(i)(v, host);
		lin_written(v, part[0], first);
		lin_written(v, part[1], i->memsize - first);
		return INSN_NEXT;
	}
	if (write)
		lin_probe_write(v, la, i->memsize, i->seg);
	/* An x87 store that meets an unmasked exception stores nothing: what is there must go back. */
	if ((i->flags & INSN_READ) || (i->fpu & FPU_X87))
		lin_read_bytes(v, la, buf, i->memsize, i->seg);
	thunk_of(i)(v, buf);
	if (write)
		lin_write_bytes(v, la, buf, i->memsize, i->seg);
	return INSN_NEXT;
}

static int at_linear(struct vcpu *v, const struct insn *i, uint64_t la, enum tlb_kind kind)
{
	void *host = tlb_find(v, kind, la, i->memsize);

	if (unlikely(!host))
		return slow(v, i, la);
	thunk_of(i)(v, host);
	return INSN_NEXT;
}

static int exec_read(struct vcpu *v, const struct insn *i)
{
	return at_linear(v, i, insn_linear(v, i, i->memsize, false), TLB_READ);
}

static int exec_write(struct vcpu *v, const struct insn *i)
{
	return at_linear(v, i, insn_linear(v, i, i->memsize, true), TLB_WRITE);
}

/* A waiting instruction reports an earlier exception before it does anything else. */
static void check_pending(struct vcpu *v, const struct insn *i)
{
	if (likely(!fpu_exception_pending(v)))
		return;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_FNCLEX:
	case ZYDIS_MNEMONIC_FNINIT:
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FENI8087_NOP:
	case ZYDIS_MNEMONIC_FDISI8087_NOP:
	case ZYDIS_MNEMONIC_FSETPM287_NOP:
		return;
	default:
		cpu_raise(v, EXC_MF);
	}
}

static int exec_fpu_register(struct vcpu *v, const struct insn *i)
{
	fpu_require(v, i->fpu);
	return thunk_of(i)(v, NULL);
}

static int exec_fpu_read(struct vcpu *v, const struct insn *i)
{
	fpu_require(v, i->fpu);
	if (i->fpu & FPU_MMX)
		check_pending(v, i);
	return exec_read(v, i);
}

static int exec_fpu_write(struct vcpu *v, const struct insn *i)
{
	fpu_require(v, i->fpu);
	if (i->fpu & FPU_MMX)
		check_pending(v, i);
	return exec_write(v, i);
}

/* BT r/m,r with memory: the register selects a bit anywhere around the operand's address (SDM volume 2, BT).
 */
static int exec_bit_string(struct vcpu *v, const struct insn *i)
{
	unsigned size = i->opsize;
	int64_t bit = (int64_t)bits_sext(gpr_read(v, i->r[1], false, size), size);
	bool write = i->flags & INSN_WRITE;
	uint64_t off = insn_offset(v, i) + (uint64_t)((bit >> (size == 8 ? 6 : size == 4 ? 5 : 4)) * size);
	uint64_t la = seg_linear(v, i->seg, off << i->addr_shift >> i->addr_shift, size, write);

	v->bt_index = (uint64_t)bit & (8 * size - 1);
	return at_linear(v, i, la, write ? TLB_WRITE : TLB_READ);
}

/* ---- x87: the last instruction's address, which the thunk's own would replace
 * ------------------------------------------------ */

static bool is_x87_control(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_FNCLEX:
	case ZYDIS_MNEMONIC_FNINIT:
	case ZYDIS_MNEMONIC_FLDCW:
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FWAIT:
		return true;
	default:
		return false;
	}
}

struct x87_pointers {
	uint8_t bytes[FX_MXCSR - FX_FOP];
};

static struct x87_pointers *pointers(struct vcpu *v)
{
	return (struct x87_pointers *)(v->s.xsave.bytes + FX_FOP);
}

static int exec_x87(struct vcpu *v, const struct insn *i)
{
	struct x87_pointers saved = *pointers(v);
	uint64_t off = i->flags & INSN_MEM ? insn_offset(v, i) : 0;
	int r;

	fpu_require(v, i->fpu);
	check_pending(v, i);
	r = i->flags & INSN_MEM ? (i->flags & INSN_WRITE ? exec_write(v, i) : exec_read(v, i))
				: thunk_of(i)(v, NULL);
	*pointers(v) = saved;
	if (i->mnemonic == ZYDIS_MNEMONIC_FNINIT || i->mnemonic == ZYDIS_MNEMONIC_FNSAVE) {
		memset(pointers(v), 0, sizeof(saved));
	} else if (!is_x87_control(i->mnemonic)) {
		le_store(v->s.xsave.bytes + FX_FIP, 8, v->s.rip);
		if (i->flags & INSN_MEM)
			le_store(v->s.xsave.bytes + FX_FDP, 8, off);
	}
	return r;
}

/* Environment images: FNSTENV, FNSAVE, with the guest's own pointers in them. */
static int exec_x87_environment(struct vcpu *v, const struct insn *i)
{
	bool wide = i->memsize == 28 || i->memsize == 108;
	unsigned item = wide ? 4 : 2;
	uint8_t image[OPERAND_MAX] __attribute__((aligned(64)));
	struct x87_pointers saved = *pointers(v);
	uint64_t la;

	fpu_require(v, i->fpu);
	la = insn_linear(v, i, i->memsize, true);
	lin_probe_write(v, la, i->memsize, i->seg);
	thunk_of(i)(v, image);
	le_store(image + 3 * item, item, le_load(saved.bytes + FX_FIP - FX_FOP, item));
	le_store(image + 4 * item, item, 0);
	le_store(image + 5 * item, item, le_load(saved.bytes + FX_FDP - FX_FOP, item));
	le_store(image + 6 * item, item, wide ? 0xffff0000u : 0);
	*pointers(v) = saved;
	if (i->mnemonic == ZYDIS_MNEMONIC_FNSAVE)
		memset(pointers(v), 0, sizeof(saved));
	lin_write_bytes(v, la, image, i->memsize, i->seg);
	return INSN_NEXT;
}

static insn_fn *choose(const struct insn *i)
{
	bool memory = i->flags & INSN_MEM, write = i->flags & INSN_WRITE;

	if (i->mnemonic == ZYDIS_MNEMONIC_FNSTENV || i->mnemonic == ZYDIS_MNEMONIC_FNSAVE)
		return exec_x87_environment;
	if (i->fpu & (FPU_X87 | FPU_WAIT))
		return exec_x87;
	if (memory && i->r[1] != OP_NONE &&
		(i->mnemonic == ZYDIS_MNEMONIC_BT || i->mnemonic == ZYDIS_MNEMONIC_BTS ||
			i->mnemonic == ZYDIS_MNEMONIC_BTR || i->mnemonic == ZYDIS_MNEMONIC_BTC))
		return exec_bit_string;
	if (i->fpu)
		return !memory ? exec_fpu_register : write ? exec_fpu_write : exec_fpu_read;
	if (memory)
		return write ? exec_write : exec_read;
	return (insn_fn *)i->thunk; /* the same signature: the second argument is not used */
}

bool interp_bind_plain(struct thunk_arena *thunks, struct insn *i, const struct decoded *d, const uint8_t *code)
{
	i->thunk = (void *)thunk_get(thunks, d, code, i);
	if (!i->thunk)
		return false;
	i->exec = choose(i);
	return true;
}
