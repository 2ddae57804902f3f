/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Floppy controller and the DMA controller behind it. */
#include "monitor/dev/dma8237.h"
#include "monitor/dev/floppy.h"
#include "tests/unit/dev/media.h"

#define BUFFER 0x12000

struct bench {
	struct rig *r;
	struct dma8237 d;
	struct floppy f;
	struct media *m;
};

static uint8_t status(struct bench *b)
{
	return rig_in8(b->r, 0x3f4);
}

static void command(struct bench *b, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(status(b) & 0xc0, 0x80);
		rig_out8(b->r, 0x3f5, bytes[i]);
	}
	media_settle(b->r, b->m);
}

static void result(struct bench *b, uint8_t *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(status(b) & 0xd0, 0xd0);
		out[i] = rig_in8(b->r, 0x3f5);
	}
	assert_int_equal(status(b) & 0xf0, 0x80);
}

#define COMMAND(b, ...) command(b, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Reset, the four polls, SPECIFY (DMA), motor on. */
static void start(struct bench *b)
{
	uint8_t st[2];

	rig_out8(b->r, 0x3f2, 0x00);
	rig_out8(b->r, 0x3f2, 0x1c);
	assert_true(b->r->irq[6].level);
	for (uint8_t i = 0; i < 4; i++) {
		COMMAND(b, 0x08);
		result(b, st, 2);
		assert_int_equal(st[0], 0xc0 | i);
	}
	assert_false(b->r->irq[6].level);
	rig_out8(b->r, 0x3f7, 0);
	COMMAND(b, 0x03, 0xdf, 0x02);
}

static void seek(struct bench *b, uint8_t head, uint8_t track)
{
	uint8_t st[2];

	COMMAND(b, 0x0f, (uint8_t)(head << 2), track);
	assert_true(b->r->irq[6].level);
	COMMAND(b, 0x08);
	result(b, st, 2);
	assert_int_equal(st[0] & 0xf8, 0x20);
	assert_int_equal(st[1], track);
	assert_false(b->r->irq[6].level);
}

/* Channel 2; mode as in the data sheet's mode register. */
static void dma(struct bench *b, uint8_t mode, uint32_t address, uint16_t bytes)
{
	rig_out8(b->r, 0x0a, 0x06);
	rig_out8(b->r, 0x0c, 0);
	rig_out8(b->r, 0x0b, mode);
	rig_out8(b->r, 0x04, (uint8_t)address);
	rig_out8(b->r, 0x04, (uint8_t)(address >> 8));
	rig_out8(b->r, 0x81, (uint8_t)(address >> 16));
	rig_out8(b->r, 0x05, (uint8_t)(bytes - 1));
	rig_out8(b->r, 0x05, (uint8_t)((bytes - 1) >> 8));
	rig_out8(b->r, 0x0a, 0x02);
}

static bool holds(struct bench *b, uint64_t gpa, uint32_t sector)
{
	uint8_t want[SECTOR_SIZE];

	media_pattern(want, sector);
	return memcmp(b->r->ram.base + gpa, want, sizeof(want)) == 0;
}

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);
	struct isa_dma channel;

	b->r = rig_new();
	b->m = media_new("raw", 2880, false);
	dma8237_init(&b->d, &b->r->mem, &b->r->timers);
	channel = dma8237_channel(&b->d, 2);
	floppy_init(&b->f, &b->r->mem, &b->r->timers, &channel);
	irq_connect(&b->f.irq, rig_sink, b->r, 6);
	assert_true(floppy_attach(&b->f, 0, b->m->img, NULL));
	device_reset(&b->d.dev);
	device_reset(&b->f.dev);
	assert_int_equal(floppy_cmos_type(&b->f, 0), 4);
	assert_int_equal(floppy_cmos_type(&b->f, 1), 0);
	start(b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	media_settle(b->r, b->m);
	assert_true(floppy_idle(&b->f));
	media_free(b->m);
	rig_free(b->r);
	g_free(b);
	return 0;
}

