/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's views: what user code sees of guest memory through the host's page tables, and when it must not.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include "monitor/engine/bt/bt.h"

#include <stdlib.h>
#include <unistd.h>

#define RIGHTS (PTE_P | PTE_W | PTE_U)
#define VA     0x20000ull
#define PTE_AT (RIG_PT + 8 * (VA >> 12))

/* The watcher finds the views through the engine's data. */
static struct bt *bt_of(struct cpu_rig *r)
{
	return r->v.engine_data;
}

static _Atomic unsigned maps;

/* At CPL 0; VA leads to 0x80000 with these rights. */
static struct cpu_rig *rig_with(uint64_t rights)
{
	struct cpu_rig *r = cpu_rig_new();

	rig_long_mode(r);
	rig_put(r, 0x80000, 8, 0x1111);
	rig_put(r, 0x81000, 8, 0x2222);
	rig_put(r, PTE_AT, 8, 0x80000 | rights);
	r->v.engine_data = calloc(1, sizeof(struct bt));
	r->v.views_at_once = true;
	views_create(&r->v, &bt_of(r)->views, &maps);
	assert_non_null(bt_of(r)->views.nothing);
	return r;
}

static struct cpu_rig *view_rig(void)
{
	struct cpu_rig *r = rig_with(RIGHTS);

	rig_user(r);
	return r;
}

static void view_rig_free(struct cpu_rig *r)
{
	views_destroy(&r->v, &bt_of(r)->views);
	free(bt_of(r));
	cpu_rig_free(r);
}

/* Where translated code would look for la. */
static uint8_t *place(struct cpu_rig *r, uint64_t la)
{
	view_install(&r->v, &bt_of(r)->views);
	return (uint8_t *)(uintptr_t)(la + r->v.bt.view[r->v.cpl == 0][la >> VIEW_SHIFT & 0xff]);
}

/* What is mapped there, 0: nothing.  The kernel says so without a signal. */
static uint64_t seen(struct cpu_rig *r, uint64_t la)
{
	uint64_t value = 0;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	if (write(ends[1], place(r, la), 8) == 8)
		assert_int_equal(read(ends[0], &value, 8), 8);
	close(ends[0]);
	close(ends[1]);
	return value;
}

static bool can_write(struct cpu_rig *r, uint64_t la, uint64_t value)
{
	int ends[2];
	bool ok;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], &value, 8), 8);
	ok = read(ends[0], place(r, la), 8) == 8;
	close(ends[0]);
	close(ends[1]);
	return ok;
}

static bool fault(struct cpu_rig *r, uint64_t la, bool write)
{
	return view_fault(&r->v, &bt_of(r)->views, (uintptr_t)place(r, la), write);
}

/* A view in which VA is shown to be read. */
static struct cpu_rig *begun(void)
{
	struct cpu_rig *r = view_rig();

	assert_int_equal(lin_read(&r->v, VA, 8, S_DS), 0x1111); /* what the TLB knows is shown at once */
	view_heat(&r->v, &bt_of(r)->views);
	assert_true(view_is_on(&r->v, &bt_of(r)->views));
	assert_int_equal(seen(r, VA), 0x1111);
	return r;
}

static void nothing_is_there(void **state)
{
	struct cpu_rig *r = view_rig();

	(void)state;
	for (unsigned n = 0; n < VCPU_VIEW; n++) {
		uint64_t la = (uint64_t)n << VIEW_SHIFT;

		assert_int_equal(seen(r, la), 0);
		assert_int_equal(seen(r, la + (1ull << VIEW_SHIFT) - 8), 0);
	}
	view_rig_free(r);
}

