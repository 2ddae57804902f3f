/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/state.c - every mode a guest can be in, with tables that work and then, perhaps, do not.
 *
 * Linear addresses from 0 are physical ones (paged: with some pages missing, read-only, not executable, or
 * worse); the 2 MiB behind lead anywhere.  In 64-bit mode data lie on both sides of the canonical hole and at
 * both ends of the address space, and the supervisor has all memory at WORLD_HIGH, mostly global, and behind it pages
 * of its own.
 */
#include "tests/hostile/world.h"

#include "monitor/cpu/arch.h"

#include <string.h>

#define HIGH_SLOT 300 /* of the PML4: WORLD_HIGH */

#define PAGE_PDPT      2
#define PAGE_PD        3
#define PAGE_PT        4
#define PAGE_PT_MORE   5
#define PAGE_EDGE_PDPT 6
#define PAGE_EDGE_PD   7
#define PAGE_EDGE_PT   8
#define PAGE_HIGH_PDPT 13
#define PAGE_HIGH_PD   14

#define SEL_CODE32 0x08
#define SEL_CODE64 0x10
#define SEL_DATA   0x18
#define SEL_USER32 0x23
#define SEL_UDATA  0x2b
#define SEL_USER64 0x33
#define SEL_TSS    0x40

#define CHANCE(p) rng_percent(r, p)

/* As a device would, so that the engine hears of it. */
static void put(struct world *w, uint64_t gpa, unsigned size, uint64_t value)
{
	phys_write_le(&w->mem, gpa, size, value);
}

static bool is_long(const struct world *w)
{
	return w->mode == MODE_64 || w->mode == MODE_COMPAT;
}

/* ---- page tables
 * ------------------------------------------------------------------------------------------- */

/* Mostly all rights; what is wrong with an entry is one thing or everything. */
static uint64_t bits_of_entry(struct world *w, struct rng *r, unsigned wrong)
{
	uint64_t e = PTE_P | PTE_W | PTE_U | (CHANCE(70) ? PTE_A | PTE_D : 0);

	if (!CHANCE(wrong))
		return e;
	switch (rng_below(r, is_long(w) ? 7 : 5)) {
	case 0:
		return e & ~PTE_P;
	case 1:
		return e & ~PTE_W;
	case 2:
		return e & ~PTE_U;
	case 3:
		return e | PTE_G | PTE_PS;
	case 4:
		return rng_u64(r) & 0xfff;
	case 5:
		return e | PTE_NX;
	default:
		return e | (rng_u64(r) & 0x7ff0000000000000) | (CHANCE(30) ? 1ull << 51 : 0);
	}
}

/* A table whose first entries are the pages of memory in order, the others any. */
static void build_leaves(struct world *w, struct rng *r, unsigned table, unsigned straight, unsigned wrong)
{
	unsigned size = is_long(w) ? 8 : 4, count = 4096 / size;

	for (unsigned i = 0; i < count; i++) {
		unsigned page = i < straight ? i : rng_below(r, CHANCE(80) ? RAM_PAGES : 0x200);
		bool system = i < straight && i >= PAGE_GDT && i < PAGE_CODE;
		uint64_t e = bits_of_entry(w, r, system ? wrong / 8 : wrong);

		put(w, GPA(table) + i * size, size, GPA(page) | e);
	}
}

static void build_tables_64(struct world *w, struct rng *r, unsigned wrong)
{
	const uint64_t dir = PTE_P | PTE_W | PTE_U;
	static const unsigned edges[] = { 255, 256, 511 };

	for (unsigned i = 0; i < ARRAY_LEN(edges); i++)
		put(w, GPA(PAGE_PML4) + 8 * edges[i], 8, GPA(PAGE_EDGE_PDPT) | dir);
	put(w, GPA(PAGE_PML4), 8, GPA(PAGE_PDPT) | dir);
	put(w, GPA(PAGE_PML4) + 8 * HIGH_SLOT, 8, GPA(PAGE_HIGH_PDPT) | PTE_P | PTE_W);
	put(w, GPA(PAGE_HIGH_PDPT), 8, GPA(PAGE_HIGH_PD) | PTE_P | PTE_W);
	put(w, GPA(PAGE_HIGH_PD), 8, PTE_P | PTE_W | PTE_PS | (CHANCE(80) ? PTE_G : 0));
	put(w, GPA(PAGE_HIGH_PD) + 8, 8, GPA(PAGE_EDGE_PT) | dir);
	put(w, GPA(PAGE_PDPT), 8, GPA(PAGE_PD) | dir);
	put(w, GPA(PAGE_PD), 8, GPA(PAGE_PT) | dir);
	put(w, GPA(PAGE_PD) + 8, 8, GPA(PAGE_PT_MORE) | dir);
	put(w, GPA(PAGE_PD) + 16, 8, dir | (CHANCE(50) ? PTE_PS : 0)); /* all of it again, large */
	for (unsigned i = 0; i < 512; i += 511) {
		put(w, GPA(PAGE_EDGE_PDPT) + 8 * i, 8, GPA(PAGE_EDGE_PD) | dir);
		put(w, GPA(PAGE_EDGE_PD) + 8 * i, 8, GPA(PAGE_EDGE_PT) | dir);
	}
	build_leaves(w, r, PAGE_PT, RAM_PAGES + 0x100, wrong);
	build_leaves(w, r, PAGE_PT_MORE, 0, wrong);
	build_leaves(w, r, PAGE_EDGE_PT, 0, wrong);
	for (unsigned i = 0; i < 512; i++) {
		uint64_t at = GPA(PAGE_EDGE_PT) + 8 * i, e = phys_read_le(&w->mem, at, 8);

		if (CHANCE(60))
			put(w, at, 8, (e & ~PTE_U) | (CHANCE(70) ? PTE_G : 0));
	}
}

