/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/vga_render.c - what a VGA shows: the text page as UTF-8, and any screen as pixels.
 *
 * Reads registers and video memory, changes neither.
 *
 * Not here: split screen (line compare), pixel panning, blinking.
 * Theory:  IBM VGA Technical Reference, "CRT Controller", "Attribute Controller".
 */
#include "monitor/dev/vga_parts.h"

/* Code page 437 with the graphic characters below 32; 0 and 255 are blanks. */
static const uint16_t unicode_of[256] = {
	0x0020,
	0x263a,
	0x263b,
	0x2665,
	0x2666,
	0x2663,
	0x2660,
	0x2022,
	0x25d8,
	0x25cb,
	0x25d9,
	0x2642,
	0x2640,
	0x266a,
	0x266b,
	0x263c,
	0x25ba,
	0x25c4,
	0x2195,
	0x203c,
	0x00b6,
	0x00a7,
	0x25ac,
	0x21a8,
	0x2191,
	0x2193,
	0x2192,
	0x2190,
	0x221f,
	0x2194,
	0x25b2,
	0x25bc,
	0x0020,
	0x0021,
	0x0022,
	0x0023,
	0x0024,
	0x0025,
	0x0026,
	0x0027,
	0x0028,
	0x0029,
	0x002a,
	0x002b,
	0x002c,
	0x002d,
	0x002e,
	0x002f,
	0x0030,
	0x0031,
	0x0032,
	0x0033,
	0x0034,
	0x0035,
	0x0036,
	0x0037,
	0x0038,
	0x0039,
	0x003a,
	0x003b,
	0x003c,
	0x003d,
	0x003e,
	0x003f,
	0x0040,
	0x0041,
	0x0042,
	0x0043,
	0x0044,
	0x0045,
	0x0046,
	0x0047,
	0x0048,
	0x0049,
	0x004a,
	0x004b,
	0x004c,
	0x004d,
	0x004e,
	0x004f,
	0x0050,
	0x0051,
	0x0052,
	0x0053,
	0x0054,
	0x0055,
	0x0056,
	0x0057,
	0x0058,
	0x0059,
	0x005a,
	0x005b,
	0x005c,
	0x005d,
	0x005e,
	0x005f,
	0x0060,
	0x0061,
	0x0062,
	0x0063,
	0x0064,
	0x0065,
	0x0066,
	0x0067,
	0x0068,
	0x0069,
	0x006a,
	0x006b,
	0x006c,
	0x006d,
	0x006e,
	0x006f,
	0x0070,
	0x0071,
	0x0072,
	0x0073,
	0x0074,
	0x0075,
	0x0076,
	0x0077,
	0x0078,
	0x0079,
	0x007a,
	0x007b,
	0x007c,
	0x007d,
	0x007e,
	0x2302,
	0x00c7,
	0x00fc,
	0x00e9,
	0x00e2,
	0x00e4,
	0x00e0,
	0x00e5,
	0x00e7,
	0x00ea,
	0x00eb,
	0x00e8,
	0x00ef,
	0x00ee,
	0x00ec,
	0x00c4,
	0x00c5,
	0x00c9,
	0x00e6,
	0x00c6,
	0x00f4,
	0x00f6,
	0x00f2,
	0x00fb,
	0x00f9,
	0x00ff,
	0x00d6,
	0x00dc,
	0x00a2,
	0x00a3,
	0x00a5,
	0x20a7,
	0x0192,
	0x00e1,
	0x00ed,
	0x00f3,
	0x00fa,
	0x00f1,
	0x00d1,
	0x00aa,
	0x00ba,
	0x00bf,
	0x2310,
	0x00ac,
	0x00bd,
	0x00bc,
	0x00a1,
	0x00ab,
	0x00bb,
	0x2591,
	0x2592,
	0x2593,
	0x2502,
	0x2524,
	0x2561,
	0x2562,
	0x2556,
	0x2555,
	0x2563,
	0x2551,
	0x2557,
	0x255d,
	0x255c,
	0x255b,
	0x2510,
	0x2514,
	0x2534,
	0x252c,
	0x251c,
	0x2500,
	0x253c,
	0x255e,
	0x255f,
	0x255a,
	0x2554,
	0x2569,
	0x2566,
	0x2560,
	0x2550,
	0x256c,
	0x2567,
	0x2568,
	0x2564,
	0x2565,
	0x2559,
	0x2558,
	0x2552,
	0x2553,
	0x256b,
	0x256a,
	0x2518,
	0x250c,
	0x2588,
	0x2584,
	0x258c,
	0x2590,
	0x2580,
	0x03b1,
	0x00df,
	0x0393,
	0x03c0,
	0x03a3,
	0x03c3,
	0x00b5,
	0x03c4,
	0x03a6,
	0x0398,
	0x03a9,
	0x03b4,
	0x221e,
	0x03c6,
	0x03b5,
	0x2229,
	0x2261,
	0x00b1,
	0x2265,
	0x2264,
	0x2320,
	0x2321,
	0x00f7,
	0x2248,
	0x00b0,
	0x2219,
	0x00b7,
	0x221a,
	0x207f,
	0x00b2,
	0x25a0,
	0x0020,
};

