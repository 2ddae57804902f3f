/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/vga.c - a VGA's registers and memory windows, with the Bochs VBE extensions.
 *
 * Video memory is kept with its four planes interleaved, byte p of group a being plane p at address a.
 * Chained modes then are plain bytes, and a planar access works on one group:
 *
 *   planar    group = address          planes = map mask
 *   odd/even  group = address & ~1     planes = map mask, of them the even or odd ones by address bit 0
 *   chain-4   group = address >> 2     plane  = address & 3
 *
 * Where the data path is switched to pass bytes through unchanged, the window becomes plain memory after some
 * accesses: chain-4 onto video memory itself, text onto a page of its own that is copied back before anyone
 * looks at planes.
 *
 * Not here: pixels (vga_render.c); the video BIOS.
 * Theory:  IBM VGA Technical Reference; Bochs VBE DISPI interface.
 */
#include "monitor/dev/vga_parts.h"

#include "base/bits.h"

#include <errno.h>
#include <sys/mman.h>

#define WINDOW_BASE 0xa0000u
#define WINDOW_SIZE 0x20000u
#define TEXT_BASE   0xb8000u
#define TEXT_SIZE   0x8000u
#define BANK_SIZE   0x10000u

#define WINDOW_PRIORITY 1 /* above RAM, below what the chipset lays over it (SMRAM) */
#define FAST_PRIORITY   2
#define FAST_AFTER      64 /* accesses the slow way before it pays to change the map */

#define SEQ_MAP_MASK   2
#define SEQ_MODE       4
#define SEQ_NO_ODDEVEN 0x04
#define SEQ_CHAIN4     0x08

#define GFX_SET_RESET    0
#define GFX_ENABLE_SR    1
#define GFX_COMPARE      2
#define GFX_ROTATE       3
#define GFX_READ_MAP     4
#define GFX_MODE         5
#define GFX_MISC         6
#define GFX_DONT_CARE    7
#define GFX_BIT_MASK     8
#define GFX_MODE_READ1   0x08
#define GFX_MODE_ODDEVEN 0x10

#define MISC_COLOR 0x01
#define MISC_RAM   0x02

#define FRAME_NS   14285714 /* 70 Hz */
#define LINE_NS    31778
#define VISIBLE_NS 13900000
#define ACTIVE_NS  25422

#define VBE_ID_LOW  0xb0c0
#define VBE_ID_HIGH 0xb0c5
#define VBE_MAX_X   2560
#define VBE_MAX_Y   1600
#define VBE_MAX_BPP 32

enum { FAST_NONE, FAST_TEXT, FAST_LINEAR };

static const struct pci_ids vga_ids = {
	.vendor = 0x1234,
	.device = 0x1111,
	.class_base = 0x03,
	.revision = 0x02,
	.subsys_vendor = 0x1af4,
	.subsys_id = 0x1100,
};

/* ---- the window as plain memory --------------------------------------------------------------------- */

static bool passes_bytes(const struct vga_state *s)
{
	return !(s->gfx[GFX_MODE] & 0x0b) && !(s->gfx[GFX_ENABLE_SR] & 0x0f) &&
	       !(s->gfx[GFX_ROTATE] & 0x1f) && s->gfx[GFX_BIT_MASK] == 0xff && (s->misc & MISC_RAM);
}

static unsigned fast_kind(const struct vga_state *s)
{
	unsigned map = s->gfx[GFX_MISC] >> 2 & 3, mask = s->seq[SEQ_MAP_MASK] & 0x0f;

	if (!passes_bytes(s))
		return FAST_NONE;
	if ((s->seq[SEQ_MODE] & SEQ_CHAIN4) && map == 1 && mask == 0x0f)
		return FAST_LINEAR;
	if (!(s->seq[SEQ_MODE] & (SEQ_CHAIN4 | SEQ_NO_ODDEVEN)) && (s->gfx[GFX_MODE] & GFX_MODE_ODDEVEN) &&
		map == 3 && mask == 0x03 && !(s->gfx[GFX_READ_MAP] & 2))
		return FAST_TEXT;
	return FAST_NONE;
}

static uint32_t bank_offset(const struct vga_state *s)
{
	return s->vbe[VBE_ENABLE] & VBE_ON ? (uint32_t)s->vbe[VBE_BANK] * BANK_SIZE : 0;
}

