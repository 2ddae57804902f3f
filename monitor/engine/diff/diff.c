/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/diff.c - the engine: two vCPUs in the place of one, slice after slice.
 *
 * The machine's own vCPU lends its name and its requests; its state is brought up to date whenever the engine
 * is left, and taken over when somebody changed it meanwhile.
 */
#include "monitor/engine/diff/diff.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void destroy_side(struct side *s)
{
	if (!s->v)
		return;
	if (s->v->engine_data)
		s->engine->destroy(s->v);
	vcpu_destroy(s->v);
	physmap_destroy(&s->mem);
	free(s->v);
}

static bool create_side(
	struct diff *d, struct side *s, const char *name, const struct engine *engine, GError **error)
{
	struct vcpu *outer = d->outer, *v = aligned_alloc(4096, (sizeof(*v) + 4095) & ~4095ull);

	if (!v)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for a second processor");
	memset(v, 0, sizeof(*v));
	s->diff = d;
	s->name = name;
	s->engine = engine;
	s->v = v;
	v->index = outer->index;
	v->count = outer->count;
	v->mem = &s->mem;
	v->clock = outer->clock;
	v->cpuid = outer->cpuid;
	v->platform = &s->platform;
	v->arch_capabilities = outer->arch_capabilities;
	v->phys_bits = outer->phys_bits;
	v->engine = engine;
	v->engine_options = outer->engine_options;
	v->precise_flags = true;
	world_init(s);
	return vcpu_create(v, error) && engine->create(v, error);
}

static void diff_destroy(struct vcpu *v)
{
	struct diff *d = v->engine_data;

	if (!d)
		return;
	log_info("diff", "%llu instructions in %llu slices compared; accessed or dirty bits evened out: %llu",
		(unsigned long long)d->instructions, (unsigned long long)d->slices,
		(unsigned long long)d->aged);
	v->mem->dma = NULL;
	destroy_side(&d->first);
	destroy_side(&d->second);
	log_clear(d);
	free(d->log);
	memory_destroy(d);
	free(d);
	v->engine_data = NULL;
}

static bool diff_create(struct vcpu *v, GError **error)
{
	struct diff *d;

	if (v->count > 1)
		return fail(error, SERAI_ERROR_CONFIG, "engine diff: one processor only");
	d = calloc(1, sizeof(*d));
	if (!d)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for comparing");
	v->engine_data = d;
	d->outer = v;
	d->first.ram = v->mem->ram;
	d->second.ram = &d->shadow;
	d->second.replays = true;
	if (!memory_create(d, error) || !create_side(d, &d->first, "bt", &engine_bt, error) ||
		!create_side(d, &d->second, "interp", &engine_interp, error)) {
		diff_destroy(v);
		return false;
	}
	v->mem->dma = memory_dma;
	v->mem->dma_opaque = d;
	return true;
}

/* Both sides take over what the machine's vCPU is, and its memory. */
static void import(struct diff *d)
{
	struct side *const sides[] = { &d->first, &d->second };

	memory_copy_all(d);
	vcpu_lower(d->outer, VCPU_FLUSH | VCPU_FORGET);
	for (unsigned k = 0; k < 2; k++) {
		sides[k]->v->s = d->outer->s;
		vcpu_settle(sides[k]->v);
		world_map(sides[k], d->outer->mem->flat, d->outer->mem->flat_count,
			atomic_load(&d->outer->mem->a20_mask));
		vcpu_raise(sides[k]->v, VCPU_FORGET); /* the memory is new */
	}
	d->exported_once = true;
}

static void export(struct diff *d)
{
	struct vcpu *v = d->outer, *first = d->first.v;

	v->s = first->s;
	v->s.rflags = vcpu_get_rflags(first);
	vcpu_settle(v);
	d->exported = v->s;
}

static void publish_counts(struct diff *d)
{
	struct vcpu_stats *to = &d->outer->stats, *from = &d->first.v->stats;

	atomic_store(&to->instructions, d->instructions);
	atomic_store(&to->tlb_misses, atomic_load(&from->tlb_misses));
	atomic_store(&to->exceptions, atomic_load(&from->exceptions));
	atomic_store(&to->interrupts, atomic_load(&from->interrupts));
	atomic_store(&to->io, atomic_load(&from->io));
	atomic_store(&to->mmio, atomic_load(&from->mmio));
	atomic_store(&to->code_pages, atomic_load(&from->code_pages));
	atomic_store(&to->code_flushes, atomic_load(&from->code_flushes));
}

/* A mutex is not fair: whoever waits for the device lock needs more than a moment now and then. */
static void let_others(struct diff *d)
{
	struct timespec now, nap = { .tv_nsec = 50000 };
	int64_t us;

	pthread_mutex_unlock(&d->outer->mem->lock);
	clock_gettime(CLOCK_MONOTONIC, &now);
	us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	if (us - d->last_rest > 2000) {
		nanosleep(&nap, NULL);
		d->last_rest = us;
	}
	pthread_mutex_lock(&d->outer->mem->lock);
}

/* Slice after slice; under the device lock. */
static enum vcpu_exit run_slices(struct diff *d, uint64_t budget)
{
	struct vcpu *v = d->outer;
	enum vcpu_exit why;
	uint64_t offset;

	for (;;) {
		if (atomic_load(&v->pending) & VCPU_EXIT) {
			vcpu_lower(v, VCPU_EXIT);
			return VCPU_RAN_KICKED;
		}
		if (!budget)
			return VCPU_RAN_BUDGET;
		atomic_store(&v->attention, 0);
		if (!slice_run(d, budget, &why, &offset)) {
			d->failed = true;
			export(d);
			report_difference(d, offset);
			return VCPU_RAN_BROKEN;
		}
		if (budget != UINT64_MAX)
			budget -= MIN_OF(budget, d->first.done);
		publish_counts(d);
		if (why != VCPU_RAN_BUDGET)
			return why;
		let_others(d);
	}
}

static enum vcpu_exit diff_run(struct vcpu *v, uint64_t budget)
{
	struct diff *d = v->engine_data;
	enum vcpu_exit why = VCPU_RAN_BROKEN;

	if (d->failed)
		return why;
	pthread_mutex_lock(&v->mem->lock);
	if (!d->exported_once || (atomic_load(&v->pending) & VCPU_FLUSH) ||
		memcmp(&v->s, &d->exported, sizeof(v->s)) != 0)
		import(d);
	why = run_slices(d, budget);
	if (!d->failed)
		export(d);
	pthread_mutex_unlock(&v->mem->lock);
	return why;
}

static void diff_invalidate(struct vcpu *v, uint64_t ram_offset, uint64_t len)
{
	struct diff *d = v->engine_data;

	d->first.engine->invalidate(d->first.v, ram_offset, len);
}

static void diff_tell(struct vcpu *v, engine_tell_fn *fn, void *opaque)
{
	struct diff *d = v->engine_data;

	fn(opaque, NULL, "slices_compared", d->slices);
	fn(opaque, NULL, "ages_evened_out", d->aged);
	d->first.engine->tell(d->first.v, fn, opaque);
}

const struct engine engine_diff = {
	.name = "diff",
	.create = diff_create,
	.run = diff_run,
	.invalidate = diff_invalidate,
	.destroy = diff_destroy,
	.tell = diff_tell,
};
