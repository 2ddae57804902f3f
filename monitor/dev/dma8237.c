/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/dma8237.c - the two 8237A DMA controllers and their page registers.
 *
 * Controller 0 (ports 0x00..0x0F) moves bytes on channels 0..3, controller 1 (0xC0..0xDF, every second port)
 * 16-bit words on 5..7.  A device pulls or pushes through its channel; there is no bus arbitration to
 * imitate.
 *
 *   byte channel: address = page << 16 | address      word channel: address = (page & ~1) << 16 | address <<
 * 1 mode: | 7..6 demand, single, block, cascade | 5 down | 4 auto-init | 3..2 verify, write, read | 1..0
 * channel |
 *
 * Not here: memory-to-memory, compressed timing, DMA requests by software without a device.
 * Theory:  Intel 8237A data sheet.
 */
#include "monitor/dev/dma8237.h"

#define MODE_DOWN   0x20
#define MODE_AUTO   0x10
#define MODE_KIND   0x0c
#define KIND_VERIFY 0x00
#define KIND_WRITE  0x04 /* to memory */
#define KIND_READ   0x08
#define MODE_STYLE  0xc0
#define CASCADE     0xc0

#define COMMAND_OFF 0x04

/* Page register (port - 0x80) of each channel. */
static const uint8_t page_of[8] = { 0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa };

/* ---- transfers -------------------------------------------------------------------------------------- */

static bool channel_ready(const struct dma8237_state *s, unsigned ch)
{
	unsigned c = ch >> 2;

	if (ch > 7 || ch == 4 || (s->command[c] & COMMAND_OFF) || (s->mask[c] >> (ch & 3) & 1))
		return false;
	if ((s->mode[ch] & MODE_STYLE) == CASCADE)
		return false;
	/* The upper controller hangs on channel 4 of the lower one's cascade: masked, 0..3 are cut off too.
	 */
	return c == 1 || !(s->mask[1] & 1);
}

static uint64_t physical(const struct dma8237_state *s, unsigned ch)
{
	uint8_t page = s->page[page_of[ch]];

	if (ch < 4)
		return (uint64_t)page << 16 | s->address[ch];
	return (uint64_t)(page & 0xfe) << 16 | (uint64_t)s->address[ch] << 1;
}

/* One unit has moved; true at terminal count. */
static bool step(struct dma8237_state *s, unsigned ch)
{
	unsigned c = ch >> 2, bit = 1u << (ch & 3);

	s->address[ch] += s->mode[ch] & MODE_DOWN ? -1 : 1;
	if (s->count[ch]--)
		return false;
	s->status[c] |= (uint8_t)bit;
	s->request[c] &= (uint8_t)~bit;
	if (s->mode[ch] & MODE_AUTO) {
		s->address[ch] = s->base_address[ch];
		s->count[ch] = s->base_count[ch];
	} else {
		s->mask[c] |= (uint8_t)bit;
	}
	return true;
}

static size_t move(struct dma8237 *d, unsigned ch, uint8_t *in, const uint8_t *out, size_t len, bool *tc)
{
	struct dma8237_state *s = &d->s;
	unsigned unit = ch < 4 ? 1 : 2;
	size_t done = 0;

	*tc = false;
	while (!*tc && done + unit <= len && channel_ready(s, ch)) {
		uint8_t kind = s->mode[ch] & MODE_KIND;

		if (kind == KIND_VERIFY && in)
			memset(in + done, 0xff, unit);
		else if (kind == KIND_WRITE && out)
			phys_write(d->dev.mem, physical(s, ch), out + done, unit);
		else if (kind == KIND_READ && in)
			phys_read(d->dev.mem, physical(s, ch), in + done, unit);
		else if (kind != KIND_VERIFY)
			break; /* programmed for the other direction */
		done += unit;
		*tc = step(s, ch);
	}
	return done;
}

static size_t to_memory(void *opaque, unsigned channel, const uint8_t *buf, size_t len, bool *tc)
{
	return move(opaque, channel, NULL, buf, len, tc);
}

static size_t from_memory(void *opaque, unsigned channel, uint8_t *buf, size_t len, bool *tc)
{
	return move(opaque, channel, buf, NULL, len, tc);
}

struct isa_dma dma8237_channel(struct dma8237 *d, unsigned channel)
{
	return (struct isa_dma){ d, channel & 7, to_memory, from_memory };
}

/* ---- registers -------------------------------------------------------------------------------------- */

/* The byte of a 16-bit register the flip-flop points at. */
static void put_half(uint16_t *base, uint16_t *now, bool high, uint8_t v)
{
	*base = (uint16_t)(high ? (*base & 0x00ff) | v << 8 : (*base & 0xff00) | v);
	*now = *base;
}

static void master_clear(struct dma8237_state *s, unsigned c)
{
	s->command[c] = s->status[c] = s->request[c] = s->flipflop[c] = 0;
	s->mask[c] = 0x0f;
}