/* Text page byte i is plane i & 1 at address i & ~1. */
static uint32_t text_index(uint32_t i)
{
	return (i & ~1u) * 4 + (i & 1);
}

void vga_sync(struct vga *v)
{
	if (v->fast != FAST_TEXT)
		return;
	for (uint32_t i = 0; i < TEXT_SIZE; i++)
		v->vram[text_index(i)] = v->text_page[i];
}

static void show_fast(struct vga *v, unsigned kind)
{
	struct phys_region r = { .priority = FAST_PRIORITY, .name = "vga memory" };

	vga_sync(v);
	v->fast = kind;
	v->fast_offset = bank_offset(&v->s);
	v->slow_hits = 0;
	if (kind == FAST_TEXT) {
		for (uint32_t i = 0; i < TEXT_SIZE; i++)
			v->text_page[i] = v->vram[text_index(i)];
		r.gpa = TEXT_BASE;
		r.size = TEXT_SIZE;
		r.rd = r.wr = v->text_page;
	} else if (kind == FAST_LINEAR) {
		r.gpa = WINDOW_BASE;
		r.size = BANK_SIZE;
		r.rd = r.wr = v->vram + v->fast_offset;
	}
	physmap_update(v->pci.dev.mem, v->fast_handle, &r);
}

/* After a register change: keep plain memory only while it still is the same. */
static void check_fast(struct vga *v)
{
	v->slow_hits = 0;
	if (v->fast != FAST_NONE && (fast_kind(&v->s) != v->fast ||
					    (v->fast == FAST_LINEAR && v->fast_offset != bank_offset(&v->s))))
		show_fast(v, FAST_NONE);
}

static void count_slow(struct vga *v)
{
	unsigned kind;

	if (v->fast != FAST_NONE || ++v->slow_hits < FAST_AFTER)
		return;
	v->slow_hits = 0;
	kind = fast_kind(&v->s);
	if (kind == FAST_TEXT || (kind == FAST_LINEAR && bank_offset(&v->s) + BANK_SIZE <= VGA_MEMORY))
		show_fast(v, kind);
}

/* ---- the window by the data path -------------------------------------------------------------------- */

/* Address in the window's memory; false: the window does not answer here. */
static bool window_address(const struct vga_state *s, uint64_t off, uint32_t *address)
{
	uint32_t a = (uint32_t)off;

	switch (s->gfx[GFX_MISC] >> 2 & 3) {
	case 0:
		break;
	case 1:
		if (a >= 0x10000)
			return false;
		a += bank_offset(s);
		break;
	case 2:
		if (a < 0x10000 || a >= 0x18000)
			return false;
		a -= 0x10000;
		break;
	default:
		if (a < 0x18000)
			return false;
		a -= 0x18000;
	}
	*address = a;
	return s->misc & MISC_RAM;
}

/* First byte of the group, and the planes that take part. */
static uint32_t locate_group(const struct vga_state *s, uint32_t address, bool odd_even, unsigned *planes)
{
	*planes = 0x0f;
	if (s->seq[SEQ_MODE] & SEQ_CHAIN4) {
		*planes = 1u << (address & 3);
		return address & ~3u & (VGA_MEMORY - 1);
	}
	if (odd_even) {
		*planes = address & 1 ? 0x0a : 0x05;
		address &= ~1u;
	}
	return address * 4 & (VGA_MEMORY - 1);
}

static uint8_t compare_colors(const struct vga_state *s)
{
	uint8_t differ = 0;

	for (unsigned p = 0; p < 4; p++)
		if (s->gfx[GFX_DONT_CARE] >> p & 1)
			differ |= s->latch[p] ^ (s->gfx[GFX_COMPARE] >> p & 1 ? 0xff : 0);
	return (uint8_t)~differ;
}

static uint8_t window_read_byte(struct vga *v, uint64_t off)
{
	struct vga_state *s = &v->s;
	bool odd_even = s->gfx[GFX_MODE] & GFX_MODE_ODDEVEN;
	uint32_t address, group;
	unsigned planes;

	if (!window_address(s, off, &address))
		return 0xff;
	group = locate_group(s, address, odd_even, &planes);
	memcpy(s->latch, v->vram + group, 4);
	if (s->seq[SEQ_MODE] & SEQ_CHAIN4)
		return s->latch[address & 3];
	if (s->gfx[GFX_MODE] & GFX_MODE_READ1)
		return compare_colors(s);
	if (odd_even)
		return s->latch[(s->gfx[GFX_READ_MAP] & 2) | (address & 1)];
	return s->latch[s->gfx[GFX_READ_MAP] & 3];
}

