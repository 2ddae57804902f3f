/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/rtc.c - MC146818.
 *
 * While the clock runs, its time is virtual time plus `offset` and the time registers are computed when read.
 * While it is held (SET, or the divider in reset) they are plain memory, and become the time when it is let
 * go.  Flags are brought up to date from `seen` to now whenever somebody looks; a timer is armed only for an
 * event that interrupts.
 */
#include "monitor/chipset/rtc.h"

#include <time.h>

enum {
	SEC,
	SEC_ALARM,
	MIN,
	MIN_ALARM,
	HOUR,
	HOUR_ALARM,
	WDAY,
	MDAY,
	MONTH,
	YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D
};
#define CENTURY 0x32

#define B_SET   0x80
#define B_PIE   0x40
#define B_AIE   0x20
#define B_UIE   0x10
#define B_DM    0x04
#define B_24H   0x02
#define C_IRQF  0x80
#define C_FLAGS 0x70 /* PF AF UF: the places of their enables in B */

#define SECOND    1000000000ll
#define UPDATE_NS 2228000 /* UIP: 244 us of warning and the update itself */
#define DAY       86400

static bool divider_reset(const struct rtc_state *s)
{
	return (s->cmos[REG_A] & 0x60) == 0x60;
}

static bool held(const struct rtc_state *s)
{
	return s->cmos[REG_B] & B_SET || divider_reset(s);
}

/* Floor division: times before 1970 stay times. */
static int64_t to_seconds(int64_t ns)
{
	return ns / SECOND - (ns % SECOND < 0);
}

