/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/diff.h - two engines in lockstep: the translator runs the machine, the interpreter repeats what it
 * did.
 *
 * Either side is a vCPU of its own.  The first runs on the machine's memory and devices; the second on a copy
 * of the memory, with no devices: what the first met outside itself (ports, device memory, the local APIC,
 * time, interrupts, DMA meanwhile) is logged in order and played back to it.  Both run the same number of
 * instructions, a slice; then registers must be equal, and so must every page that either wrote.
 *
 * The device lock is held during a slice, but for the moments in which the first side is with a device
 * ("windows"): so DMA and interrupts come between slices or in a window, never elsewhere.
 *
 * Threads: the vCPU's; DMA by others only while the lock is theirs.
 */
#ifndef SERAI_MONITOR_ENGINE_DIFF_DIFF_H
#define SERAI_MONITOR_ENGINE_DIFF_DIFF_H

#include "monitor/engine/interp/interp.h"

enum record_kind {
	REC_PORT_READ,
	REC_PORT_WRITE,
	REC_MMIO_READ,
	REC_MMIO_WRITE,
	REC_APIC_READ,
	REC_APIC_WRITE,
	REC_MSR_READ,
	REC_MSR_WRITE,
	REC_TPR_READ,
	REC_TPR_WRITE,
	REC_BACKDOOR,
	REC_OUTSIDE, /* time, randomness */
	REC_ACK,     /* an interrupt was taken */
	REC_DMA,
	REC_MAP,     /* the physical map changed */
	REC_REQUEST, /* NMI, INIT, SIPI: value */
};

struct record {
	uint8_t kind;
	uint8_t size;
	bool ok;        /* what a function beside the value returned */
	bool attention; /* it asked for attention: a repeated string instruction stops there */
	uint64_t at; /* port, address, register, offset in RAM; REC_ACK: instructions before it in the slice;
		      * REC_MAP: the A20 mask */
	uint64_t value; /* read or written; REC_DMA: bytes; REC_MAP: regions */
	void *data;     /* what does not fit (free) */
};

/* A page as it was when the slice began. */
struct kept_page {
	uint64_t offset;
	uint8_t bytes[PAGE_SIZE];
};

struct diff;

struct side {
	struct diff *diff;
	bool replays; /* takes what is outside from the log */
	const char *name;
	const struct engine *engine;
	struct vcpu *v;
	struct ram *ram;
	struct physmap mem;
	struct vcpu_platform platform;
	unsigned next;  /* record to be played back */
	uint64_t done;  /* instructions of the slice */
	uint64_t asked; /* of the current run */
};

struct diff {
	struct vcpu *outer; /* the machine's */
	struct side first, second;
	struct ram shadow;
	struct vcpu_state exported; /* outer->s as we left it */
	bool exported_once, failed;
	uint64_t instructions, slices,
		checked;   /* compared so far; instructions at the last look at all memory */
	uint64_t aged;     /* accessed and dirty bits that only one side had set */
	int64_t last_rest; /* when others last could have the device lock */

	/* the slice */
	bool in_slice, in_window;
	struct vcpu_state before;
	uint16_t before_cc;
	struct record *log;
	unsigned log_count, log_room;
	char mismatch[256];     /* the second side did something else; empty: it did not */
	struct kept_page *kept; /* pages somebody wrote */
	unsigned kept_count, kept_room;
	uint8_t *is_kept; /* a byte per page */
};

#define SLICE 20000

/* ---- world.c: what is outside a side */

void world_init(struct side *s);
/* Copy who answers where; the side forgets what it knows of it. */
void world_map(struct side *s, const struct phys_region *flat, unsigned count, uint64_t a20_mask);
/* Take what the machine wants of its vCPU: the first side's interrupt line; what else there is logged in a
 * slice, and for both sides between slices. */
void world_take_requests(struct diff *d);

/* ---- log.c */

/* Returns its number. */
unsigned log_add(struct diff *d, const struct record *r);
void log_clear(struct diff *d);
/* The next interrupt taken at or behind this record, and its number; NULL: there is none. */
const struct record *log_next_ack(const struct diff *d, unsigned from, unsigned *index);
/* Around what the first side does with a device; the record says what it was. */
void window_open(struct diff *d);
void window_close(struct diff *d, const struct record *r);
/* What this side meets now must be next in the log, which tells value, ok and data; false: it is not. */
bool log_replay(struct side *s, struct record *r);
void log_mismatch(struct side *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- memory.c */

bool memory_create(struct diff *d, GError **error);
void memory_destroy(struct diff *d);
/* The copy is made anew. */
void memory_copy_all(struct diff *d);
void memory_begin_slice(struct diff *d);
/* As they were when the slice began. */
void memory_restore(struct diff *d);
/* Offset in RAM where the sides differ, UINT64_MAX: nowhere.  all: not only in pages of this slice. */
uint64_t memory_compare(struct diff *d, bool all);
/* struct physmap's dma, struct vcpu's writes. */
void memory_dma(void *opaque, uint8_t *host, const void *bytes, uint64_t len);
void memory_writes(struct vcpu *v, const uint8_t *host);
/* DMA into a side's memory, code and all. */
void memory_put(struct side *s, uint64_t offset, const void *bytes, uint64_t len);

/* ---- slice.c */

/* Run one slice on both sides, at most so many instructions; false: they differ, at this offset in RAM if not
 * UINT64_MAX. */
bool slice_run(struct diff *d, uint64_t budget, enum vcpu_exit *why, uint64_t *offset);
/* Both sides to where the slice began; from now on both play back. */
void slice_rewind(struct diff *d);
/* Play back until so many instructions of the slice are done. */
enum vcpu_exit slice_play(struct side *s, uint64_t upto);

/* ---- report.c */

/* Do registers differ?  Says which, if `say`. */
bool report_registers(const struct diff *d, bool say);
/* Everything there is to say of a difference in this slice. */
void report_difference(struct diff *d, uint64_t offset);

#endif
