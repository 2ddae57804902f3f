/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/pit.c - 8254: everything is a function of the tick number.
 *
 * `elapsed` ticks after loading, mode and count give the counter's value and OUT.  Only channel 0 has a
 * timer, for the next rising edge of OUT0.  In modes 2 and 3 the wire to the PIC is held high between edges
 * instead of following the short or half-period low phase: an interrupt not acknowledged within it would be
 * withdrawn, which on a real processor never happens and under a slow one would lose ticks.
 */
#include "monitor/chipset/pit.h"

#define NEVER UINT64_MAX
/* Edges more often than every 20 us would keep the main loop busy with nothing else. */
#define EDGE_MIN_NS 20000
/* No machine runs 100000 years: below this, sums of ticks do not overflow. */
#define TICK_LIMIT (1ull << 62)
#define REFRESH_NS 15085

enum { MODE_TERMINAL, MODE_ONESHOT, MODE_RATE, MODE_SQUARE, MODE_STROBE, MODE_HW_STROBE };

static uint64_t tick_now(const struct pit *pit)
{
	return timer_ns_to_ticks(timer_now(pit->dev.timers), PIT_HZ);
}

static bool periodic(const struct pit_state *s, unsigned c)
{
	return s->mode[c] == MODE_RATE || s->mode[c] == MODE_SQUARE;
}

static bool triggered_by_gate(const struct pit_state *s, unsigned c)
{
	return s->mode[c] == MODE_ONESHOT || s->mode[c] == MODE_HW_STROBE;
}

static uint64_t elapsed(const struct pit_state *s, unsigned c, uint64_t t)
{
	if (!s->gate[c] && !triggered_by_gate(s, c))
		return s->paused[c];
	return t > s->start[c] ? t - s->start[c] : 0;
}

/* Length of the high phase of mode 3. */
static uint32_t high_ticks(uint32_t count)
{
	return (count + 1) / 2;
}

static bool out(const struct pit_state *s, unsigned c, uint64_t t)
{
	uint64_t e = elapsed(s, c, t);

	if (!s->armed[c] || !s->count[c])
		return s->mode[c] != MODE_TERMINAL;
	switch (s->mode[c]) {
	case MODE_TERMINAL:
	case MODE_ONESHOT:
		return e >= s->count[c];
	case MODE_RATE:
		return !s->gate[c] || e % s->count[c] != s->count[c] - 1;
	case MODE_SQUARE:
		return !s->gate[c] || e % s->count[c] < high_ticks(s->count[c]);
	default:
		return e != s->count[c];
	}
}

/* The counter as a number, before BCD: modes 2 and 3 go round, the others run on below zero. */
static uint32_t counter(const struct pit_state *s, unsigned c, uint64_t t)
{
	uint32_t n = s->count[c], wrap = s->bcd[c] ? 10000 : 65536;
	uint64_t e = elapsed(s, c, t);

	if (!n)
		return 0;
	if (s->mode[c] == MODE_RATE)
		return (uint32_t)(n - e % n) % wrap;
	if (s->mode[c] == MODE_SQUARE) {
		uint32_t at = (uint32_t)(e % n);

		at = at < high_ticks(n) ? at : at - high_ticks(n);
		return ((n & ~1u) - 2 * at) % wrap;
	}
	if (!s->armed[c])
		return n % wrap;
	return (uint32_t)((n + wrap - e % wrap) % wrap);
}

