/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page walk in every paging mode: addresses, A and D bits, rights, error codes (SDM volume 3A, 4.3
 * to 4.7).
 */
#include "tests/unit/cpu/cpu_rig.h"

#define RIGHTS (PTE_P | PTE_W | PTE_U)
#define VA     0x12345ull
#define PTE_AT (RIG_PT + 8 * (VA >> 12))

static struct page_walk walk_ok(struct cpu_rig *r, uint64_t la, unsigned access)
{
	struct page_walk w = { 0 };

	assert_true(paging_walk(&r->v, la, access, &w));
	return w;
}

static uint32_t walk_error(struct cpu_rig *r, uint64_t la, unsigned access)
{
	struct page_walk w = { 0 };

	assert_false(paging_walk(&r->v, la, access, &w));
	return w.error;
}

static void accessed_and_dirty(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	rig_put(r, PTE_AT, 8, 0x77000 | RIGHTS);
	walk_ok(r, VA, ACC_PEEK);
	assert_int_equal(rig_get(r, PTE_AT, 8), 0x77000 | RIGHTS);
	assert_int_equal(walk_ok(r, VA, 0).gpa, 0x77345);
	assert_int_equal(rig_get(r, PTE_AT, 8), 0x77000 | RIGHTS | PTE_A);
	assert_true(rig_get(r, RIG_PML4, 8) & PTE_A);
	assert_true(rig_get(r, RIG_PDPT, 8) & PTE_A);
	assert_true(rig_get(r, RIG_PD, 8) & PTE_A);
	walk_ok(r, VA, ACC_WRITE);
	assert_int_equal(rig_get(r, PTE_AT, 8), 0x77000 | RIGHTS | PTE_A | PTE_D);
	assert_false(rig_get(r, RIG_PD, 8) & PTE_D);
	cpu_rig_free(r);
}

/* A refused access leaves A and D of the leaf alone. */
static void refused_leaves_no_mark(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	rig_put(r, PTE_AT, 8, 0x77000 | PTE_P | PTE_U);
	assert_int_equal(walk_error(r, VA, ACC_WRITE | ACC_USER), PF_PRESENT | PF_WRITE | PF_USER);
	assert_int_equal(rig_get(r, PTE_AT, 8), 0x77000 | PTE_P | PTE_U);
	cpu_rig_free(r);
}

static void rights_in_long_mode(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	rig_put(r, PTE_AT, 8, 0);
	assert_int_equal(walk_error(r, VA, 0), 0);
	assert_int_equal(walk_error(r, VA, ACC_USER | ACC_FETCH), PF_USER | PF_FETCH);
	rig_put(r, PTE_AT, 8, 0x77000 | PTE_P | PTE_W);
	assert_int_equal(walk_error(r, VA, ACC_USER), PF_PRESENT | PF_USER);
	walk_ok(r, VA, ACC_WRITE);
	rig_put(r, PTE_AT, 8, 0x77000 | PTE_P | PTE_U);
	assert_int_equal(walk_error(r, VA, ACC_WRITE), PF_PRESENT | PF_WRITE);
	r->v.s.cr0 &= ~CR0_WP;
	walk_ok(r, VA, ACC_WRITE);
	assert_int_equal(walk_error(r, VA, ACC_WRITE | ACC_USER), PF_PRESENT | PF_WRITE | PF_USER);
	rig_put(r, PTE_AT, 8, 0x77000 | RIGHTS | PTE_NX);
	walk_ok(r, VA, ACC_WRITE);
	assert_int_equal(walk_error(r, VA, ACC_FETCH), PF_PRESENT | PF_FETCH);
	/* Rights are the least of all levels; NX the most. */
	rig_put(r, PTE_AT, 8, 0x77000 | RIGHTS);
	rig_put(r, RIG_PD, 8, RIG_PT | PTE_P | PTE_W);
	assert_int_equal(walk_error(r, VA, ACC_USER), PF_PRESENT | PF_USER);
	rig_put(r, RIG_PD, 8, RIG_PT | RIGHTS | PTE_NX);
	assert_int_equal(walk_error(r, VA, ACC_FETCH), PF_PRESENT | PF_FETCH);
	cpu_rig_free(r);
}