static void set_bit(uint8_t *reg, uint8_t v)
{
	uint8_t bit = (uint8_t)(1u << (v & 3));

	*reg = v & 4 ? *reg | bit : *reg & (uint8_t)~bit;
}

static void controller_write(struct dma8237_state *s, unsigned c, unsigned reg, uint8_t v)
{
	unsigned ch = c * 4 + (reg >> 1 & 3);

	switch (reg) {
	case 0 ... 7:
		if (reg & 1)
			put_half(&s->base_count[ch], &s->count[ch], s->flipflop[c], v);
		else
			put_half(&s->base_address[ch], &s->address[ch], s->flipflop[c], v);
		s->flipflop[c] ^= 1;
		break;
	case 8:
		s->command[c] = v;
		break;
	case 9:
		set_bit(&s->request[c], v);
		break;
	case 10:
		set_bit(&s->mask[c], v);
		break;
	case 11:
		s->mode[c * 4 + (v & 3)] = v & 0xfc;
		break;
	case 12:
		s->flipflop[c] = 0;
		break;
	case 13:
		master_clear(s, c);
		break;
	case 14:
		s->mask[c] = 0;
		break;
	default:
		s->mask[c] = v & 0x0f;
	}
}

static uint8_t controller_read(struct dma8237_state *s, unsigned c, unsigned reg)
{
	unsigned ch = c * 4 + (reg >> 1 & 3);
	uint16_t v;

	switch (reg) {
	case 0 ... 7:
		v = reg & 1 ? s->count[ch] : s->address[ch];
		s->flipflop[c] ^= 1;
		return (uint8_t)(s->flipflop[c] ? v : v >> 8);
	case 8: /* reading takes the terminal counts away */
		v = (uint16_t)(s->status[c] | s->request[c] << 4);
		s->status[c] = 0;
		return (uint8_t)v;
	case 15:
		return s->mask[c] | 0xf0;
	default:
		return 0;
	}
}

static uint64_t low_read(void *opaque, uint64_t off, unsigned size)
{
	struct dma8237 *d = opaque;

	(void)size;
	return controller_read(&d->s, 0, (unsigned)off & 15);
}

static void low_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct dma8237 *d = opaque;

	(void)size;
	controller_write(&d->s, 0, (unsigned)off & 15, (uint8_t)v);
}

static uint64_t high_read(void *opaque, uint64_t off, unsigned size)
{
	struct dma8237 *d = opaque;

	(void)size;
	return controller_read(&d->s, 1, (unsigned)off >> 1 & 15);
}

static void high_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct dma8237 *d = opaque;

	(void)size;
	controller_write(&d->s, 1, (unsigned)off >> 1 & 15, (uint8_t)v);
}

/* off 0 is port 0x81. */
static uint64_t page_read(void *opaque, uint64_t off, unsigned size)
{
	struct dma8237 *d = opaque;

	(void)size;
	return d->s.page[(off + 1) & 15];
}

static void page_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct dma8237 *d = opaque;

	for (unsigned i = 0; i < size && off + 1 + i < 16; i++)
		d->s.page[off + 1 + i] = (uint8_t)(v >> 8 * i);
}

static const struct io_ops low_ops = { low_read, low_write };
static const struct io_ops high_ops = { high_read, high_write };
static const struct io_ops page_ops = { page_read, page_write };

/* ---- the class -------------------------------------------------------------------------------------- */

static void dma8237_reset(struct device *dev)
{
	struct dma8237 *d = (struct dma8237 *)dev;

	master_clear(&d->s, 0);
	master_clear(&d->s, 1);
	/* As every BIOS leaves it: channel 4 cascades, so a kernel without one finds channels 0..3 reachable.
	 */
	d->s.mode[4] = CASCADE;
	d->s.mask[1] &= 0x0e;
}

#define S struct dma8237_state
static const struct state_field dma8237_fields[] = {
	STATE_ARRAY(S, base_address, 1),
	STATE_ARRAY(S, base_count, 1),
	STATE_ARRAY(S, address, 1),
	STATE_ARRAY(S, count, 1),
	STATE_ARRAY(S, mode, 1),
	STATE_ARRAY(S, page, 1),
	STATE_ARRAY(S, command, 1),
	STATE_ARRAY(S, mask, 1),
	STATE_ARRAY(S, request, 1),
	STATE_ARRAY(S, status, 1),
	STATE_ARRAY(S, flipflop, 1),
};
#undef S

const struct device_class dma8237_class = {
	DEVICE_STATE("dma8237", 1, struct dma8237, dma8237_fields),
	.reset = dma8237_reset,
};

void dma8237_init(struct dma8237 *d, struct physmap *mem, struct timer_queue *timers)
{
	memset(d, 0, sizeof(*d));
	device_init(&d->dev, &dma8237_class, "0", mem, timers);
	port_add(mem, &(struct port_range){ 0x00, 16, &low_ops, d, "dma 0-3" });
	port_add(mem, &(struct port_range){ 0x81, 15, &page_ops, d, "dma page" });
	port_add(mem, &(struct port_range){ 0xc0, 32, &high_ops, d, "dma 4-7" });
}