static uint16_t to_bcd(uint32_t v)
{
	return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t v)
{
	return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

static uint16_t readable_count(const struct pit_state *s, unsigned c, uint64_t t)
{
	uint32_t v = counter(s, c, t);

	return s->bcd[c] ? to_bcd(v) : (uint16_t)v;
}

/* A count written to modes 2 and 3 takes over at the end of the period or half period (8254 data sheet, "Mode
 * 3"). */
static void load_pending(struct pit_state *s, unsigned c, uint64_t t)
{
	uint64_t at = s->pending_at[c];

	if (!s->pending[c] || t < at)
		return;
	if (s->mode[c] == MODE_SQUARE && (at - s->start[c]) % s->count[c])
		s->start[c] = at - high_ticks(s->pending[c]);
	else
		s->start[c] = at;
	s->count[c] = s->pending[c];
	s->pending[c] = 0;
}

/* Counting begins with the tick after the write or the trigger. */
static void load_now(struct pit_state *s, unsigned c, uint64_t t)
{
	s->start[c] = t + 1;
	s->paused[c] = 0;
	s->armed[c] = 1;
	if (s->pending[c])
		s->count[c] = s->pending[c];
	s->pending[c] = 0;
}

static void set_gate(struct pit_state *s, unsigned c, bool level, uint64_t t)
{
	if (level == s->gate[c])
		return;
	if (!level) {
		s->paused[c] = elapsed(s, c, t);
		s->gate[c] = 0;
		return;
	}
	s->gate[c] = 1;
	if (!s->count[c] && !s->pending[c])
		return;
	if (triggered_by_gate(s, c) || periodic(s, c))
		load_now(s, c, t);
	else
		s->start[c] = t - s->paused[c];
}

/* OUT0's next rising edge after tick t. */
static uint64_t next_edge(const struct pit_state *s, uint64_t t)
{
	uint64_t e = elapsed(s, 0, t), at;

	if (!s->armed[0] || !s->count[0])
		return NEVER;
	switch (s->mode[0]) {
	case MODE_TERMINAL:
		return e < s->count[0] ? s->start[0] + s->count[0] : NEVER;
	case MODE_STROBE:
		return e <= s->count[0] ? s->start[0] + s->count[0] + 1 : NEVER;
	case MODE_RATE:
	case MODE_SQUARE:
		at = s->start[0] + (t < s->start[0] ? 1 : e / s->count[0] + 1) * s->count[0];
		/* A new count in the second half of a period or earlier moves the edge. */
		if (s->pending[0] && s->pending_at[0] < at)
			at = s->pending_at[0] + s->pending[0] - high_ticks(s->pending[0]);
		return at;
	default:
		return NEVER; /* gate 0 is tied high: never triggered */
	}
}

static void pit_settle(struct device *dev)
{
	struct pit *pit = (struct pit *)dev;
	struct pit_state *s = &pit->s;
	int64_t at;

	irq_set(&pit->irq, periodic(s, 0) || out(s, 0, tick_now(pit)));
	if (s->edge == NEVER) {
		timer_cancel(&pit->timer);
		return;
	}
	at = timer_ticks_to_ns(s->edge, PIT_HZ);
	if (periodic(s, 0) && s->count[0] < timer_ns_to_ticks(EDGE_MIN_NS, PIT_HZ))
		at = MAX_OF(at, timer_now(dev->timers) + EDGE_MIN_NS);
	timer_arm(&pit->timer, at);
}

/* Give the PIC the edge that fell due by tick t, if one did: wherever the wire was, it rises once. */
static void pass_edge(struct pit *pit, uint64_t t)
{
	if (t < pit->s.edge)
		return;
	irq_set(&pit->irq, false);
	irq_set(&pit->irq, true);
	load_pending(&pit->s, 0, t);
	pit->s.edge = next_edge(&pit->s, t);
}

static void edge_due(void *opaque)
{
	struct pit *pit = opaque;

	pass_edge(pit, tick_now(pit));
	pit_settle(&pit->dev);
}

static void count_written(struct pit *pit, unsigned c, uint32_t v, uint64_t t)
{
	struct pit_state *s = &pit->s;
	uint32_t n = s->bcd[c] ? from_bcd(v) : v;

	if (!n)
		n = s->bcd[c] ? 10000 : 65536;
	if (periodic(s, c))
		n = MAX_OF(n, 2u); /* 1 is illegal there */
	s->pending[c] = n;
	if (triggered_by_gate(s, c)) {
		s->pending_at[c] = NEVER;
	} else if (!periodic(s, c) || !s->armed[c] || !s->gate[c]) {
		load_now(s, c, t);
	} else {
		uint64_t e = elapsed(s, c, t) % s->count[c], begin = t < s->start[c] ? s->start[c] : t - e;
		bool high = s->mode[c] == MODE_SQUARE && e < high_ticks(s->count[c]);

		s->pending_at[c] = begin + (high ? high_ticks(s->count[c]) : s->count[c]);
	}
}

static void channel_write(struct pit *pit, unsigned c, uint8_t v, uint64_t t)
{
	struct pit_state *s = &pit->s;

	switch (s->rw[c]) {
	case 1:
		count_written(pit, c, v, t);
		break;
	case 2:
		count_written(pit, c, (uint32_t)v << 8, t);
		break;
	default:
		s->write_high[c] ^= 1;
		if (s->write_high[c]) {
			s->write_low[c] = v;
			/* Mode 0 stops and drives OUT low between the two bytes. */
			if (s->mode[c] == MODE_TERMINAL)
				s->armed[c] = 0;
		} else {
			count_written(pit, c, (uint32_t)v << 8 | s->write_low[c], t);
		}
	}
}

static void latch_count(struct pit_state *s, unsigned c, uint64_t t)
{
	if (s->latched[c])
		return;
	s->latch[c] = readable_count(s, c, t);
	s->latched[c] = s->rw[c] == 3 ? 2 : 1;
}

static void latch_status(struct pit_state *s, unsigned c, uint64_t t)
{
	bool null = s->pending[c] || !s->count[c] || (s->armed[c] && s->gate[c] && t < s->start[c]);

	if (s->status_latched[c])
		return;
	s->status[c] = (uint8_t)(out(s, c, t) << 7 | null << 6 | s->rw[c] << 4 | s->mode[c] << 1 | s->bcd[c]);
	s->status_latched[c] = 1;
}

static void control_write(struct pit *pit, uint8_t v, uint64_t t)
{
	struct pit_state *s = &pit->s;
	unsigned c = v >> 6, mode = v >> 1 & 7;

	if (c == 3) { /* read-back */
		for (c = 0; c < 3; c++) {
			if (!(v & 2u << c))
				continue;
			if (!(v & 0x20))
				latch_count(s, c, t);
			if (!(v & 0x10))
				latch_status(s, c, t);
		}
		return;
	}
	if (!(v & 0x30)) {
		latch_count(s, c, t);
		return;
	}
	s->mode[c] = (uint8_t)(mode > 5 ? mode - 4 : mode); /* 6 and 7 are 2 and 3 */
	s->bcd[c] = v & 1;
	s->rw[c] = v >> 4 & 3;
	s->count[c] = 0;
	s->pending[c] = 0;
	s->armed[c] = 0;
	s->paused[c] = 0;
	s->latched[c] = 0;
	s->status_latched[c] = 0;
	s->read_high[c] = 0;
	s->write_high[c] = 0;
}

static uint8_t channel_read(struct pit_state *s, unsigned c, uint64_t t)
{
	uint16_t v;
	bool high;

	if (s->status_latched[c]) {
		s->status_latched[c] = 0;
		return s->status[c];
	}
	if (s->latched[c]) {
		high = s->rw[c] == 2 || (s->rw[c] == 3 && s->latched[c] == 1);
		s->latched[c]--;
		return (uint8_t)(s->latch[c] >> (high ? 8 : 0));
	}
	v = readable_count(s, c, t);
	if (s->rw[c] == 3) {
		high = s->read_high[c];
		s->read_high[c] ^= 1;
	} else {
		high = s->rw[c] == 2;
	}
	return (uint8_t)(v >> (high ? 8 : 0));
}

static void advance(struct pit *pit, uint64_t t)
{
	for (unsigned c = 0; c < 3; c++)
		load_pending(&pit->s, c, t);
}

static uint64_t pit_read(void *opaque, uint64_t off, unsigned size)
{
	struct pit *pit = opaque;
	uint64_t t = tick_now(pit), v = 0;

	advance(pit, t);
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)(off + i < 3 ? channel_read(&pit->s, (unsigned)off + i, t) : 0xff) << (8 * i);
	return v;
}

