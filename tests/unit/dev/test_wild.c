/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that writes wild values to every port and register of every device here, with resets, time and
 * saved states in between.  Nothing to assert but that the sanitizers stay silent and that every state saved
 * so can be loaded.
 */
#include "monitor/dev/dma8237.h"
#include "monitor/dev/floppy.h"
#include "monitor/dev/fw_cfg.h"
#include "monitor/dev/i8042.h"
#include "monitor/dev/uart.h"
#include "monitor/dev/vga.h"
#include "tests/unit/dev/ide_bench.h"

#define STEPS 60000

struct zoo {
	struct ide_bench *b;
	struct dma8237 dma;
	struct floppy floppy;
	struct fw_cfg fw_cfg;
	struct i8042 i8042;
	struct uart uart;
	struct vga vga;
	struct media *disk;
	struct device *all[7];
};

static void zoo_open(struct zoo *z)
{
	struct rig *r = z->b->r;
	struct isa_dma channel;

	dma8237_init(&z->dma, &r->mem, &r->timers);
	channel = dma8237_channel(&z->dma, 2);
	floppy_init(&z->floppy, &r->mem, &r->timers, &channel);
	z->disk = media_new("raw", 2880, false);
	floppy_attach(&z->floppy, 0, z->disk->img, NULL);
	fw_cfg_init(&z->fw_cfg, &r->mem, &r->timers);
	fw_cfg_add_file(&z->fw_cfg, "file", "contents", 8, NULL);
	fw_cfg_set_writable(&z->fw_cfg, "file");
	i8042_init(&z->i8042, &r->mem, &r->timers, NULL);
	uart_init(&z->uart, "com1", &r->mem, &r->timers, 0x3f8, NULL);
	assert_true(vga_init(&z->vga, &z->b->bus, 2 << 3, &r->mem, &r->timers, NULL));
	z->all[0] = &z->dma.dev;
	z->all[1] = &z->floppy.dev;
	z->all[2] = &z->fw_cfg.dev;
	z->all[3] = &z->i8042.dev;
	z->all[4] = &z->uart.dev;
	z->all[5] = &z->vga.pci.dev;
	z->all[6] = &z->b->ide.pci.dev;
	for (unsigned i = 0; i < 6; i++)
		device_reset(z->all[i]);
}

static void zoo_close(struct zoo *z)
{
	media_settle(z->b->r, z->disk);
	media_free(z->disk);
	fw_cfg_destroy(&z->fw_cfg);
	vga_destroy(&z->vga);
}

static const struct {
	uint16_t port, count;
} ranges[] = {
	{ 0x00, 16 },
	{ 0x60, 1 },
	{ 0x64, 1 },
	{ 0x81, 15 },
	{ 0xc0, 32 },
	{ 0x170, 8 },
	{ 0x1ce, 3 },
	{ 0x1f0, 8 },
	{ 0x1f0, 8 },
	{ 0x376, 1 },
	{ 0x3b0, 12 },
	{ 0x3c0, 32 },
	{ 0x3f0, 6 },
	{ 0x3f5, 1 },
	{ 0x3f6, 2 },
	{ 0x3f8, 8 },
	{ 0x510, 2 },
	{ 0x514, 8 },
	{ BM, 16 },
	{ 0xcf8, 8 },
};

static void step(struct zoo *z, GRand *rand)
{
	struct rig *r = z->b->r;
	unsigned n = (unsigned)g_rand_int_range(rand, 0, ARRAY_LEN(ranges));
	uint16_t port = (uint16_t)(ranges[n].port + g_rand_int_range(rand, 0, ranges[n].count));
	unsigned size = 1u << g_rand_int_range(rand, 0, 3);
	uint32_t v = g_rand_int(rand);

	/* Numbers that mean something come more often. */
	if (g_rand_int_range(rand, 0, 2))
		v &= 0x0f;
	switch (g_rand_int_range(rand, 0, 40)) {
	case 0:
		rig_advance(r, (int64_t)(v & 0xfffff));
		break;
	case 1:
		media_settle(r, z->disk);
		bench_wait(z->b);
		break;
	case 2:
		rig_write(r, v & (RIG_RAM - 1) & ~7u, 8, (uint64_t)g_rand_int(rand) << 32 | v);
		break;
	case 3:
		rig_write(r, 0xa0000 + (v & 0x1fff8), 8, v);
		break;
	case 4:
		rig_read(r, 0xa0000 + (v & 0x1fff8), 8);
		break;
	case 5:
		i8042_key(&z->i8042, (uint16_t)v, v >> 16 & 1);
		i8042_mouse(&z->i8042, (int)v, (int)(v * 3), (int)(v >> 5), v);
		break;
	case 6:
		uart_receive(&z->uart, (const uint8_t *)&v, 4);
		break;
	case 7: /* transfers that are likely to start */
		bench_lba28(z->b, v & 0xfff, (uint8_t)v);
		rig_out8(r, CMD + 7,
			((const uint8_t[]){ 0x20, 0x30, 0xc8, 0xca, 0xc4, 0xc5, 0x25, 0x35 })[v >> 12 & 7]);
		break;
	case 8:
		for (unsigned i = 0; i < 256; i++)
			port_write(&r->mem, v & 1 ? CMD : CMD2, 2, g_rand_int(rand));
		break;
	default:
		if (g_rand_boolean(rand))
			port_write(&r->mem, port, size, v);
		else
			port_read(&r->mem, port, size);
	}
}

static void wild(void **state)
{
	struct zoo z = { .b = *state };
	GRand *rand = g_rand_new_with_seed(20240229);

	zoo_open(&z);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&z, rand);
		if (i % 3000 == 2999) {
			struct device *dev = z.all[i / 3000 % ARRAY_LEN(z.all)];

			assert_true(rig_reloads(z.b->r, dev));
		}
		if (i % 5000 == 4999) { /* out of whatever it has wedged itself into */
			pthread_mutex_lock(&z.b->r->mem.lock);
			for (unsigned d = 0; d < ARRAY_LEN(z.all); d++)
				device_reset(z.all[d]);
			pthread_mutex_unlock(&z.b->r->mem.lock);
			bench_program(z.b);
		}
	}
	g_rand_free(rand);
	zoo_close(&z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(wild, bench_setup, bench_teardown),
	};

	return cmocka_run_group_tests_name("wild", tests, NULL, NULL);
}
