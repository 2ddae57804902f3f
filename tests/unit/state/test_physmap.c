/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical map, DMA and ports. */
#include "tests/unit/rig.h"

/* A device that remembers the last access, and may misbehave. */
struct probe {
	struct rig *rig;
	uint64_t off, value;
	unsigned size, reads, writes;
	void (*inside)(struct probe *p);
	uint64_t seen; /* what `inside` read */
};

static uint64_t probe_read(void *opaque, uint64_t off, unsigned size)
{
	struct probe *p = opaque;

	p->off = off;
	p->size = size;
	p->reads++;
	if (p->inside)
		p->inside(p);
	return 0x1122334455667788ull;
}

static void probe_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct probe *p = opaque;

	p->off = off;
	p->size = size;
	p->value = v;
	p->writes++;
	if (p->inside)
		p->inside(p);
}

static const struct io_ops probe_ops = { probe_read, probe_write };

static int add_probe(struct rig *r, struct probe *p, uint64_t gpa, uint64_t size, int priority)
{
	p->rig = r;
	return physmap_add(&r->mem, &(struct phys_region){ .gpa = gpa,
					    .size = size,
					    .ops = &probe_ops,
					    .opaque = p,
					    .priority = priority,
					    .name = "probe" });
}

static void overlap_and_offsets(void **state)
{
	struct rig *r = rig_new();
	struct probe low = { 0 }, high = { 0 };
	struct phys_region f;
	int h;

	(void)state;
	/* a device under RAM's top edge: RAM covers its first page, offsets count from its own start */
	assert_true(add_probe(r, &low, RIG_RAM - 4096, 3 * 4096, -1) >= 0);
	assert_int_equal(rig_read(r, RIG_RAM - 4, 4), 0);
	assert_int_equal(rig_read(r, RIG_RAM, 4), 0x55667788);
	assert_int_equal(low.off, 4096);
	/* a device over the middle of RAM splits it in two */
	h = add_probe(r, &high, 0x10000, 4096, 1);
	rig_write(r, 0x10008, 2, 0xabcd);
	assert_int_equal(high.value, 0xabcd);
	assert_int_equal(high.off, 8);
	assert_true(physmap_find(&r->mem, 0x11000, &f));
	assert_ptr_equal(f.rd, r->ram.base + 0x11000);
	assert_int_equal(f.size, RIG_RAM - 0x11000);
	assert_true(physmap_find(&r->mem, 0xffff, &f));
	assert_int_equal(f.gpa + f.size, 0x10000);
	/* hidden and back, then gone */
	physmap_update(&r->mem, h, &(struct phys_region){ .name = "probe" });
	assert_true(physmap_find(&r->mem, 0x10000, &f));
	assert_int_equal(f.size, RIG_RAM);
	physmap_remove(&r->mem, h);
	assert_false(physmap_find(&r->mem, 0x10000000, &f));
	assert_int_equal(physmap_add(&r->mem, &(struct phys_region){ .gpa = 1, .size = 4096 }), -1);
	assert_int_equal(physmap_add(&r->mem, &(struct phys_region){ .gpa = -4096ull, .size = 8192 }), -1);
	rig_free(r);
}

static unsigned changes;

static void count_change(void *opaque)
{
	(void)opaque;
	changes++;
}

static void batch(void **state)
{
	struct rig *r = rig_new();
	struct probe p = { 0 };

	(void)state;
	changes = 0;
	r->mem.changed = count_change;
	physmap_begin(&r->mem);
	physmap_begin(&r->mem);
	for (unsigned i = 0; i < PHYSMAP_REGIONS - 1; i++)
		assert_true(add_probe(r, &p, 0x10000000 + i * 8192ull, 4096, 0) >= 0);
	assert_int_equal(add_probe(r, &p, 0x20000000, 4096, 0), -1);
	physmap_commit(&r->mem);
	assert_int_equal(changes, 0);
	physmap_commit(&r->mem);
	assert_int_equal(changes, 1);
	assert_int_equal(rig_read(r, 0x10000000 + 100 * 8192ull, 1), 0x88);
	physmap_begin(&r->mem);
	physmap_commit(&r->mem);
	assert_int_equal(changes, 1);
	rig_free(r);
}

