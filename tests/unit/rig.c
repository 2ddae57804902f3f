/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/rig.h"

#include <stdio.h>
#include <stdlib.h>

struct rig *rig_new(void)
{
	struct rig *r = g_new0(struct rig, 1);
	GError *error = NULL;

	if (!ram_create(&r->ram, RIG_RAM, &error))
		fail_msg("%s", error->message);
	physmap_init(&r->mem, &r->ram);
	physmap_add(&r->mem, &(struct phys_region){
				     .size = RIG_RAM, .rd = r->ram.base, .wr = r->ram.base, .name = "ram" });
	r->clock = (struct vclock){ .tsc_khz = 1000000, .ns_mult = 1ull << 32 };
	timer_queue_init(&r->timers, &r->clock);
	return r;
}

void rig_free(struct rig *r)
{
	physmap_destroy(&r->mem);
	ram_destroy(&r->ram);
	g_free(r);
}

void rig_sink(void *opaque, unsigned n, bool level)
{
	struct rig *r = opaque;

	assert_true(n < RIG_WIRES);
	r->irq[n].level = level;
	if (level)
		r->irq[n].rises++;
	else
		r->irq[n].falls++;
}

static void run_due(struct rig *r)
{
	pthread_mutex_lock(&r->mem.lock);
	timer_run_due(&r->timers);
	pthread_mutex_unlock(&r->mem.lock);
}

void rig_advance(struct rig *r, int64_t ns)
{
	int64_t end = rig_now(r) + ns;

	while (r->timers.head && r->timers.head->deadline <= end) {
		if (r->timers.head->deadline > rig_now(r))
			vclock_set_tsc(&r->clock, (uint64_t)r->timers.head->deadline);
		run_due(r);
	}
	vclock_set_tsc(&r->clock, (uint64_t)end);
}

void rig_advance_late(struct rig *r, int64_t ns)
{
	vclock_set_tsc(&r->clock, (uint64_t)(rig_now(r) + ns));
	run_due(r);
}

uint64_t rig_read(struct rig *r, uint64_t gpa, unsigned size)
{
	struct phys_region region;
	uint64_t v = 0;

	if (physmap_find(&r->mem, gpa, &region) && !region.rd)
		return phys_io_read(&r->mem, &region, gpa, size);
	phys_read(&r->mem, gpa, &v, size);
	return v;
}

void rig_write(struct rig *r, uint64_t gpa, unsigned size, uint64_t v)
{
	struct phys_region region;

	if (physmap_find(&r->mem, gpa, &region) && !region.wr)
		phys_io_write(&r->mem, &region, gpa, size, v);
	else
		phys_write(&r->mem, gpa, &v, size);
}

static uint16_t pci_select(struct rig *r, uint8_t devfn, uint8_t off)
{
	rig_out32(r, 0xcf8, 0x80000000u | (uint32_t)devfn << 8 | (off & 0xfc));
	return 0xcfc + (off & 3);
}

uint32_t rig_pci_read(struct rig *r, uint8_t devfn, uint8_t off, unsigned size)
{
	return port_read(&r->mem, pci_select(r, devfn, off), size);
}

void rig_pci_write(struct rig *r, uint8_t devfn, uint8_t off, unsigned size, uint32_t v)
{
	port_write(&r->mem, pci_select(r, devfn, off), size, v);
}

/* ---- save, load, golden files ------------------------------------------------------------------- */

static GBytes *saved(struct device *dev)
{
	struct state_writer *w = state_writer_new();
	const uint8_t *data;
	size_t len;
	GBytes *bytes;

	device_save(dev, w);
	data = state_writer_bytes(w, &len);
	bytes = g_bytes_new(data, len);
	state_writer_free(w);
	return bytes;
}