static uint8_t combine(uint8_t function, uint8_t v, uint8_t latch)
{
	switch (function) {
	case 1:
		return v & latch;
	case 2:
		return v | latch;
	case 3:
		return v ^ latch;
	default:
		return v;
	}
}

/* What plane p gets of a written byte (VGA reference, "Write Modes"). */
static uint8_t write_plane(const struct vga_state *s, unsigned p, uint8_t v, uint8_t rotated)
{
	uint8_t set = s->gfx[GFX_SET_RESET] >> p & 1 ? 0xff : 0, mask = s->gfx[GFX_BIT_MASK],
		latch = s->latch[p];
	uint8_t function = s->gfx[GFX_ROTATE] >> 3 & 3;

	switch (s->gfx[GFX_MODE] & 3) {
	case 0:
		v = s->gfx[GFX_ENABLE_SR] >> p & 1 ? set : rotated;
		break;
	case 1:
		return latch;
	case 2:
		v = v >> p & 1 ? 0xff : 0;
		break;
	default:
		mask &= rotated;
		v = set;
	}
	return (uint8_t)((combine(function, v, latch) & mask) | (latch & ~mask));
}

static void window_write_byte(struct vga *v, uint64_t off, uint8_t value)
{
	struct vga_state *s = &v->s;
	unsigned planes, rotate = s->gfx[GFX_ROTATE] & 7;
	uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate));
	uint32_t address, group;

	if (!window_address(s, off, &address))
		return;
	group = locate_group(s, address, !(s->seq[SEQ_MODE] & SEQ_NO_ODDEVEN), &planes);
	planes &= s->seq[SEQ_MAP_MASK];
	for (unsigned p = 0; p < 4; p++)
		if (planes >> p & 1)
			v->vram[group + p] = write_plane(s, p, value, rotated);
}

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
	struct vga *v = opaque;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)window_read_byte(v, off + i) << 8 * i;
	count_slow(v);
	return value;
}

static void window_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct vga *v = opaque;

	for (unsigned i = 0; i < size; i++)
		window_write_byte(v, off + i, (uint8_t)(value >> 8 * i));
	count_slow(v);
}

static const struct io_ops window_ops = { window_read, window_write };

/* ---- VBE registers ---------------------------------------------------------------------------------- */

unsigned vga_line_bytes(const struct vga_state *s)
{
	unsigned width = s->vbe[VBE_VIRT_WIDTH], bpp = s->vbe[VBE_BPP];

	return bpp == 4 ? width / 2 : width * ((bpp + 7) / 8);
}

/* Bounds of what a mode may be; the width decides the pitch and the pitch how many lines fit. */
static void vbe_bound(struct vga_state *s)
{
	unsigned line;

	s->vbe[VBE_X] = (uint16_t)MIN_OF(MAX_OF(s->vbe[VBE_X] & ~7u, 8u), VBE_MAX_X);
	s->vbe[VBE_Y] = (uint16_t)MIN_OF(MAX_OF(s->vbe[VBE_Y], 1u), VBE_MAX_Y);
	s->vbe[VBE_VIRT_WIDTH] = (uint16_t)MIN_OF(MAX_OF(s->vbe[VBE_VIRT_WIDTH], s->vbe[VBE_X]), 8192u);
	line = vga_line_bytes(s);
	if (line * (unsigned)s->vbe[VBE_Y] > VGA_MEMORY)
		s->vbe[VBE_Y] = (uint16_t)(VGA_MEMORY / line);
	s->vbe[VBE_VIRT_HEIGHT] = (uint16_t)MIN_OF(VGA_MEMORY / line, 65535u);
	s->vbe[VBE_X_OFFSET] = (uint16_t)MIN_OF(s->vbe[VBE_X_OFFSET], s->vbe[VBE_VIRT_WIDTH] - s->vbe[VBE_X]);
	s->vbe[VBE_Y_OFFSET] =
		(uint16_t)MIN_OF(s->vbe[VBE_Y_OFFSET], s->vbe[VBE_VIRT_HEIGHT] - s->vbe[VBE_Y]);
}