static void dma_bounds(void **state)
{
	struct rig *r = rig_new();
	struct probe p = { 0 };
	uint8_t buf[3 * 4096], rom[4096];

	(void)state;
	memset(rom, 0x33, sizeof(rom));
	add_probe(r, &p, RIG_RAM, 4096, 0);
	physmap_add(&r->mem,
		&(struct phys_region){ .gpa = RIG_RAM + 4096, .size = 4096, .rd = rom, .name = "rom" });
	memset(buf, 0x5a, sizeof(buf));
	/* RAM, device, ROM in one go: the device is skipped, the ROM not changed */
	phys_write(&r->mem, RIG_RAM - 4096, buf, sizeof(buf));
	assert_int_equal(r->ram.base[RIG_RAM - 1], 0x5a);
	assert_int_equal(rom[0], 0x33);
	phys_read(&r->mem, RIG_RAM - 4096, buf, sizeof(buf));
	assert_int_equal(buf[4095], 0x5a);
	assert_int_equal(buf[4096], 0xff);
	assert_int_equal(buf[8192], 0x33);
	assert_int_equal(p.reads + p.writes, 0);
	/* the end of the address space: no wrap to 0 */
	memset(buf, 0, sizeof(buf));
	phys_read(&r->mem, UINT64_MAX - 1, buf, 8);
	assert_int_equal(buf[0] & buf[1] & buf[2] & buf[7], 0xff);
	phys_write(&r->mem, UINT64_MAX - 3, "abcdefgh", 8);
	assert_int_equal(r->ram.base[0], 0);
	/* a hole in front of a region, RAM above 4 GiB, and a region that ends at the very top */
	physmap_add(&r->mem, &(struct phys_region){ .gpa = 1ull << 32,
				     .size = 4096,
				     .rd = r->ram.base,
				     .wr = r->ram.base,
				     .name = "high" });
	physmap_add(
		&r->mem, &(struct phys_region){ .gpa = -4096ull, .size = 4096, .rd = rom, .name = "top" });
	phys_write(&r->mem, (1ull << 32) - 2, "xyzw", 4);
	assert_memory_equal(r->ram.base, "zw", 2);
	assert_int_equal(phys_read_le(&r->mem, UINT64_MAX - 1, 2), 0x3333);
	phys_read(&r->mem, 0x80000000, buf, sizeof(buf));
	assert_int_equal(buf[sizeof(buf) - 1], 0xff);
	phys_read(&r->mem, 0, buf, 0);
	rig_free(r);
}

struct told {
	unsigned calls;
	uint64_t offset, len;
};

static void code_told(void *opaque, uint64_t offset, uint64_t len)
{
	struct told *t = opaque;

	t->calls++;
	t->offset = offset;
	t->len = len;
}

static void code_hook(void **state)
{
	struct rig *r = rig_new();
	struct told told = { 0 };
	uint8_t buf[2 * 4096] = { 0 };

	(void)state;
	r->mem.code_written = code_told;
	r->mem.hook_opaque = &told;
	phys_write(&r->mem, 0x3000, buf, sizeof(buf));
	assert_int_equal(told.calls, 0);
	r->ram.kept[4] = RAM_KEPT_SHARED;
	phys_write(&r->mem, 0x3ffc, buf, 8);
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.offset, 0x4000);
	assert_int_equal(told.len, 4);
	phys_read(&r->mem, 0x4000, buf, 8);
	assert_int_equal(told.calls, 1);
	rig_free(r);
}

static void comes_back(struct probe *p)
{
	uint64_t v = 0;

	assert_true(p->rig->mem.in_device);
	p->inside = NULL;
	phys_read(&p->rig->mem, 0x10000000, &v, 4); /* DMA into MMIO */
	p->seen = v;
	phys_write(&p->rig->mem, 0x10000000, &v, 4);
	p->seen &= port_read(&p->rig->mem, 0x300, 4); /* straight into the port space */
	port_write(&p->rig->mem, 0x300, 4, 0);
	p->seen &= rig_read(p->rig, 0x10000000, 4);
	rig_write(p->rig, 0x10000000, 4, 0);
}

static void reentrancy_is_refused(void **state)
{
	struct rig *r = rig_new();
	struct probe p = { .inside = comes_back };

	(void)state;
	add_probe(r, &p, 0x10000000, 4096, 0);
	port_add(&r->mem, &(struct port_range){ 0x300, 4, &probe_ops, &p, "probe" });
	rig_write(r, 0x10000000, 4, 1);
	assert_int_equal(p.seen, 0xffffffff);
	assert_int_equal(p.writes, 1);
	assert_int_equal(p.reads, 0);
	assert_false(r->mem.in_device);
	rig_out32(r, 0x300, 5); /* and all is well afterwards */
	assert_int_equal(p.value, 5);
	rig_free(r);
}

