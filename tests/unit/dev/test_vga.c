/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VGA: data path, windows, text, VBE. */
#include "monitor/dev/vga.h"
#include "tests/unit/rig.h"

#define DEVFN (2 << 3)
#define TEXT  0xb8000
#define LFB   0xe0000000u

struct bench {
	struct rig *r;
	struct pci_bus bus;
	struct vga v;
};

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	pci_bus_init(&b->bus, &b->r->mem, &b->r->timers);
	assert_true(vga_init(&b->v, &b->bus, DEVFN, &b->r->mem, &b->r->timers, NULL));
	device_reset(&b->v.pci.dev);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	vga_destroy(&b->v);
	rig_free(b->r);
	g_free(b);
	return 0;
}

static void seq(struct bench *b, uint8_t n, uint8_t v)
{
	rig_out16(b->r, 0x3c4, (uint16_t)(n | v << 8));
}

static void gfx(struct bench *b, uint8_t n, uint8_t v)
{
	rig_out16(b->r, 0x3ce, (uint16_t)(n | v << 8));
}

static void vbe(struct bench *b, uint16_t n, uint16_t v)
{
	rig_out16(b->r, 0x1ce, n);
	rig_out16(b->r, 0x1cf, v);
}

static uint16_t vbe_get(struct bench *b, uint16_t n)
{
	rig_out16(b->r, 0x1ce, n);
	return rig_in16(b->r, 0x1cf);
}

/* 640x480x16's data path. */
static void planar(struct bench *b)
{
	seq(b, 4, 0x06);
	seq(b, 2, 0x0f);
	gfx(b, 5, 0x00);
	gfx(b, 6, 0x05);
	gfx(b, 8, 0xff);
}

static uint8_t plane(struct bench *b, unsigned p, uint32_t off)
{
	gfx(b, 5, 0x00);
	gfx(b, 4, (uint8_t)p);
	return (uint8_t)rig_read(b->r, 0xa0000 + off, 1);
}

static void text_page_shows(void **state)
{
	struct bench *b = *state;
	static const char line[] = "Serai \xc9\xcd";
	struct vga_text_info info;
	g_autofree char *text = NULL, *again = NULL;

	for (unsigned round = 0; round < 3; round++) /* more than enough for the plain page to come in */
		for (unsigned i = 0; i < 80 * 25; i++)
			rig_write(b->r, TEXT + 2 * i, 2,
				i >= 80 && i < 88 ? (uint8_t)line[i - 80] | 0x1f00 : 0x0720);
	assert_true(b->v.fast);
	assert_int_equal(rig_read(b->r, TEXT + 160, 2), 0x1f53);
	rig_out16(b->r, 0x3d4, 0x000e);
	rig_out16(b->r, 0x3d4, 0x580f);
	text = vga_text(&b->v, &info);
	assert_int_equal(info.columns, 80);
	assert_int_equal(info.rows, 25);
	assert_int_equal(info.cursor_row, 1);
	assert_int_equal(info.cursor_column, 8);
	assert_memory_equal(text + 81, "Serai ╔═ ", 13);
	assert_int_equal(vga_text_attribute(&b->v, 0, 1), 0x1f);

	/* Loading a font goes through planes 2 and leaves the text alone. */
	seq(b, 2, 0x04);
	seq(b, 4, 0x07);
	gfx(b, 5, 0x00);
	gfx(b, 6, 0x04);
	assert_false(b->v.fast);
	for (unsigned i = 0; i < 8192; i++)
		rig_write(b->r, 0xa0000 + i, 1, 0xa5);
	seq(b, 2, 0x03);
	seq(b, 4, 0x02);
	gfx(b, 5, 0x10);
	gfx(b, 6, 0x0e);
	again = vga_text(&b->v, &info);
	assert_string_equal(text, again);
	assert_int_equal(rig_read(b->r, TEXT + 160, 2), 0x1f53);
	assert_int_equal(b->v.vram[4 * 100 + 2], 0xa5);
}

