/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/shrink.h - make a failing case small.
 */
#ifndef SERAI_TESTS_CPU_SHRINK_H
#define SERAI_TESTS_CPU_SHRINK_H

#include "tests/cpu/case.h"

/* True when the case still fails in the way the caller is after. */
typedef bool still_fails_fn(void *opaque, const struct test_case *tc);

void shrink(struct test_case *tc, still_fails_fn *still_fails, void *opaque);

#endif
