/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/fpu.h - x87, SSE and AVX state: where it lies in the XSAVE image, and when it may be touched.
 *
 * SDM volume 1, 10.5.1 (FXSAVE layout), 13.4 (XSAVE area).
 */
#ifndef SERAI_MONITOR_CPU_FPU_H
#define SERAI_MONITOR_CPU_FPU_H

#include "monitor/cpu/insn.h"

#define FX_FCW        0
#define FX_FSW        2
#define FX_FTW        4
#define FX_FOP        6
#define FX_FIP        8
#define FX_FDP        16
#define FX_MXCSR      24
#define FX_MXCSR_MASK 28
#define FX_ST         32
#define FX_XMM        160
#define FX_SIZE       512
#define XS_HEADER     512
#define XS_AVX        576
#define XS_SIZE       832

_Noreturn void fpu_refuse(struct vcpu *v, unsigned classes);

/* #NM or #UD unless every class is open. */
static inline void fpu_require(struct vcpu *v, unsigned classes)
{
	if (unlikely(v->fpu_closed & classes))
		fpu_refuse(v, classes);
}

/* An x87 exception waits for the next waiting instruction. */
static inline bool fpu_exception_pending(const struct vcpu *v)
{
	return le_load(v->s.xsave.bytes + FX_FSW, 2) & ~le_load(v->s.xsave.bytes + FX_FCW, 2) & 0x3f;
}

static inline uint32_t fpu_mxcsr(const struct vcpu *v)
{
	return (uint32_t)le_load(v->s.xsave.bytes + FX_MXCSR, 4);
}

/* Power-on state (SDM volume 3A, table 9-1). */
void fpu_reset(struct vcpu *v);

/* A vector register, 32 bytes. */
void fpu_get_vector(const struct vcpu *v, unsigned n, uint8_t out[32]);
void fpu_set_vector(struct vcpu *v, unsigned n, const uint8_t in[32]);

#endif
