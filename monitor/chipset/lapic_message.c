/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/lapic_message.c - who a message is for, and what it does there (SDM 11.6, 11.11).
 */
#include "monitor/chipset/lapic_parts.h"

enum { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };

uint32_t lapic_x2_ldr(const struct lapic *l)
{
	return (l->apic_id >> 4) << 16 | 1u << (l->apic_id & 15);
}

static bool matches_logical(const struct lapic *l, uint32_t dest)
{
	uint32_t ldr = l->s.ldr >> 24;

	if (lapic_x2(l))
		return dest == UINT32_MAX ||
		       (dest >> 16 == lapic_x2_ldr(l) >> 16 && dest & lapic_x2_ldr(l) & 0xffff);
	if (dest == UINT32_MAX)
		dest = 0xff;
	if (dest > 0xff)
		return false;
	if (l->s.dfr >> 28 == 0xf) /* flat */
		return dest & ldr;
	return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && dest & ldr & 0xf;
}

/* No machine here has 255 processors, so the 8-bit broadcast is one to x2APICs too. */
static bool matches(const struct lapic *l, const struct apic_message *msg)
{
	if (!lapic_hw_enabled(l))
		return false;
	if (msg->logical)
		return matches_logical(l, msg->dest);
	if (msg->dest == 0xff || msg->dest == UINT32_MAX)
		return true;
	return msg->dest == (lapic_x2(l) ? l->apic_id : l->s.id >> 24);
}

static void tell(struct lapic *l, uint32_t what, uint8_t vector)
{
	const struct lapic_wires *w = &l->set->wires;

	if (w->signal)
		w->signal(w->opaque, l->index, what, true, vector);
}

/* One local APIC takes the message; false when it does not. */
static bool accept(struct lapic *l, const struct apic_message *msg)
{
	switch (msg->mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		if (!lapic_sw_enabled(l))
			return false;
		lapic_request(l, msg->vector, msg->level);
		return true;
	case APIC_NMI:
		tell(l, LAPIC_SIGNAL_NMI, 0);
		return true;
	case APIC_INIT:
		lapic_init_reset(l->set, l->index);
		tell(l, LAPIC_SIGNAL_INIT, 0);
		return true;
	case APIC_SIPI:
		tell(l, LAPIC_SIGNAL_SIPI, msg->vector);
		return true;
	case APIC_EXTINT:
		l->s.extint = msg->asserted;
		lapic_update(l);
		return true;
	default: /* SMI: no SMM here */
		return true;
	}
}

/* Lowest processor priority wins; among equals it goes round. */
static bool deliver_lowest(struct lapic_set *set, const struct apic_message *msg)
{
	struct lapic *best = NULL;

	for (unsigned i = 1; i <= set->count; i++) {
		struct lapic *l = &set->cpu[(set->last_lowest + i) % set->count];

		if (!lapic_sw_enabled(l) || !matches(l, msg))
			continue;
		if (!best || lapic_ppr(l) >> 4 < lapic_ppr(best) >> 4)
			best = l;
	}
	if (!best)
		return false;
	set->last_lowest = best->index;
	return accept(best, msg);
}

bool lapic_deliver(void *opaque, const struct apic_message *msg)
{
	struct lapic_set *set = opaque;
	bool taken = false;

	if (msg->mode == APIC_LOWEST)
		return deliver_lowest(set, msg);
	for (unsigned i = 0; i < set->count; i++) {
		if (matches(&set->cpu[i], msg))
			taken |= accept(&set->cpu[i], msg);
	}
	return taken;
}

/*
 * Address: 31..20 0xfee | 19..12 destination | 3 redirection hint | 2 logical
 * Data:    15 level | 14 assert | 10..8 delivery mode | 7..0 vector
 */
bool lapic_msi(struct lapic_set *set, uint64_t addr, uint32_t data)
{
	struct apic_message msg = {
		.dest = (uint32_t)bits_get(addr, 19, 12),
		.logical = addr & 4,
		.mode = (uint8_t)bits_get(data, 10, 8),
		.vector = (uint8_t)data,
		.level = data & 0x8000,
		.asserted = true,
	};

	if (addr >> 20 != 0xfee || (msg.level && !(data & 0x4000)))
		return false;
	return lapic_deliver(set, &msg);
}

static void send_shorthand(struct lapic *l, const struct apic_message *msg, unsigned shorthand)
{
	/* Only fixed (and here NMI) may name the sender itself; the rest is an invalid combination. */
	bool self_ok = msg->mode == APIC_FIXED || (msg->mode == APIC_NMI && shorthand == SHORT_ALL);

	for (unsigned i = 0; i < l->set->count; i++) {
		struct lapic *to = &l->set->cpu[i];

		if (to == l ? shorthand == SHORT_OTHERS || !self_ok : shorthand == SHORT_SELF)
			continue;
		if (lapic_hw_enabled(to))
			accept(to, msg);
	}
}

void lapic_send_icr(struct lapic *l, uint64_t icr)
{
	struct apic_message msg = {
		.dest = (uint32_t)(lapic_x2(l) ? icr >> 32 : icr >> 56),
		.logical = icr & 0x800,
		.mode = (uint8_t)bits_get(icr, 10, 8),
		.vector = (uint8_t)icr,
		.asserted = true,
	};
	unsigned shorthand = (unsigned)bits_get(icr, 19, 18);

	if (msg.mode == APIC_INIT && icr & 0x8000 && !(icr & 0x4000))
		return; /* INIT level de-assert: only arbitration IDs, which no one has any more */
	if (msg.mode == APIC_EXTINT)
		return; /* reserved in the ICR */
	if (msg.mode <= APIC_LOWEST && msg.vector < 16) {
		lapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	if (shorthand == SHORT_NONE)
		lapic_deliver(l->set, &msg);
	else
		send_shorthand(l, &msg, shorthand);
}
