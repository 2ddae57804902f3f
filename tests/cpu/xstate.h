/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/xstate.h - the XSAVE image (standard format, SDM volume 1, 13.4) by name.
 */
#ifndef SERAI_TESTS_CPU_XSTATE_H
#define SERAI_TESTS_CPU_XSTATE_H

#include "base/bits.h"
#include "tests/cpu/case.h"

#define XS_FCW        0
#define XS_FSW        2
#define XS_FTW        4
#define XS_FOP        6
#define XS_FIP        8
#define XS_FDP        16
#define XS_MXCSR      24
#define XS_MXCSR_MASK 28
#define XS_ST(i)      (32 + 16 * (i))
#define XS_XMM(i)     (160 + 16 * (i))
#define XS_HEADER     512
#define XS_YMMH(i)    (576 + 16 * (i))

static inline uint32_t xs_get(const uint8_t *xs, unsigned off, unsigned size)
{
	return (uint32_t)le_load(xs + off, size);
}

/* The image of a CPU just reset, all components present. */
static inline void xstate_reset(uint8_t *xs)
{
	memset(xs, 0, XSAVE_BYTES);
	le_store(xs + XS_FCW, 2, 0x37f);
	le_store(xs + XS_MXCSR, 4, 0x1f80);
	xs[XS_HEADER] = 7;
}

/* Components the header calls initial get their initial values; fields that say nothing are cleared. */
static inline void xstate_normalise(uint8_t *xs)
{
	uint8_t bv = xs[XS_HEADER];

	if (!(bv & 1)) {
		memset(xs, 0, XS_MXCSR);
		memset(xs + XS_ST(0), 0, 128);
		le_store(xs + XS_FCW, 2, 0x37f);
	}
	if (!(bv & 2))
		memset(xs + XS_XMM(0), 0, 256);
	if (!(bv & 4))
		memset(xs + XS_YMMH(0), 0, 256);
	for (unsigned i = 0; i < 8; i++)
		memset(xs + XS_ST(i) + 10, 0, 6);
	memset(xs + XS_FOP, 0, 2 + 8 + 8);
	memset(xs + XS_MXCSR_MASK, 0, 4);
	memset(xs + 416, 0, 96);
	memset(xs + XS_HEADER, 0, 64);
	xs[XS_HEADER] = 7;
}

#endif