static bool load(struct rig *r, struct device *dev, GBytes *bytes)
{
	g_autoptr(GError) error = NULL;
	gsize len;
	const void *data = g_bytes_get_data(bytes, &len);
	struct state_reader *reader = state_reader_new(data, len, &error);
	bool ok;

	pthread_mutex_lock(&r->mem.lock);
	ok = reader && device_load(dev, reader, &error) && state_reader_finish(reader, &error);
	pthread_mutex_unlock(&r->mem.lock);
	state_reader_free(reader);
	if (!ok)
		print_error("%s: %s\n", dev->cls->name, error->message);
	return ok;
}

bool rig_reloads(struct rig *r, struct device *dev)
{
	g_autoptr(GBytes) before = NULL, after = NULL;

	/* What catches up with the clock when settled has to do so before, to be comparable. */
	pthread_mutex_lock(&r->mem.lock);
	device_settle(dev);
	pthread_mutex_unlock(&r->mem.lock);
	before = saved(dev);
	if (!state_covers_every_byte(&dev->cls->state)) {
		print_error("%s: some bytes of the state are in no field\n", dev->cls->name);
		return false;
	}
	pthread_mutex_lock(&r->mem.lock);
	device_reset(dev);
	pthread_mutex_unlock(&r->mem.lock);
	if (!load(r, dev, before))
		return false;
	after = saved(dev);
	if (!g_bytes_equal(before, after)) {
		print_error("%s: state differs after load\n", dev->cls->name);
		return false;
	}
	return true;
}

static char *golden_path(const char *name)
{
	const char *root = getenv("SERAI_SOURCE_ROOT");

	return g_build_filename(root ? root : ".", "tests/golden", name, NULL);
}

static GBytes *golden(const char *name)
{
	g_autofree char *path = golden_path(name);
	g_autoptr(GError) error = NULL;
	char *data;
	gsize len;

	if (!g_file_get_contents(path, &data, &len, &error)) {
		print_error("%s (SERAI_GOLDEN_WRITE=1 writes new ones)\n", error->message);
		return NULL;
	}
	return g_bytes_new_take(data, len);
}

bool rig_loads_golden(struct rig *r, struct device *dev, const char *name)
{
	g_autoptr(GBytes) want = golden(name);

	return want && load(r, dev, want);
}

bool rig_reloads_golden(struct rig *r, struct device *dev, const char *name)
{
	g_autoptr(GBytes) is = NULL, want = NULL;

	if (!rig_reloads(r, dev))
		return false;
	is = saved(dev);
	if (getenv("SERAI_GOLDEN_WRITE")) {
		g_autofree char *path = golden_path(name);

		return g_file_set_contents(
			path, g_bytes_get_data(is, NULL), (gssize)g_bytes_get_size(is), NULL);
	}
	want = golden(name);
	if (!want)
		return false;
	if (!g_bytes_equal(is, want)) {
		print_error("%s: state is not that of golden file %s\n", dev->cls->name, name);
		return false;
	}
	return load(r, dev, want);
}

void rig_loads_hostile(struct rig *r, struct device *dev, unsigned rounds, void (*use)(void *), void *opaque)
{
	const uint32_t size = dev->cls->state.size;
	g_autofree uint8_t *good = g_memdup2(device_state(dev), size);
	unsigned seed = 42;

	for (unsigned i = 0; i < rounds; i++) {
		struct state_writer *w = state_writer_new();
		g_autofree uint8_t *bad = g_memdup2(good, size);
		struct state_reader *reader;
		const uint8_t *data;
		size_t len;

		for (unsigned n = 1 + (unsigned)rand_r(&seed) % 8; n; n--)
			bad[(unsigned)rand_r(&seed) % size] =
				rand_r(&seed) & 1 ? 0xff : (uint8_t)rand_r(&seed);
		state_put(w, &dev->cls->state, dev->instance, bad);
		data = state_writer_bytes(w, &len);
		reader = state_reader_new(data, len, NULL);
		assert_non_null(reader);
		pthread_mutex_lock(&r->mem.lock);
		device_load(dev, reader, NULL);
		pthread_mutex_unlock(&r->mem.lock);
		use(opaque);
		state_reader_free(reader);
		state_writer_free(w);
	}
}