static bool vbe_bpp_ok(unsigned bpp)
{
	return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Switching on sets the data path for the mode, too. */
static void vbe_enable(struct vga *v, uint16_t value)
{
	struct vga_state *s = &v->s;
	bool was = s->vbe[VBE_ENABLE] & VBE_ON, on = value & VBE_ON;

	s->vbe[VBE_ENABLE] = value;
	if (!on) {
		s->vbe[VBE_BANK] = 0;
		return;
	}
	if (was)
		return;
	s->vbe[VBE_VIRT_WIDTH] = s->vbe[VBE_X_OFFSET] = s->vbe[VBE_Y_OFFSET] = s->vbe[VBE_BANK] = 0;
	vbe_bound(s);
	s->gfx[GFX_MISC] = (uint8_t)((s->gfx[GFX_MISC] & ~0x0c) | 0x05);
	s->gfx[GFX_MODE] = (uint8_t)((s->gfx[GFX_MODE] & ~0x60) | (s->vbe[VBE_BPP] == 4 ? 0 : 0x40));
	s->seq[SEQ_MAP_MASK] |= 0x0f;
	s->seq[SEQ_MODE] =
		(uint8_t)((s->seq[SEQ_MODE] & ~SEQ_CHAIN4) | (s->vbe[VBE_BPP] == 4 ? 0 : SEQ_CHAIN4));
	if (!(value & VBE_KEEP))
		memset(v->vram, 0, (size_t)vga_line_bytes(s) * s->vbe[VBE_Y]);
}

static uint16_t vbe_read(const struct vga_state *s, unsigned index)
{
	if (s->vbe[VBE_ENABLE] & VBE_GET_CAPS) {
		switch (index) {
		case VBE_X:
			return VBE_MAX_X;
		case VBE_Y:
			return VBE_MAX_Y;
		case VBE_BPP:
			return VBE_MAX_BPP;
		default:
			break;
		}
	}
	return index < VBE_COUNT ? s->vbe[index] : 0;
}

static void vbe_write(struct vga *v, unsigned index, uint16_t value)
{
	struct vga_state *s = &v->s;

	vga_sync(v);
	switch (index) {
	case VBE_ID:
		if (value >= VBE_ID_LOW && value <= VBE_ID_HIGH)
			s->vbe[VBE_ID] = value;
		break;
	case VBE_X:
	case VBE_Y:
	case VBE_VIRT_WIDTH:
	case VBE_X_OFFSET:
	case VBE_Y_OFFSET:
		s->vbe[index] = value;
		if (s->vbe[VBE_ENABLE] & VBE_ON)
			vbe_bound(s);
		break;
	case VBE_BPP:
		if (vbe_bpp_ok(value ? value : 8))
			s->vbe[VBE_BPP] = value ? value : 8;
		if (s->vbe[VBE_ENABLE] & VBE_ON)
			vbe_bound(s);
		break;
	case VBE_BANK:
		s->vbe[VBE_BANK] = (uint16_t)MIN_OF(value, VGA_MEMORY / BANK_SIZE - 1);
		break;
	case VBE_ENABLE:
		if (v->fast == FAST_TEXT)
			show_fast(v, FAST_NONE);
		vbe_enable(v, value);
		break;
	default:
		break;
	}
	check_fast(v);
}

static uint64_t vbe_port_read(void *opaque, uint64_t off, unsigned size)
{
	struct vga *v = opaque;

	(void)size;
	return off == 0 ? v->s.vbe_index : vbe_read(&v->s, v->s.vbe_index);
}

static void vbe_port_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct vga *v = opaque;

	(void)size;
	if (off == 0)
		v->s.vbe_index = (uint16_t)value;
	else
		vbe_write(v, v->s.vbe_index, (uint16_t)value);
}

static const struct io_ops vbe_ops = { vbe_port_read, vbe_port_write };

/* ---- DAC -------------------------------------------------------------------------------------------- */

static uint8_t dac_read(struct vga_state *s)
{
	uint8_t v = s->palette[s->dac_read * 3 + s->dac_sub % 3];

	if (++s->dac_sub >= 3) {
		s->dac_sub = 0;
		s->dac_read++;
	}
	return v;
}