static void page_comes_when_touched(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	rig_put(r, 0x90000, 8, 0x3333);
	rig_put(r, RIG_PT + 8 * 0x90, 8, 0x90000 | RIGHTS);
	assert_int_equal(seen(r, 0x90000), 0);
	assert_true(fault(r, 0x90000, false));
	assert_int_equal(seen(r, 0x90000), 0x3333);
	assert_true(rig_get(r, RIG_PT + 8 * 0x90, 8) & PTE_A);
	rig_put(r, RIG_PT + 8 * 0x91, 8, 0);
	assert_false(fault(r, 0x91000, false));
	rig_put(r, RIG_PT + 8 * 0x91, 8, 0x91000 | PTE_P | PTE_W); /* the supervisor's */
	assert_false(fault(r, 0x91000, false));
	view_rig_free(r);
}

static void write_sets_dirty(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	assert_false(can_write(r, VA, 0x4444));
	assert_false(rig_get(r, PTE_AT, 8) & PTE_D);
	assert_true(fault(r, VA, true));
	assert_true(rig_get(r, PTE_AT, 8) & PTE_D);
	assert_true(can_write(r, VA, 0x4444));
	assert_int_equal(rig_get(r, 0x80000, 8), 0x4444);
	rig_put(r, RIG_PT + 8 * 0x91, 8, 0x91000 | PTE_P | PTE_U);
	assert_true(fault(r, 0x91000, false));
	assert_false(fault(r, 0x91000, true));
	assert_false(can_write(r, 0x91000, 1));
	view_rig_free(r);
}

static void invlpg_hides(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	rig_put(r, PTE_AT, 8, 0x81000 | RIGHTS);
	tlb_flush_page(&r->v, VA + 0x123);
	assert_int_equal(seen(r, VA), 0);
	assert_true(fault(r, VA, false));
	assert_int_equal(seen(r, VA), 0x2222);
	view_rig_free(r);
}

/* A large page goes with an INVLPG anywhere in it. */
static void large_page(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	rig_put(r, 0x100008, 8, 0x5555);
	rig_put(r, RIG_PD + 8, 8, 0 | PTE_PS | RIGHTS); /* 2 MiB at 2 MiB: all of RAM again */
	assert_true(fault(r, 0x300008, false));
	assert_int_equal(seen(r, 0x300008), 0x5555);
	assert_int_equal(seen(r, 0x280000), 0x1111);
	tlb_flush_page(&r->v, 0x210000);
	assert_int_equal(seen(r, 0x300008), 0);
	assert_int_equal(seen(r, VA), 0x1111);
	view_rig_free(r);
}

/* One with a hole for a device is shown page by page. */
static void large_page_with_a_hole(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	physmap_add(&r->mem, &(struct phys_region){ .gpa = 0xa0000, .size = 0x20000, .priority = 1, .name = "hole" });
	vcpu_raise(&r->v, VCPU_FLUSH);
	r->v.region_cache.size = 0;
	rig_put(r, RIG_PD + 8, 8, 0 | PTE_PS | RIGHTS);
	rig_put(r, 0xa0000, 8, 0x5555);
	assert_true(fault(r, 0x280000, false));
	assert_int_equal(seen(r, 0x280000), 0x1111);
	assert_int_equal(seen(r, 0x2a0000), 0);
	assert_false(fault(r, 0x2a0000, false));
	view_rig_free(r);
}

/* After a flush only what the page tables still say is shown. */
static void flush_is_looked_through(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	assert_true(fault(r, 0x30000, false));
	assert_true(fault(r, 0x31000, false));
	rig_put(r, 0x30000, 8, 0x6666);
	rig_put(r, 0x31000, 8, 0x7777);
	rig_put(r, PTE_AT, 8, 0x81000 | RIGHTS);
	rig_put(r, RIG_PT + 8 * 0x31, 8, 0);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_false(bt_of(r)->views.of[r->v.tlb->current].on);
	assert_true(view_is_on(&r->v, &bt_of(r)->views));
	assert_int_equal(seen(r, VA), 0);
	assert_int_equal(seen(r, 0x31000), 0);
	assert_int_equal(seen(r, 0x30000), 0x6666);
	view_rig_free(r);
}