static void write_modes(void **state)
{
	struct bench *b = *state;

	planar(b);
	/* Mode 0 with rotate, function and bit mask. */
	rig_write(b->r, 0xa0000, 1, 0x0f);
	for (unsigned p = 0; p < 4; p++)
		assert_int_equal(plane(b, p, 0), 0x0f);
	gfx(b, 3, 0x04);
	seq(b, 2, 0x02);
	rig_write(b->r, 0xa0001, 1, 0x81);
	assert_int_equal(plane(b, 1, 1), 0x18);
	assert_int_equal(plane(b, 0, 1), 0x00);
	gfx(b, 3, 0x18); /* XOR with the latches */
	seq(b, 2, 0x0f);
	rig_read(b->r, 0xa0000, 1);
	rig_write(b->r, 0xa0000, 1, 0xff);
	assert_int_equal(plane(b, 3, 0), 0xf0);
	gfx(b, 3, 0x00);
	/* Set/reset: colour 5 through the bit mask. */
	gfx(b, 0, 0x05);
	gfx(b, 1, 0x0f);
	gfx(b, 8, 0x0f);
	rig_read(b->r, 0xa0002, 1);
	rig_write(b->r, 0xa0002, 1, 0x00);
	assert_int_equal(plane(b, 0, 2), 0x0f);
	assert_int_equal(plane(b, 1, 2), 0x00);
	assert_int_equal(plane(b, 2, 2), 0x0f);
	gfx(b, 1, 0);
	gfx(b, 8, 0xff);
	/* Mode 1 copies four planes at once. */
	gfx(b, 5, 0x01);
	rig_read(b->r, 0xa0002, 1);
	rig_write(b->r, 0xa0010, 1, 0x99);
	assert_int_equal(plane(b, 2, 0x10), 0x0f);
	assert_int_equal(plane(b, 3, 0x10), 0x00);
	/* Mode 2: the byte is a colour. */
	gfx(b, 5, 0x02);
	rig_write(b->r, 0xa0011, 1, 0x0a);
	assert_int_equal(plane(b, 1, 0x11), 0xff);
	assert_int_equal(plane(b, 0, 0x11), 0x00);
	/* Mode 3: the byte is a mask for set/reset. */
	gfx(b, 0, 0x0f);
	gfx(b, 5, 0x03);
	rig_read(b->r, 0xa0011, 1);
	rig_write(b->r, 0xa0011, 1, 0x3c);
	assert_int_equal(plane(b, 0, 0x11), 0x3c);
	assert_int_equal(plane(b, 1, 0x11), 0xff);
	/* Read mode 1: where is colour 10? */
	gfx(b, 2, 0x0a);
	gfx(b, 7, 0x0f);
	gfx(b, 5, 0x08);
	assert_int_equal(rig_read(b->r, 0xa0011, 1), 0xc3);
}

static void chain4_and_unchained(void **state)
{
	struct bench *b = *state;

	planar(b);
	seq(b, 4, 0x0e);
	for (unsigned i = 0; i < 320; i++)
		rig_write(b->r, 0xa0000 + i, 1, i & 0xff);
	assert_true(b->v.fast);
	assert_int_equal(rig_read(b->r, 0xa0000 + 100, 4), 0x67666564);
	seq(b, 4, 0x06);
	assert_int_equal(plane(b, 2, 25), 102);
}

static void dac_attribute_and_status(void **state)
{
	struct bench *b = *state;
	unsigned retrace = 0;

	rig_out8(b->r, 0x3c8, 5);
	rig_out8(b->r, 0x3c9, 0xff);
	rig_out8(b->r, 0x3c9, 2);
	rig_out8(b->r, 0x3c9, 3);
	rig_out8(b->r, 0x3c7, 5);
	assert_int_equal(rig_in8(b->r, 0x3c9), 0x3f);
	assert_int_equal(rig_in8(b->r, 0x3c9), 2);
	assert_int_equal(rig_in8(b->r, 0x3c9), 3);
	assert_int_equal(rig_in8(b->r, 0x3c7), 3);

	rig_in8(b->r, 0x3da);
	rig_out8(b->r, 0x3c0, 0x33); /* index 0x13, video stays on */
	rig_out8(b->r, 0x3c0, 0x04);
	assert_int_equal(rig_in8(b->r, 0x3c1), 0x04);
	rig_in8(b->r, 0x3da);
	rig_out8(b->r, 0x3c0, 0x21); /* the palette is locked while it shows */
	rig_out8(b->r, 0x3c0, 0x3f);
	assert_int_equal(rig_in8(b->r, 0x3c1), 0x01);

	for (unsigned i = 0; i < 1000; i++) {
		retrace += rig_in8(b->r, 0x3da) >> 3 & 1;
		rig_advance(b->r, 100000);
	}
	assert_true(retrace > 10 && retrace < 100);

	/* CRTC moves between 3Dx and 3Bx; 0 to 7 are protected by bit 7 of 0x11. */
	rig_out16(b->r, 0x3d4, 0x1101);
	rig_out8(b->r, 0x3d4, 1);
	assert_int_equal(rig_in8(b->r, 0x3d5), 0x4f);
	assert_int_equal(rig_in8(b->r, 0x3b5), 0xff);
	rig_out8(b->r, 0x3c2, 0x66);
	assert_int_equal(rig_in8(b->r, 0x3b5), 0x4f);
}

