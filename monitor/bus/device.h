/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/bus/device.h - what every device model is made of.
 *
 * A device is one struct: `struct device dev` first, then `s`, the pointer-free state the guest can observe, then its
 * wiring (irq lines, timers, back ends).  Its class holds three tables: registers (reset, masks, tracing, fuzz bounds),
 * state fields (suspend, snapshot, migration), and a few functions.  `settle` recomputes everything derived from the
 * state: interrupt levels, timer deadlines, mappings.  It runs after reset, after every register write through
 * device_reg_write, and after load, so restore never repeats what init does.
 *
 * Owns:    nothing but what is said at each function.
 * Threads: everything under the device lock.
 */
#ifndef SERAI_MONITOR_BUS_DEVICE_H
#define SERAI_MONITOR_BUS_DEVICE_H

#include "monitor/bus/irq.h"
#include "monitor/bus/timer.h"
#include "monitor/mem/physmap.h"
#include "state/state.h"

struct device;

/* One register: where the guest sees it, where the state keeps it, what a write may change. */
struct reg {
	uint32_t off;       /* in the device's register space */
	const char *name;
	uint16_t field;     /* offset in the state struct, bytes */
	uint8_t width;      /* bytes: 1, 2, 4, 8 */
	uint64_t reset;
	uint64_t rw;        /* bits a write sets and clears */
	uint64_t w1c;       /* bits a written one clears */
};

/* The two middle columns of a register row: REG_AT(struct pm1_state, sts). */
#define REG_AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

struct device_class {
	const char *name;
	struct state_class state; /* describes `s` */
	uint32_t state_offset;    /* of `s` in the device's struct */
	const struct reg *regs;   /* may be empty: devices whose ports are command sequences */
	size_t reg_count;
	/* All optional. */
	void (*reset)(struct device *dev);    /* after the table's reset column was applied to a zeroed state */
	uint64_t (*read)(struct device *dev, const struct reg *r);
	void (*write)(struct device *dev, const struct reg *r, uint64_t v);
	void (*settle)(struct device *dev);
	bool keeps_state; /* reset starts from the state as it is, not from zero: battery-backed memory, free-running clocks */
};

struct device {
	const struct device_class *cls;
	const char *instance;  /* "0", "com1": unique within the class */
	struct physmap *mem;   /* for DMA and for claiming ports and regions */
	struct timer_queue *timers;
	struct device *next;   /* in the machine's list, in order of creation */
};

/* `fields` initialiser for a class: DEVICE_STATE("pm1", 1, struct pm1, pm1_fields). */
#define DEVICE_STATE(cls_name, ver, type, field_table)                                                                 \
	.name = cls_name,                                                                                              \
	.state = { .name = cls_name,                                                                                   \
		.version = ver,                                                                                        \
		.size = sizeof(((type *)0)->s),                                                                        \
		.fields = field_table,                                                                                 \
		.field_count = ARRAY_LEN(field_table) },                                                               \
	.state_offset = offsetof(type, s)

#define DEVICE_REGS(table) .regs = table, .reg_count = ARRAY_LEN(table)

/* Fill the common part; no callbacks run yet. */
void device_init(struct device *dev, const struct device_class *cls, const char *instance, struct physmap *mem,
	struct timer_queue *timers);

static inline void *device_state(struct device *dev)
{
	return (char *)dev + dev->cls->state_offset;
}

/* State to zero, reset column applied, cls->reset, settle. */
void device_reset(struct device *dev);

/* Recompute outputs; nothing when the class has no settle. */
void device_settle(struct device *dev);

/* Registers by offset: sub-word and multi-register accesses are composed; what lies between registers reads as 0. */
uint64_t device_reg_read(struct device *dev, uint64_t off, unsigned size);
void device_reg_write(struct device *dev, uint64_t off, unsigned size, uint64_t v);

/* Plain load and store of one register, both masks applied; classes call these from read and write. */
uint64_t reg_load(struct device *dev, const struct reg *r);
void reg_store(struct device *dev, const struct reg *r, uint64_t v);

/* io_ops whose opaque is a struct device and whose offsets are register offsets. */
extern const struct io_ops device_reg_ops;

/* One record per device; load is reset, overwrite named fields, check, settle. */
void device_save(struct device *dev, struct state_writer *w);
bool device_load(struct device *dev, struct state_reader *r, GError **error);

#endif