static void other_space_has_another_view(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	for (unsigned n = 0; n < 512; n++) /* another set of tables, without VA */
		rig_put(r, RIG_FREE + 8 * n, 8, n ? 0 : RIG_PDPT | RIGHTS);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_FREE)), -1);
	assert_false(view_is_on(&r->v, &bt_of(r)->views));
	view_rig_free(r);
}

static void code_is_not_written(void **state)
{
	struct cpu_rig *r = begun();

	(void)state;
	assert_true(fault(r, VA, true));
	r->ram.kept[0x80] |= RAM_KEPT_SHARED;
	tlb_protect_host_page(&r->v, r->ram.base + 0x80000);
	assert_false(can_write(r, VA, 1));
	assert_false(fault(r, VA, true));
	assert_true(fault(r, VA, false));
	assert_false(can_write(r, VA, 1));
	assert_int_equal(seen(r, VA), 0x1111);
	view_rig_free(r);
}

/* A view rests when its faults are used up. */
static void faults_are_limited(void **state)
{
	struct cpu_rig *r = begun();
	unsigned n = 0;

	(void)state;
	while (n < 100000 && fault(r, VA, false))
		n++;
	assert_in_range(n, 1, 99999);
	assert_false(view_is_on(&r->v, &bt_of(r)->views));
	view_rig_free(r);
}

/* ---- the kernel's */

#define KERNEL 0xffff960000000000ull /* there the lower half's tables come again */
#define GLOBAL (PTE_P | PTE_W | PTE_G)

/* The kernel with a view in which KERNEL + VA is shown to be read. */
static struct cpu_rig *begun_kernel(void)
{
	struct cpu_rig *r = rig_with(GLOBAL);

	rig_put(r, RIG_PML4 + 8 * 300, 8, RIG_PDPT | RIGHTS);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_PGE | CR4_SMAP)), -1);
	assert_int_equal(lin_read(&r->v, KERNEL + VA, 8, S_DS), 0x1111);
	view_heat(&r->v, &bt_of(r)->views);
	assert_true(view_is_on(&r->v, &bt_of(r)->views));
	assert_int_equal(seen(r, KERNEL + VA), 0x1111);
	return r;
}

static void kernel_sees_global_pages(void **state)
{
	struct cpu_rig *r = begun_kernel();

	(void)state;
	rig_put(r, RIG_PT + 8 * 0x30, 8, 0x81000 | GLOBAL);
	assert_true(fault(r, KERNEL + 0x30000, true));
	assert_int_equal(seen(r, KERNEL + 0x30000), 0x2222);
	assert_true(can_write(r, KERNEL + 0x30000, 0x3333));
	rig_put(r, RIG_PT + 8 * 0x50, 8, 0x82000 | GLOBAL | PTE_U);
	assert_false(fault(r, KERNEL + 0x50000, false));
	r->v.s.rflags |= FLAG_AC; /* what SMAP lets it do now, it may not do later */
	tlb_select_view(&r->v);
	assert_false(fault(r, KERNEL + 0x50000, false));
	view_rig_free(r);
}

static void kernel_does_not_see_user_memory(void **state)
{
	struct cpu_rig *r = begun_kernel();

	(void)state;
	rig_put(r, RIG_PT + 8 * 0x30, 8, 0x81000 | GLOBAL | PTE_U);
	assert_int_equal(seen(r, VA), 0);
	assert_false(fault(r, VA, false));
	assert_false(fault(r, 0x30000, false));
	view_missing(&r->v, &bt_of(r)->views, (uintptr_t)place(r, 0x30000));
	assert_int_equal(seen(r, 0x30000), 0);
	view_rig_free(r);
}