#define MAX_COLUMNS 256u
#define MAX_ROWS    128u
#define PLANE_MASK  0xffffu

/* ---- geometry --------------------------------------------------------------------------------------- */

static bool graphics(const struct vga_state *s)
{
	return s->gfx[6] & 1;
}

static bool vbe_on(const struct vga_state *s)
{
	return s->vbe[VBE_ENABLE] & VBE_ON;
}

static unsigned display_lines(const struct vga_state *s)
{
	unsigned end = s->crtc[0x12] | (s->crtc[7] & 0x02u) << 7 | (s->crtc[7] & 0x40u) << 3;

	return end + 1;
}

/* Scan lines per row of characters, or per pixel row in graphics modes. */
static unsigned line_height(const struct vga_state *s)
{
	unsigned h = (s->crtc[9] & 0x1fu) + 1;

	return s->crtc[9] & 0x80 ? 2 * h : h;
}

static unsigned char_height(const struct vga_state *s)
{
	return (s->crtc[9] & 0x1fu) + 1;
}

static unsigned start_address(const struct vga_state *s)
{
	return (unsigned)s->crtc[0x0c] << 8 | s->crtc[0x0d];
}

static void text_size(const struct vga_state *s, unsigned *columns, unsigned *rows)
{
	unsigned lines = display_lines(s) / (s->crtc[9] & 0x80 ? 2 : 1);

	*columns = MIN_OF(s->crtc[1] + 1u, MAX_COLUMNS);
	*rows = MIN_OF(MAX_OF(lines / char_height(s), 1u), MAX_ROWS);
}

void vga_get_mode(struct vga *v, struct vga_mode *mode)
{
	const struct vga_state *s = &v->s;
	unsigned columns, rows;

	*mode = (struct vga_mode){ .kind = VGA_SCREEN_TEXT, .bpp = 4, .pitch = s->crtc[0x13] * 8u };
	mode->start = start_address(s) * 4;
	text_size(s, &columns, &rows);
	if (vbe_on(s)) {
		mode->kind = s->vbe[VBE_BPP] == 4 ? VGA_SCREEN_PLANAR : VGA_SCREEN_LINEAR;
		mode->width = s->vbe[VBE_X];
		mode->height = s->vbe[VBE_Y];
		mode->bpp = s->vbe[VBE_BPP];
		mode->pitch = vga_line_bytes(s);
		mode->start = s->vbe[VBE_Y_OFFSET] * mode->pitch +
			      (mode->bpp == 4 ? s->vbe[VBE_X_OFFSET] / 2u
					      : s->vbe[VBE_X_OFFSET] * ((mode->bpp + 7) / 8));
	} else if (!graphics(s)) {
		mode->width = columns * 8;
		mode->height = rows * char_height(s);
	} else {
		mode->width = columns * 8;
		mode->height = MAX_OF(display_lines(s) / line_height(s), 1u);
		if (s->gfx[5] & 0x40) {
			mode->kind = VGA_SCREEN_LINEAR;
			mode->bpp = 8;
			mode->width = columns * 4;
		} else if (s->gfx[5] & 0x20) {
			mode->kind = VGA_SCREEN_CGA;
			mode->bpp = 2;
		} else {
			mode->kind = VGA_SCREEN_PLANAR;
		}
		if (s->seq[1] & 8) /* half the dot clock */
			mode->width /= mode->kind == VGA_SCREEN_LINEAR ? 1 : 2;
		if (mode->kind == VGA_SCREEN_CGA)
			mode->height = MAX_OF(display_lines(s) / (s->crtc[9] & 0x80 ? 2 : 1), 1u);
	}
	if (!vbe_on(s) && (!(s->attr_index & 0x20) || (s->seq[1] & 0x20)))
		mode->kind = VGA_SCREEN_BLANK;
}

