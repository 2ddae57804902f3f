/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/suspend.c - the whole machine to one file and back.
 *
 * The order of loading matters: the clock first, since devices' settle computes deadlines from it; memory and
 * processors after the devices, whose settle rebuilds the physical map.
 */
#include "monitor/machine/machine.h"

#include <string.h>

struct summary {
	uint64_t tsc, tsc_khz, ram_bytes;
	uint32_t cpus, direct_boot;
};

static const struct state_field summary_fields[] = {
	STATE_FIELD(struct summary, tsc, 1),
	STATE_FIELD(struct summary, tsc_khz, 1),
	STATE_FIELD(struct summary, ram_bytes, 1),
	STATE_FIELD(struct summary, cpus, 1),
	STATE_FIELD(struct summary, direct_boot, 1),
};

static const struct state_class summary_class = {
	.name = "machine",
	.version = 1,
	.size = sizeof(struct summary),
	.fields = summary_fields,
	.field_count = ARRAY_LEN(summary_fields),
};

bool machine_save(struct machine *m, const char *path, GError **error)
{
	bool was_running = !m->paused, ok;
	struct pc *pc = &m->pc;
	struct state_writer *w;
	struct summary s;

	if (was_running)
		machine_pause(m);
	w = state_writer_new();
	s = (struct summary){ .tsc = vclock_tsc(&pc->clock),
		.tsc_khz = pc->clock.tsc_khz,
		.ram_bytes = m->config.ram_bytes,
		.cpus = m->cpus_made,
		.direct_boot = m->config.kernel != NULL };
	state_put(w, &summary_class, "0", &s);
	pthread_mutex_lock(&pc->mem.lock);
	for (unsigned i = 0; i < pc->device_count; i++)
		device_save(pc->devices[i], w);
	vga_save_memory(&pc->vga, w);
	pthread_mutex_unlock(&pc->mem.lock);
	for (unsigned i = 0; i < m->cpus_made; i++)
		vcpu_save(&m->vcpus[i], w);
	state_put_blob(w, "ram", pc->ram.base, pc->ram.size);
	ok = state_writer_save(w, path, error);
	state_writer_free(w);
	if (was_running)
		machine_resume(m);
	return ok;
}

static bool fits(struct machine *m, const struct summary *s, GError **error)
{
	uint64_t khz = m->pc.clock.tsc_khz, diff = khz > s->tsc_khz ? khz - s->tsc_khz : s->tsc_khz - khz;

	if (s->ram_bytes != m->config.ram_bytes)
		return fail(error, SERAI_ERROR_STATE,
			"it was saved with %" G_GUINT64_FORMAT " MiB of memory (--mem)", s->ram_bytes >> 20);
	if (s->cpus != m->cpus_made)
		return fail(error, SERAI_ERROR_STATE, "it was saved with %u processors (--cpus)", s->cpus);
	if (s->direct_boot != (m->config.kernel != NULL))
		return fail(error, SERAI_ERROR_STATE, "it was saved %s a directly booted kernel (--kernel)",
			s->direct_boot ? "with" : "without");
	if (diff > khz / 100)
		log_warn("state",
			"saved on a %" G_GUINT64_FORMAT " kHz processor, this one has %" G_GUINT64_FORMAT
			"; the guest's clock will run wrong",
			s->tsc_khz, khz);
	return true;
}

static bool load_devices(struct machine *m, struct state_reader *r, GError **error)
{
	struct pc *pc = &m->pc;

	for (unsigned i = 0; i < pc->device_count; i++)
		if (!device_load(pc->devices[i], r, error))
			return false;
	/* Wires between devices carry levels that only both ends' states together tell: settle all again. */
	for (unsigned i = 0; i < pc->device_count; i++)
		device_settle(pc->devices[i]);
	return vga_load_memory(&pc->vga, r, error);
}

static bool load_all(struct machine *m, struct state_reader *r, GError **error)
{
	struct summary s = { 0 };
	bool ok;

	if (!state_get(r, &summary_class, "0", &s, error) || !fits(m, &s, error))
		return false;
	vclock_set_tsc(&m->pc.clock, s.tsc);
	if (!state_get_blob(r, "ram", m->pc.ram.base, m->pc.ram.size, error))
		return false;
	pthread_mutex_lock(&m->pc.mem.lock);
	ok = load_devices(m, r, error);
	pthread_mutex_unlock(&m->pc.mem.lock);
	for (unsigned i = 0; ok && i < m->cpus_made; i++) {
		ok = vcpu_load(&m->vcpus[i], r, error);
		vcpu_raise(&m->vcpus[i], VCPU_FLUSH | VCPU_FORGET);
	}
	return ok && state_reader_finish(r, error);
}

bool machine_load(struct machine *m, const char *path, GError **error)
{
	struct state_reader *r = state_reader_open(path, error);
	bool ok;

	if (!r)
		return false;
	ok = load_all(m, r, error);
	state_reader_free(r);
	if (!ok)
		g_prefix_error(error, "%s: ", path);
	return ok;
}