static void pit_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct pit *pit = opaque;
	uint64_t t = tick_now(pit);

	pass_edge(pit, t); /* due, but the main loop has not come round to it: not lost by reprogramming */
	advance(pit, t);
	for (unsigned i = 0; i < size; i++, v >>= 8) {
		if (off + i < 3)
			channel_write(pit, (unsigned)off + i, (uint8_t)v, t);
		else
			control_write(pit, (uint8_t)v, t);
	}
	pit->s.edge = next_edge(&pit->s, t);
	pit_settle(&pit->dev);
}

/* Port 0x61: 5 OUT2 | 4 refresh | 3 IOCHK off | 2 parity off | 1 speaker | 0 gate 2. No NMI source ever
 * reports here. */
static uint64_t port61_read(void *opaque, uint64_t off, unsigned size)
{
	struct pit *pit = opaque;
	uint64_t t = tick_now(pit);

	(void)off;
	(void)size;
	advance(pit, t);
	return (uint64_t)(pit->s.port61 | (timer_now(pit->dev.timers) / REFRESH_NS & 1) << 4 |
			  out(&pit->s, 2, t) << 5);
}

static void port61_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct pit *pit = opaque;
	uint64_t t = tick_now(pit);

	(void)off;
	(void)size;
	advance(pit, t);
	pit->s.port61 = v & 0x0f;
	set_gate(&pit->s, 2, v & 1, t);
}

