/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/trace.h"

#include "monitor/cpu/fpu.h"

#include <Zydis/Zydis.h>
#include <stdarg.h>

struct line {
	char *text;
	size_t used, size;
};

static void add(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->used, l->size - l->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->used = MIN_OF(l->used + (size_t)n, l->size - 1);
}

void trace_before(struct vcpu *v, struct trace_step *t)
{
	t->la = (v->seg_base[S_CS] + v->s.rip) & v->la_mask;
	t->code_size = v->code_size;
	t->len = (uint8_t)vcpu_debug_read(v, t->la, t->bytes, sizeof(t->bytes));
	t->before = v->s;
	t->before.rflags = vcpu_get_rflags(v);
}

static void add_instruction(struct line *l, const struct trace_step *t)
{
	static const ZydisMachineMode modes[] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_MACHINE_MODE_LEGACY_32,
		ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth widths[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
		ZYDIS_STACK_WIDTH_64 };
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	ZydisDecoder decoder;
	char text[128], hex[31] = { 0 };

	ZydisDecoderInit(&decoder, modes[t->code_size % 3], widths[t->code_size % 3]);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (!t->len || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, t->bytes, t->len, &insn, operands))) {
		add(l, "%016llx  %s", (unsigned long long)t->la,
			t->len ? "(no instruction)" : "(not mapped)");
		return;
	}
	for (unsigned k = 0; k < insn.length; k++)
		snprintf(hex + 2 * k, 3, "%02x", t->bytes[k]);
	ZydisFormatterFormatInstruction(
		&formatter, &insn, operands, insn.operand_count_visible, text, sizeof(text), t->la, NULL);
	add(l, "%016llx  %-20s %s", (unsigned long long)t->la, hex, text);
}

static void add_change(struct line *l, const char *name, uint64_t before, uint64_t now)
{
	if (before != now)
		add(l, "  %s=%llx", name, (unsigned long long)now);
}

static void add_vectors(struct line *l, const struct vcpu_state *a, const struct vcpu *v)
{
	for (unsigned n = 0; n < 16; n++) {
		const uint8_t *low = v->s.xsave.bytes + FX_XMM + 16 * n,
			      *high = v->s.xsave.bytes + XS_AVX + 16 * n;

		if (memcmp(a->xsave.bytes + FX_XMM + 16 * n, low, 16) == 0 &&
			memcmp(a->xsave.bytes + XS_AVX + 16 * n, high, 16) == 0)
			continue;
		add(l, "  ymm%u=%016llx%016llx%016llx%016llx", n, (unsigned long long)le_load(high + 8, 8),
			(unsigned long long)le_load(high, 8), (unsigned long long)le_load(low + 8, 8),
			(unsigned long long)le_load(low, 8));
	}
	add_change(l, "mxcsr", le_load(a->xsave.bytes + FX_MXCSR, 4), fpu_mxcsr(v));
	for (unsigned n = 0; n < 8; n++) {
		const uint8_t *st = v->s.xsave.bytes + FX_ST + 16 * n;

		if (memcmp(a->xsave.bytes + FX_ST + 16 * n, st, 10) != 0)
			add(l, "  st%u=%04llx%016llx", n, (unsigned long long)le_load(st + 8, 2),
				(unsigned long long)le_load(st, 8));
	}
}

size_t trace_after(struct vcpu *v, const struct trace_step *t, char *text, size_t size)
{
	static const char *const gpr[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9",
		"r10", "r11", "r12", "r13", "r14", "r15" };
	static const char *const seg[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
	const struct vcpu_state *a = &t->before, *b = &v->s;
	struct line l = { text, 0, size };

	add_instruction(&l, t);
	for (unsigned n = 0; n < 16; n++)
		add_change(&l, gpr[n], a->gpr[n], b->gpr[n]);
	add_change(&l, "rflags", a->rflags, vcpu_get_rflags(v));
	for (unsigned n = 0; n < S_COUNT; n++) {
		add_change(&l, seg[n], a->seg[n].selector, b->seg[n].selector);
		if (a->seg[n].base != b->seg[n].base)
			add(&l, "  %s.base=%llx", seg[n], (unsigned long long)b->seg[n].base);
	}
	add_change(&l, "cr0", a->cr0, b->cr0);
	add_change(&l, "cr2", a->cr2, b->cr2);
	add_change(&l, "cr3", a->cr3, b->cr3);
	add_change(&l, "cr4", a->cr4, b->cr4);
	add_change(&l, "efer", a->efer, b->efer);
	add_vectors(&l, a, v);
	return l.used;
}

/* ---- running */

static uint64_t carried_out(const struct vcpu *v)
{
	return atomic_load_explicit(&v->stats.instructions, memory_order_relaxed);
}

/* The translator's own code for one instruction at a time, with all flags. */
static void set_singly(struct tracer *t, struct vcpu *v, bool on)
{
	if (t->singly == on)
		return;
	t->singly = on;
	v->block_limit = on;
	v->precise_flags = on;
	vcpu_raise(v, VCPU_FORGET);
}

static enum vcpu_exit run(struct tracer *t, struct vcpu *v, uint64_t budget)
{
	uint64_t before = carried_out(v);
	enum vcpu_exit why = v->engine->run(v, budget);

	t->done += carried_out(v) - before;
	return why;
}

static enum vcpu_exit run_one(struct tracer *t, struct vcpu *v)
{
	uint64_t done = t->done, interrupts;
	enum vcpu_exit why = run(t, v, 0); /* an interrupt that waits comes first */
	struct trace_step step;
	char line[1024];

	if (why != VCPU_RAN_BUDGET)
		return why;
	interrupts = atomic_load(&v->stats.interrupts);
	trace_before(v, &step);
	why = run(t, v, 1);
	if (t->done == done)
		return why;
	trace_after(v, &step, line, sizeof(line));
	if (v->count > 1)
		fprintf(t->file, "%u ", v->index);
	fprintf(t->file, "%s%s\n", line,
		interrupts == atomic_load(&v->stats.interrupts) ? "" : "  (an interrupt)");
	return why;
}

enum vcpu_exit trace_run(struct tracer *t, struct vcpu *v, uint64_t budget)
{
	uint64_t end = t->from + MIN_OF(t->count, UINT64_MAX - t->from);
	enum vcpu_exit why = VCPU_RAN_BUDGET;

	while (why == VCPU_RAN_BUDGET && budget) {
		uint64_t done = t->done;

		if (done >= end) {
			set_singly(t, v, false);
			fflush(t->file);
			return run(t, v, budget);
		}
		set_singly(t, v, done >= t->from);
		why = t->singly ? run_one(t, v) : run(t, v, MIN_OF(budget, t->from - done));
		if (budget != UINT64_MAX)
			budget -= MIN_OF(budget, t->done - done);
	}
	return why;
}