/* A colour takes effect with its third byte. */
static void dac_write(struct vga_state *s, uint8_t v)
{
	s->dac_cache[s->dac_sub % 3] = s->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? v : v & 0x3f;
	if (++s->dac_sub >= 3) {
		memcpy(s->palette + s->dac_write * 3, s->dac_cache, 3);
		s->dac_sub = 0;
		s->dac_write++;
	}
}

/* ---- registers by port, 0x3B0..0x3DF ---------------------------------------------------------------- */

static const uint8_t seq_bits[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff };
static const uint8_t gfx_bits[16] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t attr_bits[32] = { 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
	0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f };

/* Retrace and blanking from the clock: guests wait for their edges. */
static uint8_t input_status(struct vga *v)
{
	uint64_t t = (uint64_t)timer_now(v->pci.dev.timers) % FRAME_NS;

	v->s.attr_flipflop = 0;
	if (t >= VISIBLE_NS)
		return 0x09;
	return t % LINE_NS >= ACTIVE_NS ? 0x01 : 0;
}

static void attr_write(struct vga_state *s, uint8_t v)
{
	unsigned n = s->attr_index & 0x1f;

	if (!s->attr_flipflop)
		s->attr_index = v & 0x3f;
	else if (n > 15 || !(s->attr_index & 0x20)) /* the palette is locked while it is shown */
		s->attr[n] = v & attr_bits[n];
	s->attr_flipflop ^= 1;
}

static void crtc_write(struct vga_state *s, uint8_t v)
{
	unsigned n = s->crtc_index & 0x1f;

	if (n < 8 && (s->crtc[0x11] & 0x80)) {
		/* Protected, but for the line compare bit. */
		if (n == 7)
			s->crtc[7] = (uint8_t)((s->crtc[7] & ~0x10) | (v & 0x10));
		return;
	}
	s->crtc[n] = v;
}

static uint8_t read_port(struct vga *v, unsigned port)
{
	struct vga_state *s = &v->s;

	switch (port) {
	case 0x3c0:
		return s->attr_index;
	case 0x3c1:
		return s->attr[s->attr_index & 0x1f];
	case 0x3c2: /* switch sense: a colour monitor */
		return 0x10;
	case 0x3c4:
		return s->seq_index;
	case 0x3c5:
		return s->seq[s->seq_index & 7];
	case 0x3c6:
		return s->dac_mask;
	case 0x3c7:
		return s->dac_state;
	case 0x3c8:
		return s->dac_write;
	case 0x3c9:
		return dac_read(s);
	case 0x3ca:
		return s->feature;
	case 0x3cc:
		return s->misc;
	case 0x3ce:
		return s->gfx_index;
	case 0x3cf:
		return s->gfx[s->gfx_index & 15];
	case 0x3d4:
		return s->crtc_index;
	case 0x3d5:
		return s->crtc[s->crtc_index & 0x1f];
	case 0x3da:
		return input_status(v);
	default:
		return 0xff;
	}
}

static void write_port(struct vga *v, unsigned port, uint8_t value)
{
	struct vga_state *s = &v->s;

	switch (port) {
	case 0x3c0:
		attr_write(s, value);
		break;
	case 0x3c2:
		s->misc = value;
		check_fast(v);
		break;
	case 0x3c4:
		s->seq_index = value & 7;
		break;
	case 0x3c5:
		s->seq[s->seq_index & 7] = value & seq_bits[s->seq_index & 7];
		check_fast(v);
		break;
	case 0x3c6:
		s->dac_mask = value;
		break;
	case 0x3c7:
		s->dac_read = value;
		s->dac_sub = 0;
		s->dac_state = 3;
		break;
	case 0x3c8:
		s->dac_write = value;
		s->dac_sub = 0;
		s->dac_state = 0;
		break;
	case 0x3c9:
		dac_write(s, value);
		break;
	case 0x3ce:
		s->gfx_index = value & 15;
		break;
	case 0x3cf:
		s->gfx[s->gfx_index & 15] = value & gfx_bits[s->gfx_index & 15];
		check_fast(v);
		break;
	case 0x3d4:
		s->crtc_index = value;
		break;
	case 0x3d5:
		crtc_write(s, value);
		break;
	case 0x3da:
		s->feature = value & 0x10;
		break;
	default:
		break;
	}
}

/* The CRTC and status ports answer at 3Bx or 3Dx, as the miscellaneous register says; 0: not here now. */
static unsigned real_port(const struct vga_state *s, unsigned port)
{
	bool mono = port < 0x3c0;

	if (port >= 0x3c0 && port < 0x3d0)
		return port;
	if (mono == !!(s->misc & MISC_COLOR))
		return 0;
	return mono ? port + 0x20 : port;
}

