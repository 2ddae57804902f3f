/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/debug.h - debug registers: breakpoints, watchpoints, single step.
 *
 * Intel SDM volume 3B chapter 17.  A vCPU with anything armed runs instruction by instruction (VCPU_TRACE),
 * so an unarmed one pays nothing.
 */
#ifndef SERAI_MONITOR_CPU_DEBUG_H
#define SERAI_MONITOR_CPU_DEBUG_H

#include "monitor/cpu/vcpu.h"

/* Some breakpoint of these kinds is enabled in DR7. */
bool debug_has_data(const struct vcpu *v);
bool debug_has_code(const struct vcpu *v);
bool debug_has_io(const struct vcpu *v);

/* Note a hit in v->debug_hits; the #DB trap follows after the instruction. */
void debug_check_data(struct vcpu *v, uint64_t la, unsigned len, bool write);
void debug_check_io(struct vcpu *v, uint16_t port, unsigned len);

/* DR6 bits of instruction breakpoints at la, 0: none. */
uint64_t debug_check_code(const struct vcpu *v, uint64_t la);

/* Raise #DB with these DR6 bits. */
_Noreturn void debug_raise(struct vcpu *v, uint64_t dr6);

/* True when instructions must be run one at a time. */
bool debug_wants_steps(const struct vcpu *v);

#endif
