/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB: what must not survive a change, and what may.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <stdlib.h>
#include <sys/resource.h>

#define RIGHTS (PTE_P | PTE_W | PTE_U)
#define VA     0x20000ull
#define PTE_AT (RIG_PT + 8 * (VA >> 12))

static uint64_t read8(struct cpu_rig *r)
{
	return lin_read(&r->v, VA, 8, S_DS);
}

/* Two pages with different contents; VA is mapped to the first. */
static struct cpu_rig *two_pages(void)
{
	struct cpu_rig *r = cpu_rig_new();

	rig_long_mode(r);
	rig_put(r, 0x80000, 8, 0x1111);
	rig_put(r, 0x81000, 8, 0x2222);
	rig_put(r, PTE_AT, 8, 0x80000 | RIGHTS);
	return r;
}

static void invlpg_forgets(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	assert_int_equal(read8(r), 0x1111);
	rig_put(r, PTE_AT, 8, 0x81000 | RIGHTS);
	tlb_flush_page(&r->v, VA + 0x123);
	assert_int_equal(read8(r), 0x2222);
	rig_put(r, PTE_AT, 8, 0);
	tlb_flush_page(&r->v, VA);
	assert_int_equal(FAULT(r, read8(r)), EXC_PF);
	assert_int_equal(r->v.s.cr2, VA);
	cpu_rig_free(r);
}

static void cr3_write_forgets(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	assert_int_equal(read8(r), 0x1111);
	rig_put(r, PTE_AT, 8, 0x81000 | RIGHTS);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_int_equal(read8(r), 0x2222);
	cpu_rig_free(r);
}

/* A large page's entries go with an INVLPG anywhere in it. */
static void invlpg_of_large_page(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	rig_put(r, RIG_PD, 8, PTE_PS | RIGHTS);
	tlb_flush_all(&r->v);
	assert_int_equal(lin_read(&r->v, 0x80000, 8, S_DS), 0x1111);
	assert_int_equal(lin_read(&r->v, 0x81000, 8, S_DS), 0x2222);
	rig_put(r, RIG_PD, 8, 0);
	tlb_flush_page(&r->v, 0x80000);
	assert_int_equal(FAULT(r, lin_read(&r->v, 0x81000, 8, S_DS)), EXC_PF);
	cpu_rig_free(r);
}

static void write_after_read_sets_dirty(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	read8(r);
	assert_int_equal(rig_get(r, PTE_AT, 8) & (PTE_A | PTE_D), PTE_A);
	lin_write(&r->v, VA, 8, 5, S_DS);
	assert_int_equal(rig_get(r, PTE_AT, 8) & (PTE_A | PTE_D), PTE_A | PTE_D);
	assert_int_equal(rig_get(r, 0x80000, 8), 5);
	cpu_rig_free(r);
}

/* What the supervisor cached is not the user's to use. */
static void views_are_apart(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	rig_put(r, PTE_AT, 8, 0x80000 | PTE_P | PTE_W);
	lin_write(&r->v, VA, 8, 7, S_DS);
	for (unsigned i = S_ES; i <= S_GS; i++)
		r->v.s.seg[i].attr |= SEG_DPL;
	cpu_update_mode(&r->v); /* unlike vcpu_settle it keeps the TLB */
	assert_int_equal(r->v.cpl, 3);
	assert_int_equal(FAULT(r, read8(r)), EXC_PF);
	assert_int_equal(r->v.event.error, PF_PRESENT | PF_USER);
	cpu_rig_free(r);
}

static void wp_counts_at_once(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	rig_put(r, PTE_AT, 8, 0x80000 | PTE_P);
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, r->v.s.cr0 & ~CR0_WP)), -1);
	lin_write(&r->v, VA, 8, 7, S_DS);
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, r->v.s.cr0 | CR0_WP)), -1);
	assert_int_equal(FAULT(r, lin_write(&r->v, VA, 8, 8, S_DS)), EXC_PF);
	assert_int_equal(r->v.event.error, PF_PRESENT | PF_WRITE);
	assert_int_equal(rig_get(r, 0x80000, 8), 7);
	cpu_rig_free(r);
}

static void smap_follows_ac(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_SMAP)), -1);
	cpu_set_flags(&r->v, FLAG_AC, FLAG_AC);
	assert_int_equal(read8(r), 0x1111);
	cpu_set_flags(&r->v, 0, FLAG_AC);
	assert_int_equal(FAULT(r, read8(r)), EXC_PF);
	cpu_set_flags(&r->v, FLAG_AC, FLAG_AC);
	assert_int_equal(read8(r), 0x1111);
	cpu_rig_free(r);
}

/* PCID 1 and 2 have tables of their own; bit 63 of CR3 keeps, its absence forgets. */
static void pcids(void **state)
{
	struct cpu_rig *r = two_pages();
	const uint64_t keep = 1ull << 63, second = 0x90000;

	(void)state;
	memcpy(r->ram.base + second, r->ram.base + RIG_PML4, 0x4000);
	rig_put(r, second, 8, (second + 0x1000) | RIGHTS);
	rig_put(r, second + 0x1000, 8, (second + 0x2000) | RIGHTS);
	rig_put(r, second + 0x2000, 8, (second + 0x3000) | RIGHTS);
	rig_put(r, second + 0x3000 + 8 * (VA >> 12), 8, 0x81000 | RIGHTS);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_PCIDE)), -1);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4 | 1)), -1);
	assert_int_equal(read8(r), 0x1111);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, second | 2)), -1);
	assert_int_equal(read8(r), 0x2222);
	rig_put(r, PTE_AT, 8, 0); /* PCID 1's, not told to anyone */
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, keep | RIG_PML4 | 1)), -1);
	assert_int_equal(r->v.s.cr3, RIG_PML4 | 1);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, second | 2)), -1);
	assert_int_equal(read8(r), 0x2222);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4 | 1)), -1);
	assert_int_equal(FAULT(r, read8(r)), EXC_PF);
	/* PCIDE cannot be switched on with a PCID in CR3, nor outside long mode. */
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 & ~CR4_PCIDE)), -1);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_PCIDE)), EXC_GP);
	cpu_rig_free(r);
}