static void ports(void **state)
{
	struct rig *r = rig_new();
	struct probe a = { 0 }, b = { 0 };

	(void)state;
	assert_true(port_add(&r->mem, &(struct port_range){ 0x100, 4, &probe_ops, &a, "a" }));
	assert_true(port_add(&r->mem, &(struct port_range){ 0x104, 2, &probe_ops, &b, "b" }));
	assert_false(port_add(&r->mem, &(struct port_range){ 0x105, 1, &probe_ops, &b, "clash" }));
	assert_false(port_add(&r->mem, &(struct port_range){ 0xffff, 2, &probe_ops, &b, "past the end" }));
	assert_int_equal(rig_in32(r, 0x100), 0x55667788);
	assert_int_equal(a.size, 4);
	/* across two ranges: bytes */
	rig_out32(r, 0x102, 0x44332211);
	assert_int_equal(a.size, 1);
	assert_int_equal(a.off, 3);
	assert_int_equal(a.value, 0x22);
	assert_int_equal(b.value, 0x44);
	/* half of it nobody's */
	assert_int_equal(rig_in32(r, 0x104), 0xffff8888);
	/* the last port */
	assert_int_equal(rig_in32(r, 0xffff), 0xffffffff);
	port_remove(&r->mem, 0x103);
	assert_int_equal(rig_in8(r, 0x100), 0xff);
	assert_true(port_add(&r->mem, &(struct port_range){ 0x100, 1, &probe_ops, &b, "again" }));
	rig_free(r);
}

/* A reader beside a writer: whatever it finds is one of the maps that existed, never a mixture. */
struct race {
	struct rig *r;
	_Atomic bool stop;
	_Atomic unsigned torn, looks;
};

static void *look_up(void *opaque)
{
	struct race *race = opaque;
	struct phys_region f;

	while (!atomic_load(&race->stop)) {
		for (uint64_t gpa = 0; gpa < RIG_RAM; gpa += 0x7000) {
			if (!physmap_find(&race->r->mem, gpa, &f) || gpa - f.gpa >= f.size ||
				(f.ops == NULL) == (f.rd == NULL) ||
				(f.rd && f.rd - f.gpa != race->r->ram.base))
				atomic_fetch_add(&race->torn, 1);
			atomic_fetch_add(&race->looks, 1);
		}
	}
	return NULL;
}

static void look_up_beside_changes(void **state)
{
	struct race race = { .r = rig_new() };
	struct probe p = { 0 };
	pthread_t thread;
	int h = add_probe(race.r, &p, 0x10000, 0x20000, 1);

	(void)state;
	pthread_create(&thread, NULL, look_up, &race);
	for (unsigned i = 0; i < 3000 || atomic_load(&race.looks) < 100000; i++) {
		struct phys_region moved = { .gpa = 0x10000 + i % 16 * 0x8000,
			.size = 0x8000 + i % 5 * 0x4000,
			.ops = &probe_ops,
			.opaque = &p,
			.priority = 1,
			.name = "probe" };

		pthread_mutex_lock(&race.r->mem.lock);
		physmap_update(&race.r->mem, h, &moved);
		pthread_mutex_unlock(&race.r->mem.lock);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(race.torn, 0);
	rig_free(race.r);
}

static void too_much_memory(void **state)
{
	struct ram ram;
	GError *error = NULL;

	(void)state;
	assert_false(ram_create(&ram, 1ull << 50, &error));
	assert_int_equal(error->code, SERAI_ERROR_HOST);
	g_clear_error(&error);
	assert_false(ram_create(&ram, 4097, &error));
	g_clear_error(&error);
	assert_false(ram_create(&ram, 0, &error));
	g_clear_error(&error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlap_and_offsets),
		cmocka_unit_test(batch),
		cmocka_unit_test(dma_bounds),
		cmocka_unit_test(code_hook),
		cmocka_unit_test(reentrancy_is_refused),
		cmocka_unit_test(ports),
		cmocka_unit_test(look_up_beside_changes),
		cmocka_unit_test(too_much_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
