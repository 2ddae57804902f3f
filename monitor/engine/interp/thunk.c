/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/interp/thunk.h"

#include "monitor/cpu/fpu.h"
#include "monitor/engine/operands.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_SIZE (32u << 20)
#define SLOT_COUNT (1u << 19)
#define CODE_MAX   512

enum { H_AX, H_CX, H_DX, H_BX, H_SP, H_BP, H_SI, H_DI };

/* ---- the region
 * ----------------------------------------------------------------------------------------------------------
 */

bool thunk_arena_create(struct thunk_arena *a, GError **error)
{
	int fd = memfd_create("serai-thunks", MFD_CLOEXEC);
	int err;

	*a = (struct thunk_arena){ .size = ARENA_SIZE, .slot_count = SLOT_COUNT };
	if (fd < 0 || ftruncate(fd, ARENA_SIZE) < 0) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return fail_errno(error, SERAI_ERROR_HOST, err, "memory for generated code");
	}
	a->rw = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	a->rx = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	a->slots = calloc(SLOT_COUNT, sizeof(*a->slots));
	if (a->rw == MAP_FAILED || a->rx == MAP_FAILED || !a->slots) {
		thunk_arena_destroy(a);
		return fail_errno(error, SERAI_ERROR_HOST, err, "mapping generated code");
	}
	thunk_arena_reset(a);
	return true;
}

void thunk_arena_destroy(struct thunk_arena *a)
{
	if (a->rw && a->rw != MAP_FAILED)
		munmap(a->rw, a->size);
	if (a->rx && a->rx != MAP_FAILED)
		munmap(a->rx, a->size);
	free(a->slots);
	*a = (struct thunk_arena){ 0 };
}

void thunk_arena_reset(struct thunk_arena *a)
{
	memset(a->slots, 0, a->slot_count * sizeof(*a->slots));
	a->slots_used = 0;
	a->used = 64;
}

/* ---- emitting
 * ---------------------------------------------------------------------------------------------------------------
 */

struct emit {
	uint8_t code[CODE_MAX];
	unsigned n;
	bool overflow;
};

static void byte(struct emit *e, unsigned b)
{
	if (e->n < CODE_MAX)
		e->code[e->n++] = (uint8_t)b;
	else
		e->overflow = true;
}

static void bytes(struct emit *e, const uint8_t *p, unsigned n)
{
	while (n--)
		byte(e, *p++);
}

/* ModRM for [rdi + disp32]. */
static void at_vcpu(struct emit *e, unsigned reg, size_t offset)
{
	byte(e, 0x80 | (reg & 7) << 3 | H_DI);
	for (unsigned k = 0; k < 4; k++)
		byte(e, (unsigned)(offset >> 8 * k) & 0xff);
}

static void gpr_move(struct emit *e, bool store, unsigned reg, size_t offset)
{
	byte(e, 0x48 | (reg & 8) >> 1);
	byte(e, store ? 0x89 : 0x8b);
	at_vcpu(e, reg, offset);
}

#define GPR_AT(n) (offsetof(struct vcpu, s.gpr) + 8 * (size_t)(n))
#define X_AT(off) (offsetof(struct vcpu, s.xsave) + (size_t)(off))
#define CC_AT     offsetof(struct vcpu, cc)

/* movzx eax, word [cc]; add al, 127 (sets OF from bit 0); sahf */
static void load_flags(struct emit *e)
{
	byte(e, 0x0f), byte(e, 0xb7), at_vcpu(e, H_AX, CC_AT);
	byte(e, 0x04), byte(e, 0x7f), byte(e, 0x9e);
}

/* lahf; seto al; mov [cc], ax */
static void store_flags(struct emit *e)
{
	byte(e, 0x9f);
	byte(e, 0x0f), byte(e, 0x90), byte(e, 0xc0);
	byte(e, 0x66), byte(e, 0x89), at_vcpu(e, H_AX, CC_AT);
}

/* movups xmm, [..] or back */
static void xmm_move(struct emit *e, bool store, unsigned n)
{
	if (n & 8)
		byte(e, 0x44);
	byte(e, 0x0f), byte(e, store ? 0x11 : 0x10);
	at_vcpu(e, n, X_AT(FX_XMM + 16 * n));
}

/* VEX.0F vmovups xmm and VEX.256.66.0F3A vinsertf128 / vextractf128 ymm, 1 */
static void ymm_move(struct emit *e, bool store, unsigned n)
{
	unsigned r = n & 8 ? 0 : 0x80;

	byte(e, 0xc4), byte(e, r | 0x61), byte(e, 0x78), byte(e, store ? 0x11 : 0x10);
	at_vcpu(e, n, X_AT(FX_XMM + 16 * n));
	byte(e, 0xc4), byte(e, r | 0x63), byte(e, store ? 0x7d : (~n & 15) << 3 | 5),
		byte(e, store ? 0x19 : 0x18);
	at_vcpu(e, n, X_AT(XS_AVX + 16 * n));
	byte(e, 1);
}

