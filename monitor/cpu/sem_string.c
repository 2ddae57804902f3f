/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/sem_string.c - MOVS STOS LODS CMPS SCAS INS OUTS, with and without REP.
 *
 * Promise: interruptible between elements with registers up to date, as the architecture says; long runs go
 * page by page, by the host's own instruction, where source and destination are plain memory.
 */
#include "monitor/cpu/debug.h"
#include "monitor/cpu/rows.h"

/* What one execution works on. */
struct string_op {
	unsigned size; /* of an element */
	int64_t step;
	uint64_t mask; /* of the address size */
	bool repeat;
	uint16_t cc; /* of the last compare */
};

/* The mnemonics come in runs ...B ...D ...Q ...W; the element size is the memory operand's. */
static struct string_op string_start(const struct vcpu *v, const struct insn *i)
{
	struct string_op o = { .size = i->memsize, .mask = UINT64_MAX >> i->addr_shift, .cc = v->cc };

	o.step = v->s.rflags & FLAG_DF ? -(int64_t)o.size : (int64_t)o.size;
	o.repeat = i->flags & (INSN_REP | INSN_REPNE);
	return o;
}

static void advance(struct vcpu *v, const struct string_op *o, unsigned reg, uint64_t elements)
{
	uint64_t now = v->s.gpr[reg] + (uint64_t)(o->step * (int64_t)elements);

	if (o->mask == 0xffff)
		gpr_write(v, reg, false, 2, now);
	else
		v->s.gpr[reg] = now & o->mask;
}

/* REP with 32-bit addresses: on Intel the upper halves of registers go before anything else happens, no
 * matter how that ends; on AMD when they change. */
static void narrow(struct vcpu *v, const struct string_op *o, unsigned reg)
{
	if (o->repeat && o->mask == UINT32_MAX && v->cpuid->intel)
		v->s.gpr[reg] &= o->mask;
}

static uint64_t count_left(const struct vcpu *v, const struct string_op *o)
{
	return o->repeat ? v->s.gpr[R_CX] & o->mask : 1;
}

static void count_down(struct vcpu *v, const struct string_op *o, uint64_t elements)
{
	uint64_t now;

	if (!o->repeat)
		return;
	now = (v->s.gpr[R_CX] - elements) & o->mask;
	if (o->mask == 0xffff)
		gpr_write(v, R_CX, false, 2, now);
	else
		v->s.gpr[R_CX] = now;
}

/* Linear address of the element at a pointer register. */
static uint64_t at(struct vcpu *v, const struct string_op *o, unsigned seg, unsigned reg, bool write)
{
	return seg_linear(v, seg, v->s.gpr[reg] & o->mask, o->size, write);
}

/* Elements from la on, in its direction, that stay within its page, the count, and the address size. */
static uint64_t run_length(
	const struct vcpu *v, const struct string_op *o, uint64_t la, unsigned reg, uint64_t count)
{
	uint64_t offset = la & (PAGE_SIZE - 1), pointer = v->s.gpr[reg] & o->mask;
	uint64_t room = (PAGE_SIZE - offset) / o->size;
	uint64_t wrap = (o->step > 0 ? o->mask - pointer : pointer) / o->size + 1;

	if (o->step < 0 && room) /* the first one is whole */
		room = offset / o->size + 1;
	if (!wrap)
		wrap = UINT64_MAX;
	return MIN_OF(MIN_OF(room, wrap), count);
}

static bool may_run(const struct vcpu *v, const struct string_op *o, uint64_t count)
{
	return o->repeat && count > 1 && v->view != TLB_CHECKED && !(v->s.rflags & FLAG_TF);
}

/* True when another iteration must wait: somebody wants the vCPU. */
static bool interrupted(const struct vcpu *v)
{
	return atomic_load_explicit(&v->attention, memory_order_relaxed) != 0;
}

/* Leave with iterations to go.  Intel pushes RF set for what interrupts or traps there (SDM volume 3B,
 * 17.3.1.1), AMD does not. */
static int stop_midway(struct vcpu *v)
{
	if (v->cpuid->intel && (vcpu_has_work(v) || debug_wants_steps(v)))
		v->s.rflags |= FLAG_RF;
	return INSN_AGAIN;
}

/* The host's REP MOVS and REP STOS: elements are whole for other vCPUs, and overlap has the effect it should have. */
#define HOST_REP(size, before, name, after, ...)                                                                       \
	switch (size) {                                                                                                \
	case 1:                                                                                                        \
		__asm__ volatile(before "rep " name "b" after : "+D"(to), "+c"(n), __VA_ARGS__ : "memory", "cc");      \
		break;                                                                                                 \
	case 2:                                                                                                        \
		__asm__ volatile(before "rep " name "w" after : "+D"(to), "+c"(n), __VA_ARGS__ : "memory", "cc");      \
		break;                                                                                                 \
	case 4:                                                                                                        \
		__asm__ volatile(before "rep " name "l" after : "+D"(to), "+c"(n), __VA_ARGS__ : "memory", "cc");      \
		break;                                                                                                 \
	default:                                                                                                       \
		__asm__ volatile(before "rep " name "q" after : "+D"(to), "+c"(n), __VA_ARGS__ : "memory", "cc");      \
		break;                                                                                                 \
	}