static void reserved_bits(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	rig_put(r, PTE_AT, 8, 1ull << r->v.phys_bits | RIGHTS);
	assert_int_equal(walk_error(r, VA, 0), PF_PRESENT | PF_RSVD);
	assert_int_equal(walk_error(r, VA, ACC_USER | ACC_WRITE), PF_PRESENT | PF_RSVD | PF_USER | PF_WRITE);
	rig_put(r, PTE_AT, 8, 0x7ff0000000077000 | RIGHTS); /* bits 62..52 are software's */
	assert_int_equal(walk_ok(r, VA, 0).gpa, 0x77345);
	rig_put(r, PTE_AT, 8, 0x77000 | RIGHTS | PTE_NX);
	r->v.s.efer &= ~EFER_NXE;
	assert_int_equal(walk_error(r, VA, 0), PF_PRESENT | PF_RSVD);
	r->v.s.efer |= EFER_NXE;
	rig_put(r, RIG_PML4, 8, RIG_PDPT | RIGHTS | PTE_PS);
	assert_int_equal(walk_error(r, VA, 0), PF_PRESENT | PF_RSVD);
	cpu_rig_free(r);
}

static void large_pages(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	struct page_walk w;

	(void)state;
	rig_long_mode(r);
	rig_put(r, RIG_PD + 8, 8, 0x40000000 | RIGHTS | PTE_PS);
	w = walk_ok(r, 0x212345, ACC_WRITE);
	assert_int_equal(w.gpa, 0x40012345);
	assert_int_equal(w.page_size, 0x200000);
	assert_true(rig_get(r, RIG_PD + 8, 8) & PTE_D);
	rig_put(r, RIG_PD + 8, 8, 0x40002000 | RIGHTS | PTE_PS); /* bit 13 is reserved, bit 12 is PAT */
	assert_int_equal(walk_error(r, 0x212345, 0), PF_PRESENT | PF_RSVD);
	rig_put(r, RIG_PDPT + 8, 8, 0x80001000 | RIGHTS | PTE_PS);
	w = walk_ok(r, 0x52345678, 0);
	assert_int_equal(w.gpa, 0x92345678);
	assert_int_equal(w.page_size, 0x40000000);
	cpu_rig_free(r);
}

static void smep_smap(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_long_mode(r);
	walk_ok(r, VA, ACC_FETCH);
	r->v.s.cr4 |= CR4_SMEP | CR4_SMAP;
	assert_int_equal(walk_error(r, VA, ACC_FETCH), PF_PRESENT | PF_FETCH);
	assert_int_equal(walk_error(r, VA, 0), PF_PRESENT);
	assert_int_equal(walk_error(r, VA, ACC_WRITE), PF_PRESENT | PF_WRITE);
	walk_ok(r, VA, ACC_USER | ACC_WRITE);
	r->v.s.rflags |= FLAG_AC;
	walk_ok(r, VA, ACC_WRITE);
	assert_int_equal(walk_error(r, VA, ACC_IMPLICIT), PF_PRESENT);
	assert_int_equal(walk_error(r, VA, ACC_FETCH), PF_PRESENT | PF_FETCH);
	cpu_rig_free(r);
}

