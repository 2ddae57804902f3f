/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench/work.h - the benchmark's workloads, each a fixed amount of work that takes a current processor some tenths of
 * a second and returns a checksum of what it computed.
 */
#ifndef SERAI_BENCH_WORK_H
#define SERAI_BENCH_WORK_H

#include <stdint.h>

/* compute.c: user code that stays in the caches */
uint64_t work_integer(void);
uint64_t work_hash(void);
uint64_t work_sort(void);
uint64_t work_dispatch(void);
uint64_t work_recursion(void);
uint64_t work_calls(void);
uint64_t work_matrix(void);
uint64_t work_nbody(void);
uint64_t work_division(void);

/* memory.c */
uint64_t work_chase(void);
uint64_t work_copy(void);
uint64_t work_scatter(void);

/* kernel.c: what a kernel does for its programs */
uint64_t work_syscall(void);
uint64_t work_pipe(void);
uint64_t work_process(void);
uint64_t work_fault(void);
uint64_t work_file(void);
uint64_t work_signal(void);

/* xorshift64*, never zero. */
static inline uint64_t work_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

#endif