static void vbe_mode(void **state)
{
	struct bench *b = *state;
	struct vga_mode mode;
	g_autofree uint32_t *pixels = NULL;

	assert_int_equal(vbe_get(b, 0), 0xb0c5);
	assert_int_equal(vbe_get(b, 10), 256);
	vbe(b, 4, 2);
	assert_int_equal(vbe_get(b, 1), 2560);
	vbe(b, 4, 0);
	vbe(b, 1, 800);
	vbe(b, 2, 600);
	vbe(b, 3, 32);
	vbe(b, 4, 0x41);
	rig_pci_write(b->r, DEVFN, 0x10, 4, LFB);
	rig_pci_write(b->r, DEVFN, 0x18, 4, LFB + VGA_MEMORY);
	rig_pci_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	rig_write(b->r, LFB + 4 * (800 * 3 + 7), 4, 0x00123456);
	vga_get_mode(&b->v, &mode);
	assert_int_equal(mode.kind, VGA_SCREEN_LINEAR);
	assert_int_equal(mode.pitch, 3200);
	pixels = g_new0(uint32_t, 800 * 600);
	vga_render(&b->v, &mode, pixels, 3200);
	assert_int_equal(pixels[800 * 3 + 7], 0x123456);
	/* Through the bank, and the registers through BAR2. */
	vbe(b, 5, 1);
	rig_write(b->r, 0xa0000, 4, 0x00abcdef);
	assert_int_equal(rig_read(b->r, LFB + 0x10000, 4), 0x00abcdef);
	assert_int_equal(rig_read(b->r, LFB + VGA_MEMORY + 0x502, 2), 800);
	/* Wild values stay inside the memory. */
	for (unsigned i = 1; i < 10; i++)
		vbe(b, (uint16_t)i, 0xffff);
	vga_get_mode(&b->v, &mode);
	assert_true((uint64_t)mode.pitch * mode.height <= VGA_MEMORY);
	for (unsigned i = 0; i < 200; i++)
		rig_write(b->r, 0xa0000 + 64 * i, 4, 0);
}

static void every_screen_renders_inside_the_memory(void **state)
{
	struct bench *b = *state;
	GRand *rand = g_rand_new_with_seed(1);

	for (unsigned round = 0; round < 60; round++) {
		static const uint16_t ports[] = { 0x3c0, 0x3c2, 0x3c4, 0x3c5, 0x3ce, 0x3cf, 0x3d4, 0x3d5,
			0x3c8, 0x3c9 };
		struct vga_mode mode;
		struct vga_text_info info;
		uint32_t *pixels;

		for (unsigned i = 0; i < 400; i++)
			rig_out16(b->r, ports[g_rand_int_range(rand, 0, 10)], (uint16_t)g_rand_int(rand));
		for (unsigned i = 0; i < 100; i++)
			rig_write(b->r, 0xa0000 + (g_rand_int(rand) & 0x1fff8), 8, g_rand_int(rand));
		rig_out8(b->r, 0x3c0, 0x20);
		rig_out8(b->r, 0x3c0, 0x20);
		vga_get_mode(&b->v, &mode);
		pixels = g_new(uint32_t, (size_t)mode.width * mode.height);
		vga_render(&b->v, &mode, pixels, mode.width * sizeof(*pixels));
		g_free(pixels);
		g_free(vga_text(&b->v, &info));
	}
	g_rand_free(rand);
}

static void save_and_load(void **state)
{
	struct bench *b = *state;
	struct state_writer *w = state_writer_new();
	struct state_reader *reader;
	const uint8_t *bytes;
	size_t len;

	for (unsigned i = 0; i < 200; i++)
		rig_write(b->r, TEXT + 2 * i, 2, 0x0741);
	assert_true(rig_reloads_golden(b->r, &b->v.pci.dev, "vga-v1"));
	vga_save_memory(&b->v, w);
	bytes = state_writer_bytes(w, &len);
	reader = state_reader_new(bytes, len, NULL);
	for (unsigned i = 0; i < 200; i++)
		rig_write(b->r, TEXT + 2 * i, 2, 0x0742);
	assert_true(vga_load_memory(&b->v, reader, NULL));
	assert_int_equal(rig_read(b->r, TEXT + 2, 2), 0x0741);
	state_reader_free(reader);
	state_writer_free(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(text_page_shows),
		T(write_modes),
		T(chain4_and_unchained),
		T(dac_attribute_and_status),
		T(vbe_mode),
		T(every_screen_renders_inside_the_memory),
		T(save_and_load),
	};

	return cmocka_run_group_tests_name("vga", tests, NULL, NULL);
}
