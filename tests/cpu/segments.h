/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/segments.h - segments both sides have: Linux's in the GDT, and ours of every kind in the LDT.
 *
 * Linux installs them for the host side by modify_ldt; the guest has the same descriptors at the same
 * selectors.
 */
#ifndef SERAI_TESTS_CPU_SEGMENTS_H
#define SERAI_TESTS_CPU_SEGMENTS_H

#include "tests/cpu/case.h"

#define SEGMENTS_LDT 7

struct seg_kind {
	uint32_t base, limit; /* limit: bytes or pages as `pages` says */
	uint8_t contents;     /* 0 data, 1 expand-down data, 2 code */
	bool weak;            /* read-only data, or execute-only code */
	bool big;             /* D/B */
	bool pages;           /* G */
	bool absent;
};

extern const struct seg_kind seg_ldt[SEGMENTS_LDT]; /* selector 8 * index + 7 */

/* Into this process's LDT; false when the kernel does not let us. */
bool seg_install(void);

/* A descriptor as Linux builds it. */
uint64_t seg_descriptor(const struct seg_kind *k);

/* Base of what a selector of 32-bit code names; 0 for null, flat and unknown ones. */
uint32_t seg_base(uint16_t selector);

/* Base of a segment register at the start of a case, 32- or 64-bit. */
uint64_t seg_base_of(const struct test_case *tc, ZydisRegister segment);

#endif
