/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/mem/physmap.h - the guest-physical address space and the port space: who answers where.
 *
 * Owns:    the region table and the port table; not the memory or devices behind them.
 * Promise: look-ups are wait-free against a concurrent change (sequence counter); what lies nowhere reads as
 * all ones and swallows writes, as on a PC bus. Threads: look-up and DMA from any thread.  map/unmap, and
 * every device callback, under `lock` (the one device lock); phys_io_*, port_* take it themselves.  A device
 * callback that reaches a device callback again (DMA into MMIO) is refused: reads give ones, writes vanish
 * (RELIABILITY: CVE-2021-3416). Theory:  ARCHITECTURE.md, "memory".
 */
#ifndef SERAI_MONITOR_MEM_PHYSMAP_H
#define SERAI_MONITOR_MEM_PHYSMAP_H

#include "monitor/mem/ram.h"

#include <pthread.h>

/* Accesses to a device: `off` is relative to the region's start, `size` 1, 2, 4 or 8; values are
 * zero-extended. */
struct io_ops {
	uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
	void (*write)(void *opaque, uint64_t off, unsigned size, uint64_t value);
};

/*
 * One stretch of guest-physical space, page aligned.  rd and wr are host addresses of its first byte or NULL:
 *   RAM           rd = wr = memory          shadowed ROM (PAM read-only)  rd = memory, wr = NULL
 *   ROM           rd = image, wr = NULL     device                        rd = wr = NULL, ops set
 * An access without memory behind it goes to ops, or nowhere.
 */
struct phys_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *rd;
	uint8_t *wr;
	const struct io_ops *ops;
	void *opaque;
	int priority;     /* where regions overlap the higher one answers */
	const char *name; /* static string, for the log and the monitor prompt */
	uint64_t origin;  /* the map's own: where the region as registered starts; offsets for ops count from
			     here */
};

struct port_range {
	uint16_t port;
	uint16_t count;
	const struct io_ops *ops;
	void *opaque;
	const char *name;
};

#define PHYSMAP_REGIONS 128
#define PORT_RANGES     128

struct physmap {
	pthread_mutex_t lock; /* the device lock */
	bool in_device;       /* a device callback is running; under lock */
	struct ram *ram;

	_Atomic uint32_t seq;                         /* odd while flat[] changes */
	struct phys_region map[PHYSMAP_REGIONS];      /* as registered; size 0: free slot */
	struct phys_region flat[PHYSMAP_REGIONS * 2]; /* sorted, non-overlapping view of map */
	unsigned flat_count;
	unsigned batch; /* depth of begin */
	bool stale;     /* map changed since flat was made */

	/* What processors put on the bus is masked with this: all ones, or bit 20 clear while A20 is closed.
	 */
	_Atomic uint64_t a20_mask;

	struct port_range ports[PORT_RANGES];
	unsigned port_count;
	uint8_t port_index[65536]; /* 0: nobody, else index into ports + 1 */

	/* Called after any change of the map, so that vCPUs drop their TLBs; and after DMA wrote a code page.
	 */
	void (*changed)(void *opaque);
	void (*code_written)(void *opaque, uint64_t ram_offset, uint64_t len);
	void *hook_opaque;
	/* May be NULL: DMA is about to write these bytes to memory at this host address. */
	void (*dma)(void *opaque, uint8_t *host, const void *bytes, uint64_t len);
	void *dma_opaque;
};

void physmap_init(struct physmap *m, struct ram *ram);
void physmap_destroy(struct physmap *m);

/* Add a region; returns its handle (>= 0) or -1 when the table is full or the region is not page aligned. */
int physmap_add(struct physmap *m, const struct phys_region *region);

/* Replace region `handle` (e.g. PAM turned a stretch read-only, a BAR moved); size 0 hides it but keeps the
 * handle. */
void physmap_update(struct physmap *m, int handle, const struct phys_region *region);
void physmap_remove(struct physmap *m, int handle);

/* Between begin and commit changes pile up and take effect once (a PAM write touches several). */
void physmap_begin(struct physmap *m);
void physmap_commit(struct physmap *m);

/* Open or close the A20 gate; vCPUs are told as after a change of the map. */
void physmap_set_a20(struct physmap *m, bool open);

/* Copy of the flat region that answers at gpa into *out; false when nobody does. Wait-free. */
bool physmap_find(struct physmap *m, uint64_t gpa, struct phys_region *out);

/* ---- DMA: any length, any address, never fails; MMIO in the way is skipped (reads give ones)
 * ------------------ */

void phys_read(struct physmap *m, uint64_t gpa, void *buf, uint64_t len);
void phys_write(struct physmap *m, uint64_t gpa, const void *buf, uint64_t len);

static inline uint64_t phys_read_le(struct physmap *m, uint64_t gpa, unsigned size)
{
	uint64_t v = 0;

	phys_read(m, gpa, &v, size);
	return v;
}

static inline void phys_write_le(struct physmap *m, uint64_t gpa, unsigned size, uint64_t v)
{
	phys_write(m, gpa, &v, size);
}

/* ---- a vCPU's access to a device; takes the lock
 * ---------------------------------------------------------------- */

uint64_t phys_io_read(struct physmap *m, const struct phys_region *r, uint64_t gpa, unsigned size);
void phys_io_write(
	struct physmap *m, const struct phys_region *r, uint64_t gpa, unsigned size, uint64_t value);

/* Ports; false when a port of the range is taken already or the table is full. */
bool port_add(struct physmap *m, const struct port_range *range);
void port_remove(struct physmap *m, uint16_t port);

uint32_t port_read(struct physmap *m, uint16_t port, unsigned size);
void port_write(struct physmap *m, uint16_t port, unsigned size, uint32_t value);

#endif
