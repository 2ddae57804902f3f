/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/lapic_vcpu.c - the local APIC as its own vCPU sees it: entry points that take the device
 * lock, MSRs.
 *
 * Registers by MSR 0x800 + offset / 16 exist only in x2APIC mode; wrong ones and reserved bits are #GP
 * (SDM 11.12.1).
 */
#include "monitor/chipset/lapic_parts.h"

#define MSR_APIC_BASE    0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC       0x800

#define BASE_ADDRESS 0x000ffffffffff000ull
#define BASE_KNOWN   (BASE_ADDRESS | LAPIC_BASE_BSP | LAPIC_BASE_X2APIC | LAPIC_BASE_ENABLE)

/* What MSR accesses in x2APIC mode allow: bits writable without #GP, and whether it can be read. */
struct x2_reg {
	uint32_t first, last; /* MMIO offsets */
	bool read, write;
	uint32_t writable;
};

static const struct x2_reg x2_regs[] = {
	{ APIC_ID, APIC_VERSION, true, false, 0 },
	{ APIC_TPR, APIC_TPR, true, true, 0xff },
	{ APIC_PPR, APIC_PPR, true, false, 0 },
	{ APIC_EOI, APIC_EOI, false, true, 0 },
	{ APIC_LDR, APIC_LDR, true, false, 0 },
	{ APIC_SVR, APIC_SVR, true, true, 0x11ff },
	{ APIC_ISR, APIC_IRR + 0x70, true, false, 0 },
	{ APIC_ESR, APIC_ESR, true, true, 0 },
	{ APIC_LVT, APIC_LVT, true, true, 0x710ff },
	{ APIC_LVT + 0x10, APIC_LVT + 0x20, true, true, 0x117ff },
	{ APIC_LVT + 0x30, APIC_LVT + 0x40, true, true, 0x1f7ff },
	{ APIC_LVT + 0x50, APIC_LVT + 0x50, true, true, 0x110ff },
	{ APIC_INITIAL, APIC_INITIAL, true, true, 0xffffffff },
	{ APIC_CURRENT, APIC_CURRENT, true, false, 0 },
	{ APIC_DIVIDE, APIC_DIVIDE, true, true, 0xb },
	{ APIC_SELF_IPI, APIC_SELF_IPI, false, true, 0xff },
};

static const struct x2_reg *x2_find(uint32_t off)
{
	for (size_t i = 0; i < ARRAY_LEN(x2_regs); i++) {
		if (off >= x2_regs[i].first && off <= x2_regs[i].last)
			return &x2_regs[i];
	}
	return NULL;
}

static bool x2_read(struct lapic *l, uint32_t off, uint64_t *value)
{
	const struct x2_reg *r = x2_find(off);

	if (!lapic_x2(l))
		return false;
	if (off == APIC_ICR) {
		*value = l->s.icr;
		return true;
	}
	if (!r || !r->read)
		return false;
	*value = lapic_read(l->set, l->index, off);
	return true;
}

static bool x2_write(struct lapic *l, uint32_t off, uint64_t value)
{
	const struct x2_reg *r = x2_find(off);

	if (!lapic_x2(l))
		return false;
	if (off == APIC_ICR) {
		if (value & 0xfff32000ull)
			return false;
		l->s.icr = value & ~0x1000ull;
		lapic_send_icr(l, l->s.icr);
		return true;
	}
	if (!r || !r->write || value & ~(uint64_t)r->writable)
		return false;
	if (off == APIC_SELF_IPI)
		lapic_send_icr(l, 0x40000 | value);
	else
		lapic_write(l->set, l->index, off, (uint32_t)value);
	return true;
}

/* Allowed: disabled <-> xAPIC -> x2APIC -> disabled (SDM figure 11-27). */
static bool base_write(struct lapic *l, uint64_t v)
{
	const uint64_t both = LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC;
	uint64_t from = l->s.base & both, to = v & both;

	if (v & ~BASE_KNOWN || to == LAPIC_BASE_X2APIC)
		return false;
	if ((from == 0 && to == both) || (from == both && to == LAPIC_BASE_ENABLE))
		return false;
	l->s.base = v;
	if (from && !to)
		lapic_clear(l); /* registers are lost while disabled */
	if (from == LAPIC_BASE_ENABLE && to == both)
		l->s.icr = (uint32_t)l->s.icr;
	lapic_update(l);
	return true;
}

static struct lapic *enter(void *opaque, unsigned cpu)
{
	struct lapic_set *set = opaque;

	if (cpu >= set->count || pthread_mutex_lock(&set->mem->lock) != 0)
		return NULL;
	return &set->cpu[cpu];
}

static void leave(struct lapic *l)
{
	pthread_mutex_unlock(&l->set->mem->lock);
}

int lapic_vcpu_ack(void *opaque, unsigned cpu)
{
	struct lapic *l = enter(opaque, cpu);
	int vector;

	if (!l)
		return -1;
	vector = lapic_ack(l->set, cpu);
	leave(l);
	return vector;
}

/* In x2APIC mode, and while disabled, there is nothing at the address. */
uint32_t lapic_vcpu_read(void *opaque, unsigned cpu, uint32_t off)
{
	struct lapic *l = enter(opaque, cpu);
	uint32_t v;

	if (!l)
		return UINT32_MAX;
	v = lapic_hw_enabled(l) && !lapic_x2(l) ? lapic_read(l->set, cpu, off) : UINT32_MAX;
	leave(l);
	return v;
}

void lapic_vcpu_write(void *opaque, unsigned cpu, uint32_t off, uint32_t value)
{
	struct lapic *l = enter(opaque, cpu);

	if (!l)
		return;
	if (lapic_hw_enabled(l) && !lapic_x2(l))
		lapic_write(l->set, cpu, off, value);
	leave(l);
}

bool lapic_vcpu_msr_read(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value)
{
	struct lapic *l = enter(opaque, cpu);
	bool ok = true;

	if (!l)
		return false;
	if (msr == MSR_APIC_BASE)
		*value = l->s.base;
	else if (msr == MSR_TSC_DEADLINE)
		*value = l->s.tsc_deadline;
	else
		ok = msr >= MSR_X2APIC && msr <= MSR_X2APIC + 0xff &&
		     x2_read(l, (msr - MSR_X2APIC) << 4, value);
	leave(l);
	return ok;
}

bool lapic_vcpu_msr_write(void *opaque, unsigned cpu, uint32_t msr, uint64_t value)
{
	struct lapic *l = enter(opaque, cpu);
	bool ok = true;

	if (!l)
		return false;
	if (msr == MSR_APIC_BASE)
		ok = base_write(l, value);
	else if (msr == MSR_TSC_DEADLINE)
		lapic_timer_set_deadline(l, value);
	else
		ok = msr >= MSR_X2APIC && msr <= MSR_X2APIC + 0xff &&
		     x2_write(l, (msr - MSR_X2APIC) << 4, value);
	leave(l);
	return ok;
}

/* Only this vCPU writes its task priority (and INIT, which stops it): no lock needed to read it. */
unsigned lapic_vcpu_tpr_read(void *opaque, unsigned cpu)
{
	struct lapic_set *set = opaque;

	return cpu < set->count ? __atomic_load_n(&set->cpu[cpu].s.tpr, __ATOMIC_RELAXED) >> 4 : 0;
}

void lapic_vcpu_tpr_write(void *opaque, unsigned cpu, unsigned priority)
{
	struct lapic *l = enter(opaque, cpu);

	if (!l)
		return;
	lapic_write(l->set, cpu, APIC_TPR, priority << 4);
	leave(l);
}