/* More address spaces than there are sets of tables: one that comes back finds what its page table says. */
static void spaces_run_out(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_PCIDE)), -1);
	for (volatile unsigned i = 0; i < 3 * TLB_SPACES; i++) {
		rig_put(r, PTE_AT, 8, (i & 1 ? 0x81000 : 0x80000) | RIGHTS);
		assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4 | (i % (TLB_SPACES + 1)))), -1);
		assert_int_equal(read8(r), i & 1 ? 0x2222 : 0x1111);
	}
	cpu_rig_free(r);
}

/* A page from which code was made is written the slow way, and somebody hears of it. */
static void code_pages_are_told(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	lin_write(&r->v, VA, 8, 1, S_DS);
	r->ram.kept[0x80] |= RAM_KEPT_SHARED;
	tlb_protect_host_page(&r->v, r->ram.base + 0x80000);
	assert_int_equal(r->v.stats.code_flushes, 0);
	lin_write(&r->v, VA, 8, 2, S_DS);
	assert_int_equal(r->v.stats.code_flushes, 1);
	assert_int_equal(rig_get(r, 0x80000, 8), 2);
	cpu_rig_free(r);
}

/* An access over a page boundary faults before it does anything. */
static void straddling_write_is_whole(void **state)
{
	struct cpu_rig *r = two_pages();

	(void)state;
	rig_put(r, PTE_AT + 8, 8, 0);
	rig_put(r, 0x80ff8, 8, 0xabcd);
	assert_int_equal(FAULT(r, lin_write(&r->v, VA + 0xffc, 8, ~0ull, S_DS)), EXC_PF);
	assert_int_equal(r->v.s.cr2, VA + 0x1000);
	assert_int_equal(rig_get(r, 0x80ff8, 8), 0xabcd);
	rig_put(r, PTE_AT + 8, 8, 0x83000 | RIGHTS);
	lin_write(&r->v, VA + 0xffc, 8, 0x1122334455667788, S_DS);
	assert_int_equal(rig_get(r, 0x80ffc, 4), 0x55667788);
	assert_int_equal(rig_get(r, 0x83000, 4), 0x11223344);
	cpu_rig_free(r);
}

/* No page may be found in a slot that nobody filled, least of all page 0, whose tag empty slots may have. */
static void empty_slots_find_nothing(void **state)
{
	struct cpu_rig *r = two_pages();
	struct vcpu *v = &r->v;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned kind = 0; kind < TLB_KINDS; kind++) {
			for (uint64_t page = 0; page < 2 * TLB_SIZE; page++) {
				assert_null(tlb_find(v, kind, page << PAGE_SHIFT, 1));
				assert_null(tlb_find(v, kind, (page << PAGE_SHIFT) + PAGE_SIZE - 1, 1));
				assert_null(tlb_find(v, kind, page << PAGE_SHIFT | 1ull << 47 | 0xffff000000000000, 8));
			}
		}
		rig_put(r, RIG_PT, 8, 0x80000 | RIGHTS);
		assert_int_equal(lin_read(v, 0, 8, S_DS), 0x1111);
		lin_write(v, 0, 8, 0x1111, S_DS);
		assert_non_null(tlb_find(v, TLB_READ, 0, 8));
		assert_non_null(tlb_find(v, TLB_WRITE, 0, 8));
		if (round == 0)
			tlb_flush_page(v, 0);
		else
			tlb_flush_all(v);
		assert_null(tlb_find(v, TLB_READ, 0, 8));
		assert_null(tlb_find(v, TLB_WRITE, 0, 8));
	}
	cpu_rig_free(r);
}

/* Machines have many vCPUs, and few of them use all their address spaces. */
static void unused_tables_take_no_memory(void **state)
{
	struct rusage before, after;
	struct tlb *t;

	(void)state;
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	t = tlb_new();
	assert_non_null(t);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	assert_true((uint64_t)(after.ru_minflt - before.ru_minflt) * PAGE_SIZE < sizeof(*t) / 4);
	tlb_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unused_tables_take_no_memory), /* first: while the heap has no used memory to give */
		cmocka_unit_test(invlpg_forgets),
		cmocka_unit_test(cr3_write_forgets),
		cmocka_unit_test(invlpg_of_large_page),
		cmocka_unit_test(write_after_read_sets_dirty),
		cmocka_unit_test(views_are_apart),
		cmocka_unit_test(wp_counts_at_once),
		cmocka_unit_test(smap_follows_ac),
		cmocka_unit_test(pcids),
		cmocka_unit_test(spaces_run_out),
		cmocka_unit_test(code_pages_are_told),
		cmocka_unit_test(straddling_write_is_whole),
		cmocka_unit_test(empty_slots_find_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
