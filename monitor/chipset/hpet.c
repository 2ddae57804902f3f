/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/hpet.c - IA-PC HPET, 100 MHz, three periodic-capable 64-bit timers, no FSB delivery.
 *
 * The counter is virtual time in 10 ns ticks minus `start`.  `seen` of each timer says up to which counter
 * value its matches were taken note of; catching up happens on every access and at each timer's deadline.
 */
#include "base/bits.h"
#include "monitor/chipset/hpet.h"

#define TICK_NS 10

#define CAPABILITIES                                                                                         \
	((uint64_t)HPET_PERIOD_FS << 32 | 0x8086ull << 16 | 0x8000 | 0x2000 | (HPET_TIMERS - 1) << 8 | 1)

#define RUN    1ull
#define LEGACY 2ull

#define T_LEVEL    0x0002ull
#define T_ENABLE   0x0004ull
#define T_PERIODIC 0x0008ull
#define T_CAP      ((uint64_t)HPET_PINS << 32 | 0x0030) /* periodic, 64 bits wide */
#define T_SET      0x0040ull
#define T_32BIT    0x0100ull
#define T_WRITABLE 0x3f4eull

/* Shorter periods than this would keep the main loop busy with nothing else. */
#define PERIOD_MIN_NS 20000

static uint64_t now_ticks(const struct hpet *hpet)
{
	return (uint64_t)timer_now(hpet->dev.timers) / TICK_NS;
}

static uint64_t counter(const struct hpet *hpet)
{
	return hpet->s.config & RUN ? now_ticks(hpet) - hpet->s.start : hpet->s.counter;
}

static uint64_t width_mask(const struct hpet_state *s, unsigned n)
{
	return s->timer_config[n] & T_32BIT ? 0xffffffffull : UINT64_MAX;
}

/* Ticks from counter value `from` to the next match; 0: a whole turn of the counter. */
static uint64_t ticks_to_match(const struct hpet_state *s, unsigned n, uint64_t from)
{
	return (s->comparator[n] - from) & width_mask(s, n);
}

static bool is_legacy(const struct hpet_state *s, unsigned n)
{
	return s->config & LEGACY && n < 2;
}

static unsigned route(const struct hpet_state *s, unsigned n)
{
	return (unsigned)bits_get(s->timer_config[n], 13, 9);
}

static void fire(struct hpet *hpet, unsigned n)
{
	struct hpet_state *s = &hpet->s;

	if (s->timer_config[n] & T_LEVEL) {
		s->isr |= 1ull << n;
		return;
	}
	if (!(s->timer_config[n] & T_ENABLE))
		return;
	if (is_legacy(s, n)) {
		/* Held high until the next edge: the 8259 withdraws what falls before it is acknowledged. */
		s->legacy_out[n] = 1;
		irq_set(&hpet->isa[n], false);
		irq_set(&hpet->isa[n], true);
	} else if (HPET_PINS >> route(s, n) & 1) {
		irq_pulse(&hpet->pin[route(s, n)]);
	}
}

/* A periodic comparator moves past the counter, however many periods went by. */
static void next_period(struct hpet_state *s, unsigned n, uint64_t now)
{
	uint64_t mask = width_mask(s, n), period = s->period[n] & mask;
	uint64_t late = (now - s->comparator[n]) & mask;

	if (s->timer_config[n] & T_PERIODIC && period)
		s->comparator[n] = (s->comparator[n] + (late / period + 1) * period) & mask;
}

static void catch_up(struct hpet *hpet)
{
	struct hpet_state *s = &hpet->s;
	uint64_t now = counter(hpet);

	if (!(s->config & RUN))
		return;
	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		uint64_t gone = now - s->seen[n], match = ticks_to_match(s, n, s->seen[n]);
		bool turned = gone > width_mask(s, n);

		s->seen[n] = now;
		if (!turned && (match == 0 || match > gone))
			continue;
		next_period(s, n, now);
		fire(hpet, n);
	}
}

