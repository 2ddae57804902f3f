/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/report.c - a case in words: disassembly, and where its start state is not plain zero.
 */
#include "tests/cpu/compare.h"
#include "tests/cpu/xstate.h"

#include <inttypes.h>

static const char *const reg_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9",
	"r10", "r11", "r12", "r13", "r14", "r15" };

static bool disassemble(const struct test_case *tc, unsigned i, ZydisDisassembledInstruction *d)
{
	ZydisMachineMode mode =
		tc->bits == 64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32;

	return ZYAN_SUCCESS(ZydisDisassembleIntel(
		mode, case_insn_address(tc, i), tc->insns[i].bytes, tc->insns[i].len, d));
}

static void append_hex(GString *out, const uint8_t *b, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		g_string_append_printf(out, "%02x", b[i]);
}

static bool all_zero(const uint8_t *b, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

static void report_xstate(const uint8_t *xs, GString *out)
{
	g_string_append_printf(out, "  fcw=%04x fsw=%04x ftw=%02x mxcsr=%04x\n", xs_get(xs, XS_FCW, 2),
		xs_get(xs, XS_FSW, 2), xs[XS_FTW], xs_get(xs, XS_MXCSR, 4));
	for (unsigned i = 0; i < 40; i++) {
		unsigned n = i < 8 ? i : (i - 8) & 15;
		unsigned off = i < 8 ? XS_ST(n) : i < 24 ? XS_XMM(n) : XS_YMMH(n), len = i < 8 ? 10 : 16;

		if (all_zero(xs + off, len))
			continue;
		g_string_append_printf(out, "  %s%u=", i < 8 ? "st" : i < 24 ? "xmm" : "ymm high ", n);
		for (unsigned k = len; k-- > 0;)
			g_string_append_printf(out, "%02x", xs[off + k]);
		g_string_append_c(out, '\n');
	}
}

void report_case(const struct test_case *tc, GString *out)
{
	ZydisDisassembledInstruction d;
	unsigned shown = 0;

	for (unsigned i = 0; i < tc->count; i++) {
		if (tc->insns[i].nop)
			continue;
		g_string_append_printf(out, "  %08" PRIx64 "  ", case_insn_address(tc, i));
		append_hex(out, tc->insns[i].bytes, tc->insns[i].len);
		g_string_append_printf(out, "  %s\n", disassemble(tc, i, &d) ? d.text : "(no instruction)");
	}
	if (tc->block)
		g_string_append_printf(out, "  a block%s; what is not shown is NOP\n",
			tc->writable ? " in writable pages" : "");
	if (tc->cut)
		g_string_append(out, "  at the end of its page\n");
	for (unsigned i = 0; i < 16; i++)
		if (tc->init.gpr[i])
			g_string_append_printf(
				out, "%s%s=%" PRIx64, shown++ ? " " : "  ", reg_names[i], tc->init.gpr[i]);
	g_string_append_printf(out, "%srflags=%" PRIx64, shown ? " " : "  ", tc->init.rflags);
	if (tc->bits == 32)
		g_string_append_printf(out, " ds=%x es=%x fs=%x gs=%x ss=%x", tc->init.sel[0],
			tc->init.sel[1], tc->init.sel[2], tc->init.sel[3], tc->init.sel[4]);
	if (tc->init.fs_base || tc->init.gs_base)
		g_string_append_printf(
			out, " fs=%" PRIx64 " gs=%" PRIx64, tc->init.fs_base, tc->init.gs_base);
	g_string_append_c(out, '\n');
	report_xstate(tc->init.xsave, out);
	for (unsigned i = 0; i < tc->patch_count; i++) {
		g_string_append_printf(out, "  [%#" PRIx64 "]=", case_mem_address(tc->patches[i].offset));
		append_hex(out, tc->patches[i].bytes, tc->patches[i].len);
		g_string_append_c(out, '\n');
	}
	if (!tc->zero_memory)
		g_string_append(out, "  other memory: the seed's\n");
}

void report_title(const struct test_case *tc, GString *out)
{
	ZydisDisassembledInstruction d;

	for (unsigned i = 0, shown = 0; i < tc->count && shown < 4; i++)
		if (!tc->insns[i].nop)
			g_string_append_printf(out, "%s%s", shown++ ? "; " : "",
				disassemble(tc, i, &d) ? ZydisMnemonicGetString(d.info.mnemonic) : "bytes");
}
