/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/log.c - what the first side met outside itself, in order, and its playing back.
 *
 * A window's DMA comes before the access it happened around, a change of the map and requests behind it.
 */
#include "monitor/engine/diff/diff.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[] = { "port read", "port write", "device read", "device write", "APIC read",
	"APIC write", "MSR read", "MSR write", "task priority read", "task priority write", "backdoor",
	"time or randomness", "interrupt", "DMA", "map", "request" };

unsigned log_add(struct diff *d, const struct record *r)
{
	if (d->log_count == d->log_room) {
		d->log_room = d->log_room ? 2 * d->log_room : 256;
		d->log = realloc(d->log, d->log_room * sizeof(*d->log));
		if (!d->log)
			abort();
	}
	d->log[d->log_count] = *r;
	return d->log_count++;
}

void log_clear(struct diff *d)
{
	for (unsigned k = 0; k < d->log_count; k++)
		free(d->log[k].data);
	d->log_count = 0;
	d->first.next = d->second.next = 0;
	d->mismatch[0] = 0;
}

const struct record *log_next_ack(const struct diff *d, unsigned from, unsigned *index)
{
	for (*index = from; *index < d->log_count; ++*index) {
		if (d->log[*index].kind == REC_ACK)
			return &d->log[*index];
	}
	return NULL;
}

void log_mismatch(struct side *s, const char *fmt, ...)
{
	struct diff *d = s->diff;
	va_list ap;

	vcpu_raise(s->v, VCPU_EXIT);
	if (d->mismatch[0])
		return;
	va_start(ap, fmt);
	vsnprintf(d->mismatch, sizeof(d->mismatch), fmt, ap);
	va_end(ap);
}

/* ---- windows */

void window_open(struct diff *d)
{
	d->outer->s.tsc_offset = d->first.v->s.tsc_offset; /* the local APIC's timer asks for it */
	d->in_window = true;
	pthread_mutex_unlock(&d->outer->mem->lock);
}

void window_close(struct diff *d, const struct record *r)
{
	unsigned at;

	pthread_mutex_lock(&d->outer->mem->lock);
	d->in_window = false;
	at = log_add(d, r);
	world_take_requests(d);
	d->log[at].attention = atomic_load(&d->first.v->attention);
}

/* ---- playing back */

static bool is_write(unsigned kind)
{
	return kind == REC_PORT_WRITE || kind == REC_MMIO_WRITE || kind == REC_APIC_WRITE ||
	       kind == REC_MSR_WRITE || kind == REC_TPR_WRITE;
}

static bool same(const struct record *a, const struct record *b)
{
	return a->kind == b->kind && (a->kind == REC_ACK || a->at == b->at) && a->size == b->size &&
	       (!is_write(a->kind) || a->value == b->value);
}

static void say_mismatch(struct side *s, const struct record *r, const struct record *l)
{
	if (l)
		log_mismatch(s,
			"%s does %s at 0x%llx, size %u, value 0x%llx; the log has %s at 0x%llx, size %u, "
			"value 0x%llx",
			s->name, kinds[r->kind], (unsigned long long)r->at, r->size,
			(unsigned long long)r->value, kinds[l->kind], (unsigned long long)l->at, l->size,
			(unsigned long long)l->value);
	else
		log_mismatch(s, "%s does %s at 0x%llx, size %u, value 0x%llx; the log has no more", s->name,
			kinds[r->kind], (unsigned long long)r->at, r->size, (unsigned long long)r->value);
}

bool log_replay(struct side *s, struct record *r)
{
	struct diff *d = s->diff;
	const struct record *l;

	while (s->next < d->log_count && d->log[s->next].kind == REC_DMA) {
		l = &d->log[s->next++];
		memory_put(s, l->at, l->data, l->value);
	}
	l = s->next < d->log_count ? &d->log[s->next] : NULL;
	if (!l || !same(r, l)) {
		say_mismatch(s, r, l);
		return false;
	}
	*r = *l;
	s->next++;
	for (; s->next < d->log_count; s->next++) {
		l = &d->log[s->next];
		if (l->kind == REC_MAP)
			world_map(s, l->data, (unsigned)l->value, l->at);
		else if (l->kind == REC_REQUEST)
			vcpu_raise(s->v, (uint32_t)l->value);
		else
			break;
	}
	if (r->attention)
		atomic_store(&s->v->attention, 1);
	/* An interrupt taken next is taken right here, in the midst of a repeated instruction perhaps. */
	if (s->next < d->log_count && d->log[s->next].kind == REC_ACK)
		vcpu_raise(s->v, VCPU_EXIT);
	return true;
}
