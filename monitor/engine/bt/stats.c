/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/stats.c - what the translator tells of itself, and windows in which it measures more closely.
 *
 * Translated code counts nothing.  In a window blocks are of another kind, BT_COUNT and BT_TALLY: their heads
 * take their instructions off the budget and count their runs.  So the numbers are exact, at the price of
 * translating anew what runs in the window (the next window finds it there).  A change of privilege always
 * comes back to C, which is where instructions are put down to kernel or user.
 *
 * Threads: the vCPU's own; bt_tell from any, reading counters that move.
 */
#include "monitor/engine/bt/bt.h"

#include <stdio.h>
#include <time.h>

#define SEMANTICS_TOLD 16

static uint64_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the window */

void bt_window_note(struct vcpu *v, struct bt *b)
{
	struct bt_window *w = &b->window;

	w->ran[w->user] += w->left - b->in.left;
	w->left = b->in.left;
	w->user = v->cpl == 3;
}

static uint64_t weight(const struct bt_top *t)
{
	return t->runs * t->count;
}

/* Keep it if it is among the most. */
static void consider(void *window, struct bt_block *k)
{
	struct bt_top t = { k->la, k->runs, k->count, k->mode };
	struct bt_window *w = window;
	unsigned n = w->tops;

	if (!k->runs || (n == BT_TOPS && weight(&t) <= weight(&w->top[n - 1])))
		return;
	if (n < BT_TOPS)
		w->tops++;
	else
		n--;
	for (; n && weight(&w->top[n - 1]) < weight(&t); n--)
		w->top[n] = w->top[n - 1];
	w->top[n] = t;
}

static void forget_runs(void *opaque, struct bt_block *k)
{
	(void)opaque;
	k->runs = 0;
}

static void each_block(struct bt *b, void (*fn)(void *window, struct bt_block *k))
{
	pthread_mutex_lock(&b->cache->lock);
	bt_cache_each(b->cache, fn, &b->window);
	pthread_mutex_unlock(&b->cache->lock);
}

void bt_window_switch(struct vcpu *v, struct bt *b)
{
	struct bt_window *w = &b->window;

	pthread_mutex_lock(&b->window_lock);
	if (!w->on) {
		*w = (struct bt_window){
			.on = true, .left = b->in.left, .user = v->cpl == 3, .began = host_ns()
		};
		each_block(b, forget_runs);
		b->unbound = !b->counting;
		b->counting = true;
	} else {
		bt_window_note(v, b);
		w->ns = host_ns() - w->began;
		each_block(b, consider);
		w->on = false;
		if (b->unbound)
			b->counting = false;
	}
	pthread_mutex_unlock(&b->window_lock);
}

/* ---- telling */

struct tell {
	engine_tell_fn *fn;
	void *opaque;
};

static void tell_semantics(const struct bt *b, const struct tell *t)
{
	uint64_t last = UINT64_MAX, total = 0;
	unsigned last_at = 0;

	for (unsigned k = 0; k < ARRAY_LEN(b->semantics); k++)
		total += b->semantics[k];
	t->fn(t->opaque, NULL, "exits_semantics", total);
	/* The next smaller one each time: equal ones by number. */
	for (unsigned told = 0; told < SEMANTICS_TOLD; told++) {
		uint64_t best = 0;
		unsigned at = 0;

		for (unsigned k = 1; k < ARRAY_LEN(b->semantics); k++) {
			uint64_t n = b->semantics[k];

			if (n > best && (n < last || (n == last && k > last_at)))
				best = n, at = k;
		}
		if (!best)
			return;
		t->fn(t->opaque, "semantics", ZydisMnemonicGetString((ZydisMnemonic)at), best);
		last = best;
		last_at = at;
	}
}

static void tell_window(struct bt *b, const struct tell *t)
{
	struct bt_window w;
	char name[64];

	pthread_mutex_lock(&b->window_lock);
	w = b->window;
	pthread_mutex_unlock(&b->window_lock);
	if (w.on || !w.ns)
		return;
	t->fn(t->opaque, NULL, "window_ms", w.ns / 1000000);
	t->fn(t->opaque, NULL, "kernel_instructions_per_second",
		(uint64_t)((double)w.ran[0] * 1e9 / (double)w.ns));
	t->fn(t->opaque, NULL, "user_instructions_per_second",
		(uint64_t)((double)w.ran[1] * 1e9 / (double)w.ns));
	for (unsigned k = 0; k < w.tops; k++) {
		snprintf(name, sizeof(name), "%016llx %s%s %u", (unsigned long long)w.top[k].la,
			w.top[k].mode & BT_SUPER ? "kernel" : "user",
			(w.top[k].mode & 3) == BT_64 ? "64" : "32", w.top[k].count);
		t->fn(t->opaque, "blocks", name, weight(&w.top[k]));
	}
}

/* What all vCPUs share. */
static void tell_cache(struct bt_cache *c, const struct tell *t)
{
	uint64_t used = 0;

	pthread_mutex_lock(&c->lock);
	for (unsigned r = 0; r < BT_REGIONS; r++)
		used += c->region[r].gone ? 0 : c->region[r].used + c->region[r].cold_used;
	t->fn(t->opaque, NULL, "blocks_translated", c->stats.translated);
	t->fn(t->opaque, NULL, "instructions_translated", c->stats.guest_instructions);
	t->fn(t->opaque, NULL, "code_cache_bytes", used);
	t->fn(t->opaque, NULL, "code_cache_size", BT_CACHE_SIZE);
	t->fn(t->opaque, NULL, "evictions", c->stats.evictions);
	t->fn(t->opaque, NULL, "blocks_dropped", c->stats.killed);
	t->fn(t->opaque, NULL, "links", c->stats.links);
	pthread_mutex_unlock(&c->lock);
}

void bt_tell(struct vcpu *v, engine_tell_fn *fn, void *opaque)
{
	struct bt *b = v->engine_data;
	const struct tell t = { fn, opaque };

	if (!v->first || v == v->first)
		tell_cache(b->cache, &t);
	fn(opaque, NULL, "exits_dispatcher", b->stats.dispatches);
	fn(opaque, NULL, "exits_tlb_miss", b->stats.misses + b->stats.group_misses);
	fn(opaque, NULL, "exits_single", b->stats.singles);
	fn(opaque, NULL, "views", b->views.begun);
	fn(opaque, NULL, "view_faults", b->views.faults);
	fn(opaque, NULL, "view_refusals", b->views.refusals);
	fn(opaque, NULL, "view_pages", b->views.mapped);
	tell_semantics(b, &t);
	tell_window(b, &t);
}
