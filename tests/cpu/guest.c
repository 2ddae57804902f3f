/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/guest.c - the vCPU's side of a case.
 *
 * Guest-physical layout, one page each; the supervisor sees all of it at HIGH + address:
 *   1 PML4   2 PDPT  3 PD  4 PT of the sandbox   5 PDPT  6 PD  7 PT of HIGH
 *   8 GDT, TSS at +0x800   9 IDT   10 handlers   11 supervisor stack
 *   16 code   17..19 data   20, 21 stack
 */
#include "tests/cpu/guest.h"
#include "monitor/cpu/segment.h"
#include "tests/cpu/segments.h"
#include "tests/cpu/xstate.h"

#include <sched.h>

#define RAM_PAGES 32
#define HIGH      0xffff800000000000ull
#define GPA(page) ((uint64_t)(page)*PAGE_SIZE)
#define HANDLER   (HIGH + GPA(10))
#define STACK_TOP (HIGH + GPA(12))
#define CODE_PAGE 16
#define MEM_PAGE  17

/* Far more than any case needs: REP with its largest count that does not fault, over all pages. */
#define BUDGET 100000

static const uint8_t seg_of[5] = { S_DS, S_ES, S_FS, S_GS, S_SS };

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

	map_user(g, CODE_BASE, CODE_PAGE, 0);
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
	g->v.precise_flags = true;
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

/* What a load of the selector would leave in the segment register. */
static struct segment hidden_part(uint16_t selector)
{
	const struct seg_kind *k = &seg_ldt[selector >> 3];
	uint64_t d;

	if (selector == SEL_DS)
		return (struct segment){ 0, 0xffffffff, SEL_DS, 0xc0f3 };
	if (!(selector & 4) || selector >> 3 >= SEGMENTS_LDT)
		return (struct segment){ .selector = selector };
	d = seg_descriptor(k);
	return (struct segment){ k->base, k->pages ? k->limit << 12 | 0xfff : k->limit, selector,
		(uint16_t)(d >> 40 & 0xf0ff) };
}

static void load_case(struct guest *g, const struct test_case *tc, const uint8_t *mem)
{
	struct vcpu *v = &g->v;
	struct vcpu_state *s = &v->s;
	case_code(tc, g->ram.base + GPA(CODE_PAGE));
	memcpy(g->ram.base + GPA(MEM_PAGE), mem, MEM_BYTES);
	v->engine->invalidate(v, GPA(CODE_PAGE), PAGE_SIZE);

	*s = g->start;
	memcpy(s->gpr, tc->init.gpr, sizeof(s->gpr));
	s->rip = tc->init.rip;
	memcpy(s->xsave.bytes, tc->init.xsave, XSAVE_BYTES);
	memcpy(s->xsave.bytes + XS_MXCSR_MASK, g->start.xsave.bytes + XS_MXCSR_MASK, 4);
	for (unsigned i = 0; i < 5; i++)
		s->seg[seg_of[i]] = hidden_part(tc->init.sel[i]);
	if (tc->bits == 64) {
		s->seg[S_CS] = (struct segment){ 0, 0xffffffff, SEL_CS64, 0xa0fb };
		s->seg[S_FS].base = tc->init.fs_base;
		s->seg[S_GS].base = tc->init.gs_base;
	} else {
		s->seg[S_CS] = (struct segment){ 0, 0xffffffff, SEL_CS32, 0xc0fb };
	}
	/* Not vcpu_settle: page tables never change here, so the TLB may stay warm. */
	s->zero = 0;
	vcpu_set_rflags(v, tc->init.rflags);
	cpu_update_mode(v);
	v->event.vector = -1;
	v->delivering = -1;
	atomic_store(&v->attention, 1);
}

static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

/* Stopped in a handler: the frame says what happened. */
static void collect_frame(struct guest *g, struct outcome *out)
{
	const struct vcpu_state *s = &g->v.s;
	uint64_t sp = s->gpr[R_SP] - HIGH, frame[6] = { 0 };
	bool code;

	out->vector = (unsigned)((s->rip - 1 - HANDLER) / 16);
	code = has_error_code(out->vector);
	if (out->vector >= 32 || sp > GPA(12) - (code ? 48 : 40) || sp < GPA(11)) {
		out->vector = VECTOR_LOST;
		return;
	}
	memcpy(frame, g->ram.base + sp, code ? 48 : 40);
	out->error_code = code ? (uint32_t)frame[0] : 0;
	out->cr2 = out->vector == 14 ? s->cr2 : 0;
	out->s.rip = frame[code + 0];
	out->s.rflags = frame[code + 2];
	out->s.gpr[R_SP] = frame[code + 3];
	out->s.sel[SEL_I_SS] = (uint16_t)frame[code + 4];
	if (out->vector == 14 && out->s.rip - EXIT_BASE < 16) {
		out->vector = VECTOR_EXIT;
		out->s.rflags &= ~FLAG_RF; /* the fault's own */
		out->error_code = 0;
		out->cr2 = 0;
		out->s.rip = EXIT_BASE;
	}
}

void guest_run(struct guest *g, const struct test_case *tc, const uint8_t *mem, struct outcome *out)
{
	struct vcpu *v = &g->v;
	enum vcpu_exit why;

	load_case(g, tc, mem);
	why = v->engine->run(v, BUDGET);

	memset(out, 0, sizeof(*out));
	memcpy(out->s.gpr, v->s.gpr, sizeof(out->s.gpr));
	out->s.rip = v->s.rip;
	out->s.rflags = vcpu_get_rflags(v);
	out->s.fs_base = v->s.seg[S_FS].base;
	out->s.gs_base = v->s.seg[S_GS].base;
	for (unsigned i = 0; i < 5; i++)
		out->s.sel[i] = v->s.seg[seg_of[i]].selector;
	memcpy(out->s.xsave, v->s.xsave.bytes, XSAVE_BYTES);
	xstate_normalise(out->s.xsave);
	out->mem = g->ram.base + GPA(MEM_PAGE);
	if (why == VCPU_RAN_HALTED && v->cpl == 0)
		collect_frame(g, out);
	else
		out->vector = why == VCPU_RAN_BUDGET ? VECTOR_HUNG : VECTOR_LOST;
}
