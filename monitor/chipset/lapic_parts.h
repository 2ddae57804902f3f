/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/lapic_parts.h - what the files of the local APIC share: lapic.c (registers, priorities),
 * lapic_timer.c, lapic_message.c (destinations, ICR, MSI), lapic_vcpu.c (locked entry points, MSRs).
 */
#ifndef SERAI_MONITOR_CHIPSET_LAPIC_PARTS_H
#define SERAI_MONITOR_CHIPSET_LAPIC_PARTS_H

#include "base/bits.h"
#include "monitor/chipset/lapic.h"

/* Register offsets, SDM table 11-1. */
#define APIC_ID       0x020
#define APIC_VERSION  0x030
#define APIC_TPR      0x080
#define APIC_APR      0x090
#define APIC_PPR      0x0a0
#define APIC_EOI      0x0b0
#define APIC_RRD      0x0c0
#define APIC_LDR      0x0d0
#define APIC_DFR      0x0e0
#define APIC_SVR      0x0f0
#define APIC_ISR      0x100
#define APIC_TMR      0x180
#define APIC_IRR      0x200
#define APIC_ESR      0x280
#define APIC_ICR      0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT      0x320
#define APIC_INITIAL  0x380
#define APIC_CURRENT  0x390
#define APIC_DIVIDE   0x3e0
#define APIC_SELF_IPI 0x3f0

#define SVR_ENABLE       0x100u
#define SVR_SUPPRESS_EOI 0x1000u

#define LVT_MASKED       0x10000u
#define LVT_LEVEL        0x8000u
#define LVT_REMOTE_IRR   0x4000u
#define LVT_TIMER_MODE   0x60000u
#define LVT_TIMER_PERIOD 0x20000u
#define LVT_TIMER_TSC    0x40000u

#define ESR_SEND_ILLEGAL    0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u
#define ESR_REGISTER        0x80u

static inline bool lapic_hw_enabled(const struct lapic *l)
{
	return l->s.base & LAPIC_BASE_ENABLE;
}

static inline bool lapic_x2(const struct lapic *l)
{
	return (l->s.base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) ==
	       (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);
}

static inline bool lapic_sw_enabled(const struct lapic *l)
{
	return lapic_hw_enabled(l) && l->s.svr & SVR_ENABLE;
}

static inline uint8_t lvt_mode(uint32_t lvt)
{
	return (uint8_t)bits_get(lvt, 10, 8);
}

/* Tell the vCPU when "something is deliverable" changed. */
void lapic_update(struct lapic *l);

/* A vector becomes requested (IRR); illegal ones go to ESR. Caller checked that the APIC takes it. */
void lapic_request(struct lapic *l, uint8_t vector, bool level);

void lapic_error(struct lapic *l, uint32_t bits);

/* Processor priority register. */
uint32_t lapic_ppr(const struct lapic *l);

/* A local source fires through its LVT entry. */
void lapic_local(struct lapic *l, unsigned lvt);

/* ICR as written: send what it says. */
void lapic_send_icr(struct lapic *l, uint64_t icr);

/* What the cluster model makes of the x2APIC ID. */
uint32_t lapic_x2_ldr(const struct lapic *l);

void lapic_timer_init(struct lapic *l);
void lapic_timer_settle(struct lapic *l);
void lapic_timer_set_initial(struct lapic *l, uint32_t v);
void lapic_timer_set_divide(struct lapic *l, uint32_t v);
void lapic_timer_set_lvt(struct lapic *l, uint32_t v);
void lapic_timer_set_deadline(struct lapic *l, uint64_t tsc);
uint32_t lapic_timer_current(const struct lapic *l);

/* Registers back to their reset values; the wires and IA32_APIC_BASE stay. */
void lapic_clear(struct lapic *l);

#endif