/* ---- text ------------------------------------------------------------------------------------------- */

/* First byte of the group that holds a cell: character, attribute, font. */
static uint32_t cell_group(const struct vga_state *s, unsigned n)
{
	return ((start_address(s) + n) * 2 & PLANE_MASK) * 4;
}

static unsigned cell_at(const struct vga_state *s, unsigned column, unsigned row)
{
	return row * s->crtc[0x13] * 2u + column;
}

static void find_cursor(const struct vga_state *s, struct vga_text_info *info)
{
	unsigned at = (unsigned)s->crtc[0x0e] << 8 | s->crtc[0x0f], line = s->crtc[0x13] * 2u;
	unsigned n = (at - start_address(s)) & 0xffff;

	info->cursor_column = info->cursor_row = -1;
	if ((s->crtc[0x0a] & 0x20) || !line || n % line >= info->columns || n / line >= info->rows)
		return;
	info->cursor_column = (int)(n % line);
	info->cursor_row = (int)(n / line);
}

char *vga_text(struct vga *v, struct vga_text_info *info)
{
	const struct vga_state *s = &v->s;
	GString *text;

	if (graphics(s) || vbe_on(s))
		return NULL;
	vga_sync(v);
	text_size(s, &info->columns, &info->rows);
	find_cursor(s, info);
	text = g_string_sized_new((info->columns + 1) * info->rows);
	for (unsigned row = 0; row < info->rows; row++) {
		for (unsigned column = 0; column < info->columns; column++)
			g_string_append_unichar(
				text, unicode_of[v->vram[cell_group(s, cell_at(s, column, row))]]);
		g_string_append_c(text, '\n');
	}
	return g_string_free(text, FALSE);
}

uint8_t vga_text_attribute(struct vga *v, unsigned column, unsigned row)
{
	unsigned columns, rows;

	text_size(&v->s, &columns, &rows);
	if (graphics(&v->s) || vbe_on(&v->s) || column >= columns || row >= rows)
		return 0;
	return v->vram[cell_group(&v->s, cell_at(&v->s, column, row)) + 1];
}

/* ---- colours ---------------------------------------------------------------------------------------- */

