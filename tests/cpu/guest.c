/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/guest.c - a vCPU with the sandbox's address space, and its surroundings.
 *
 * Guest-physical layout, one page each; the supervisor sees all of it at HIGH + address:
 *   1 PML4   2 PDPT  3 PD  4 PT of the sandbox   5 PDPT  6 PD  7 PT of HIGH
 *   8 GDT, TSS at +0x800   9 IDT   10 handlers   11 supervisor stack
 *   16, 17 code   18..20 data   21, 22 stack
 */
#include "tests/cpu/guest.h"
#include "monitor/cpu/segment.h"
#include "monitor/cpu/tlb.h"
#include "tests/cpu/segments.h"

#include <sched.h>

#define RAM_PAGES 32
#define HIGH      GUEST_HIGH
#define GPA(page) GUEST_GPA(page)
#define HANDLER   (HIGH + GPA(10))
#define STACK_TOP (HIGH + GPA(12))
#define CODE_PAGE GUEST_CODE_PAGE
#define MEM_PAGE  GUEST_MEM_PAGE

static int ack_interrupt(void *opaque, unsigned cpu)
{
	return (void)opaque, (void)cpu, -1;
}

static uint32_t apic_read(void *opaque, unsigned cpu, uint32_t off)
{
	return (void)opaque, (void)cpu, (void)off, 0;
}

static void apic_write(void *opaque, unsigned cpu, uint32_t off, uint32_t value)
{
	(void)opaque, (void)cpu, (void)off, (void)value;
}

static bool apic_msr_read(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value)
{
	return (void)opaque, (void)cpu, (void)msr, (void)value, false;
}

static bool apic_msr_write(void *opaque, unsigned cpu, uint32_t msr, uint64_t value)
{
	return (void)opaque, (void)cpu, (void)msr, (void)value, false;
}

static unsigned tpr_read(void *opaque, unsigned cpu)
{
	return (void)opaque, (void)cpu, 0;
}

static void tpr_write(void *opaque, unsigned cpu, unsigned priority)
{
	(void)opaque, (void)cpu, (void)priority;
}

static bool backdoor(void *opaque, unsigned cpu, uint64_t gpr[16])
{
	return (void)opaque, (void)cpu, (void)gpr, false;
}

static void put64(struct guest *g, uint64_t gpa, uint64_t v)
{
	le_store(g->ram.base + gpa, 8, v);
}

static void map_user(struct guest *g, uint64_t va, unsigned page, uint64_t bits)
{
	put64(g, GPA(4) + (va >> 12 & 511) * 8, GPA(page) | bits | PTE_P | PTE_U);
}

void guest_protect_code(struct guest *g, bool writable)
{
	for (unsigned i = 0; i < CODE_PAGES; i++)
		map_user(g, CODE_BASE + i * PAGE_SIZE, CODE_PAGE + i, writable ? PTE_W : 0);
	tlb_flush_all(&g->v);
	g->code_writable = writable;
}

static void build_page_tables(struct guest *g)
{
	const uint64_t dir = PTE_P | PTE_W | PTE_U, data = PTE_W | PTE_NX;

	put64(g, GPA(1), GPA(2) | dir);
	put64(g, GPA(2), GPA(3) | dir);
	put64(g, GPA(3) + (CODE_BASE >> 21) * 8, GPA(4) | dir);
	put64(g, GPA(1) + 256 * 8, GPA(5) | PTE_P | PTE_W);
	put64(g, GPA(5), GPA(6) | PTE_P | PTE_W);
	put64(g, GPA(6), GPA(7) | PTE_P | PTE_W);
	for (unsigned i = 0; i < RAM_PAGES; i++)
		put64(g, GPA(7) + i * 8, GPA(i) | PTE_P | PTE_W);

	guest_protect_code(g, false);
	map_user(g, DATA_BASE, MEM_PAGE, data);
	map_user(g, DATA_BASE + PAGE_SIZE, MEM_PAGE + 1, data);
	map_user(g, DATA_BASE + 2 * PAGE_SIZE, MEM_PAGE + 2, PTE_NX);
	map_user(g, STACK_BASE, MEM_PAGE + DATA_PAGES, data);
	map_user(g, STACK_BASE + PAGE_SIZE, MEM_PAGE + DATA_PAGES + 1, data);
}

/* The limit of Linux's descriptor 15, which LSL reads; jobs stay on one CPU. */
static uint64_t linux_cpu_number(void)
{
	unsigned cpu = 0, node = 0;

	getcpu(&cpu, &node);
	return (cpu & 0xfff) | (node & 0xf) << 12 | (uint64_t)(node >> 4 & 0xf) << 48;
}