static void mxcsr_move(struct emit *e, bool store, size_t offset)
{
	byte(e, 0x0f), byte(e, 0xae), at_vcpu(e, store ? 3 : 2, offset);
}

static void fx_move(struct emit *e, bool store)
{
	byte(e, 0x48), byte(e, 0x0f), byte(e, 0xae), at_vcpu(e, store ? 0 : 1, X_AT(0));
}

/* ---- what the instruction uses
 * ------------------------------------------------------------------------------------------------ */

struct plan {
	uint8_t host[16];       /* host register of each guest one used */
	uint16_t used, written; /* guest registers */
	uint16_t taken;         /* host registers */
	uint16_t vec_used, vec_written;
	bool fx, vex, mxcsr, flags_in, flags_out, bt_slot;
	uint8_t bt_reg;
};

static void claim(struct plan *p, unsigned guest, unsigned host)
{
	p->host[guest] = (uint8_t)host;
	p->used |= (uint16_t)(1u << guest);
	p->taken |= (uint16_t)(1u << host);
}

static bool is_implicit(const ZydisDecodedOperand *op)
{
	return op->encoding == ZYDIS_OPERAND_ENCODING_NONE;
}

/* Caller-saved registers but RSI and RDI, which carry the arguments. */
static bool is_free_for_use(unsigned n)
{
	return n <= H_DX || (n >= 8 && n <= 11);
}

/* Two passes: implicit and free registers stay what they are, the rest move to what is left. */
static void assign_registers(struct plan *p, const struct decoded *d)
{
	static const uint8_t pool[] = { H_AX, H_DX, H_CX, 8, 9, 10, 11 };
	bool legacy_bytes = false;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned k = 0; k < d->in.operand_count; k++) {
			const ZydisDecodedOperand *op = &d->op[k];
			uint8_t g;
			bool high;

			if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !insn_gpr(op->reg.value, &g, &high))
				continue;
			legacy_bytes |= high;
			if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
				p->written |= (uint16_t)(1u << g);
			if (p->used & (1u << g))
				continue;
			if (is_implicit(op) || is_free_for_use(g)) {
				claim(p, g, g);
				continue;
			}
			for (unsigned n = 0; pass == 1 && n < (legacy_bytes ? 3 : ARRAY_LEN(pool)); n++) {
				if (!(p->taken & (1u << pool[n]))) {
					claim(p, g, pool[n]);
					break;
				}
			}
		}
	}
}

/* SIMD floating point: may round, and may set MXCSR's flags or raise. */
static bool uses_mxcsr(const struct decoded *d)
{
	switch (d->in.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE3:
	case ZYDIS_EXCEPTION_CLASS_AVX2:
	case ZYDIS_EXCEPTION_CLASS_AVX3:
	case ZYDIS_EXCEPTION_CLASS_AVX11:
		return true;
	default:
		break;
	}
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		switch (d->op[k].element_type) {
		case ZYDIS_ELEMENT_TYPE_FLOAT16:
		case ZYDIS_ELEMENT_TYPE_FLOAT32:
		case ZYDIS_ELEMENT_TYPE_FLOAT64:
			return true;
		default:
			break;
		}
	}
	return false;
}

static bool is_bit_test(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR ||
	       m == ZYDIS_MNEMONIC_BTC;
}

static void plan_make(struct plan *p, const struct decoded *d, const struct insn *i)
{
	struct flags_use flags = operand_flags(d);

	*p = (struct plan){ .fx = i->fpu & (FPU_X87 | FPU_MMX | FPU_WAIT),
		.vex = d->in.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX };
	assign_registers(p, d);
	operand_vectors(d, &p->vec_used, &p->vec_written);
	p->mxcsr = !p->fx && (i->fpu & (FPU_SSE | FPU_AVX)) && uses_mxcsr(d);
	p->flags_in = flags.in;
	p->flags_out = flags.out;
	if (is_bit_test(d->in.mnemonic) && (i->flags & INSN_MEM) && i->r[1] != OP_NONE) {
		p->bt_slot = true;
		p->bt_reg = i->r[1];
	}
}

/* ---- the instruction itself, re-encoded for 64-bit mode
 * -------------------------------------------------------------------------- */

/* Register numbers for the encoding's fields; -1: the field is not a register. */
struct fields {
	int reg, rm, vvvv, opcode;
};

static struct fields encode_fields(const struct plan *p, const struct decoded *d)
{
	struct fields f = { -1, -1, -1, -1 };

