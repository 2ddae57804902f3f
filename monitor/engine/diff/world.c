/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/world.c - a side's own physical map, ports and platform: everything but RAM leads here.
 *
 * The first side asks the machine and logs the answer, the second takes it from the log.
 */
#include "monitor/engine/diff/diff.h"

#include "base/bits.h"

#include <stdlib.h>

static struct physmap *machine(const struct side *s)
{
	return s->diff->outer->mem;
}

static void ask(struct side *s, struct record *r, void (*fn)(struct side *s, struct record *r))
{
	if (s->replays) {
		log_replay(s, r);
		return;
	}
	window_open(s->diff);
	fn(s, r);
	window_close(s->diff, r);
}

/* ---- memory that is not RAM */

/* Memory of devices is theirs to change: the second side must not read it at another time. */
static void do_mmio(struct side *s, struct record *r)
{
	bool write = r->kind == REC_MMIO_WRITE;
	struct phys_region region;
	uint8_t *host;

	if (!physmap_find(machine(s), r->at, &region))
		return;
	host = write ? region.wr : region.rd;
	if (host && write)
		le_store(host + (r->at - region.gpa), r->size, r->value);
	else if (host)
		r->value = le_load(host + (r->at - region.gpa), r->size);
	else if (write)
		phys_io_write(machine(s), &region, r->at, r->size, r->value);
	else
		r->value = phys_io_read(machine(s), &region, r->at, r->size);
}

static uint64_t mmio_read(void *opaque, uint64_t at, unsigned size)
{
	struct record r = { .kind = REC_MMIO_READ, .at = at, .size = (uint8_t)size };

	ask(opaque, &r, do_mmio);
	return r.value;
}

static void mmio_write(void *opaque, uint64_t at, unsigned size, uint64_t value)
{
	struct record r = { .kind = REC_MMIO_WRITE, .at = at, .size = (uint8_t)size, .value = value };

	ask(opaque, &r, do_mmio);
}

static const struct io_ops mmio_ops = { mmio_read, mmio_write };

static uint8_t *own(const struct side *s, uint8_t *host)
{
	const struct ram *ram = machine(s)->ram;

	return host && ram_contains(ram, host) ? s->ram->base + ram_offset(ram, host) : host;
}

void world_map(struct side *s, const struct phys_region *flat, unsigned count, uint64_t a20_mask)
{
	struct physmap *m = &s->mem;

	atomic_fetch_add(&m->seq, 1);
	for (unsigned k = 0; k < count; k++) {
		struct phys_region r = flat[k];

		if (r.wr && !ram_contains(machine(s)->ram, r.wr)) { /* a device's memory */
			r.rd = r.wr = NULL;
			r.ops = &mmio_ops;
		}
		r.rd = own(s, r.rd);
		r.wr = own(s, r.wr);
		if (r.ops)
			r.ops = &mmio_ops;
		r.opaque = s;
		r.origin = 0; /* they see whole addresses */
		m->flat[k] = r;
	}
	m->flat_count = count;
	atomic_store(&m->a20_mask, a20_mask);
	atomic_fetch_add(&m->seq, 1);
	vcpu_raise(s->v, VCPU_FLUSH);
}

static void take_map(struct diff *d)
{
	struct physmap *m = d->outer->mem;
	struct record r = { .kind = REC_MAP, .at = atomic_load(&m->a20_mask), .value = m->flat_count };

	vcpu_lower(d->outer, VCPU_FLUSH | VCPU_FORGET);
	world_map(&d->first, m->flat, m->flat_count, r.at);
	if (!d->in_slice) {
		world_map(&d->second, m->flat, m->flat_count, r.at);
		return;
	}
	r.data = malloc(sizeof(m->flat));
	if (!r.data)
		abort();
	memcpy(r.data, m->flat, sizeof(m->flat));
	log_add(d, &r);
}

