/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/cpu/cpu_rig.h"

#include <stdlib.h>

static int ack_interrupt(void *opaque, unsigned cpu)
{
	return (void)opaque, (void)cpu, -1;
}

static bool apic_msr_read(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value)
{
	return (void)opaque, (void)cpu, (void)msr, (void)value, false;
}

static bool apic_msr_write(void *opaque, unsigned cpu, uint32_t msr, uint64_t value)
{
	return (void)opaque, (void)cpu, (void)msr, (void)value, false;
}

static void invalidate(struct vcpu *v, uint64_t ram_offset, uint64_t len)
{
	(void)len;
	v->stats.code_flushes++;
	v->mem->ram->kept[ram_offset >> PAGE_SHIFT] = 0;
}

struct cpu_rig *cpu_rig_new(void)
{
	struct cpu_rig *r = aligned_alloc(64, (sizeof(*r) + 63) & ~63ul);
	struct cpu_options o = {
		.vcpus = 1, .cores_per_socket = 1, .tsc_khz = 1000000, .apic_bus_khz = 100000
	};

	memset(r, 0, sizeof(*r));
	assert_true(ram_create(&r->ram, RIG_RAM, NULL));
	physmap_init(&r->mem, &r->ram);
	physmap_add(&r->mem, &(struct phys_region){
				     .size = RIG_RAM, .rd = r->ram.base, .wr = r->ram.base, .name = "ram" });
	r->clock = (struct vclock){ .tsc_khz = 1000000, .ns_mult = 1ull << 32 };
	r->platform = (struct vcpu_platform){ .ack_interrupt = ack_interrupt,
		.apic_msr_read = apic_msr_read,
		.apic_msr_write = apic_msr_write };
	r->engine = (struct engine){ .name = "none", .invalidate = invalidate };
	r->v.code_written = invalidate;
	cpuid_build(&r->cpuid, &r->v.arch_capabilities, &r->v.phys_bits, &o);
	r->v.mem = &r->mem;
	r->v.clock = &r->clock;
	r->v.cpuid = &r->cpuid;
	r->v.platform = &r->platform;
	r->v.engine = &r->engine;
	r->v.count = 1;
	assert_true(vcpu_create(&r->v, NULL));
	r->v.s.apic_base = 0; /* no page of its own in the way */
	return r;
}

void cpu_rig_free(struct cpu_rig *r)
{
	vcpu_destroy(&r->v);
	physmap_destroy(&r->mem);
	ram_destroy(&r->ram);
	free(r);
}

static const struct segment flat_data = { 0, 0xffffffff, 0x18, 0xc093 };

static void flat_segments(struct vcpu_state *s, uint16_t code_attr)
{
	s->seg[S_CS] = (struct segment){ 0, 0xffffffff, 0x10, code_attr };
	s->seg[S_SS] = s->seg[S_DS] = s->seg[S_ES] = s->seg[S_FS] = s->seg[S_GS] = flat_data;
	s->gdt_base = RIG_GDT;
	s->gdt_limit = 0xff;
	s->seg[S_LDTR] = (struct segment){ RIG_LDT, 0xff, 0x50, 0x82 };
}

void rig_long_mode(struct cpu_rig *r)
{
	struct vcpu_state *s = &r->v.s;
	const uint64_t bits = PTE_P | PTE_W | PTE_U;

	rig_put(r, RIG_PML4, 8, RIG_PDPT | bits);
	rig_put(r, RIG_PDPT, 8, RIG_PD | bits);
	rig_put(r, RIG_PD, 8, RIG_PT | bits);
	for (unsigned i = 0; i < 512; i++)
		rig_put(r, RIG_PT + 8 * i, 8, PAGE_SIZE * i | bits);
	flat_segments(s, 0xa09b);
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s->cr3 = RIG_PML4;
	s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	s->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	s->xcr0 = XCR0_ALL;
	vcpu_settle(&r->v);
}

void rig_protected_mode(struct cpu_rig *r)
{
	struct vcpu_state *s = &r->v.s;

	flat_segments(s, 0xc09b);
	s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP;
	s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
	vcpu_settle(&r->v);
}

void rig_user(struct cpu_rig *r)
{
	for (unsigned i = S_ES; i <= S_GS; i++) {
		r->v.s.seg[i].selector |= 3;
		r->v.s.seg[i].attr |= SEG_DPL;
	}
	vcpu_settle(&r->v);
}

int rig_exec(struct cpu_rig *r, const uint8_t *bytes, size_t len)
{
	struct insn i;
	struct decoded d;

	if (insn_decode(bytes, len, (enum cpu_code_size)r->v.code_size, &i, &d) != DECODE_OK)
		return EXC_UD;
	assert_non_null(i.exec);
	return FAULT(r, i.exec(&r->v, &i));
}