static void paging_32(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_protected_mode(r);
	r->v.s.cr3 = RIG_PML4;
	r->v.s.cr0 |= CR0_PG;
	vcpu_settle(&r->v);
	rig_put(r, RIG_PML4 + 4 * 3, 4, RIG_PT | RIGHTS);
	rig_put(r, RIG_PT + 4 * 5, 4, 0x77000 | RIGHTS);
	assert_int_equal(walk_ok(r, 0xc05345, ACC_WRITE).gpa, 0x77345);
	assert_int_equal(rig_get(r, RIG_PT + 4 * 5, 4), 0x77000 | RIGHTS | PTE_A | PTE_D);
	assert_int_equal(rig_get(r, RIG_PT + 4 * 6, 4), 0);
	/* No NX, no SMEP: no fetch bit. */
	assert_int_equal(walk_error(r, 0xc06000, ACC_FETCH | ACC_USER), PF_USER);
	/* PS counts only with CR4.PSE; with it, bits 20..13 are address bits 39..32. */
	rig_put(r, RIG_PML4 + 4 * 4, 4, 0x00c00000 | 3u << 13 | PTE_PS | RIGHTS);
	r->v.s.cr4 |= CR4_PSE;
	assert_int_equal(walk_ok(r, 0x1012345, 0).gpa, 0x300c12345);
	assert_int_equal(walk_ok(r, 0x1012345, 0).page_size, 0x400000);
	cpu_rig_free(r);
}

static void paging_pae(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	rig_protected_mode(r);
	r->v.s.cr3 = RIG_PML4 + 0x20; /* 32-byte aligned is enough */
	r->v.s.cr4 |= CR4_PAE;
	r->v.s.cr0 |= CR0_PG;
	r->v.s.efer = EFER_NXE;
	rig_put(r, RIG_PML4 + 0x20 + 8, 8, RIG_PD | PTE_P);
	assert_true(paging_pdptes_valid(&r->v, r->v.s.cr3));
	vcpu_settle(&r->v);
	rig_put(r, RIG_PD + 8 * 2, 8, RIG_PT | RIGHTS);
	rig_put(r, RIG_PT + 8 * 5, 8, 0x100077000 | RIGHTS);
	assert_int_equal(walk_ok(r, 0x40405345, ACC_WRITE | ACC_USER).gpa, 0x100077345);
	assert_int_equal(rig_get(r, RIG_PML4 + 0x28, 8), RIG_PD | PTE_P); /* no A bit in a PDPTE */
	rig_put(r, RIG_PT + 8 * 5, 8, 1ull << 62 | 0x77000 | RIGHTS);
	assert_int_equal(walk_error(r, 0x40405345, 0), PF_PRESENT | PF_RSVD);
	rig_put(r, RIG_PT + 8 * 5, 8, PTE_NX | 0x77000 | RIGHTS);
	assert_int_equal(walk_error(r, 0x40405345, ACC_FETCH), PF_PRESENT | PF_FETCH);
	rig_put(r, RIG_PML4 + 0x28, 8, RIG_PD | PTE_P | PTE_W);
	assert_false(paging_pdptes_valid(&r->v, r->v.s.cr3));
	cpu_rig_free(r);
}

static void no_paging(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	assert_int_equal(walk_ok(r, 0xfffffff0, ACC_FETCH).gpa, 0xfffffff0);
	cpu_rig_free(r);
}

/* A table that is read in one place and written in another (PAM: ROM over RAM) takes no accessed bits. */
static void split_table(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	struct phys_region split = { .gpa = RIG_PT, .size = PAGE_SIZE, .priority = 9, .name = "split" };
	struct page_walk w;

	(void)state;
	rig_long_mode(r);
	split.rd = r->ram.base + RIG_PT;
	split.wr = r->ram.base + RIG_FREE;
	assert_true(physmap_add(&r->mem, &split) >= 0);
	rig_put(r, RIG_PT + 8 * 0x20, 8, 0x20000 | PTE_P | PTE_W | PTE_U);
	assert_true(paging_walk(&r->v, 0x20123, ACC_WRITE, &w));
	assert_int_equal(w.gpa, 0x20123);
	assert_int_equal(rig_get(r, RIG_PT + 8 * 0x20, 8), 0x20000 | PTE_P | PTE_W | PTE_U);
	cpu_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accessed_and_dirty),
		cmocka_unit_test(refused_leaves_no_mark),
		cmocka_unit_test(rights_in_long_mode),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(smep_smap),
		cmocka_unit_test(paging_32),
		cmocka_unit_test(paging_pae),
		cmocka_unit_test(no_paging),
		cmocka_unit_test(split_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