static void host_movs(uint8_t *to, const uint8_t *from, uint64_t n, unsigned size)
{
	HOST_REP(size, "", "movs", "", "+S"(from) :)
}

/* Downward from the elements at these addresses. */
static void host_movs_down(uint8_t *to, const uint8_t *from, uint64_t n, unsigned size)
{
	HOST_REP(size, "std; ", "movs", "; cld", "+S"(from) :)
}

static void host_stos(uint8_t *to, uint64_t value, uint64_t n, unsigned size)
{
	HOST_REP(size, "", "stos", "", "+a"(value) :)
}

/* Bulk MOVS; elements done, 0: do it one by one. */
static uint64_t movs_run(struct vcpu *v, const struct insn *i, const struct string_op *o, uint64_t count)
{
	uint64_t src, dst, n, back;
	uint8_t *from, *to;
	unsigned bytes;

	if (!(v->seg_plain & (1u << i->seg)) || !(v->seg_plain & (1u << S_ES)))
		return 0;
	src = at(v, o, i->seg, R_SI, false);
	dst = at(v, o, S_ES, R_DI, true);
	n = run_length(v, o, src, R_SI, run_length(v, o, dst, R_DI, count));
	if (n < 2)
		return 0;
	bytes = (unsigned)(n * o->size);
	back = o->step > 0 ? 0 : bytes - o->size;
	if (back && (!lin_direct(v, src, o->size, TLB_READ, i->seg) || !lin_direct(v, dst, o->size, TLB_WRITE, S_ES)))
		return 0; /* what faults is the element that comes first */
	from = lin_direct(v, src - back, bytes, TLB_READ, i->seg);
	to = lin_direct(v, dst - back, bytes, TLB_WRITE, S_ES);
	if (!from || !to)
		return 0;
	if (back)
		host_movs_down(to + back, from + back, n, o->size);
	else
		host_movs(to, from, n, o->size);
	lin_written(v, to, bytes);
	return n;
}

int insn_movs(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);
	uint64_t left;

	narrow(v, &o, R_CX);
	narrow(v, &o, R_SI);
	narrow(v, &o, R_DI);
	while ((left = count_left(v, &o)) != 0) {
		uint64_t n = may_run(v, &o, left) ? movs_run(v, i, &o, left) : 0;

		if (!n) {
			uint64_t value = lin_read(v, at(v, &o, i->seg, R_SI, false), o.size, i->seg);

			lin_write(v, at(v, &o, S_ES, R_DI, true), o.size, value, S_ES);
			n = 1;
		}
		advance(v, &o, R_SI, n);
		advance(v, &o, R_DI, n);
		count_down(v, &o, n);
		if (!o.repeat)
			break;
		if (interrupted(v) && count_left(v, &o))
			return stop_midway(v);
	}
	return INSN_NEXT;
}

static uint64_t stos_run(struct vcpu *v, const struct string_op *o, uint64_t count)
{
	uint64_t dst = at(v, o, S_ES, R_DI, true), n;
	uint8_t *to;

	if (!(v->seg_plain & (1u << S_ES)))
		return 0;
	n = run_length(v, o, dst, R_DI, count);
	if (n < 2)
		return 0;
	to = lin_direct(v, dst, (unsigned)(n * o->size), TLB_WRITE, S_ES);
	if (!to)
		return 0;
	host_stos(to, v->s.gpr[R_AX], n, o->size);
	lin_written(v, to, (unsigned)(n * o->size));
	return n;
}

int insn_stos(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);
	uint64_t left;

	narrow(v, &o, R_CX);
	narrow(v, &o, R_DI);
	while ((left = count_left(v, &o)) != 0) {
		uint64_t n = o.step > 0 && may_run(v, &o, left) ? stos_run(v, &o, left) : 0;

		if (!n) {
			lin_write(v, at(v, &o, S_ES, R_DI, true), o.size, v->s.gpr[R_AX], S_ES);
			n = 1;
		}
		advance(v, &o, R_DI, n);
		count_down(v, &o, n);
		if (!o.repeat)
			break;
		if (interrupted(v) && count_left(v, &o))
			return stop_midway(v);
	}
	return INSN_NEXT;
}

/* One element of an instruction that is never done in bulk: registers change after the last access. */
typedef void string_step(struct vcpu *v, const struct insn *i, struct string_op *o);