/* Linux's GDT as far as LAR, LSL, VERR and VERW can see it from user mode. */
static void build_descriptors(struct guest *g)
{
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff,
		0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0 };
	uint64_t tss = HIGH + GPA(8) + 0x800;

	for (unsigned i = 0; i < ARRAY_LEN(gdt); i++)
		put64(g, GPA(8) + i * 8, gdt[i]);
	put64(g, GPA(8) + 15 * 8, 0x0040f50000000000 | linux_cpu_number());
	for (unsigned i = 0; i < SEGMENTS_LDT; i++)
		put64(g, GPA(8) + 0x400 + i * 8, seg_descriptor(&seg_ldt[i]));
	put64(g, GPA(8) + SEL_TSS, (tss & 0xffffff) << 16 | 0x8b0000000067 | (tss >> 24 & 0xff) << 56);
	put64(g, GPA(8) + SEL_TSS + 8, tss >> 32);
	put64(g, GPA(8) + 0x800 + 4, STACK_TOP);
	le_store(g->ram.base + GPA(8) + 0x800 + 102, 2, 0x68); /* no I/O permission bitmap */

	for (unsigned i = 0; i < 32; i++) {
		uint64_t entry = HANDLER + 16 * i, dpl = i == 3 || i == 4 ? 3 : 0;

		put64(g, GPA(9) + 16 * i,
			(entry & 0xffff) | SEL_KERNEL_CS << 16 | (0x8e00 | dpl << 13) << 32 |
				(entry >> 16 & 0xffff) << 48);
		put64(g, GPA(9) + 16 * i + 8, entry >> 32);
	}
	memset(g->ram.base + GPA(10), 0xf4, PAGE_SIZE);
}

static void build_start(struct guest *g)
{
	struct vcpu_state *s = &g->start;

	*s = g->v.s;
	s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	s->cr3 = GPA(1);
	s->cr4 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 16 |
		 1 << 18; /* PAE PGE OSFXSR.. UMIP FSGSBASE */
	s->efer = 0xd01;  /* NXE LMA LME SCE */
	s->xcr0 = 7;
	s->seg[S_TR] = (struct segment){ HIGH + GPA(8) + 0x800, 0x67, SEL_TSS, 0x8b };
	s->seg[S_LDTR] = (struct segment){ HIGH + GPA(8) + 0x400, SEGMENTS_LDT * 8 - 1, 0x50, 0x82 };
	s->gdt_base = HIGH + GPA(8);
	s->gdt_limit = 127;
	s->idt_base = HIGH + GPA(9);
	s->idt_limit = 32 * 16 - 1;
	s->halted = 0;
}

bool guest_init(struct guest *g, const char *engine, GError **error)
{
	struct cpu_options options = { .vcpus = 1, .cores_per_socket = 1 };

	memset(g, 0, sizeof(*g));
	if (!ram_create(&g->ram, GPA(RAM_PAGES), error))
		return false;
	physmap_init(&g->mem, &g->ram);
	physmap_add(
		&g->mem, &(struct phys_region){
				 .size = g->ram.size, .rd = g->ram.base, .wr = g->ram.base, .name = "ram" });
	vclock_init(&g->clock);
	vclock_start(&g->clock);
	g->platform = (struct vcpu_platform){ .ack_interrupt = ack_interrupt,
		.apic_read = apic_read,
		.apic_write = apic_write,
		.apic_msr_read = apic_msr_read,
		.apic_msr_write = apic_msr_write,
		.tpr_read = tpr_read,
		.tpr_write = tpr_write,
		.backdoor = backdoor };
	options.tsc_khz = g->clock.tsc_khz;
	cpuid_build(&g->cpuid, &g->v.arch_capabilities, &g->v.phys_bits, &options);
	g->v.mem = &g->mem;
	g->v.clock = &g->clock;
	g->v.cpuid = &g->cpuid;
	g->v.platform = &g->platform;
	g->v.count = 1;
	g->v.engine = engine_by_name(engine);
	if (!g->v.engine)
		return fail(error, SERAI_ERROR_CONFIG, "no engine '%s'", engine);
	if (!vcpu_create(&g->v, error) || !g->v.engine->create(&g->v, error))
		return false;
	build_page_tables(g);
	build_descriptors(g);
	build_start(g);
	g->v.s = g->start;
	vcpu_settle(&g->v);
	/* An engine may install its signal handlers when it first runs: before those of the host's side. */
	g->v.engine->run(&g->v, 0);
	return true;
}

void guest_destroy(struct guest *g)
{
	g->v.engine->destroy(&g->v);
	vcpu_destroy(&g->v);
	physmap_destroy(&g->mem);
	ram_destroy(&g->ram);
}
