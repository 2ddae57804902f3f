/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/bus/timer.h"

/* A device that re-arms into the past again and again must not keep the main loop here. */
#define TIMER_RUN_MAX 1000

void timer_queue_init(struct timer_queue *q, struct vclock *clock)
{
	*q = (struct timer_queue){ .clock = clock };
}

void timer_init(struct timer *t, struct timer_queue *q, timer_fn *fn, void *opaque)
{
	*t = (struct timer){ .fn = fn, .opaque = opaque, .queue = q };
}

static void unlink_timer(struct timer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->queue->head = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = t->next = NULL;
	t->armed = false;
}

/* Behind timers of the same deadline, so that they run in the order they were armed. */
static void link_timer(struct timer *t)
{
	struct timer *before = NULL, *after = t->queue->head;

	while (after && after->deadline <= t->deadline) {
		before = after;
		after = after->next;
	}
	t->prev = before;
	t->next = after;
	if (before)
		before->next = t;
	else
		t->queue->head = t;
	if (after)
		after->prev = t;
	t->armed = true;
}

static int64_t first_deadline(const struct timer_queue *q)
{
	return q->head ? q->head->deadline : INT64_MAX;
}

static void tell(struct timer_queue *q, int64_t before)
{
	int64_t now = first_deadline(q);

	if (now != before && !q->running && q->rearm)
		q->rearm(q->opaque, now);
}

void timer_arm(struct timer *t, int64_t deadline)
{
	int64_t before = first_deadline(t->queue);

	if (t->armed && t->deadline == deadline)
		return;
	if (t->armed)
		unlink_timer(t);
	t->deadline = deadline;
	link_timer(t);
	tell(t->queue, before);
}

void timer_cancel(struct timer *t)
{
	int64_t before;

	if (!t->armed)
		return;
	before = first_deadline(t->queue);
	unlink_timer(t);
	tell(t->queue, before);
}

int64_t timer_run_due(struct timer_queue *q)
{
	int64_t now = timer_now(q);

	q->running = true;
	for (unsigned i = 0; i < TIMER_RUN_MAX && q->head && q->head->deadline <= now; i++) {
		struct timer *t = q->head;

		unlink_timer(t);
		t->fn(t->opaque);
	}
	q->running = false;
	return first_deadline(q);
}
