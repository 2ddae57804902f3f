/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/case.c - a case laid out in memory.
 */
#include "tests/cpu/case.h"

#include <string.h>

void case_code(const struct test_case *tc, uint8_t pages[CODE_BYTES])
{
	uint32_t off = tc->code_off, target = EXIT_BASE + (tc->bits == 32 ? 8 : 0);
	int32_t rel;

	memset(pages, 0xcc, CODE_BYTES);
	for (unsigned i = 0; i < tc->count; i++) {
		uint32_t room = CODE_BYTES - off;
		uint32_t n = MIN_OF(tc->insns[i].len, room);

		memcpy(pages + off, tc->insns[i].bytes, n);
		off += n;
	}
	if (tc->cut || off + 5 > CODE_BYTES)
		return;
	pages[off] = 0xe9;
	rel = (int32_t)(target - (CODE_BASE + off + 5));
	memcpy(pages + off + 1, &rel, 4);
}

void case_memory(const struct test_case *tc, const uint8_t *base, uint8_t *mem)
{
	if (tc->zero_memory)
		memset(mem, 0, MEM_BYTES);
	else
		memcpy(mem, base, MEM_BYTES);
	for (unsigned i = 0; i < tc->patch_count; i++) {
		const struct patch *p = &tc->patches[i];

		if (p->offset < MEM_BYTES)
			memcpy(mem + p->offset, p->bytes, MIN_OF(p->len, MEM_BYTES - p->offset));
	}
}

uint64_t case_insn_address(const struct test_case *tc, unsigned i)
{
	uint64_t va = CODE_BASE + tc->code_off;

	for (unsigned k = 0; k < i && k < tc->count; k++)
		va += tc->insns[k].len;
	return va;
}
