/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/bus/irq.h - one interrupt wire: a device drives a level, somebody listens.
 *
 * Threads: under the device lock.
 */
#ifndef SERAI_MONITOR_BUS_IRQ_H
#define SERAI_MONITOR_BUS_IRQ_H

#include "base/compiler.h"

/* The listening end: `n` is the listener's own input number, level is 0 or 1. */
typedef void irq_sink_fn(void *opaque, unsigned n, bool level);

struct irq_line {
	irq_sink_fn *sink; /* NULL: wire leads nowhere */
	void *opaque;
	unsigned n;
	bool level; /* as last driven */
};

static inline void irq_connect(struct irq_line *irq, irq_sink_fn *sink, void *opaque, unsigned n)
{
	*irq = (struct irq_line){ sink, opaque, n, false };
}

/* Drive the wire; the sink hears every change, and only changes. */
static inline void irq_set(struct irq_line *irq, bool level)
{
	if (irq->level == level)
		return;
	irq->level = level;
	if (irq->sink)
		irq->sink(irq->opaque, irq->n, level);
}

/* An edge: up, then down. */
static inline void irq_pulse(struct irq_line *irq)
{
	irq_set(irq, true);
	irq_set(irq, false);
}

#endif