static void kernel_stays_over_address_spaces(void **state)
{
	struct cpu_rig *r = begun_kernel();

	(void)state;
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_true(bt_of(r)->views.of[TLB_KERNEL].on);
	assert_int_equal(seen(r, KERNEL + VA), 0x1111);
	rig_put(r, PTE_AT, 8, 0x81000 | GLOBAL);
	tlb_flush_page(&r->v, KERNEL + VA);
	assert_int_equal(seen(r, KERNEL + VA), 0);
	assert_true(fault(r, KERNEL + VA, false));
	assert_int_equal(seen(r, KERNEL + VA), 0x2222);
	rig_put(r, PTE_AT, 8, 0x80000 | GLOBAL);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 & ~CR4_PGE)), -1);
	assert_false(bt_of(r)->views.of[TLB_KERNEL].on);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | CR4_PGE)), -1);
	assert_true(view_is_on(&r->v, &bt_of(r)->views));
	assert_int_equal(seen(r, KERNEL + VA), 0);
	view_rig_free(r);
}

/* Pages that are not global go with CR3 where the tables say otherwise by then, and only there. */
static void kernel_compares_local_pages(void **state)
{
	struct cpu_rig *r = begun_kernel();

	(void)state;
	rig_put(r, 0x82000, 8, 0x4444);
	rig_put(r, RIG_PT + 8 * 0x40, 8, 0x82000 | PTE_P | PTE_W);
	rig_put(r, RIG_PT + 8 * 0x41, 8, 0x81000 | PTE_P | PTE_W);
	assert_true(fault(r, KERNEL + 0x40000, false));
	assert_true(fault(r, KERNEL + 0x41000, true));
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_int_equal(seen(r, KERNEL + 0x40000), 0x4444);
	assert_int_equal(seen(r, KERNEL + 0x41000), 0x2222);
	rig_put(r, RIG_PT + 8 * 0x40, 8, 0x81000 | PTE_P | PTE_W);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_int_equal(seen(r, KERNEL + 0x40000), 0);
	assert_int_equal(seen(r, KERNEL + 0x41000), 0x2222);
	assert_true(fault(r, KERNEL + 0x40000, false));
	assert_int_equal(seen(r, KERNEL + 0x40000), 0x2222);
	rig_put(r, RIG_PT + 8 * 0x41, 8, 0x81000 | PTE_P | PTE_W | PTE_A); /* D is to be set again */
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_false(can_write(r, KERNEL + 0x41000, 1));
	assert_true(fault(r, KERNEL + 0x41000, true));
	assert_true(rig_get(r, RIG_PT + 8 * 0x41, 8) & PTE_D);
	rig_put(r, RIG_PD, 8, rig_get(r, RIG_PD, 8) ^ 1u << 9); /* not as it was noted: not to be noted again, nor to stay */
	assert_false(fault(r, KERNEL + 0x40000, true));
	assert_int_equal(seen(r, KERNEL + 0x40000), 0);
	rig_put(r, RIG_PD, 8, rig_get(r, RIG_PD, 8) ^ 1u << 9);
	assert_true(fault(r, KERNEL + 0x40000, false));
	rig_put(r, RIG_PML4 + 8 * 300, 8, 0); /* another address space has none of it */
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, RIG_PML4)), -1);
	assert_int_equal(seen(r, KERNEL + 0x40000), 0);
	assert_int_equal(seen(r, KERNEL + 0x41000), 0);
	assert_int_equal(seen(r, KERNEL + VA), 0x1111);
	view_rig_free(r);
}

static void keep(struct cpu_rig *r, unsigned page)
{
	r->ram.kept[page] |= RAM_KEPT_SHARED;
	tlb_protect_host_page(&r->v, r->ram.base + page * PAGE_SIZE);
}