	for (unsigned k = 0; k < d->in.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->op[k];
		unsigned n;
		uint8_t g;
		bool high = false;

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (insn_gpr(op->reg.value, &g, &high))
			n = p->host[g] + (high ? 4u : 0u);
		else if (!operand_vector(op->reg.value, &n))
			continue;
		switch (op->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			f.reg = (int)n;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			f.rm = (int)n;
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			f.vvvv = (int)n;
			break;
		case ZYDIS_OPERAND_ENCODING_OPCODE:
			f.opcode = (int)n;
			break;
		default:
			break;
		}
	}
	return f;
}

static void modrm(struct emit *e, const struct decoded *d, const struct fields *f)
{
	unsigned reg = f->reg >= 0 ? (unsigned)f->reg : d->in.raw.modrm.reg;

	if (d->in.raw.modrm.mod != 3) { /* memory: [rsi] */
		byte(e, (reg & 7) << 3 | H_SI);
		return;
	}
	byte(e, 0xc0 | (reg & 7) << 3 | (f->rm >= 0 ? (unsigned)f->rm & 7 : d->in.raw.modrm.rm));
}

static void immediates(struct emit *e, const struct decoded *d, const uint8_t *code)
{
	for (unsigned k = 0; k < 2; k++) {
		if (d->in.raw.imm[k].size)
			bytes(e, code + d->in.raw.imm[k].offset, d->in.raw.imm[k].size / 8);
	}
}

/* Does VEX.W select between 32 and 64 bits of a general register or integer in memory? */
static bool w_widens(const struct decoded *d)
{
	switch (d->in.mnemonic) {
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VPEXTRD:
	case ZYDIS_MNEMONIC_VPINSRD:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
	case ZYDIS_MNEMONIC_VCVTSI2SD:
		return true;
	default:
		break;
	}
	for (unsigned k = 0; k < d->in.operand_count; k++) {
		uint8_t n;
		bool high;

		if (d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER && insn_gpr(d->op[k].reg.value, &n, &high))
			return true;
	}
	return false;
}

static void emit_vex(struct emit *e, const struct decoded *d, const uint8_t *code, const struct fields *f)
{
	bool memory = d->in.raw.modrm.mod != 3;
	unsigned r = f->reg >= 8 ? 0 : 0x80, b = !memory && f->rm >= 8 ? 0 : 0x20;
	unsigned vvvv = f->vvvv >= 0 ? (unsigned)~f->vvvv & 15 : 15;
	/* Outside 64-bit mode W does not widen general operands; here it would. */
	unsigned w = d->in.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 || !w_widens(d) ? d->in.raw.vex.W : 0;

	byte(e, 0xc4);
	byte(e, r | 0x40 | b | d->in.raw.vex.m_mmmm);
	byte(e, w << 7 | vvvv << 3 | (unsigned)d->in.raw.vex.L << 2 | d->in.raw.vex.pp);
	byte(e, d->in.opcode);
	modrm(e, d, f);
	immediates(e, d, code);
	if (d->in.machine_mode != ZYDIS_MACHINE_MODE_LONG_64 && operand_has_is4(d) && e->n)
		e->code[e->n - 1] &= 0x7f; /* a fourth register beyond the eighth is not there */
}

static void emit_prefixes(struct emit *e, const struct decoded *d, const struct insn *i)
{
	bool width16 = false, has66 = false;

	if (!i->fpu) /* MOVNTI knows no 16 bits, whatever the mode */
		width16 = d->in.operand_width == 16 && d->in.mnemonic != ZYDIS_MNEMONIC_MOVNTI;
	else if (i->fpu & FPU_X87) /* FLDENV, FNSTENV, FNSAVE, FRSTOR in their 16-bit forms */
		width16 = (i->flags & INSN_MEM) && (i->memsize == 14 || i->memsize == 94);
	for (unsigned k = 0; k < d->in.raw.prefix_count; k++) {
		if (d->in.raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY &&
			d->in.raw.prefixes[k].value == 0x66)
			has66 = true;
	}
	if (width16 || has66)
		byte(e, 0x66);
	for (unsigned k = 0; k < d->in.raw.prefix_count; k++) {
		if (d->in.raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY &&
			d->in.raw.prefixes[k].value != 0x66)
			byte(e, d->in.raw.prefixes[k].value);
	}
	if (i->flags & INSN_LOCK)
		byte(e, 0xf0);
}

