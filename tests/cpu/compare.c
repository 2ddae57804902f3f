/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/compare.c - compare outcomes field by field.
 */
#include "tests/cpu/compare.h"
#include "tests/cpu/xstate.h"

#include <inttypes.h>

const char *vector_name(unsigned vector)
{
	static const char *const names[32] = { "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF",
		"9", "#TS", "#NP", "#SS", "#GP", "#PF", "15", "#MF", "#AC", "#MC", "#XM" };

	if (vector == VECTOR_EXIT)
		return "ran through";
	if (vector == VECTOR_HUNG)
		return "did not end";
	return vector < 32 && names[vector] ? names[vector] : "lost";
}

struct cmp {
	GString *why;
	bool same;
};

static void differ(struct cmp *c, const char *name, unsigned n, uint64_t native, uint64_t guest)
{
	c->same = false;
	if (!c->why)
		return;
	g_string_append_printf(c->why, "  %s", name);
	if (n != ~0u)
		g_string_append_printf(c->why, "%u", n);
	g_string_append_printf(c->why, ": host %#" PRIx64 ", guest %#" PRIx64 "\n", native, guest);
}

static void check(struct cmp *c, const char *name, unsigned n, uint64_t native, uint64_t guest)
{
	if (native != guest)
		differ(c, name, n, native, guest);
}

static void check_bytes(
	struct cmp *c, const char *name, unsigned n, const uint8_t *a, const uint8_t *b, unsigned len)
{
	if (!memcmp(a, b, len))
		return;
	c->same = false;
	if (!c->why)
		return;
	g_string_append_printf(c->why, "  %s%u: host ", name, n);
	for (unsigned i = len; i-- > 0;)
		g_string_append_printf(c->why, "%02x", a[i]);
	g_string_append(c->why, ", guest ");
	for (unsigned i = len; i-- > 0;)
		g_string_append_printf(c->why, "%02x", b[i]);
	g_string_append_c(c->why, '\n');
}

static void check_fault(
	struct cmp *c, const struct loose *l, const struct outcome *a, const struct outcome *b)
{
	uint32_t mask = ~0u;

	for (unsigned i = 0;
		i < ARRAY_LEN(l->same_vectors) && a->vector < 32 && b->vector < 32 && a->vector != b->vector;
		i++)
		if (l->same_vectors[i] >> a->vector & l->same_vectors[i] >> b->vector & 1)
			return;
	if (a->vector != b->vector) {
		c->same = false;
		if (c->why)
			g_string_append_printf(c->why, "  end: host %s, guest %s\n", vector_name(a->vector),
				vector_name(b->vector));
	}
	/* Linux tells user mode that all kernel addresses are present. */
	if (a->vector == 14 && a->cr2 >= 0x7ffffffff000)
		mask = ~1u;
	if (!l->error_code)
		check(c, "error code", ~0u, a->error_code & mask, b->error_code & mask);
	check(c, "cr2", ~0u, a->cr2 & ~l->cr2, b->cr2 & ~l->cr2);
}

static void check_xstate(struct cmp *c, const struct loose *l, const uint8_t *a, const uint8_t *b)
{
	if (!memcmp(a, b, XSAVE_BYTES))
		return;
	check(c, "fcw", ~0u, xs_get(a, XS_FCW, 2), xs_get(b, XS_FCW, 2));
	if (!l->x87) {
		check(c, "fsw", ~0u, xs_get(a, XS_FSW, 2), xs_get(b, XS_FSW, 2));
		check(c, "ftw", ~0u, a[XS_FTW], b[XS_FTW]);
	}
	check(c, "mxcsr", ~0u, xs_get(a, XS_MXCSR, 4) & ~l->mxcsr, xs_get(b, XS_MXCSR, 4) & ~l->mxcsr);
	for (unsigned i = 0; i < 8 && !l->x87; i++)
		check_bytes(c, "st", i, a + XS_ST(i), b + XS_ST(i), 10);
	for (unsigned i = 0; i < 16; i++)
		check_bytes(c, "xmm", i, a + XS_XMM(i), b + XS_XMM(i), 16);
	for (unsigned i = 0; i < 16; i++)
		check_bytes(c, "ymm high ", i, a + XS_YMMH(i), b + XS_YMMH(i), 16);
}

static bool is_loose(const struct loose *l, uint32_t off)
{
	for (unsigned i = 0; i < l->range_count; i++)
		if (off >= l->range[i].from && off < l->range[i].to)
			return true;
	return false;
}

static void check_memory(struct cmp *c, const struct loose *l, const uint8_t *a, const uint8_t *b)
{
	unsigned shown = 0;

	if (!memcmp(a, b, MEM_BYTES))
		return;
	for (uint32_t i = 0; i < MEM_BYTES; i++) {
		if (a[i] == b[i] || is_loose(l, i))
			continue;
		c->same = false;
		if (c->why && shown++ < 16)
			g_string_append_printf(c->why, "  memory %#" PRIx64 ": host %02x, guest %02x\n",
				case_mem_address(i), a[i], b[i]);
	}
}

/* Blocks change it. */
static void check_code(struct cmp *c, const uint8_t *a, const uint8_t *b)
{
	unsigned shown = 0;

	if (!memcmp(a, b, CODE_BYTES))
		return;
	c->same = false;
	for (uint32_t i = 0; c->why && i < CODE_BYTES; i++)
		if (a[i] != b[i] && shown++ < 16)
			g_string_append_printf(
				c->why, "  code %#x: host %02x, guest %02x\n", CODE_BASE + i, a[i], b[i]);
}

/* The kernel's IRET back to user mode turns null selectors 1 to 3 into 0; whether it ran is chance. */
static uint16_t plain_null(uint16_t selector)
{
	return selector < 4 ? 0 : selector;
}

bool outcomes_agree(
	const struct test_case *tc, const struct outcome *native, const struct outcome *guest, GString *why)
{
	static const char *const reg64[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi" };
	static const char *const sel_names[] = { "ds", "es", "fs", "gs", "ss" };
	struct cmp c = { why, true };
	uint64_t mask = tc->bits == 64 ? ~0ull : 0xffffffff;
	struct loose loose;

	loose_for(tc, native, guest, &loose);
	if (loose.skip)
		return true;
	check_fault(&c, &loose, native, guest);
	check(&c, "rip", ~0u, native->s.rip, guest->s.rip);
	check(&c, "rflags", ~0u, native->s.rflags & ~loose.rflags, guest->s.rflags & ~loose.rflags);
	for (unsigned i = 0; i < (tc->bits == 64 ? 16 : 8); i++)
		if (!(loose.gpr >> i & 1))
			check(&c, i < 8 ? reg64[i] : "r", i < 8 ? ~0u : i, native->s.gpr[i] & mask,
				guest->s.gpr[i] & mask);
	if (tc->bits == 64) {
		check(&c, "fs base", ~0u, native->s.fs_base, guest->s.fs_base);
		check(&c, "gs base", ~0u, native->s.gs_base, guest->s.gs_base);
	}
	for (unsigned i = 0; i < 5; i++)
		check(&c, sel_names[i], ~0u, plain_null(native->s.sel[i]), plain_null(guest->s.sel[i]));
	check_xstate(&c, &loose, native->s.xsave, guest->s.xsave);
	check_memory(&c, &loose, native->mem, guest->mem);
	check_code(&c, native->code, guest->code);
	return c.same;
}
