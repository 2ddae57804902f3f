/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/stats.c - what the processors have done, for people and programs.
 *
 * Counters are read while they move.  Rates need a window: engines that count nothing by themselves do so
 * while vcpu.measure is set, which somebody who forgets about it must not leave on, hence the timer.
 */
#include "monitor/machine/machine.h"

#include <inttypes.h>
#include <time.h>

void stats_each(struct machine *m, unsigned cpu, engine_tell_fn *fn, void *opaque)
{
	struct vcpu *v = &m->vcpus[cpu];
	const struct vcpu_stats *t = &v->stats;
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "instructions", atomic_load(&t->instructions) },
		{ "instructions_per_second", m->threads[cpu].window_rate },
		{ "tlb_misses", atomic_load(&t->tlb_misses) },
		{ "exceptions", atomic_load(&t->exceptions) },
		{ "interrupts", atomic_load(&t->interrupts) },
		{ "io", atomic_load(&t->io) },
		{ "mmio", atomic_load(&t->mmio) },
		{ "code_pages", atomic_load(&t->code_pages) },
		{ "code_flushes", atomic_load(&t->code_flushes) },
	};

	for (size_t r = 0; r < ARRAY_LEN(rows); r++)
		fn(opaque, NULL, rows[r].name, rows[r].value);
	if (m->config.engine->tell)
		m->config.engine->tell(v, fn, opaque);
}

struct text {
	GString *s;
	unsigned cpu;
};

static void add_line(void *opaque, const char *group, const char *name, uint64_t value)
{
	struct text *t = opaque;

	g_string_append_printf(t->s, "cpu%u.%s%s%s %" PRIu64 "\n", t->cpu, group ? group : "",
		group ? "." : "", name, value);
}

char *stats_text(struct machine *m)
{
	struct text t = { g_string_new(NULL), 0 };

	for (; t.cpu < m->cpus_made; t.cpu++)
		stats_each(m, t.cpu, add_line, &t);
	return g_string_free(t.s, FALSE);
}

/* ---- windows */

/* They look at it when they attend, which brings their count of instructions up to date too. */
static void tell_engines(struct machine *m, bool on)
{
	struct timespec nap = { .tv_nsec = 10000000 };

	for (unsigned i = 0; i < m->cpus_made; i++) {
		atomic_store(&m->vcpus[i].measure, on);
		cpu_request(m, i, 0);
	}
	nanosleep(&nap, NULL);
}

static gboolean window_over(void *opaque)
{
	struct machine *m = opaque;

	m->window_timer = 0;
	tell_engines(m, false);
	return G_SOURCE_REMOVE;
}

void stats_begin_window(struct machine *m, unsigned ms)
{
	stats_end_window(m);
	tell_engines(m, true);
	m->window_timer = g_timeout_add(ms, window_over, m);
	m->window_began = g_get_monotonic_time();
	for (unsigned i = 0; i < m->cpus_made; i++)
		m->threads[i].window_from = atomic_load(&m->vcpus[i].stats.instructions);
}

void stats_end_window(struct machine *m)
{
	int64_t us;

	if (!m->window_timer)
		return;
	g_source_remove(m->window_timer);
	m->window_timer = 0;
	us = MAX_OF(g_get_monotonic_time() - m->window_began, 1);
	tell_engines(m, false);
	for (unsigned i = 0; i < m->cpus_made; i++)
		m->threads[i].window_rate =
			(atomic_load(&m->vcpus[i].stats.instructions) - m->threads[i].window_from) * 1000000 /
			(uint64_t)us;
}