static uint8_t encode(const struct rtc_state *s, int v)
{
	return (uint8_t)(s->cmos[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static int decode(const struct rtc_state *s, uint8_t v)
{
	return s->cmos[REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct rtc_state *s, int h)
{
	if (s->cmos[REG_B] & B_24H)
		return encode(s, h);
	return encode(s, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc_state *s, uint8_t v)
{
	if (s->cmos[REG_B] & B_24H)
		return decode(s, v);
	return decode(s, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* ---- time and its registers --------------------------------------------------------------------- */

static void show_time(struct rtc_state *s, int64_t now)
{
	time_t t = to_seconds(now + s->offset);
	struct tm tm;
	int year;

	if (!gmtime_r(&t, &tm))
		return;
	year = (tm.tm_year + 1900) % 10000;
	year = year < 0 ? 0 : year;
	s->cmos[SEC] = encode(s, tm.tm_sec);
	s->cmos[MIN] = encode(s, tm.tm_min);
	s->cmos[HOUR] = encode_hour(s, tm.tm_hour);
	s->cmos[WDAY] = encode(s, tm.tm_wday + 1);
	s->cmos[MDAY] = encode(s, tm.tm_mday);
	s->cmos[MONTH] = encode(s, tm.tm_mon + 1);
	s->cmos[YEAR] = encode(s, year % 100);
	s->cmos[CENTURY] = encode(s, year / 100);
}

/* The registers become the time, `fraction` ns into the second. */
static void take_time(struct rtc_state *s, int64_t now, int64_t fraction)
{
	struct tm tm = {
		.tm_sec = decode(s, s->cmos[SEC]),
		.tm_min = decode(s, s->cmos[MIN]),
		.tm_hour = decode_hour(s, s->cmos[HOUR]),
		.tm_mday = decode(s, s->cmos[MDAY]),
		.tm_mon = decode(s, s->cmos[MONTH]) - 1,
		.tm_year = decode(s, s->cmos[CENTURY]) * 100 + decode(s, s->cmos[YEAR]) - 1900,
	};
	int64_t seconds = timegm(&tm);

	/* Years up to 255 * 100: far beyond what nanoseconds hold. */
	if (seconds > INT64_MAX / 2 / SECOND)
		seconds = INT64_MAX / 2 / SECOND;
	if (seconds < -(INT64_MAX / 4 / SECOND))
		seconds = -(INT64_MAX / 4 / SECOND);
	s->offset = seconds * SECOND + fraction - now;
}

static int64_t fraction_of(const struct rtc_state *s, int64_t now)
{
	int64_t t = now + s->offset;

	return t - to_seconds(t) * SECOND;
}

/* ---- events ------------------------------------------------------------------------------------- */

/* Ticks of the 32768 Hz clock in one periodic interrupt; 0: off. */
static uint64_t periodic_ticks(const struct rtc_state *s)
{
	unsigned rate = s->cmos[REG_A] & 15;

	if (!rate || divider_reset(s))
		return 0;
	return 1ull << (rate < 3 ? rate + 6 : rate - 1);
}

static bool alarm_field(const struct rtc_state *s, unsigned reg, int value)
{
	uint8_t v = s->cmos[reg];

	if (v >= 0xc0) /* any value */
		return true;
	return value == (reg == HOUR_ALARM ? decode_hour(s, v) : decode(s, v));
}

/* Seconds from `seconds` (exclusive) to the next alarm; 0: it never comes. */
static int64_t seconds_to_alarm(const struct rtc_state *s, int64_t seconds)
{
	int64_t base = ((seconds % DAY) + DAY) % DAY, t = base + 1;

	while (t <= base + DAY) {
		int day = (int)(t % DAY);

		if (!alarm_field(s, HOUR_ALARM, day / 3600))
			t += 3600 - day % 3600;
		else if (!alarm_field(s, MIN_ALARM, day / 60 % 60))
			t += 60 - day % 60;
		else if (!alarm_field(s, SEC_ALARM, day % 60))
			t++;
		else
			return t - base;
	}
	return 0;
}

static void catch_up(struct rtc *rtc)
{
	struct rtc_state *s = &rtc->s;
	int64_t now = timer_now(rtc->dev.timers), seen = MIN_OF(s->seen, now);
	uint64_t period = periodic_ticks(s);

	s->seen = now;
	if (period && timer_ns_to_ticks(now, 32768) / period != timer_ns_to_ticks(seen, 32768) / period)
		s->cmos[REG_C] |= B_PIE;
	if (!held(s)) {
		int64_t from = to_seconds(seen + s->offset), to = to_seconds(now + s->offset);
		int64_t alarm;

		if (from == to)
			return;
		s->cmos[REG_C] |= B_UIE;
		alarm = seconds_to_alarm(s, from);
		if (alarm && alarm <= to - from)
			s->cmos[REG_C] |= B_AIE;
	}
}

/* Virtual time of the next event whose interrupt is enabled and not pending already. */
static int64_t next_event(const struct rtc_state *s)
{
	uint8_t wanted = s->cmos[REG_B] & ~s->cmos[REG_C] & C_FLAGS;
	uint64_t period = periodic_ticks(s);
	int64_t at = INT64_MAX, seconds = to_seconds(s->seen + s->offset);

	if (wanted & B_PIE && period) {
		uint64_t tick = timer_ns_to_ticks(s->seen, 32768) / period * period + period;

		at = timer_ticks_to_ns(tick, 32768);
	}
	if (!held(s) && wanted & B_UIE)
		at = MIN_OF(at, (seconds + 1) * SECOND - s->offset);
	if (!held(s) && wanted & B_AIE) {
		int64_t alarm = seconds_to_alarm(s, seconds);

		if (alarm)
			at = MIN_OF(at, (seconds + alarm) * SECOND - s->offset);
	}
	return at;
}

static void rtc_settle(struct device *dev)
{
	struct rtc *rtc = (struct rtc *)dev;
	struct rtc_state *s = &rtc->s;
	bool raised;
	int64_t at;

	catch_up(rtc);
	raised = s->cmos[REG_B] & s->cmos[REG_C] & C_FLAGS;
	s->cmos[REG_C] = (uint8_t)((s->cmos[REG_C] & C_FLAGS) | (raised ? C_IRQF : 0));
	irq_set(&rtc->irq, raised);
	at = next_event(s);
	if (at == INT64_MAX)
		timer_cancel(&rtc->timer);
	else
		timer_arm(&rtc->timer, at);
}

static void event_due(void *opaque)
{
	rtc_settle(opaque);
}

/* ---- registers ---------------------------------------------------------------------------------- */

static bool is_time(unsigned index)
{
	return index == CENTURY ||
	       (index <= YEAR && index != SEC_ALARM && index != MIN_ALARM && index != HOUR_ALARM);
}

/* Around a change of A or B: the clock may stop, start, or show its time in another format. */
static void write_control(struct rtc *rtc, unsigned index, uint8_t v)
{
	struct rtc_state *s = &rtc->s;
	int64_t now = timer_now(rtc->dev.timers);
	bool was_held = held(s), was_reset = divider_reset(s);

	if (!was_held)
		show_time(s, now);
	s->cmos[index] = v;
	/* Leaving the divider's reset, the first update comes after half a second (data sheet, "Divider
	 * control"). */
	if (was_held && !held(s))
		take_time(s, now, was_reset ? SECOND / 2 : fraction_of(s, now));
	s->seen = now;
}

static void cmos_write(struct rtc *rtc, unsigned index, uint8_t v)
{
	struct rtc_state *s = &rtc->s;
	int64_t now = timer_now(rtc->dev.timers);

	catch_up(rtc);
	if (index == REG_A) {
		write_control(rtc, index, v & 0x7f);
	} else if (index == REG_B) {
		write_control(rtc, index, v & B_SET ? v & ~B_UIE : v);
	} else if (index == REG_C || index == REG_D) {
		return;
	} else if (is_time(index) && !held(s)) {
		show_time(s, now);
		s->cmos[index] = v;
		take_time(s, now, fraction_of(s, now));
	} else {
		s->cmos[index] = v;
	}
	rtc_settle(&rtc->dev);
}

static uint8_t cmos_read(struct rtc *rtc, unsigned index)
{
	struct rtc_state *s = &rtc->s;
	int64_t now = timer_now(rtc->dev.timers);
	uint8_t v;

	if (is_time(index) && !held(s))
		show_time(s, now);
	v = s->cmos[index];
	if (index == REG_A && !held(s) && fraction_of(s, now) >= SECOND - UPDATE_NS)
		v |= 0x80;
	if (index == REG_D)
		v = 0x80; /* the battery is good */
	if (index == REG_C) {
		rtc_settle(&rtc->dev);
		v = s->cmos[REG_C];
		s->cmos[REG_C] = 0;
		rtc_settle(&rtc->dev);
	}
	return v;
}

/* Even ports are the index, odd ones the data; the first pair reaches bytes 0..127, the second the rest. */
static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
	struct rtc *rtc = opaque;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++) {
		unsigned at = (unsigned)off + i, pair = at >> 1 & 1;
		uint8_t b = at & 1 ? cmos_read(rtc, (rtc->s.index[pair] & 0x7f) | pair << 7) : 0xff;

		v |= (uint64_t)b << (8 * i);
	}
	return v;
}

static void rtc_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct rtc *rtc = opaque;

	for (unsigned i = 0; i < size; i++, v >>= 8) {
		unsigned at = (unsigned)off + i, pair = at >> 1 & 1;

		if (at & 1)
			cmos_write(rtc, (rtc->s.index[pair] & 0x7f) | pair << 7, (uint8_t)v);
		else
			rtc->s.index[pair] = (uint8_t)v;
	}
}

static const struct io_ops rtc_ops = { rtc_read, rtc_write };

/* ---- for the board ------------------------------------------------------------------------------ */

uint8_t rtc_cmos_get(struct rtc *rtc, unsigned index)
{
	return rtc->s.cmos[index & 0xff];
}

void rtc_cmos_set(struct rtc *rtc, unsigned index, uint8_t value)
{
	rtc->s.cmos[index & 0xff] = value;
}

static void set_u16(struct rtc *rtc, unsigned low, unsigned high, uint64_t v)
{
	v = MIN_OF(v, (uint64_t)0xffff);
	rtc->s.cmos[low] = (uint8_t)v;
	rtc->s.cmos[high] = (uint8_t)(v >> 8);
}

void rtc_set_memory(struct rtc *rtc, uint64_t below_4g, uint64_t above_4g)
{
	uint64_t kib = below_4g >> 10, above_1m = kib > 1024 ? kib - 1024 : 0;
	uint64_t above_16m = kib > 16384 ? (kib - 16384) / 64 : 0, high = above_4g >> 16;

	set_u16(rtc, 0x15, 0x16, MIN_OF(kib, (uint64_t)640));
	set_u16(rtc, 0x17, 0x18, above_1m);
	set_u16(rtc, 0x30, 0x31, above_1m);
	set_u16(rtc, 0x34, 0x35, above_16m);
	high = MIN_OF(high, (uint64_t)0xffffff);
	rtc->s.cmos[0x5b] = (uint8_t)high;
	rtc->s.cmos[0x5c] = (uint8_t)(high >> 8);
	rtc->s.cmos[0x5d] = (uint8_t)(high >> 16);
}

void rtc_set_boot(struct rtc *rtc, unsigned cpus, uint8_t first, uint8_t second, uint8_t third)
{
	rtc->s.cmos[0x5f] = (uint8_t)(cpus - 1);
	rtc->s.cmos[0x3d] = (uint8_t)((first & 15) | second << 4);
	rtc->s.cmos[0x38] = (uint8_t)(third << 4 | 1); /* 1: boot a floppy without looking for a signature */
}

void rtc_set_floppies(struct rtc *rtc, uint8_t a, uint8_t b)
{
	uint8_t equipment = 0x06; /* coprocessor, PS/2 mouse */

	rtc->s.cmos[0x10] = (uint8_t)((a & 15) << 4 | (b & 15));
	if (a || b)
		equipment |= a && b ? 0x41 : 0x01;
	rtc->s.cmos[0x14] = equipment;
}

void rtc_set_utc(struct rtc *rtc, int64_t utc)
{
	struct rtc_state *s = &rtc->s;
	int64_t now = timer_now(rtc->dev.timers), limit = INT64_MAX / 2 / SECOND;

	catch_up(rtc);
	s->offset = MIN_OF(MAX_OF(utc, -limit / 2), limit) * SECOND - now;
	show_time(s, now);
	rtc_settle(&rtc->dev);
}

static void rtc_reset(struct device *dev)
{
	struct rtc *rtc = (struct rtc *)dev;

	rtc->s.cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | 0x08);
	rtc->s.cmos[REG_C] = 0;
	rtc->s.index[0] = 0;
	rtc->s.index[1] = 0;
}

static bool rtc_check(const void *state, GError **error)
{
	const struct rtc_state *s = state;

	if (s->seen < 0 || s->offset > INT64_MAX / 2 || s->offset < -(INT64_MAX / 2))
		return fail(error, SERAI_ERROR_STATE, "clock out of range");
	return true;
}

static const struct state_field rtc_fields[] = {
	STATE_FIELD(struct rtc_state, offset, 1),
	STATE_FIELD(struct rtc_state, seen, 1),
	STATE_ARRAY(struct rtc_state, cmos, 1),
	STATE_ARRAY(struct rtc_state, index, 1),
	STATE_ARRAY(struct rtc_state, reserved, 1),
};

static const struct device_class rtc_class = {
	DEVICE_STATE("rtc", 1, struct rtc, rtc_fields),
	.state.check = rtc_check,
	.reset = rtc_reset,
	.settle = rtc_settle,
	.keeps_state = true,
};

void rtc_init(struct rtc *rtc, struct physmap *mem, struct timer_queue *timers, int64_t utc)
{
	memset(rtc, 0, sizeof(*rtc));
	device_init(&rtc->dev, &rtc_class, "0", mem, timers);
	timer_init(&rtc->timer, timers, event_due, rtc);
	rtc->s.cmos[REG_A] = 0x26; /* 32768 Hz crystal, 1024 Hz periodic */
	rtc->s.cmos[REG_B] = B_24H;
	rtc->s.seen = timer_now(timers);
	rtc_set_utc(rtc, utc);
	port_add(mem, &(struct port_range){ 0x70, 4, &rtc_ops, rtc, "rtc" });
}