/* 0x00RRGGBB of a DAC entry. */
static uint32_t dac_color(const struct vga_state *s, uint8_t index)
{
	const uint8_t *p = s->palette + (index & s->dac_mask) * 3;

	if (vbe_on(s) && (s->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
		return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
	return (uint32_t)(p[0] << 2 | p[0] >> 4) << 16 | (uint32_t)(p[1] << 2 | p[1] >> 4) << 8 |
	       (uint32_t)(p[2] << 2 | p[2] >> 4);
}

/* Four bits through the attribute palette; colour select fills the upper bits. */
static uint32_t attr_color(const struct vga_state *s, uint8_t nibble)
{
	uint8_t index = s->attr[nibble & 15];

	if (s->attr[0x10] & 0x80)
		index = (uint8_t)((index & 0x0f) | (s->attr[0x14] & 3) << 4);
	return dac_color(s, (uint8_t)(index | (s->attr[0x14] & 0x0c) << 4));
}

/* ---- pixels ----------------------------------------------------------------------------------------- */

static uint8_t group_pixel(const uint8_t *group, unsigned bit)
{
	return (uint8_t)((group[0] >> bit & 1) | (group[1] >> bit & 1) << 1 | (group[2] >> bit & 1) << 2 |
			 (group[3] >> bit & 1) << 3);
}

static uint32_t linear_pixel(const struct vga_state *s, const uint8_t *p, unsigned bpp)
{
	unsigned v = p[0] | (unsigned)p[1] << 8;

	switch (bpp) {
	case 8:
		return dac_color(s, p[0]);
	case 15:
		return (v >> 10 & 31) << 19 | (v >> 5 & 31) << 11 | (v & 31) << 3;
	case 16:
		return (v >> 11 & 31) << 19 | (v >> 5 & 63) << 10 | (v & 31) << 3;
	default:
		return (uint32_t)p[2] << 16 | v;
	}
}

/* Pixel x of the line that starts at byte `line` of video memory; the mask keeps wild geometry inside. */
static uint32_t pixel_at(const struct vga *v, const struct vga_mode *m, uint32_t line, unsigned x)
{
	const struct vga_state *s = &v->s;
	uint32_t at;

	switch (m->kind) {
	case VGA_SCREEN_LINEAR:
		at = (line + x * ((m->bpp + 7) / 8)) & (VGA_MEMORY - 4);
		at |= m->bpp == 8 || m->bpp == 24 ? (line + x * ((m->bpp + 7) / 8)) & 3 : 0;
		at = m->bpp <= 16 && m->bpp != 8 ? (line + x * 2) & (VGA_MEMORY - 2) : at;
		return linear_pixel(s, v->vram + MIN_OF(at, VGA_MEMORY - 4), m->bpp);
	case VGA_SCREEN_CGA: /* two bits a pixel, bytes alternate between planes 0 and 1 */
		at = (line + x / 8 * 8) & (VGA_MEMORY - 8);
		return attr_color(s, v->vram[at + (x / 4 & 1)] >> (6 - 2 * (x & 3)) & 3);
	default:
		at = (line + x / 8 * 4) & (VGA_MEMORY - 4);
		return attr_color(s, group_pixel(v->vram + at, 7 - (x & 7)) & (s->attr[0x12] & 15));
	}
}

/* CGA-compatible modes put odd lines 8 KiB further. */
static uint32_t line_start(const struct vga_state *s, const struct vga_mode *m, unsigned y)
{
	bool interleaved = !vbe_on(s) && !(s->crtc[0x17] & 1);

	if (!interleaved)
		return m->start + y * m->pitch;
	return m->start + y / 2 * m->pitch + (y & 1 ? 0x2000u * 4 : 0);
}

static void render_graphics(const struct vga *v, const struct vga_mode *m, uint32_t *pixels, size_t pitch)
{
	for (unsigned y = 0; y < m->height; y++) {
		uint32_t *out = (uint32_t *)((char *)pixels + y * pitch), line = line_start(&v->s, m, y);

		for (unsigned x = 0; x < m->width; x++)
			out[x] = pixel_at(v, m, line, x);
	}
}

/* The font of a cell: map select in the sequencer, bit 3 of the attribute chooses which of two. */
static uint32_t font_address(const struct vga_state *s, uint8_t attribute)
{
	uint8_t select = s->seq[3], n;

	if (attribute & 8)
		n = (uint8_t)((select >> 2 & 3) | (select >> 3 & 4));
	else
		n = (uint8_t)((select & 3) | (select >> 2 & 4));
	/* 0, 2, 4, 6 are at multiples of 16 KiB, 1, 3, 5, 7 8 KiB behind them. */
	return (n & 3u) * 0x4000 + (n >> 2) * 0x2000u;
}

static void render_text(const struct vga *v, const struct vga_mode *m, uint32_t *pixels, size_t pitch)
{
	const struct vga_state *s = &v->s;
	struct vga_text_info info;
	unsigned height = char_height(s);

	text_size(s, &info.columns, &info.rows);
	find_cursor(s, &info);
	for (unsigned y = 0; y < m->height; y++) {
		uint32_t *out = (uint32_t *)((char *)pixels + y * pitch);
		unsigned row = y / height, line = y % height;

		for (unsigned x = 0; x < m->width; x++) {
			uint32_t group = cell_group(s, cell_at(s, x / 8, row)), font;
			uint8_t attribute = v->vram[group + 1];
			bool on, cursor = (int)row == info.cursor_row && (int)(x / 8) == info.cursor_column &&
					  line >= (s->crtc[0x0a] & 0x1fu) && line <= (s->crtc[0x0b] & 0x1fu);

			font = (font_address(s, attribute) + v->vram[group] * 32u + line) & PLANE_MASK;
			on = cursor || (v->vram[font * 4 + 2] >> (7 - (x & 7)) & 1);
			out[x] = attr_color(
				s, on ? attribute & 15 : attribute >> 4 & (s->attr[0x10] & 8 ? 7 : 15));
		}
	}
}

void vga_render(struct vga *v, const struct vga_mode *mode, uint32_t *pixels, size_t pitch)
{
	vga_sync(v);
	if (mode->kind == VGA_SCREEN_TEXT)
		render_text(v, mode, pixels, pitch);
	else if (mode->kind != VGA_SCREEN_BLANK)
		render_graphics(v, mode, pixels, pitch);
	else
		for (unsigned y = 0; y < mode->height; y++)
			memset((char *)pixels + y * pitch, 0, mode->width * sizeof(*pixels));
}