/* They are edges: the machine raises each once. */
static void take_edges(struct diff *d, uint32_t bits)
{
	struct record r = { .kind = REC_REQUEST, .value = bits };
	unsigned vector = atomic_load(&d->outer->sipi_vector);

	vcpu_lower(d->outer, bits);
	atomic_store(&d->first.v->sipi_vector, (uint8_t)vector);
	atomic_store(&d->second.v->sipi_vector, (uint8_t)vector);
	vcpu_raise(d->first.v, bits);
	if (d->in_slice)
		log_add(d, &r);
	else
		vcpu_raise(d->second.v, bits);
}

void world_take_requests(struct diff *d)
{
	uint32_t pending = atomic_load(&d->outer->pending),
		 edges = pending & (VCPU_NMI | VCPU_INIT | VCPU_SIPI);

	if (!(pending & VCPU_INTR))
		vcpu_lower(d->first.v, VCPU_INTR);
	else if (!(atomic_load(&d->first.v->pending) & VCPU_INTR))
		vcpu_raise(d->first.v, VCPU_INTR);
	if (edges)
		take_edges(d, edges);
	if (pending & VCPU_FLUSH)
		take_map(d);
}

/* ---- ports: two ranges, as one cannot hold them all */

#define HALF 0x8000u

static void do_port(struct side *s, struct record *r)
{
	if (r->kind == REC_PORT_WRITE)
		port_write(machine(s), (uint16_t)r->at, r->size, (uint32_t)r->value);
	else
		r->value = port_read(machine(s), (uint16_t)r->at, r->size);
}

static uint64_t port_in(struct side *s, uint64_t port, unsigned size)
{
	struct record r = { .kind = REC_PORT_READ, .at = port, .size = (uint8_t)size };

	ask(s, &r, do_port);
	return r.value;
}

static void port_out(struct side *s, uint64_t port, unsigned size, uint64_t value)
{
	struct record r = { .kind = REC_PORT_WRITE, .at = port, .size = (uint8_t)size, .value = value };

	ask(s, &r, do_port);
}

static uint64_t low_in(void *opaque, uint64_t off, unsigned size)
{
	return port_in(opaque, off, size);
}

static void low_out(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	port_out(opaque, off, size, value);
}

static uint64_t high_in(void *opaque, uint64_t off, unsigned size)
{
	return port_in(opaque, off + HALF, size);
}

static void high_out(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	port_out(opaque, off + HALF, size, value);
}

static const struct io_ops low_ops = { low_in, low_out }, high_ops = { high_in, high_out };

/* ---- the platform */

static const struct vcpu_platform *outer_platform(const struct side *s)
{
	return s->diff->outer->platform;
}

static unsigned cpu_of(const struct side *s)
{
	return s->diff->outer->index;
}

static void do_apic(struct side *s, struct record *r)
{
	const struct vcpu_platform *p = outer_platform(s);

	if (r->kind == REC_APIC_WRITE)
		p->apic_write(p->opaque, cpu_of(s), (uint32_t)r->at, (uint32_t)r->value);
	else
		r->value = p->apic_read(p->opaque, cpu_of(s), (uint32_t)r->at);
}

static uint32_t apic_read(void *opaque, unsigned cpu, uint32_t off)
{
	struct record r = { .kind = REC_APIC_READ, .at = off, .size = 4 };

	(void)cpu;
	ask(opaque, &r, do_apic);
	return (uint32_t)r.value;
}

static void apic_write(void *opaque, unsigned cpu, uint32_t off, uint32_t value)
{
	struct record r = { .kind = REC_APIC_WRITE, .at = off, .size = 4, .value = value };

	(void)cpu;
	ask(opaque, &r, do_apic);
}

static void do_msr(struct side *s, struct record *r)
{
	const struct vcpu_platform *p = outer_platform(s);

	if (r->kind == REC_MSR_WRITE)
		r->ok = p->apic_msr_write(p->opaque, cpu_of(s), (uint32_t)r->at, r->value);
	else
		r->ok = p->apic_msr_read(p->opaque, cpu_of(s), (uint32_t)r->at, &r->value);
}

