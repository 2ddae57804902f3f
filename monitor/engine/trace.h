/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/engine/trace.h - instructions as they are carried out, for people and for comparing engines.
 *
 * A line: linear address, bytes, the instruction, and "REGISTER=VALUE" of all that it changed.
 */
#ifndef SERAI_MONITOR_ENGINE_TRACE_H
#define SERAI_MONITOR_ENGINE_TRACE_H

#include "monitor/engine/engine.h"

#include <stdio.h>

/* What is about to be carried out, and the registers before. */
struct trace_step {
	uint64_t la;
	uint8_t bytes[15];
	uint8_t len, code_size;
	struct vcpu_state before;
};

void trace_before(struct vcpu *v, struct trace_step *t);
/* The step as a line, without its end; returns its length, cut to the size. */
size_t trace_after(struct vcpu *v, const struct trace_step *t, char *line, size_t size);

/* Of one vCPU's instructions, counted from its first, so many from number `from` on go to the file. */
struct tracer {
	FILE *file; /* not owned; several vCPUs may write to it */
	uint64_t from, count;
	uint64_t done; /* instructions carried out */
	bool singly;   /* set up for one instruction at a time */
};

/* As the engine's run. */
enum vcpu_exit trace_run(struct tracer *t, struct vcpu *v, uint64_t budget);

#endif