/* A large page is shown although there is code in it, but that is not to be written: also when it comes later. */
static void kernel_large_page_spares_code(void **state)
{
	struct cpu_rig *r = begun_kernel();

	(void)state;
	rig_put(r, RIG_PD + 8, 8, 0 | PTE_PS | GLOBAL);
	keep(r, 0x90);
	assert_true(fault(r, KERNEL + 0x280000, true));
	assert_true(can_write(r, KERNEL + 0x280000, 0x4444));
	assert_true(can_write(r, KERNEL + 0x291000, 0x5555));
	assert_false(can_write(r, KERNEL + 0x290000, 1));
	assert_int_equal(seen(r, KERNEL + 0x280000), 0x4444);
	assert_int_equal(seen(r, KERNEL + 0x291000), 0x5555);
	rig_put(r, 0x90000, 8, 0x6666);
	assert_int_equal(seen(r, KERNEL + 0x290000), 0x6666);
	assert_false(fault(r, KERNEL + 0x290000, true));
	keep(r, 0x91);
	assert_false(can_write(r, KERNEL + 0x291000, 1));
	tlb_flush_all(&r->v);
	keep(r, 0x92);
	assert_true(view_is_on(&r->v, &bt_of(r)->views));
	assert_false(can_write(r, KERNEL + 0x292000, 1));
	assert_true(can_write(r, KERNEL + 0x293000, 1));
	r->ram.kept[0x92] = 0;
	assert_true(fault(r, KERNEL + 0x292000, true));
	assert_true(can_write(r, KERNEL + 0x292000, 1));
	assert_false(can_write(r, KERNEL + 0x291000, 1));
	tlb_flush_page(&r->v, KERNEL + 0x200000);
	assert_int_equal(seen(r, KERNEL + 0x280000), 0);
	view_rig_free(r);
}

/* Pages of code that it was not told of one by one, because they were many. */
static void kernel_spares_what_it_missed(void **state)
{
	struct cpu_rig *r = begun_kernel();
	unsigned before;

	(void)state;
	rig_put(r, RIG_PD + 8, 8, 0 | PTE_PS | GLOBAL);
	assert_true(fault(r, KERNEL + 0x280000, true));
	assert_true(can_write(r, KERNEL + 0x291000, 1));
	r->ram.kept[0x91] |= RAM_KEPT_SHARED;
	tlb_flush_writes(&r->v);
	assert_true(view_is_on(&r->v, &bt_of(r)->views));
	assert_false(can_write(r, KERNEL + 0x291000, 1));
	assert_true(can_write(r, KERNEL + 0x292000, 1));
	before = maps;
	for (unsigned n = 0; n < 100; n++) { /* its count of host mappings does not grow by it */
		r->ram.kept[0x91] = 0;
		assert_true(fault(r, KERNEL + 0x291000, true));
		assert_true(can_write(r, KERNEL + 0x291000, 1));
		keep(r, 0x91);
		assert_false(can_write(r, KERNEL + 0x291000, 1));
		tlb_flush_all(&r->v);
		assert_true(view_is_on(&r->v, &bt_of(r)->views));
	}
	assert_int_equal(maps, before);
	view_rig_free(r);
}

/* Only canonical addresses lead into windows. */
static void kernel_addresses_are_canonical(void **state)
{
	struct cpu_rig *r = begun_kernel();

	(void)state;
	for (uint64_t high = 0; high < 0xffff; high++) {
		uint64_t host = (uint64_t)(uintptr_t)place(r, (KERNEL & 0xffffffffffffull) | high << 48);

		assert_true(host >> 47 != 0 && host >> 47 != 0x1ffff);
	}
	view_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_there),
		cmocka_unit_test(page_comes_when_touched),
		cmocka_unit_test(write_sets_dirty),
		cmocka_unit_test(invlpg_hides),
		cmocka_unit_test(large_page),
		cmocka_unit_test(large_page_with_a_hole),
		cmocka_unit_test(flush_is_looked_through),
		cmocka_unit_test(other_space_has_another_view),
		cmocka_unit_test(code_is_not_written),
		cmocka_unit_test(faults_are_limited),
		cmocka_unit_test(kernel_sees_global_pages),
		cmocka_unit_test(kernel_does_not_see_user_memory),
		cmocka_unit_test(kernel_stays_over_address_spaces),
		cmocka_unit_test(kernel_compares_local_pages),
		cmocka_unit_test(kernel_large_page_spares_code),
		cmocka_unit_test(kernel_spares_what_it_missed),
		cmocka_unit_test(kernel_addresses_are_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