static void build_tables_32(struct world *w, struct rng *r, unsigned wrong)
{
	const uint64_t dir = PTE_P | PTE_W | PTE_U;

	put(w, GPA(PAGE_PML4), 4, GPA(PAGE_PT) | dir);
	put(w, GPA(PAGE_PML4) + 4, 4, dir | PTE_PS);
	put(w, GPA(PAGE_PML4) + 4 * 1023, 4, GPA(PAGE_EDGE_PT) | dir);
	build_leaves(w, r, PAGE_PT, RAM_PAGES + 0x100, wrong);
	build_leaves(w, r, PAGE_EDGE_PT, 0, wrong);
}

/* ---- descriptors and handlers
 * ------------------------------------------------------------------------------ */

static uint64_t table_base(const struct world *w)
{
	return is_long(w) ? WORLD_HIGH : 0;
}

static void build_descriptors(struct world *w, struct rng *r)
{
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff,
		0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0x000ffb000000ffff };
	uint64_t tss = table_base(w) + GPA(PAGE_GDT) + 0x800, top = table_base(w) + GPA(PAGE_STACK + 1);

	for (unsigned i = 0; i < 64; i++)
		put(w, GPA(PAGE_GDT) + 8 * i, 8, i < ARRAY_LEN(gdt) ? gdt[i] : rng_u64(r));
	put(w, GPA(PAGE_GDT) + SEL_TSS, 8,
		(tss & 0xffffff) << 16 | 0x8b0000000000 | 0x67 | (tss >> 24 & 0xff) << 56);
	put(w, GPA(PAGE_GDT) + SEL_TSS + 8, 8, tss >> 32);
	put(w, GPA(PAGE_GDT) + 0x800 + 4, 8, is_long(w) ? top : (uint32_t)top | (uint64_t)SEL_DATA << 32);
	put(w, GPA(PAGE_GDT) + 0x800 + 36, 8, top); /* IST1 */
	put(w, GPA(PAGE_GDT) + 0x800 + 102, 2, 0x68);
}

