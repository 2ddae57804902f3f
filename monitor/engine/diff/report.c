/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/report.c - what differs, and since when.
 *
 * The slice is run again from its beginning, both sides from the log, in small steps with a look after each.
 * Where they part the interpreter's instructions are told one by one, and blocks of a single instruction are
 * tried.
 */
#include "monitor/engine/diff/diff.h"

#include "monitor/cpu/fpu.h"
#include "monitor/engine/trace.h"

#include "base/log.h"

#include <stdio.h>

#define say(...) log_error("diff", __VA_ARGS__)

/* ---- registers */

struct field {
	const char *name;
	size_t offset;
	unsigned count;
};

#define F(member)                                                                                            \
	{                                                                                                    \
#member, offsetof(struct vcpu_state, member), sizeof(((struct vcpu_state *)0)->member) / 8   \
	}

static const struct field fields[] = { F(gpr), F(rip), F(rflags), F(gdt_base), F(idt_base), F(cr0), F(cr2),
	F(cr3), F(cr4), F(xcr0), F(dr), F(efer), F(star), F(lstar), F(cstar), F(sfmask), F(kernel_gs_base),
	F(sysenter_cs), F(sysenter_esp), F(sysenter_eip), F(tsc_adjust), F(tsc_aux), F(pat), F(misc_enable),
	F(apic_base), F(mtrr_def_type), F(mtrr_fixed), F(mtrr_var), F(spec_ctrl), F(debugctl), F(mcg_status),
	F(mcg_ctl), F(mc_bank) };

/* Without what need not be equal: where the clock's zero lies, and what is no register. */
static struct vcpu_state comparable(const struct vcpu *v)
{
	struct vcpu_state s = v->s;

	s.rflags = vcpu_get_rflags(v);
	s.tsc_offset = 0;
	s.requests = 0;
	s.sipi = 0;
	memset(s.reserved, 0, sizeof(s.reserved));
	return s;
}

static void say_fields(const struct diff *d, const struct vcpu_state *a, const struct vcpu_state *b)
{
	static const char *const gpr[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9",
		"r10", "r11", "r12", "r13", "r14", "r15" };

	for (size_t k = 0; k < ARRAY_LEN(fields); k++) {
		const struct field *f = &fields[k];

		for (unsigned n = 0; n < f->count; n++) {
			uint64_t x = le_load((const uint8_t *)a + f->offset + 8 * n, 8),
				 y = le_load((const uint8_t *)b + f->offset + 8 * n, 8);

			if (x != y)
				say("  %s[%u]: %s %016llx, %s %016llx", k ? f->name : gpr[n], k ? n : 0,
					d->first.name, (unsigned long long)x, d->second.name,
					(unsigned long long)y);
		}
	}
}

static void say_rest(const struct vcpu_state *a, const struct vcpu_state *b)
{
	for (unsigned n = 0; n < S_COUNT; n++) {
		const struct segment *x = &a->seg[n], *y = &b->seg[n];

		if (memcmp(x, y, sizeof(*x)) != 0)
			say("  segment %u: %04x base %llx limit %x attr %04x, %04x base %llx limit %x attr "
			    "%04x",
				n, x->selector, (unsigned long long)x->base, x->limit, x->attr, y->selector,
				(unsigned long long)y->base, y->limit, y->attr);
	}
	if (a->halted != b->halted || a->nmi_blocked != b->nmi_blocked || a->irq_shadow != b->irq_shadow)
		say("  halted %u, %u; NMI blocked %u, %u; interrupt shadow %u, %u", a->halted, b->halted,
			a->nmi_blocked, b->nmi_blocked, a->irq_shadow, b->irq_shadow);
	for (unsigned at = 0; at < sizeof(a->xsave.bytes); at += 8) {
		uint64_t x = le_load(a->xsave.bytes + at, 8), y = le_load(b->xsave.bytes + at, 8);

		if (x != y)
			say("  xsave+0x%x (%s %u): %016llx, %016llx", at,
				at >= XS_AVX                        ? "high ymm"
				: at >= FX_XMM && at < FX_XMM + 256 ? "xmm"
								    : "x87",
				at >= XS_AVX   ? (at - XS_AVX) / 16
				: at >= FX_XMM ? (at - FX_XMM) / 16
					       : 0,
				(unsigned long long)x, (unsigned long long)y);
	}
}