static void emit_legacy(struct emit *e, const struct decoded *d, const uint8_t *code, const struct insn *i,
	const struct fields *f)
{
	bool has_modrm = d->in.attributes & ZYDIS_ATTRIB_HAS_MODRM;
	bool memory = has_modrm && d->in.raw.modrm.mod != 3;
	unsigned opcode = d->in.opcode, rex = 0;

	emit_prefixes(e, d, i);
	if (d->in.raw.rex.W)
		rex |= 0x48;
	if (f->reg >= 8)
		rex |= 0x44;
	if ((!memory && f->rm >= 8) || f->opcode >= 8)
		rex |= 0x41;
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && opcode >= 0x40 && opcode <= 0x4f) {
		/* One-byte INC and DEC became REX prefixes. */
		if (rex)
			byte(e, rex);
		byte(e, 0xff);
		byte(e, 0xc0 | (opcode & 8) | ((unsigned)f->opcode & 7));
		return;
	}
	if (rex)
		byte(e, rex);
	if (d->in.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		byte(e, 0x0f);
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_0F38)
		byte(e, 0x38);
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_0F3A)
		byte(e, 0x3a);
	if (d->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && opcode == 0x82)
		opcode = 0x80; /* an alias 64-bit mode does not have */
	byte(e, f->opcode >= 0 ? (opcode & ~7u) | ((unsigned)f->opcode & 7) : opcode);
	if (has_modrm)
		modrm(e, d, f);
	immediates(e, d, code);
}

/* ---- the whole thunk
 * ------------------------------------------------------------------------------------------------------------
 */

static void prologue(struct emit *e, const struct plan *p)
{
	if (p->taken & (1u << H_BX))
		byte(e, 0x53);
	if (p->fx)
		fx_move(e, false);
	if (p->mxcsr)
		mxcsr_move(e, false, X_AT(FX_MXCSR));
	for (unsigned n = 0; !p->fx && n < 16; n++) {
		if (p->vec_used & (1u << n))
			(p->vex ? ymm_move : xmm_move)(e, false, n);
	}
	if (p->flags_in)
		load_flags(e);
	for (unsigned g = 0; g < 16; g++) {
		if (p->used & (1u << g))
			gpr_move(e, false, p->host[g],
				p->bt_slot && g == p->bt_reg ? offsetof(struct vcpu, bt_index) : GPR_AT(g));
	}
}

static void epilogue(struct emit *e, const struct plan *p)
{
	for (unsigned g = 0; g < 16; g++) {
		if (p->written & (1u << g))
			gpr_move(e, true, p->host[g], GPR_AT(g));
	}
	if (p->flags_out)
		store_flags(e);
	for (unsigned n = 0; !p->fx && n < 16; n++) {
		if (p->vec_written & (1u << n))
			(p->vex ? ymm_move : xmm_move)(e, true, n);
	}
	if (p->mxcsr)
		mxcsr_move(e, true, X_AT(FX_MXCSR));
	if (p->fx) {
		fx_move(e, true);
		byte(e, 0xdb), byte(e, 0xe3); /* fninit */
	}
	if (p->mxcsr || p->fx)
		mxcsr_move(e, false, offsetof(struct vcpu, host_mxcsr));
	if (p->vex && p->vec_used)
		byte(e, 0xc5), byte(e, 0xf8), byte(e, 0x77); /* vzeroupper */
	if (p->taken & (1u << H_BX))
		byte(e, 0x5b);
	byte(e, 0x31), byte(e, 0xc0), byte(e, 0xc3); /* xor eax, eax; ret */
}

static uint32_t hash(const uint8_t *p, unsigned n)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (unsigned k = 0; k < n; k++)
		h = (h ^ p[k]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

/* The same code again, or a new copy of it. */
static thunk_fn *intern(struct thunk_arena *a, const struct emit *e)
{
	unsigned at = hash(e->code, e->n) & (a->slot_count - 1);

	while (a->slots[at].offset) {
		if (a->slots[at].length == e->n && memcmp(a->rw + a->slots[at].offset, e->code, e->n) == 0)
			return (thunk_fn *)(void *)(a->rx + a->slots[at].offset);
		at = (at + 1) & (a->slot_count - 1);
	}
	if (a->used + e->n + 16 > a->size || a->slots_used >= a->slot_count / 4 * 3)
		return NULL;
	memcpy(a->rw + a->used, e->code, e->n);
	a->slots[at] = (struct thunk_slot){ (uint32_t)a->used, e->n };
	a->slots_used++;
	a->used = (a->used + e->n + 15) & ~15ull;
	return (thunk_fn *)(void *)(a->rx + a->slots[at].offset);
}

thunk_fn *thunk_get(struct thunk_arena *a, const struct decoded *d, const uint8_t *code, const struct insn *i)
{
	struct emit e = { .n = 0 };
	struct fields f;
	struct plan p;

	plan_make(&p, d, i);
	f = encode_fields(&p, d);
	prologue(&e, &p);
	if (p.vex)
		emit_vex(&e, d, code, &f);
	else
		emit_legacy(&e, d, code, i, &f);
	epilogue(&e, &p);
	return e.overflow ? NULL : intern(a, &e);
}