/* Has this vector an error code on the stack? */
static bool with_error(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* Handlers go on somewhere: behind what failed, or at a place of their own random sequence. */
static void build_stubs(struct world *w, struct rng *r)
{
	static const uint8_t jump64[] = { 0x50, 0x8b, 0x05, 0xf9, 0x0e, 0, 0, 0x69, 0xc0, 0x0d, 0x66, 0x19, 0,
		0x05, 0x5f, 0xf3, 0x6e, 0x3c, 0x89, 0x05, 0xe8, 0x0e, 0, 0, 0xc1, 0xe8, 0x10, 0x05, 0, 0, 1,
		0, 0x48, 0x89, 0x44, 0x24, 0x08, 0x58, 0x48, 0xcf };
	static const uint8_t skip64[] = { 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf };
	static const uint8_t jump32[] = { 0x50, 0xa1, 0, 0xbf, 0, 0, 0x69, 0xc0, 0x0d, 0x66, 0x19, 0, 0x05,
		0x5f, 0xf3, 0x6e, 0x3c, 0xa3, 0, 0xbf, 0, 0, 0xc1, 0xe8, 0x10, 0x05, 0, 0, 1, 0, 0x89, 0x44,
		0x24, 0x04, 0x58, 0xcf };
	static const uint8_t skip32[] = { 0xff, 0x04, 0x24, 0xcf };
	static const uint8_t skip16[] = { 0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf };
	static const uint8_t drop64[] = { 0x48, 0x83, 0xc4, 0x08 }, drop32[] = { 0x83, 0xc4, 0x04 };
	bool jump = CHANCE(60), wide = is_long(w);
	uint64_t at = GPA(PAGE_STUBS);

	for (unsigned error = 0; error < 2; error++, at = GPA(PAGE_STUBS) + 0x100) {
		if (error)
			phys_write(&w->mem, at, wide ? drop64 : drop32, wide ? 4 : 3);
		at += error ? (wide ? 4 : 3) : 0;
		if (wide)
			phys_write(
				&w->mem, at, jump ? jump64 : skip64, jump ? sizeof(jump64) : sizeof(skip64));
		else
			phys_write(
				&w->mem, at, jump ? jump32 : skip32, jump ? sizeof(jump32) : sizeof(skip32));
	}
	phys_write(&w->mem, GPA(PAGE_STUBS) + 0x200, skip16, sizeof(skip16));
}

static void build_gates(struct world *w, struct rng *r, unsigned wrong)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t to = table_base(w) + GPA(PAGE_STUBS) + (with_error(i) ? 0x100 : 0);
		uint64_t type = 0x8e | (CHANCE(50) ? 0x60 : 0) | (CHANCE(30) ? 1 : 0);
		uint64_t sel = is_long(w) ? SEL_CODE64 : SEL_CODE32;
		uint64_t gate = (to & 0xffff) | sel << 16 | type << 40 | (to >> 16 & 0xffff) << 48;

		if (CHANCE(wrong / 2))
			gate = rng_u64(r);
		else if (is_long(w) && CHANCE(10))
			gate |= 1ull << 32; /* its own stack */
		put(w, GPA(PAGE_IDT) + i * (is_long(w) ? 16 : 8), 8, gate);
		if (is_long(w))
			put(w, GPA(PAGE_IDT) + 16 * i + 8, 8, to >> 32);
		if (w->mode == MODE_16)
			put(w, 4 * i, 4, CHANCE(wrong / 2) ? rng_u64(r) : 0x200 | GPA(PAGE_STUBS) << 12);
	}
}

/* ---- the state
 * --------------------------------------------------------------------------------------------- */

static void set_segments(struct world *w)
{
	struct vcpu_state *s = &w->start;
	uint16_t dpl = w->user ? SEG_DPL : 0, data = w->user ? SEL_UDATA : SEL_DATA;
	bool real = w->mode == MODE_16;

	for (unsigned k = S_ES; k <= S_GS; k++)
		s->seg[k] = (struct segment){ 0, UINT32_MAX, data, 0xc093 | dpl };
	s->seg[S_CS] = (struct segment){ 0, UINT32_MAX, w->user ? SEL_USER32 : SEL_CODE32, 0xc09b | dpl };
	if (w->mode == MODE_64) {
		s->seg[S_CS].selector = w->user ? SEL_USER64 : SEL_CODE64;
		s->seg[S_CS].attr = 0xa09b | dpl;
	}
	for (unsigned k = S_ES; real && k <= S_GS; k++) {
		uint16_t sel = k == S_CS ? GPA(PAGE_CODE) >> 4 : k == S_SS ? 0x2000 : 0x2800;

		s->seg[k] = (struct segment){ (uint64_t)sel << 4, 0xffff, sel, w->user ? 0xf3 : 0x93 };
		if (k == S_CS && !w->user)
			s->seg[k].attr = 0x9b;
	}
	s->seg[S_TR] = (struct segment){ table_base(w) + GPA(PAGE_GDT) + 0x800, 0x67, SEL_TSS, 0x8b };
	s->seg[S_LDTR] = (struct segment){ table_base(w) + GPA(PAGE_GDT) + 0x100, 0xff, 0x50, 0x82 };
}