static uint64_t port_read_from(struct vga *v, unsigned first, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_port(v, real_port(&v->s, first + i)) << 8 * i;
	return value;
}

static void port_write_to(struct vga *v, unsigned first, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		write_port(v, real_port(&v->s, first + i), (uint8_t)(value >> 8 * i));
}

static uint64_t low_read(void *opaque, uint64_t off, unsigned size)
{
	return port_read_from(opaque, 0x3b0 + (unsigned)off, size);
}

static void low_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	port_write_to(opaque, 0x3b0 + (unsigned)off, size, value);
}

static uint64_t high_read(void *opaque, uint64_t off, unsigned size)
{
	return port_read_from(opaque, 0x3c0 + (unsigned)off, size);
}

static void high_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	port_write_to(opaque, 0x3c0 + (unsigned)off, size, value);
}

static const struct io_ops low_ops = { low_read, low_write };
static const struct io_ops high_ops = { high_read, high_write };

/* BAR2: ports 3C0..3DF at 0x400, VBE registers as 16-bit words at 0x500; no EDID. */
static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
	struct vga *v = opaque;

	if (off >= 0x400 && off + size <= 0x420)
		return port_read_from(v, 0x3c0 + (unsigned)off - 0x400, size);
	if (off >= 0x500 && off < 0x500 + 2 * VBE_COUNT && size == 2)
		return vbe_read(&v->s, ((unsigned)off - 0x500) / 2);
	return 0;
}

static void mmio_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct vga *v = opaque;

	if (off >= 0x400 && off + size <= 0x420)
		port_write_to(v, 0x3c0 + (unsigned)off - 0x400, size, value);
	else if (off >= 0x500 && off < 0x500 + 2 * VBE_COUNT && size == 2)
		vbe_write(v, ((unsigned)off - 0x500) / 2, (uint16_t)value);
}

static const struct io_ops mmio_ops = { mmio_read, mmio_write };

/* ---- life cycle ------------------------------------------------------------------------------------- */

/* The hardware's reset values are undefined; 80x25 text is what every firmware makes of them, so that a
 * kernel booted without one finds a console. */
