/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/case.c - a case laid out in memory.
 */
#include "tests/cpu/case.h"

#include <string.h>

void case_code(const struct test_case *tc, uint8_t page[CASE_PAGE])
{
	uint32_t off = tc->code_off, target = EXIT_BASE + (tc->bits == 32 ? 8 : 0);
	int32_t rel;

	memset(page, 0xcc, CASE_PAGE);
	for (unsigned i = 0; i < tc->count; i++) {
		uint32_t room = CASE_PAGE - off;
		uint32_t n = MIN_OF(tc->insns[i].len, room);

		memcpy(page + off, tc->insns[i].bytes, n);
		off += n;
	}
	if (tc->cut || off + 5 > CASE_PAGE)
		return;
	page[off] = 0xe9;
	rel = (int32_t)(target - (CODE_BASE + off + 5));
	memcpy(page + off + 1, &rel, 4);
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