/*
 * Elements until the count runs out, `go_on` (may be NULL) says no, or somebody wants the vCPU.  Intel sets
 * flags at the end: a fault or trap in between shows those from before (SDM volume 2, REP); AMD each time.
 */
static int step_through(struct vcpu *v, const struct insn *i, struct string_op *o, string_step *step,
	bool (*go_on)(const struct string_op *o, const struct insn *i))
{
	narrow(v, o, R_CX);
	while (count_left(v, o)) {
		step(v, i, o);
		count_down(v, o, 1);
		if (!v->cpuid->intel)
			v->cc = o->cc;
		if (!o->repeat || (go_on && !go_on(o, i)))
			break;
		if (interrupted(v) && count_left(v, o))
			return stop_midway(v);
	}
	v->cc = o->cc;
	return INSN_NEXT;
}

static void lods_step(struct vcpu *v, const struct insn *i, struct string_op *o)
{
	gpr_write(v, R_AX, false, o->size, lin_read(v, at(v, o, i->seg, R_SI, false), o->size, i->seg));
	advance(v, o, R_SI, 1);
}

int insn_lods(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);

	return step_through(v, i, &o, lods_step, NULL);
}

/* The host's own CMP, by operand size. */
static uint16_t compare(uint64_t a, uint64_t b, unsigned size)
{
	uint16_t cc;

#define HOST_CMP(suffix, mod)                                                                                \
	__asm__("cmp" suffix " %" mod "2, %" mod "1\n\tlahf\n\tseto %%al"                                    \
		: "=a"(cc)                                                                                   \
		: "r"(a), "r"(b)                                                                             \
		: "c"                                                                                        \
		  "c")
	switch (size) {
	case 1:
		HOST_CMP("b", "b");
		break;
	case 2:
		HOST_CMP("w", "w");
		break;
	case 4:
		HOST_CMP("l", "k");
		break;
	default:
		HOST_CMP("q", "q");
		break;
	}
#undef HOST_CMP
	return cc & (CC_SF | CC_ZF | CC_AF | CC_PF | CC_CF | CC_OF);
}

/* After a compare under REPE or REPNE: go on? */
static bool repeats(const struct string_op *o, const struct insn *i)
{
	bool zf = o->cc & CC_ZF;

	return i->flags & INSN_REPNE ? !zf : zf;
}

static void cmps_step(struct vcpu *v, const struct insn *i, struct string_op *o)
{
	uint64_t a, b;

	/* The processor's order of reading, which decides whose fault comes first. */
	if (o->size == 1) {
		a = lin_read(v, at(v, o, i->seg, R_SI, false), 1, i->seg);
		b = lin_read(v, at(v, o, S_ES, R_DI, false), 1, S_ES);
	} else {
		b = lin_read(v, at(v, o, S_ES, R_DI, false), o->size, S_ES);
		a = lin_read(v, at(v, o, i->seg, R_SI, false), o->size, i->seg);
	}
	advance(v, o, R_SI, 1);
	advance(v, o, R_DI, 1);
	o->cc = compare(a, b, o->size);
}

int insn_cmps(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);

	return step_through(v, i, &o, cmps_step, repeats);
}

static void scas_step(struct vcpu *v, const struct insn *i, struct string_op *o)
{
	uint64_t b = lin_read(v, at(v, o, S_ES, R_DI, false), o->size, S_ES);

	(void)i;
	advance(v, o, R_DI, 1);
	o->cc = compare(gpr_read(v, R_AX, false, o->size), b, o->size);
}

int insn_scas(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);

	return step_through(v, i, &o, scas_step, repeats);
}

static void ins_step(struct vcpu *v, const struct insn *i, struct string_op *o)
{
	uint64_t dst = at(v, o, S_ES, R_DI, true);

	(void)i;
	lin_probe_write(v, dst, o->size, S_ES); /* the device must not be asked for what cannot be stored */
	lin_write(v, dst, o->size, cpu_port_read(v, (uint16_t)v->s.gpr[R_DX], o->size), S_ES);
	advance(v, o, R_DI, 1);
}

int insn_ins(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);

	io_check(v, (uint16_t)v->s.gpr[R_DX], o.size);
	return step_through(v, i, &o, ins_step, NULL);
}

static void outs_step(struct vcpu *v, const struct insn *i, struct string_op *o)
{
	uint64_t value = lin_read(v, at(v, o, i->seg, R_SI, false), o->size, i->seg);

	cpu_port_write(v, (uint16_t)v->s.gpr[R_DX], o->size, (uint32_t)value);
	advance(v, o, R_SI, 1);
}

int insn_outs(struct vcpu *v, const struct insn *i)
{
	struct string_op o = string_start(v, i);

	io_check(v, (uint16_t)v->s.gpr[R_DX], o.size);
	return step_through(v, i, &o, outs_step, NULL);
}