static void text_mode(struct vga_state *s)
{
	static const uint8_t seq[5] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
	static const uint8_t gfx[9] = { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff };
	static const uint8_t crtc[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d,
		0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
	static const uint8_t attr[21] = { 0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e,
		0x3f, 0x0c, 0, 0x0f, 0x08, 0 };

	memcpy(s->seq, seq, sizeof(seq));
	memcpy(s->gfx, gfx, sizeof(gfx));
	memcpy(s->crtc, crtc, sizeof(crtc));
	memcpy(s->attr, attr, sizeof(attr));
	s->misc = 0x67;
	s->attr_index = 0x20;
	s->dac_mask = 0xff;
	/* EGA colours: bits 0-2 are two thirds of blue, green, red, bits 3-5 one third. */
	for (unsigned i = 0; i < 64; i++)
		for (unsigned c = 0; c < 3; c++)
			s->palette[i * 3 + c] =
				(uint8_t)((i >> (2 - c) & 1 ? 0x2a : 0) + (i >> (5 - c) & 1 ? 0x15 : 0));
}

static void vga_reset(struct device *dev)
{
	struct vga *v = (struct vga *)dev;

	show_fast(v, FAST_NONE);
	pci_function_reset(&v->pci, &vga_ids);
	text_mode(&v->s);
	v->s.vbe[VBE_ID] = VBE_ID_HIGH;
	v->s.vbe[VBE_BPP] = 8;
	v->s.vbe[VBE_MEMORY_64K] = VGA_MEMORY / BANK_SIZE;
}

static void vga_settle(struct device *dev)
{
	struct vga *v = (struct vga *)dev;

	pci_function_settle(&v->pci);
	check_fast(v);
}

static bool vga_check(const void *state, GError **error)
{
	struct vga_state s = *(const struct vga_state *)state;

	if (s.vbe[VBE_BANK] >= VGA_MEMORY / BANK_SIZE || !vbe_bpp_ok(s.vbe[VBE_BPP]))
		return fail(error, SERAI_ERROR_STATE, "vga: bank %u or depth %u is impossible",
			s.vbe[VBE_BANK], s.vbe[VBE_BPP]);
	if (s.vbe[VBE_ENABLE] & VBE_ON)
		vbe_bound(&s);
	if (memcmp(s.vbe, ((const struct vga_state *)state)->vbe, sizeof(s.vbe)))
		return fail(error, SERAI_ERROR_STATE, "vga: the screen lies outside the video memory");
	return true;
}

#define S struct vga_state
static const struct state_field vga_fields[] = {
	STATE_ARRAY(S, config, 1),
	STATE_FIELD(S, misc, 1),
	STATE_FIELD(S, feature, 1),
	STATE_FIELD(S, seq_index, 1),
	STATE_ARRAY(S, seq, 1),
	STATE_FIELD(S, gfx_index, 1),
	STATE_ARRAY(S, gfx, 1),
	STATE_FIELD(S, crtc_index, 1),
	STATE_ARRAY(S, crtc, 1),
	STATE_FIELD(S, attr_index, 1),
	STATE_FIELD(S, attr_flipflop, 1),
	STATE_ARRAY(S, attr, 1),
	STATE_FIELD(S, dac_state, 1),
	STATE_FIELD(S, dac_read, 1),
	STATE_FIELD(S, dac_write, 1),
	STATE_FIELD(S, dac_sub, 1),
	STATE_FIELD(S, dac_mask, 1),
	STATE_ARRAY(S, dac_cache, 1),
	STATE_ARRAY(S, palette, 1),
	STATE_ARRAY(S, latch, 1),
	STATE_FIELD(S, vbe_index, 1),
	STATE_ARRAY(S, vbe, 1),
};
#undef S

const struct device_class vga_class = {
	DEVICE_STATE("vga", 1, struct vga, vga_fields),
	.state.check = vga_check,
	.reset = vga_reset,
	.settle = vga_settle,
};

static void claim(struct vga *v, struct physmap *mem)
{
	port_add(mem, &(struct port_range){ 0x3b0, 12, &low_ops, v, "vga" }); /* 3BC is a printer's */
	port_add(mem, &(struct port_range){ 0x3c0, 32, &high_ops, v, "vga" });
	port_add(mem, &(struct port_range){ 0x1ce, 3, &vbe_ops, v, "vbe" });
	v->legacy_handle = physmap_add(mem, &(struct phys_region){ .gpa = WINDOW_BASE,
						    .size = WINDOW_SIZE,
						    .ops = &window_ops,
						    .opaque = v,
						    .priority = WINDOW_PRIORITY,
						    .name = "vga window" });
	v->fast_handle =
		physmap_add(mem, &(struct phys_region){ .priority = FAST_PRIORITY, .name = "vga memory" });
}

bool vga_init(struct vga *v, struct pci_bus *bus, uint8_t devfn, struct physmap *mem,
	struct timer_queue *timers, GError **error)
{
	void *memory = mmap(
		NULL, VGA_MEMORY + TEXT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(v, 0, sizeof(*v));
	if (memory == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "no memory for the video card");
	v->vram = memory;
	v->text_page = v->vram + VGA_MEMORY;
	device_init(&v->pci.dev, &vga_class, "0", mem, timers);
	v->pci.config = v->s.config;
	v->pci.bars[0] = (struct pci_bar){
		.kind = PCI_BAR_MEM32, .size = VGA_MEMORY, .memory = v->vram, .name = "vga lfb"
	};
	v->pci.bars[2] = (struct pci_bar){
		.kind = PCI_BAR_MEM32, .size = 4096, .ops = &mmio_ops, .opaque = v, .name = "vga registers"
	};
	pci_add(bus, &v->pci, devfn, &vga_ids);
	claim(v, mem);
	return true;
}

void vga_destroy(struct vga *v)
{
	if (v->vram)
		munmap(v->vram, VGA_MEMORY + TEXT_SIZE);
	v->vram = NULL;
}

void vga_save_memory(struct vga *v, struct state_writer *w)
{
	vga_sync(v);
	state_put_blob(w, "vga.memory", v->vram, VGA_MEMORY);
}

bool vga_load_memory(struct vga *v, struct state_reader *r, GError **error)
{
	show_fast(v, FAST_NONE);
	return state_get_blob(r, "vga.memory", v->vram, VGA_MEMORY, error);
}