bool report_registers(const struct diff *d, bool tell)
{
	struct vcpu_state a = comparable(d->first.v), b = comparable(d->second.v);

	if (memcmp(&a, &b, sizeof(a)) == 0)
		return false;
	if (tell) {
		say_fields(d, &a, &b);
		say_rest(&a, &b);
	}
	return true;
}

/* ---- where they part */

static void say_dump(const struct side *s)
{
	char text[4096], *line, *rest = text;

	say("%s:", s->name);
	vcpu_dump(s->v, text, sizeof(text));
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			say("  %s", line);
	}
}

static bool differ(struct diff *d, uint64_t *offset)
{
	*offset = UINT64_MAX;
	if (d->mismatch[0] || report_registers(d, false))
		return true;
	*offset = memory_compare(d, false);
	return *offset != UINT64_MAX;
}

static void say_difference(struct diff *d, uint64_t offset)
{
	if (d->mismatch[0])
		say("  %s", d->mismatch);
	report_registers(d, true);
	if (offset != UINT64_MAX)
		say("  RAM at 0x%llx: %s %016llx, %s %016llx", (unsigned long long)(offset & ~7ull),
			d->first.name, (unsigned long long)le_load(d->first.ram->base + (offset & ~7ull), 8),
			d->second.name,
			(unsigned long long)le_load(d->second.ram->base + (offset & ~7ull), 8));
}

/* The first side goes on by a block or a few, the second follows; false: the end. */
static bool step(struct diff *d, uint64_t most, uint64_t end)
{
	struct side *a = &d->first;
	uint64_t before = a->done;

	if (before >= end)
		return false;
	a->v->soft_budget = true;
	slice_play(a, MIN_OF(before + most, end));
	a->v->soft_budget = false;
	if (a->done == before) /* no block fits in what is left */
		slice_play(a, before + 1);
	slice_play(&d->second, a->done);
	return a->done > before && !d->mismatch[0];
}

/* Instructions of the slice after which both were equal for the last time, before the end. */
static uint64_t last_agreement(
	struct diff *d, uint64_t most, uint64_t from, uint64_t end, uint64_t *offset, bool *found)
{
	uint64_t agreed = from;
	bool more = true;

	slice_rewind(d);
	if (from) {
		slice_play(&d->first, from);
		slice_play(&d->second, from);
	}
	while (more) {
		more = step(d, most, end);
		*found = differ(d, offset);
		if (*found)
			return agreed;
		agreed = d->first.done;
	}
	return agreed;
}

static void say_instructions(struct diff *d, uint64_t from, uint64_t upto)
{
	struct side *s = &d->second;
	struct trace_step t;
	char line[1024];

	slice_rewind(d);
	slice_play(s, from);
	say("%s's instructions from there on:", s->name);
	while (s->done < upto && !d->mismatch[0]) {
		uint64_t done = s->done;

		trace_before(s->v, &t);
		slice_play(s, done + 1);
		trace_after(s->v, &t, line, sizeof(line));
		say("  %llu: %s", (unsigned long long)done, line);
		if (s->done == done)
			break;
	}
}

static void try_single_instructions(struct diff *d, uint64_t agreed, uint64_t upto)
{
	uint64_t offset, at;
	bool found = false;

	d->first.v->block_limit = 1;
	at = last_agreement(d, 1, agreed, upto, &offset, &found);
	if (found) {
		say("blocks of one instruction: instruction %llu makes a difference by itself",
			(unsigned long long)at);
		say_difference(d, offset);
	} else {
		say("blocks of one instruction: no difference; it takes the instructions together");
	}
	d->first.v->block_limit = 0;
}

void report_difference(struct diff *d, uint64_t offset)
{
	uint64_t end = MAX_OF(d->first.done, d->second.done), agreed, parted;
	bool found = false;

	say("%s and %s differ after %llu instructions, %llu in this slice:", d->first.name, d->second.name,
		(unsigned long long)d->instructions, (unsigned long long)d->first.done);
	say_difference(d, offset);
	say_dump(&d->first);
	say_dump(&d->second);
	agreed = last_agreement(d, 64, 0, end, &offset, &found);
	if (!found) {
		say("run again the slice makes no difference");
		return;
	}
	parted = MAX_OF(d->first.done, agreed + 1);
	say("run again they agree up to instruction %llu of the slice and differ at %llu:",
		(unsigned long long)agreed, (unsigned long long)parted);
	say_difference(d, offset);
	say_instructions(d, agreed, parted);
	try_single_instructions(d, agreed, parted);
}
