/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/bits.h"
#include "monitor/bus/device.h"

void device_init(struct device *dev, const struct device_class *cls, const char *instance,
	struct physmap *mem, struct timer_queue *timers)
{
	*dev = (struct device){ .cls = cls, .instance = instance, .mem = mem, .timers = timers };
}

/* Reset values, without the outputs that follow from them. */
static void reset_state(struct device *dev)
{
	const struct device_class *cls = dev->cls;

	if (!cls->keeps_state)
		memset(device_state(dev), 0, cls->state.size);
	for (size_t i = 0; i < cls->reg_count; i++)
		le_store((char *)device_state(dev) + cls->regs[i].field, cls->regs[i].width,
			cls->regs[i].reset);
	if (cls->reset)
		cls->reset(dev);
}

void device_reset(struct device *dev)
{
	reset_state(dev);
	device_settle(dev);
}

void device_settle(struct device *dev)
{
	if (dev->cls->settle)
		dev->cls->settle(dev);
}

uint64_t reg_load(struct device *dev, const struct reg *r)
{
	return le_load((char *)device_state(dev) + r->field, r->width);
}

void reg_store(struct device *dev, const struct reg *r, uint64_t v)
{
	uint64_t old = reg_load(dev, r);

	v = (old & ~(r->rw | r->w1c)) | (v & r->rw) | (old & r->w1c & ~v);
	le_store((char *)device_state(dev) + r->field, r->width, v);
}

/* Bytes of the access that fall into register r: *at in the register, *from in the access; 0: none. */
static unsigned overlap(const struct reg *r, uint64_t off, unsigned size, unsigned *at, unsigned *from)
{
	uint64_t lo = MAX_OF(off, (uint64_t)r->off), hi = MIN_OF(off + size, (uint64_t)r->off + r->width);

	if (lo >= hi)
		return 0;
	*at = (unsigned)(lo - r->off);
	*from = (unsigned)(lo - off);
	return (unsigned)(hi - lo);
}

uint64_t device_reg_read(struct device *dev, uint64_t off, unsigned size)
{
	const struct device_class *cls = dev->cls;
	uint64_t v = 0;

	for (size_t i = 0; i < cls->reg_count; i++) {
		const struct reg *r = &cls->regs[i];
		unsigned at, from, n = overlap(r, off, size, &at, &from);
		uint64_t part;

		if (!n)
			continue;
		part = cls->read ? cls->read(dev, r) : reg_load(dev, r);
		v |= (part >> (8 * at) & bits_mask_bytes(n)) << (8 * from);
	}
	return v;
}

void device_reg_write(struct device *dev, uint64_t off, unsigned size, uint64_t v)
{
	const struct device_class *cls = dev->cls;

	for (size_t i = 0; i < cls->reg_count; i++) {
		const struct reg *r = &cls->regs[i];
		unsigned at, from, n = overlap(r, off, size, &at, &from);
		uint64_t mask, whole;

		if (!n)
			continue;
		/* Bytes not written keep their value; write-one-to-clear bits among them see zeros. */
		mask = bits_mask_bytes(n) << (8 * at);
		whole = ((v >> (8 * from)) << (8 * at)) & mask;
		whole |= reg_load(dev, r) & ~r->w1c & ~mask & bits_mask_bytes(r->width);
		if (cls->write)
			cls->write(dev, r, whole);
		else
			reg_store(dev, r, whole);
	}
	device_settle(dev);
}

static uint64_t ops_read(void *opaque, uint64_t off, unsigned size)
{
	return device_reg_read(opaque, off, size);
}

static void ops_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	device_reg_write(opaque, off, size, value);
}

const struct io_ops device_reg_ops = { ops_read, ops_write };

void device_save(struct device *dev, struct state_writer *w)
{
	state_put(w, &dev->cls->state, dev->instance, device_state(dev));
}

/*
 * No settle between reset and load: wires that are the same before and after must not glitch, or a listener
 * loaded earlier would see an edge that never was.
 */
bool device_load(struct device *dev, struct state_reader *r, GError **error)
{
	bool ok;

	reset_state(dev);
	ok = state_get(r, &dev->cls->state, dev->instance, device_state(dev), error);
	device_settle(dev);
	return ok;
}