static void set_control(struct world *w, struct rng *r)
{
	struct vcpu_state *s = &w->start;
	bool real = w->mode == MODE_16 && !w->user;

	s->cr0 = CR0_ET | CR0_NE | (real ? 0 : CR0_PE) | (CHANCE(80) ? CR0_WP : 0) |
		 (CHANCE(80) ? CR0_MP : 0) | (CHANCE(40) ? CR0_AM : 0) | (CHANCE(4) ? CR0_TS : 0) |
		 (CHANCE(3) ? CR0_EM : 0);
	s->cr3 = GPA(PAGE_PML4);
	s->cr4 = (CHANCE(90) ? CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE : 0) | (CHANCE(50) ? CR4_PGE : 0) |
		 (CHANCE(50) ? CR4_FSGSBASE : 0) | (CHANCE(8) ? CR4_SMEP : 0) | (CHANCE(15) ? CR4_SMAP : 0) |
		 (CHANCE(20) ? CR4_UMIP : 0) | (CHANCE(20) ? CR4_DE : 0) | CR4_PSE;
	s->efer = CHANCE(80) ? EFER_SCE : 0;
	s->xcr0 = CHANCE(90) ? XCR0_ALL : XCR0_X87;
	if (is_long(w)) {
		s->cr0 |= CR0_PG;
		s->cr4 |= CR4_PAE;
		s->efer |= EFER_LME | EFER_LMA | EFER_NXE;
	} else if (w->mode == MODE_32_PAGED) {
		s->cr0 |= CR0_PG;
	}
	s->star = (uint64_t)SEL_CODE64 << 32 | (uint64_t)0x23 << 48;
	s->lstar = table_base(w) + GPA(PAGE_CODE);
	s->sfmask = rng_u64(r) & 0x47700;
	s->kernel_gs_base = rng_u64(r) >> 17;
	s->sysenter_cs = SEL_CODE64;
	s->sysenter_eip = GPA(PAGE_CODE);
	s->sysenter_esp = GPA(PAGE_STACK + 1);
	s->gdt_base = table_base(w) + GPA(PAGE_GDT);
	s->gdt_limit = 0x1ff;
	s->idt_base = real ? 0 : table_base(w) + GPA(PAGE_IDT);
	s->idt_limit = CHANCE(5) ? rng_below(r, 0x200) : 0xfff;
	s->halted = 0;
}

void state_build(struct world *w, struct rng *r)
{
	unsigned wrong = CHANCE(30) ? 0 : CHANCE(60) ? 8 : 40;

	if (is_long(w))
		build_tables_64(w, r, wrong);
	else
		build_tables_32(w, r, wrong);
	build_descriptors(w, r);
	build_stubs(w, r);
	build_gates(w, r, CHANCE(60) ? 0 : 30);
	set_segments(w);
	set_control(w, r);
}

static void draw_vectors(struct vcpu_state *s, struct rng *r)
{
	uint8_t *xs = s->xsave.bytes;
	uint32_t mxcsr = CHANCE(15) ? (uint32_t)(rng_u64(r) & 0xffbf) : 0x1f80;

	for (unsigned i = 160; i < 416; i += 8)
		le_store(xs + i, 8, rng_u64(r));
	le_store(xs + 24, 4, mxcsr);
	if (CHANCE(15))
		le_store(xs, 2, 0x40 | (rng_u64(r) & 0xf3f));
}

void state_enter(struct world *w, struct vcpu *v, struct rng *r)
{
	struct vcpu_state *s = &v->s;
	uint64_t flags = FLAG_ONE | (rng_u64(r) & FLAGS_STATUS);

	*s = w->start;
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = CHANCE(60) ? wild_address(w, r) : rng_u64(r) >> rng_below(r, 64);
	s->gpr[R_SP] = CHANCE(85) ? GPA(PAGE_DATA) + rng_below(r, 0x10000) : wild_address(w, r);
	s->rip = rng_below(r, GPA(CODE_PAGES)) + (w->mode == MODE_16 ? 0 : GPA(PAGE_CODE));
	if (w->mode == MODE_16)
		s->gpr[R_SP] &= 0xffff;
	for (unsigned i = 0; i < 16 && w->mode != MODE_64; i++)
		s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
	flags |= (CHANCE(80) ? FLAG_IF : 0) | (CHANCE(2) ? FLAG_TF : 0) | (CHANCE(6) ? FLAG_AC : 0) |
		 (CHANCE(30) ? FLAG_DF : 0) | (CHANCE(20) ? FLAG_IOPL : 0) | (CHANCE(3) ? FLAG_NT : 0);
	if (w->mode == MODE_16 && w->user)
		flags |= FLAG_VM | FLAG_IOPL;
	if (CHANCE(6)) {
		for (unsigned i = 0; i < 4; i++)
			s->dr[i] = CHANCE(50) ? s->rip + rng_below(r, 64) : wild_address(w, r) & 0xffffffff;
		s->dr[7] = DR7_FIXED | (rng_u64(r) & 0xffff03ff);
	}
	if (w->mode == MODE_64) {
		s->seg[S_FS].base = CHANCE(50) ? GPA(PAGE_DATA) : wild_address(w, r);
		s->seg[S_GS].base = CHANCE(50) ? GPA(PAGE_DATA) : wild_address(w, r);
	}
	draw_vectors(s, r);
	vcpu_set_rflags(v, flags);
	vcpu_settle(v);
	v->event.vector = -1;
	v->delivering = -1;
}
