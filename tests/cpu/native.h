/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/native.h - run a case on the host CPU, in this process.
 *
 * Owns:    the fixed mappings of native_layout.h, the fault signals' handlers, an alternate signal stack, a
 * timer. Promise: whatever the code does short of a system call, native_run returns and the process is as
 * before. Threads: one per process; jobs are processes.
 */
#ifndef SERAI_TESTS_CPU_NATIVE_H
#define SERAI_TESTS_CPU_NATIVE_H

#include "base/error.h"
#include "tests/cpu/case.h"

/* Once per process, after everything else that installs signal handlers: signals from elsewhere go on to
 * those. */
bool native_init(GError **error);

/* `mem` is what case_memory made; out->mem and code point into the mapping and last until the next run. */
void native_run(const struct test_case *tc, const uint8_t *mem, struct outcome *out);

#endif
