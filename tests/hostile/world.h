/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/world.h - vCPUs and their memory, walled in: what the guest must not reach is known and looked
 * at afterwards.
 *
 * Owns:    guest RAM between pages of no access, with holes in it that no guest-physical address leads to and
 * a part that is read-only; the vCPUs between canaries.
 * Promise: world_check says whether any of that changed.
 */
#ifndef SERAI_TESTS_HOSTILE_WORLD_H
#define SERAI_TESTS_HOSTILE_WORLD_H

#include "base/bits.h"
#include "monitor/engine/engine.h"
#include "tests/cpu/rng.h"

#include <glib.h>

/* RAM by page; guest-physical addresses are the same but where nothing or a device is. */
#define RAM_PAGES  128
#define WORLD_HIGH 0xffff960000000000ull /* where the supervisor has all memory in 64-bit mode */
#define PAGE_IVT   0 /* real mode's vectors */
#define PAGE_PML4  1 /* page tables: tables.c */
#define PAGE_GDT   9
#define PAGE_IDT   10
#define PAGE_STUBS 11 /* what gates lead to */
#define PAGE_STACK 12 /* of the supervisor */
#define PAGE_CODE  16
#define CODE_PAGES 16
#define PAGE_DATA  32
#define DATA_PAGES 32
#define PAGE_HOLE  64 /* nobody gets here */
#define HOLE_PAGES 4
#define PAGE_ROM   68
#define ROM_PAGES  4
#define PAGE_MORE  72  /* every fourth of these is a hole, too: beside most pages lies one */
#define PAGE_FLAKY 120 /* these come and go */

#define DEVICE_BASE  0x100000u
#define DEVICE_BYTES 0x2000u

#define GPA(page) ((uint64_t)(page) << 12)

enum world_mode { MODE_64, MODE_COMPAT, MODE_32, MODE_32_PAGED, MODE_16, MODE_COUNT };

#define CANARY 4096
#define WORLD_CPUS 4

struct world {
	uint8_t canary0[CANARY];
	struct ram ram;
	struct vclock clock;
	struct cpuid_table cpuid;
	struct vcpu_platform platform;
	uint8_t canary1[CANARY];
	struct vcpu v[WORLD_CPUS];
	uint8_t canary2[CANARY];
	struct physmap mem;
	uint8_t canary3[CANARY];
	int flaky;      /* handle of the region that comes and goes */
	unsigned cpus;
	struct rng rng[WORLD_CPUS], device_rng; /* of what the platform's functions answer, and the device */
	enum world_mode mode;
	bool user; /* CPL 3 */
	struct vcpu_state start;
	_Atomic uint64_t interrupts;
};

static inline unsigned world_bits(const struct world *w)
{
	return w->mode == MODE_64 ? 64 : w->mode == MODE_16 ? 16 : 32;
}

/* `clock` is one that runs; NULL on failure. */
struct world *world_new(
	const char *engine, unsigned cpus, const struct vclock *clock, uint64_t seed, GError **error);
void world_free(struct world *w);

/* NULL, or what was changed that nothing may change; on the thread of one of its vCPUs. */
const char *world_check(const struct world *w);

/* ---- state.c: modes, page tables, descriptors
 * -------------------------------------------------------------- */

/* Page tables, descriptor tables, handlers and the state to start from, in w->mode and at w->user. */
void state_build(struct world *w, struct rng *r);
/* The vCPU starts (again) with other registers. */
void state_enter(struct world *w, struct vcpu *v, struct rng *r);

/* ---- fill.c: what lies in memory
 * --------------------------------------------------------------------------- */

/* Bytes of real programs. */
struct pool {
	uint8_t *bytes;
	size_t len;
};

bool pool_open(struct pool *p);
void fill_memory(struct world *w, const struct pool *p, struct rng *r);
/* New code in one page of it. */
void fill_code_page(struct world *w, const struct pool *p, struct rng *r, unsigned page);
/* An address that is worth trying. */
uint64_t wild_address(const struct world *w, struct rng *r);

/* ---- templates.c
 * ------------------------------------------------------------------------------------------- */

/* A page of instructions that make some sense, with loops, wild addresses and stores to code. */
void template_page(struct world *w, struct rng *r, uint8_t page[4096]);

/* ---- inject.c: the other thread
 * ---------------------------------------------------------------------------- */

struct injector;

struct injector *injector_start(struct world *w, uint64_t seed);
/* Around each engine->run.  One that does not come back within two seconds of being asked ends the process.
 */
void injector_running(struct injector *in, bool running);
void injector_stop(struct injector *in);

#define EXIT_HUNG 9

#endif
