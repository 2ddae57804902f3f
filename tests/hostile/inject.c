/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/inject.c - the world outside the vCPU's thread: interrupts, DMA into code, changes of the
 * memory map, requests to leave, at moments nobody can foresee; and the watchdog.
 */
#include "tests/hostile/world.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE (2000ll * 1000 * 1000)

struct injector {
	struct world *w;
	struct rng rng;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic int64_t running_since; /* 0: not inside the engine */
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* A device writes: into code, page tables or anywhere. */
static void dma(struct injector *in)
{
	struct rng *r = &in->rng;
	uint64_t noise[8], at;

	for (unsigned i = 0; i < ARRAY_LEN(noise); i++)
		noise[i] = rng_u64(r);
	at = rng_percent(r, 70) ? GPA(PAGE_CODE) + rng_below(r, GPA(CODE_PAGES))
				: rng_below(r, GPA(RAM_PAGES));
	phys_write(&in->w->mem, at, noise, 1 + rng_below(r, sizeof(noise)));
}

static void change_map(struct injector *in)
{
	struct world *w = in->w;
	uint8_t *at = w->ram.base + GPA(PAGE_FLAKY);
	struct phys_region region = { .gpa = GPA(PAGE_FLAKY),
		.size = rng_percent(&in->rng, 50) ? GPA(RAM_PAGES - PAGE_FLAKY) : 0,
		.rd = at,
		.wr = rng_percent(&in->rng, 60) ? at : NULL,
		.name = "ram" };

	pthread_mutex_lock(&w->mem.lock);
	physmap_update(&w->mem, w->flaky, &region);
	pthread_mutex_unlock(&w->mem.lock);
}

static void meddle(struct injector *in)
{
	struct vcpu *v = &in->w->v[rng_below(&in->rng, in->w->cpus)];
	unsigned k = rng_below(&in->rng, 100);

	if (k < 40)
		vcpu_raise(v, VCPU_INTR);
	else if (k < 46)
		vcpu_lower(v, VCPU_INTR);
	else if (k < 54)
		vcpu_raise(v, VCPU_NMI);
	else if (k < 60)
		vcpu_raise(v, VCPU_FLUSH | VCPU_FORGET);
	else if (k < 80)
		dma(in);
	else if (k < 84)
		change_map(in);
	else if (k < 86)
		physmap_set_a20(&in->w->mem, rng_percent(&in->rng, 70));
	else if (k < 90)
		vcpu_raise(v, VCPU_EXIT);
	else if (k < 91)
		vcpu_raise(v, VCPU_INIT);
}

static void *inject(void *opaque)
{
	struct injector *in = opaque;
	int64_t since = 0, limit = 0, asked = 0, started;

	while (!atomic_load(&in->stop)) {
		struct timespec pause = { 0, 20000 + (long)rng_below(&in->rng, 400000) };

		nanosleep(&pause, NULL);
		meddle(in);
		started = atomic_load(&in->running_since);
		if (started != since) {
			since = started;
			limit = 2000000 + rng_below(&in->rng, 30000000);
			asked = 0;
		}
		if (!since)
			continue;
		if (!asked && now() - since > limit) {
			vcpu_raise(&in->w->v[0], VCPU_EXIT);
			asked = now();
		}
		if (asked && now() - asked > PATIENCE && atomic_load(&in->running_since) == since) {
			fprintf(stderr, "hostile: the engine did not come back (rip about %#" PRIx64 ")\n",
				in->w->v[0].s.rip);
			_exit(EXIT_HUNG);
		}
	}
	return NULL;
}

struct injector *injector_start(struct world *w, uint64_t seed)
{
	struct injector *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	in->w = w;
	in->rng = rng_for(seed, 2);
	if (pthread_create(&in->thread, NULL, inject, in) != 0) {
		free(in);
		return NULL;
	}
	return in;
}

void injector_running(struct injector *in, bool running)
{
	atomic_store(&in->running_since, running ? now() : 0);
}

void injector_stop(struct injector *in)
{
	atomic_store(&in->stop, true);
	pthread_join(in->thread, NULL);
	free(in);
}
