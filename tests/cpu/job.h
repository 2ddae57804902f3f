/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/job.h - one process of check-cpu: its share of the cases.
 */
#ifndef SERAI_TESTS_CPU_JOB_H
#define SERAI_TESTS_CPU_JOB_H

#include "tests/cpu/case.h"

#include <glib.h>
#include <stdatomic.h>

/* As given on the command line; main.c says what each means. */
struct options {
	gint64 cases, seed, only_case;
	int bits, seq, jobs, seconds;
	char *only, *engine;
	gboolean verbose, stats, coverage, blocks;
};

/* Shared by all jobs and main. */
struct counters {
	_Atomic uint64_t cases, differences;
	_Atomic uint64_t ends[VECTOR_LOST + 1]; /* of the host's side */
	_Atomic uint64_t
		by_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1][2]; /* --coverage: run; ran through on the host */
	_Atomic bool stop;
};

/* Run the cases whose number is `index` modulo the jobs, until done or told to stop; 0, or 2 when it could
 * not start. */
int job_run(const struct options *o, struct counters *shared, unsigned index);

#endif