static void who_are_you(void **state)
{
	struct bench *b = *state;
	uint8_t v[10];

	COMMAND(b, 0x10);
	result(b, v, 1);
	assert_int_equal(v[0], 0x90);
	COMMAND(b, 0x13, 0, 0x57, 0);
	COMMAND(b, 0x94);
	result(b, v, 1);
	assert_int_equal(v[0], 0x10);
	COMMAND(b, 0x0e);
	result(b, v, 10);
	assert_int_equal(v[4], 0xdf);
	assert_int_equal(v[8], 0x57);
	assert_int_equal(v[7], 0x80);
	COMMAND(b, 0x1f); /* no such command */
	result(b, v, 1);
	assert_int_equal(v[0], 0x80);
	COMMAND(b, 0x08); /* nothing to sense */
	result(b, v, 1);
	assert_int_equal(v[0], 0x80);
}

static void reads_by_dma(void **state)
{
	struct bench *b = *state;
	uint8_t v[7];

	seek(b, 1, 3);
	dma(b, 0x46, BUFFER, 1024);
	COMMAND(b, 0xe6, 0x04, 3, 1, 5, 2, 18, 0x1b, 0xff);
	assert_true(b->r->irq[6].level);
	result(b, v, 7);
	assert_false(b->r->irq[6].level);
	assert_int_equal(v[0], 0x04);
	assert_int_equal(v[1] | v[2], 0);
	assert_int_equal(v[5], 7);
	assert_true(holds(b, BUFFER, (3 * 2 + 1) * 18 + 4));
	assert_true(holds(b, BUFFER + 512, (3 * 2 + 1) * 18 + 5));
	assert_int_equal(rig_in8(b->r, 0x08) & 4, 4); /* terminal count of channel 2 */
	assert_int_equal(rig_in8(b->r, 0x08) & 4, 0);
}

static void a_whole_cylinder(void **state)
{
	struct bench *b = *state;
	uint8_t v[7];

	seek(b, 0, 10);
	dma(b, 0x46, BUFFER, 36 * 512);
	COMMAND(b, 0xe6, 0x00, 10, 0, 1, 2, 18, 0x1b, 0xff);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0);
	assert_int_equal(v[3], 11); /* the next sector is the next cylinder's first */
	assert_int_equal(v[4], 0);
	assert_int_equal(v[5], 1);
	for (unsigned i = 0; i < 36; i++)
		assert_true(holds(b, BUFFER + 512 * i, 360 + i));
	/* More asked for than the track has and no terminal count: "end of cylinder". */
	dma(b, 0x46, BUFFER, 4 * 512);
	COMMAND(b, 0x46, 0x00, 10, 0, 17, 2, 18, 0x1b, 0xff);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0x40);
	assert_int_equal(v[1], 0x80);
}

static void writes_and_formats(void **state)
{
	struct bench *b = *state;
	uint8_t v[7], is[SECTOR_SIZE];

	seek(b, 0, 1);
	memset(b->r->ram.base + BUFFER, 0x6b, 600);
	dma(b, 0x4a, BUFFER, 600); /* ends inside the second sector: the rest is zeros */
	COMMAND(b, 0xc5, 0x00, 1, 0, 2, 2, 18, 0x1b, 0xff);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0);
	assert_true(image_read(b->m->img, 37, is, 1, NULL));
	assert_int_equal(is[511], 0x6b);
	assert_true(image_read(b->m->img, 38, is, 1, NULL));
	assert_int_equal(is[87], 0x6b);
	assert_int_equal(is[88], 0);

	for (uint8_t i = 0; i < 18; i++)
		memcpy(b->r->ram.base + BUFFER + 4 * i, (const uint8_t[]){ 1, 0, i + 1, 2 }, 4);
	dma(b, 0x4a, BUFFER, 72);
	COMMAND(b, 0x4d, 0x00, 2, 18, 0x6c, 0xf6);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0);
	for (unsigned i = 36; i < 54; i++) {
		assert_true(image_read(b->m->img, i, is, 1, NULL));
		assert_int_equal(is[200], 0xf6);
	}
	assert_true(image_read(b->m->img, 54, is, 1, NULL));
	assert_int_equal(is[200], 54);
}

static void by_the_processor(void **state)
{
	struct bench *b = *state;
	uint8_t v[7];
	unsigned n = 0;

	COMMAND(b, 0x03, 0xdf, 0x03); /* no DMA */
	COMMAND(b, 0x07, 0x00);
	COMMAND(b, 0x08);
	result(b, v, 2);
	COMMAND(b, 0x46, 0x00, 0, 0, 17, 2, 18, 0x1b, 0xff);
	while ((status(b) & 0xf0) == 0xf0) {
		uint8_t byte = rig_in8(b->r, 0x3f5);

		if (n % 512 >= 4)
			assert_int_equal(byte, 16 + n / 512);
		n++;
		media_settle(b->r, b->m);
	}
	assert_int_equal(n, 1024);
	result(b, v, 7);
	assert_int_equal(v[1], 0x80);
}

