/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/segments.c - the LDT of the sandbox.
 */
#include "tests/cpu/segments.h"

#include <asm/ldt.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct seg_kind seg_ldt[SEGMENTS_LDT] = {
	{ DATA_BASE, 0x1fff, 0, false, true, false, false },
	{ DATA_BASE - 0x1000, 0xfff, 1, false, true, false, false },
	{ 0, 0xfffff, 0, true, true, true, false },
	{ STACK_BASE, 0x1fff, 0, false, false, false, false },
	{ DATA_BASE, 0x2, 2, false, true, true, false },
	{ DATA_BASE, 0x2, 2, true, true, true, false },
	{ DATA_BASE, 0xfff, 0, false, true, false, true },
};

bool seg_install(void)
{
	for (unsigned i = 0; i < SEGMENTS_LDT; i++) {
		const struct seg_kind *k = &seg_ldt[i];
		struct user_desc d = { .entry_number = i,
			.base_addr = k->base,
			.limit = k->limit,
			.seg_32bit = k->big,
			.contents = k->contents,
			.read_exec_only = k->weak,
			.limit_in_pages = k->pages,
			.seg_not_present = k->absent,
			.useable = 1 };

		if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) != 0)
			return false;
	}
	return true;
}

uint64_t seg_descriptor(const struct seg_kind *k)
{
	uint64_t type = 1 | (k->weak ? 0 : 2) | (uint64_t)k->contents << 2;
	uint64_t access = type | 0x10 | 0x60 | (k->absent ? 0 : 0x80); /* S, DPL 3, P */
	uint64_t flags = 1 | (k->big ? 4 : 0) | (k->pages ? 8 : 0);    /* AVL, D/B, G */

	return (k->limit & 0xffff) | (uint64_t)(k->base & 0xffffff) << 16 | access << 40 |
	       (uint64_t)(k->limit >> 16 & 15) << 48 | flags << 52 | (uint64_t)(k->base >> 24) << 56;
}

uint32_t seg_base(uint16_t selector)
{
	unsigned i = selector >> 3;

	return (selector & 4) && i < SEGMENTS_LDT ? seg_ldt[i].base : 0;
}

uint64_t seg_base_of(const struct test_case *tc, ZydisRegister segment)
{
	bool wide = tc->bits == 64;

	switch (segment) {
	case ZYDIS_REGISTER_DS:
		return wide ? 0 : seg_base(tc->init.sel[SEL_I_DS]);
	case ZYDIS_REGISTER_ES:
		return wide ? 0 : seg_base(tc->init.sel[SEL_I_ES]);
	case ZYDIS_REGISTER_SS:
		return wide ? 0 : seg_base(tc->init.sel[SEL_I_SS]);
	case ZYDIS_REGISTER_FS:
		return wide ? tc->init.fs_base : seg_base(tc->init.sel[SEL_I_FS]);
	case ZYDIS_REGISTER_GS:
		return wide ? tc->init.gs_base : seg_base(tc->init.sel[SEL_I_GS]);
	default:
		return 0;
	}
}