static void arm(struct hpet *hpet, unsigned n)
{
	struct hpet_state *s = &hpet->s;
	uint64_t match = ticks_to_match(s, n, s->seen[n]), ticks;
	int64_t at;

	if (match == 0)
		match = width_mask(s, n);
	if (!(s->config & RUN) || !(s->timer_config[n] & T_ENABLE) || match > INT64_MAX / (4 * TICK_NS)) {
		timer_cancel(&hpet->timer[n]);
		return;
	}
	ticks = s->seen[n] + s->start + match;
	if (ticks > INT64_MAX / TICK_NS) {
		timer_cancel(&hpet->timer[n]);
		return;
	}
	at = (int64_t)ticks * TICK_NS;
	if (s->timer_config[n] & T_PERIODIC && (s->period[n] & width_mask(s, n)) < PERIOD_MIN_NS / TICK_NS)
		at = MAX_OF(at, timer_now(hpet->dev.timers) + PERIOD_MIN_NS);
	timer_arm(&hpet->timer[n], at);
}

static bool level_active(const struct hpet_state *s, unsigned n)
{
	return s->isr >> n & 1 && s->timer_config[n] & T_LEVEL && s->timer_config[n] & T_ENABLE;
}

static void hpet_settle(struct device *dev)
{
	struct hpet *hpet = (struct hpet *)dev;
	struct hpet_state *s = &hpet->s;
	uint32_t pins = 0;

	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		if (level_active(s, n) && !is_legacy(s, n))
			pins |= 1u << route(s, n);
		arm(hpet, n);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!is_legacy(s, i) || !(s->timer_config[i] & T_ENABLE) || s->timer_config[i] & T_LEVEL)
			s->legacy_out[i] = 0;
		irq_set(&hpet->isa[i],
			s->config & LEGACY ? s->legacy_out[i] || level_active(s, i) : s->legacy_in[i]);
	}
	for (unsigned i = 0; i < 24; i++) {
		if (HPET_PINS >> i & 1)
			irq_set(&hpet->pin[i], pins >> i & 1);
	}
}

void hpet_legacy_in(void *opaque, unsigned n, bool level)
{
	struct hpet *hpet = opaque;

	if (n > 1)
		return;
	hpet->s.legacy_in[n] = level;
	if (!(hpet->s.config & LEGACY))
		irq_set(&hpet->isa[n], level);
}

static void match_due(void *opaque)
{
	struct hpet *hpet = opaque;

	catch_up(hpet);
	hpet_settle(&hpet->dev);
}

/* ---- registers ---------------------------------------------------------------------------------- */

static uint64_t timer_read(const struct hpet_state *s, unsigned n, unsigned reg)
{
	switch (reg) {
	case 0x00:
		return s->timer_config[n] | T_CAP;
	case 0x08:
		return s->comparator[n];
	default: /* FSB route: not capable */
		return 0;
	}
}

/* `off` is a multiple of 8. */
static uint64_t reg_read(struct hpet *hpet, uint64_t off)
{
	const struct hpet_state *s = &hpet->s;

	if (off >= 0x100 && off < 0x100 + 0x20 * HPET_TIMERS)
		return timer_read(s, (unsigned)(off - 0x100) / 0x20, off & 0x1f);
	switch (off) {
	case 0x00:
		return CAPABILITIES;
	case 0x10:
		return s->config;
	case 0x20:
		return s->isr;
	case 0xf0:
		return counter(hpet);
	default:
		return 0;
	}
}

static uint64_t hpet_read(void *opaque, uint64_t off, unsigned size)
{
	struct hpet *hpet = opaque;
	unsigned shift = 8 * (off & 7);
	uint64_t v;

	/* The counter is what guests read all the time; it needs nothing brought up to date. */
	if ((off & ~7ull) == 0xf0)
		return counter(hpet) >> shift & bits_mask_bytes(size);
	catch_up(hpet);
	v = reg_read(hpet, off & ~7ull) >> shift;
	hpet_settle(&hpet->dev);
	return v & bits_mask_bytes(size);
}

static void config_write(struct hpet *hpet, uint64_t v)
{
	struct hpet_state *s = &hpet->s;
	uint64_t count = counter(hpet);

	if ((v ^ s->config) & RUN) {
		s->counter = count;
		s->start = now_ticks(hpet) - count;
		for (unsigned n = 0; n < HPET_TIMERS; n++)
			s->seen[n] = count;
	}
	s->config = v & (RUN | LEGACY);
}

static void counter_write(struct hpet *hpet, uint64_t v)
{
	struct hpet_state *s = &hpet->s;

	s->counter = v;
	s->start = now_ticks(hpet) - v;
	for (unsigned n = 0; n < HPET_TIMERS; n++)
		s->seen[n] = v;
}

static void timer_config_write(struct hpet_state *s, unsigned n, uint64_t v)
{
	s->timer_config[n] = v & T_WRITABLE;
	if (!(v & T_LEVEL))
		s->isr &= ~(1ull << n);
	if (v & T_32BIT) {
		s->comparator[n] = (uint32_t)s->comparator[n];
		s->period[n] = (uint32_t)s->period[n];
	}
}