static void errors(void **state)
{
	struct bench *b = *state;
	uint8_t v[7];

	seek(b, 0, 2);
	dma(b, 0x46, BUFFER, 512);
	COMMAND(b, 0x46, 0x00, 5, 0, 1, 2, 18, 0x1b, 0xff); /* another cylinder than the head's */
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0x40);
	assert_int_equal(v[2], 0x10);
	COMMAND(b, 0x46, 0x00, 2, 0, 19, 2, 19, 0x1b, 0xff); /* no such sector */
	result(b, v, 7);
	assert_int_equal(v[1], 0x04);
	rig_out8(b->r, 0x3f7, 2); /* wrong data rate */
	COMMAND(b, 0x4a, 0x00);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0x40);
	rig_out8(b->r, 0x3f7, 0);
	COMMAND(b, 0x4a, 0x00);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0);
	assert_int_equal(v[3], 2);
	COMMAND(b, 0x4a, 0x01); /* a drive that is not there */
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0x40);
	rig_out8(b->r, 0x0a, 0x06); /* channel masked: overrun */
	COMMAND(b, 0x46, 0x00, 2, 0, 1, 2, 18, 0x1b, 0xff);
	result(b, v, 7);
	assert_int_equal(v[1], 0x10);
}

static void disk_change_line(void **state)
{
	struct bench *b = *state;

	assert_int_equal(rig_in8(b->r, 0x3f7) & 0x80, 0x80);
	seek(b, 0, 1);
	assert_int_equal(rig_in8(b->r, 0x3f7) & 0x80, 0);
	assert_true(floppy_change(&b->f, 0, NULL, NULL));
	seek(b, 0, 0);
	assert_int_equal(rig_in8(b->r, 0x3f7) & 0x80, 0x80);
	assert_true(floppy_change(&b->f, 0, b->m->img, NULL));
	seek(b, 0, 1);
	assert_int_equal(rig_in8(b->r, 0x3f7) & 0x80, 0);
	assert_false(floppy_change(&b->f, 1, b->m->img, NULL));
}

/* A flood of command and data bytes at every phase must stay inside the arrays (VENOM). */
static void floods(void **state)
{
	struct bench *b = *state;

	for (unsigned c = 0; c < 256; c++) {
		for (unsigned i = 0; i < 600; i++)
			rig_out8(b->r, 0x3f5, (uint8_t)c);
		media_settle(b->r, b->m);
		for (unsigned i = 0; i < 600; i++)
			rig_in8(b->r, 0x3f5);
		media_settle(b->r, b->m);
		rig_out8(b->r, 0x3f4, 0x80);
	}
}

static void save_in_the_middle(void **state)
{
	struct bench *b = *state;
	uint8_t v[7];

	assert_true(rig_reloads_golden(b->r, &b->f.dev, "floppy-v1"));
	assert_true(rig_reloads_golden(b->r, &b->d.dev, "dma8237-v1"));
	seek(b, 0, 1);
	dma(b, 0x46, BUFFER, 1024);
	rig_out8(b->r, 0x3f5, 0xe6);
	assert_true(rig_reloads(b->r, &b->f.dev)); /* between two bytes of a command */
	for (unsigned i = 0; i < 8; i++)
		rig_out8(b->r, 0x3f5, ((const uint8_t[]){ 0x00, 1, 0, 1, 2, 18, 0x1b, 0xff })[i]);
	assert_true(rig_reloads(b->r, &b->f.dev)); /* while the image is asked */
	assert_true(rig_reloads(b->r, &b->d.dev));
	media_settle(b->r, b->m);
	assert_true(b->r->irq[6].level);
	result(b, v, 7);
	assert_int_equal(v[0] & 0xc0, 0);
	assert_true(holds(b, BUFFER, 36));
	assert_true(holds(b, BUFFER + 512, 37));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_are_you),
		T(reads_by_dma),
		T(a_whole_cylinder),
		T(writes_and_formats),
		T(by_the_processor),
		T(errors),
		T(disk_change_line),
		T(floods),
		T(save_in_the_middle),
	};

	return cmocka_run_group_tests_name("floppy", tests, NULL, NULL);
}