static bool msr_read_apic(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value)
{
	struct record r = { .kind = REC_MSR_READ, .at = msr, .size = 8 };

	(void)cpu;
	ask(opaque, &r, do_msr);
	*value = r.value;
	return r.ok;
}

static bool msr_write_apic(void *opaque, unsigned cpu, uint32_t msr, uint64_t value)
{
	struct record r = { .kind = REC_MSR_WRITE, .at = msr, .size = 8, .value = value };

	(void)cpu;
	ask(opaque, &r, do_msr);
	return r.ok;
}

static void do_tpr(struct side *s, struct record *r)
{
	const struct vcpu_platform *p = outer_platform(s);

	if (r->kind == REC_TPR_WRITE)
		p->tpr_write(p->opaque, cpu_of(s), (unsigned)r->value);
	else
		r->value = p->tpr_read(p->opaque, cpu_of(s));
}

static unsigned tpr_read(void *opaque, unsigned cpu)
{
	struct record r = { .kind = REC_TPR_READ };

	(void)cpu;
	ask(opaque, &r, do_tpr);
	return (unsigned)r.value;
}

static void tpr_write(void *opaque, unsigned cpu, unsigned priority)
{
	struct record r = { .kind = REC_TPR_WRITE, .value = priority };

	(void)cpu;
	ask(opaque, &r, do_tpr);
}

/* The registers it left are in the record. */
static void do_backdoor(struct side *s, struct record *r)
{
	const struct vcpu_platform *p = outer_platform(s);
	size_t size = sizeof(s->v->s.gpr);

	r->ok = p->backdoor && p->backdoor(p->opaque, cpu_of(s), s->v->s.gpr);
	r->data = malloc(size);
	if (!r->data)
		abort();
	memcpy(r->data, s->v->s.gpr, size);
}

static bool backdoor(void *opaque, unsigned cpu, uint64_t gpr[16])
{
	struct record r = { .kind = REC_BACKDOOR };
	struct side *s = opaque;

	(void)cpu;
	ask(s, &r, do_backdoor);
	if (s->replays && r.data)
		memcpy(gpr, r.data, sizeof(s->v->s.gpr));
	return r.ok;
}

static void do_ack(struct side *s, struct record *r)
{
	const struct vcpu_platform *p = outer_platform(s);

	r->value = (uint64_t)(int64_t)p->ack_interrupt(p->opaque, cpu_of(s));
}

/* What it acknowledges is the first side's to know; the second is told when (slice_play). */
static int ack_interrupt(void *opaque, unsigned cpu)
{
	struct side *s = opaque;
	const struct interp *in = s->v->engine_data;
	struct record r = { .kind = REC_ACK, .at = s->done + s->asked - in->left, .value = UINT64_MAX };

	(void)cpu;
	ask(s, &r, do_ack);
	if (s->replays)
		vcpu_lower(s->v, VCPU_INTR);
	return (int)(int64_t)r.value;
}

static void do_outside(struct side *s, struct record *r)
{
	(void)s, (void)r;
}

static uint64_t outside(struct vcpu *v, uint64_t value)
{
	struct side *s = v->platform->opaque;
	struct record r = { .kind = REC_OUTSIDE, .value = value };

	ask(s, &r, do_outside);
	return r.value;
}

void world_init(struct side *s)
{
	const struct port_range low = { .count = HALF, .ops = &low_ops, .opaque = s, .name = s->name };
	const struct port_range high = {
		.port = HALF, .count = HALF, .ops = &high_ops, .opaque = s, .name = s->name
	};

	physmap_init(&s->mem, s->ram);
	port_add(&s->mem, &low);
	port_add(&s->mem, &high);
	s->platform = (struct vcpu_platform){ .opaque = s,
		.ack_interrupt = ack_interrupt,
		.apic_read = apic_read,
		.apic_write = apic_write,
		.apic_msr_read = msr_read_apic,
		.apic_msr_write = msr_write_apic,
		.tpr_read = tpr_read,
		.tpr_write = tpr_write,
		.backdoor = backdoor };
	s->v->outside = outside;
	s->v->writes = memory_writes;
}
