/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/unit/cpu/cpu_rig.h - a vCPU on a bench: RAM, page tables a test fills by hand, single instructions.
 */
#ifndef SERAI_TESTS_UNIT_CPU_RIG_H
#define SERAI_TESTS_UNIT_CPU_RIG_H

#include "monitor/cpu/cpuid.h"
#include "monitor/cpu/insn.h"
#include "monitor/cpu/segment.h"
#include "monitor/engine/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#define RIG_RAM 0x200000

struct cpu_rig {
	struct ram ram;
	struct physmap mem;
	struct vclock clock;
	struct cpuid_table cpuid;
	struct vcpu_platform platform;
	struct engine engine; /* only counts what it is told to invalidate */
	struct vcpu v;
};

/* A vCPU just reset. */
struct cpu_rig *cpu_rig_new(void);
void cpu_rig_free(struct cpu_rig *r);

static inline uint64_t rig_get(struct cpu_rig *r, uint64_t gpa, unsigned size)
{
	return le_load(r->ram.base + gpa, size);
}

static inline void rig_put(struct cpu_rig *r, uint64_t gpa, unsigned size, uint64_t v)
{
	le_store(r->ram.base + gpa, size, v);
}

/* Where the rig's own tables lie (guest-physical); tests have the rest from RIG_FREE on. */
#define RIG_PML4 0x1000
#define RIG_PDPT 0x2000
#define RIG_PD   0x3000
#define RIG_PT   0x4000
#define RIG_GDT  0x5000
#define RIG_LDT  0x6000
#define RIG_FREE 0x10000

/*
 * 64-bit mode at CPL 0 with PGE-less paging: PML4, PDPT and PD present, writable, user for the first 2 MiB;
 * the PT is the test's to fill (all pages are mapped 1:1, present, writable, user to begin with).
 */
void rig_long_mode(struct cpu_rig *r);

/* 32-bit protected mode at CPL 0, flat segments, no paging, GDT at RIG_GDT and LDT at RIG_LDT (empty). */
void rig_protected_mode(struct cpu_rig *r);

/* CPL 3, by the segment registers alone. */
void rig_user(struct cpu_rig *r);

/* The vector an expression raises, -1 if none. */
#define FAULT(r, ...)                                                                                        \
	({                                                                                                   \
		volatile int vector_ = -1;                                                                   \
		if (_setjmp((r)->v.recover) == 0) {                                                          \
			__VA_ARGS__;                                                                         \
		} else {                                                                                     \
			vector_ = (r)->v.event.vector;                                                       \
		}                                                                                            \
		(int)vector_;                                                                                \
	})

/* Decode and carry out one instruction that has a row; the vector it raises, or -1.  RIP stays. */
int rig_exec(struct cpu_rig *r, const uint8_t *bytes, size_t len);

#define EXEC(r, ...) rig_exec(r, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

#endif
