/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/cpuid.h - CPUID and MSRs at run time.
 */
#ifndef SERAI_MONITOR_CPU_CPUID_H
#define SERAI_MONITOR_CPU_CPUID_H

#include "monitor/cpu/vcpu.h"

/* r: EAX EBX ECX EDX, with this vCPU's APIC ID, OSXSAVE and XSAVE sizes filled in. */
void cpuid_read(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t r[4]);

/* false: #GP(0).  vCPU thread. */
bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
bool msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

#endif