static const struct io_ops pit_ops = { pit_read, pit_write };
static const struct io_ops port61_ops = { port61_read, port61_write };

static void pit_reset(struct device *dev)
{
	struct pit_state *s = &((struct pit *)dev)->s;

	for (unsigned c = 0; c < 3; c++) {
		s->gate[c] = c != 2;
		s->rw[c] = 3;
	}
	s->edge = NEVER;
}

static bool pit_check(const void *state, GError **error)
{
	const struct pit_state *s = state;

	for (unsigned c = 0; c < 3; c++) {
		bool running = s->mode[c] == MODE_RATE || s->mode[c] == MODE_SQUARE;

		if (s->mode[c] > 5 || s->bcd[c] > 1 || s->rw[c] < 1 || s->rw[c] > 3 || s->gate[c] > 1 ||
			s->armed[c] > 1)
			return fail(error, SERAI_ERROR_STATE, "counter %u: impossible control word", c);
		if (s->count[c] > 65536 || s->pending[c] > 65536 ||
			(running && (s->count[c] == 1 || s->pending[c] == 1)))
			return fail(error, SERAI_ERROR_STATE, "counter %u: impossible count", c);
		if (s->pending[c] && running && !s->count[c])
			return fail(error, SERAI_ERROR_STATE,
				"counter %u: nothing runs before the next count", c);
		if (s->start[c] >= TICK_LIMIT || s->paused[c] >= TICK_LIMIT ||
			(s->pending_at[c] >= TICK_LIMIT && s->pending_at[c] != NEVER))
			return fail(error, SERAI_ERROR_STATE, "counter %u: impossible time", c);
		if (s->latched[c] > 2 || s->status_latched[c] > 1 || s->read_high[c] > 1 ||
			s->write_high[c] > 1)
			return fail(error, SERAI_ERROR_STATE, "counter %u: impossible latch", c);
	}
	return true;
}

static const struct state_field pit_fields[] = {
	STATE_ARRAY(struct pit_state, start, 1),
	STATE_ARRAY(struct pit_state, paused, 1),
	STATE_ARRAY(struct pit_state, pending_at, 1),
	STATE_FIELD(struct pit_state, edge, 1),
	STATE_ARRAY(struct pit_state, count, 1),
	STATE_ARRAY(struct pit_state, pending, 1),
	STATE_ARRAY(struct pit_state, latch, 1),
	STATE_ARRAY(struct pit_state, latched, 1),
	STATE_ARRAY(struct pit_state, status, 1),
	STATE_ARRAY(struct pit_state, status_latched, 1),
	STATE_ARRAY(struct pit_state, mode, 1),
	STATE_ARRAY(struct pit_state, bcd, 1),
	STATE_ARRAY(struct pit_state, rw, 1),
	STATE_ARRAY(struct pit_state, read_high, 1),
	STATE_ARRAY(struct pit_state, write_high, 1),
	STATE_ARRAY(struct pit_state, write_low, 1),
	STATE_ARRAY(struct pit_state, gate, 1),
	STATE_ARRAY(struct pit_state, armed, 1),
	STATE_FIELD(struct pit_state, port61, 1),
};

static const struct device_class pit_class = {
	DEVICE_STATE("pit", 1, struct pit, pit_fields),
	.state.check = pit_check,
	.reset = pit_reset,
	.settle = pit_settle,
};

void pit_init(struct pit *pit, struct physmap *mem, struct timer_queue *timers)
{
	memset(pit, 0, sizeof(*pit));
	device_init(&pit->dev, &pit_class, "0", mem, timers);
	timer_init(&pit->timer, timers, edge_due, pit);
	port_add(mem, &(struct port_range){ 0x40, 4, &pit_ops, pit, "pit" });
	port_add(mem, &(struct port_range){ 0x61, 1, &port61_ops, pit, "port 61" });
}
