/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/lapic.h - the local APICs of all vCPUs: xAPIC, x2APIC, timer, inter-processor messages.
 *
 * Wiring:  fill `wires`; device_reset each of cpu[i].dev; each is a device of its own ("lapic", "0".."n-1").
 *          lapic_set_intr is the 8259's INTR (LINT0 of every CPU), lapic_set_nmi the board's NMI (LINT1).
 * Threads: under the device lock, but the lapic_vcpu_* functions, which take it themselves: they are what
 *          struct vcpu_platform wants, with opaque = struct lapic_set, and are called without it.
 *          Hot: EOI, task priority, arming the timer.
 * Not here: which guest-physical page is the APIC (the vCPU knows IA32_APIC_BASE); what a signal does
 *          (the board).
 * Theory:  Intel SDM volume 3A, chapter 11.
 */
#ifndef SERAI_MONITOR_CHIPSET_LAPIC_H
#define SERAI_MONITOR_CHIPSET_LAPIC_H

#include "monitor/bus/device.h"
#include "monitor/chipset/apic.h"

/* What a vCPU is told; the values are those of VCPU_INTR, VCPU_NMI, VCPU_INIT, VCPU_SIPI. */
#define LAPIC_SIGNAL_INTR 0x01u
#define LAPIC_SIGNAL_NMI  0x02u
#define LAPIC_SIGNAL_INIT 0x20u
#define LAPIC_SIGNAL_SIPI 0x40u

#define LAPIC_DEFAULT_BASE 0xfee00000ull
#define LAPIC_BUS_HZ       1000000000ull /* timer input before the divider: CPUID 15H/backdoor may name it */
#define LAPIC_MAX          64

#define LAPIC_BASE_BSP    0x100u
#define LAPIC_BASE_X2APIC 0x400u
#define LAPIC_BASE_ENABLE 0x800u

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

struct lapic_set;

struct lapic {
	struct device dev;
	struct lapic_state {
		uint64_t base; /* IA32_APIC_BASE */
		uint64_t tsc_deadline;
		uint64_t timer_start; /* virtual ns at which the period now running began */
		uint64_t icr;
		uint32_t id; /* xAPIC ID register */
		uint32_t tpr, ldr, dfr, svr;
		uint32_t isr[8], tmr[8], irr[8];
		uint32_t esr, esr_pending;
		uint32_t lvt[LVT_COUNT];
		uint32_t timer_initial, timer_divide;
		uint32_t extint;      /* ExtINT asserted by an I/O APIC */
		uint32_t intr;        /* level of the 8259's INTR */
		uint32_t nmi;         /* level of the board's NMI wire */
		uint32_t timer_armed; /* a count or a deadline is still to fire */
	} s;
	struct lapic_set *set;
	unsigned index;
	unsigned apic_id; /* of hardware: what x2APIC mode reads, and the xAPIC ID after reset */
	char name[12];
	struct timer timer;
	bool signalled; /* LAPIC_SIGNAL_INTR as last told */
};

struct lapic_wires {
	void *opaque;
	/* Raise or withdraw (INTR only) a request at a vCPU; `vector` is a SIPI's start page. */
	void (*signal)(void *opaque, unsigned cpu, uint32_t what, bool raise, uint8_t vector);
	/* EOI of a level-triggered vector, for the I/O APIC; may be NULL. */
	void (*eoi)(void *opaque, unsigned vector);
	/* INTA to the 8259; may be NULL. */
	int (*pic_ack)(void *opaque);
	/* The vCPU's own TSC offset, for the deadline timer; NULL: none. */
	uint64_t (*tsc_offset)(void *opaque, unsigned cpu);
};

struct lapic_set {
	struct lapic *cpu;
	unsigned count;
	struct physmap *mem;
	struct timer_queue *timers;
	struct lapic_wires wires;
	unsigned last_lowest; /* who took the last lowest-priority message: ties go round */
};

/* `count` is 1..LAPIC_MAX, APIC IDs as base/topology.h has them. After device_reset CPU 0 is the bootstrap processor with LINT0 as ExtINT (virtual
 * wire). */
void lapic_set_init(struct lapic_set *set, unsigned count, unsigned cores_per_socket, struct physmap *mem,
	struct timer_queue *timers);
void lapic_set_destroy(struct lapic_set *set);

/* ---- under the device lock ---------------------------------------------------------------------- */

/* Registers by MMIO offset 0..0xff0; 32 bits. */
uint32_t lapic_read(struct lapic_set *set, unsigned cpu, uint32_t off);
void lapic_write(struct lapic_set *set, unsigned cpu, uint32_t off, uint32_t value);

/* apic_deliver_fn; opaque is the struct lapic_set. */
bool lapic_deliver(void *opaque, const struct apic_message *msg);

/* A write of `data` to the message address `addr` (0xFEExxxxx). */
bool lapic_msi(struct lapic_set *set, uint64_t addr, uint32_t data);

/* irq_sink_fn of the 8259's INTR and of the NMI wire; opaque is the struct lapic_set, n is ignored. */
void lapic_set_intr(void *opaque, unsigned n, bool level);
void lapic_set_nmi(void *opaque, unsigned n, bool level);

/* Highest deliverable vector, now in service: LAPIC first, then the 8259; -1: none. */
int lapic_ack(struct lapic_set *set, unsigned cpu);

/* The INIT state of one local APIC (the vCPU's own reset by INIT calls nothing else). */
void lapic_init_reset(struct lapic_set *set, unsigned cpu);

/* ---- for struct vcpu_platform: take the lock; opaque is the struct lapic_set -------------------- */

int lapic_vcpu_ack(void *opaque, unsigned cpu);
uint32_t lapic_vcpu_read(void *opaque, unsigned cpu, uint32_t off);
void lapic_vcpu_write(void *opaque, unsigned cpu, uint32_t off, uint32_t value);
bool lapic_vcpu_msr_read(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value);
bool lapic_vcpu_msr_write(void *opaque, unsigned cpu, uint32_t msr, uint64_t value);
unsigned lapic_vcpu_tpr_read(void *opaque, unsigned cpu);
void lapic_vcpu_tpr_write(void *opaque, unsigned cpu, unsigned priority);

#endif
