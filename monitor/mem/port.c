/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/mem/port.c - the 64 KiB port space.
 *
 * An access whose bytes all belong to one range goes to it whole; any other is split into bytes, as the ISA
 * bus does.
 */
#include "base/bits.h"
#include "monitor/mem/physmap.h"

bool port_add(struct physmap *m, const struct port_range *range)
{
	unsigned slot = 0;

	if (!range->count || range->port + range->count > 0x10000)
		return false;
	for (unsigned i = 0; i < range->count; i++) {
		if (m->port_index[range->port + i])
			return false;
	}
	while (slot < PORT_RANGES && m->ports[slot].count)
		slot++;
	if (slot == PORT_RANGES)
		return false;
	m->ports[slot] = *range;
	m->port_count = MAX_OF(m->port_count, slot + 1);
	memset(&m->port_index[range->port], (int)slot + 1, range->count);
	return true;
}

void port_remove(struct physmap *m, uint16_t port)
{
	struct port_range *r;

	if (!m->port_index[port])
		return;
	r = &m->ports[m->port_index[port] - 1];
	memset(&m->port_index[r->port], 0, r->count);
	*r = (struct port_range){ 0 };
}

/* The range that owns all bytes of the access, or NULL. */
static const struct port_range *owner(const struct physmap *m, uint16_t port, unsigned size)
{
	const struct port_range *r;

	if (!m->port_index[port])
		return NULL;
	r = &m->ports[m->port_index[port] - 1];
	return (unsigned)(port - r->port) + size <= r->count ? r : NULL;
}

static uint32_t read_locked(struct physmap *m, uint16_t port, unsigned size)
{
	const struct port_range *r = owner(m, port, size);
	uint32_t v = 0;

	if (r && r->ops->read)
		return (uint32_t)(r->ops->read(r->opaque, (uint64_t)(port - r->port), size) &
				  bits_mask_bytes(size));
	if (r || size == 1)
		return (uint32_t)bits_mask_bytes(size);
	for (unsigned i = 0; i < size; i++)
		v |= read_locked(m, (uint16_t)(port + i), 1) << (8 * i);
	return v;
}

static void write_locked(struct physmap *m, uint16_t port, unsigned size, uint32_t value)
{
	const struct port_range *r = owner(m, port, size);

	if (r && r->ops->write)
		r->ops->write(r->opaque, (uint64_t)(port - r->port), size, value & bits_mask_bytes(size));
	if (r || size == 1)
		return;
	for (unsigned i = 0; i < size; i++)
		write_locked(m, (uint16_t)(port + i), 1, value >> (8 * i) & 0xff);
}

uint32_t port_read(struct physmap *m, uint16_t port, unsigned size)
{
	uint32_t v;

	if (pthread_mutex_lock(&m->lock) != 0) /* from inside a device callback: refused */
		return (uint32_t)bits_mask_bytes(size);
	m->in_device = true;
	v = read_locked(m, port, size);
	m->in_device = false;
	pthread_mutex_unlock(&m->lock);
	return v;
}

void port_write(struct physmap *m, uint16_t port, unsigned size, uint32_t value)
{
	if (pthread_mutex_lock(&m->lock) != 0)
		return;
	m->in_device = true;
	write_locked(m, port, size, value);
	m->in_device = false;
	pthread_mutex_unlock(&m->lock);
}