/* Periodic: the value is the period, and the first match too when VAL_SET says so (specification 2.3.9.2.2).
 */
static void comparator_write(struct hpet *hpet, unsigned n, uint64_t v, uint64_t mask)
{
	struct hpet_state *s = &hpet->s;
	bool periodic = s->timer_config[n] & T_PERIODIC;

	if (!periodic || s->timer_config[n] & T_SET)
		s->comparator[n] = ((s->comparator[n] & ~mask) | v) & width_mask(s, n);
	if (periodic)
		s->period[n] = ((s->period[n] & ~mask) | v) & width_mask(s, n);
	s->timer_config[n] &= ~T_SET;
	s->seen[n] = counter(hpet);
}

static void reg_write(struct hpet *hpet, uint64_t off, uint64_t v, uint64_t mask)
{
	struct hpet_state *s = &hpet->s;
	unsigned n = (unsigned)(off - 0x100) / 0x20;
	uint64_t whole = (reg_read(hpet, off) & ~mask) | v;

	if (off >= 0x100 && n < HPET_TIMERS) {
		if ((off & 0x1f) == 0)
			timer_config_write(s, n, whole);
		else if ((off & 0x1f) == 8)
			comparator_write(hpet, n, v, mask);
		return;
	}
	switch (off) {
	case 0x10:
		config_write(hpet, whole);
		break;
	case 0x20:
		s->isr &= ~v;
		break;
	case 0xf0:
		counter_write(hpet, whole);
		break;
	}
}

static void hpet_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct hpet *hpet = opaque;
	unsigned shift = 8 * (off & 7);
	uint64_t mask = bits_mask_bytes(size) << shift;

	catch_up(hpet);
	reg_write(hpet, off & ~7ull, v << shift & mask, mask);
	hpet_settle(&hpet->dev);
}

static const struct io_ops hpet_ops = { hpet_read, hpet_write };

static void hpet_reset(struct device *dev)
{
	struct hpet_state *s = &((struct hpet *)dev)->s;

	*s = (struct hpet_state){ .legacy_in = { s->legacy_in[0], s->legacy_in[1] } };
	for (unsigned n = 0; n < HPET_TIMERS; n++)
		s->comparator[n] = UINT64_MAX;
}

static bool hpet_check(const void *state, GError **error)
{
	const struct hpet_state *s = state;

	for (unsigned n = 0; n < HPET_TIMERS; n++) {
		if (s->timer_config[n] & ~T_WRITABLE)
			return fail(error, SERAI_ERROR_STATE, "timer %u has reserved bits", n);
	}
	return true;
}

static const struct state_field hpet_fields[] = {
	STATE_FIELD(struct hpet_state, config, 1),
	STATE_FIELD(struct hpet_state, isr, 1),
	STATE_FIELD(struct hpet_state, counter, 1),
	STATE_FIELD(struct hpet_state, start, 1),
	STATE_ARRAY(struct hpet_state, timer_config, 1),
	STATE_ARRAY(struct hpet_state, comparator, 1),
	STATE_ARRAY(struct hpet_state, period, 1),
	STATE_ARRAY(struct hpet_state, seen, 1),
	STATE_ARRAY(struct hpet_state, legacy_in, 1),
	STATE_ARRAY(struct hpet_state, legacy_out, 1),
	STATE_ARRAY(struct hpet_state, reserved, 1),
};

static const struct device_class hpet_class = {
	DEVICE_STATE("hpet", 1, struct hpet, hpet_fields),
	.state.check = hpet_check,
	.reset = hpet_reset,
	.settle = hpet_settle,
	.keeps_state = true,
};

void hpet_init(struct hpet *hpet, struct physmap *mem, struct timer_queue *timers)
{
	const struct phys_region region = {
		.gpa = HPET_BASE,
		.size = PAGE_SIZE,
		.ops = &hpet_ops,
		.opaque = hpet,
		.priority = 10,
		.name = "hpet",
	};

	memset(hpet, 0, sizeof(*hpet));
	device_init(&hpet->dev, &hpet_class, "0", mem, timers);
	for (unsigned n = 0; n < HPET_TIMERS; n++)
		timer_init(&hpet->timer[n], timers, match_due, hpet);
	hpet->region = physmap_add(mem, &region);
}
