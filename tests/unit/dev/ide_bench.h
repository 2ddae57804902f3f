/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/unit/dev/ide_bench.h - an IDE controller with a disk as primary master and a CD-ROM as secondary
 * master, driven as a driver would.
 */
#ifndef SERAI_TESTS_UNIT_DEV_IDE_BENCH_H
#define SERAI_TESTS_UNIT_DEV_IDE_BENCH_H

#include "monitor/dev/ide.h"
#include "tests/unit/dev/media.h"

#define DEVFN   (7 << 3 | 1)
#define CMD     0x1f0
#define CTL     0x3f6
#define CMD2    0x170
#define BM      0xc000
#define BM2     0xc008
#define PRDS    0x8000
#define DMA_BUF 0x20000

#define SECTORS    4096u
#define CD_SECTORS 400u /* of 512 bytes */

struct ide_bench {
	struct rig *r;
	struct pci_bus bus;
	struct ide ide;
	struct media *disk, *cd;
	unsigned tray_calls;
};

static inline void bench_tray(void *opaque, unsigned channel, unsigned drive, bool open)
{
	struct ide_bench *b = opaque;

	assert_int_equal(channel, 1);
	assert_int_equal(drive, 0);
	(void)open;
	b->tray_calls++;
}

static inline void bench_program(struct ide_bench *b)
{
	rig_pci_write(b->r, DEVFN, 0x20, 4, BM);
	rig_pci_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static inline int bench_setup(void **state)
{
	struct ide_bench *b = g_new0(struct ide_bench, 1);

	b->r = rig_new();
	b->disk = media_new("raw", SECTORS, false);
	b->cd = media_new("iso", CD_SECTORS, true);
	pci_bus_init(&b->bus, &b->r->mem, &b->r->timers);
	ide_init(&b->ide, &b->bus, DEVFN, &b->r->mem, &b->r->timers);
	irq_connect(&b->ide.irq[0], rig_sink, b->r, 14);
	irq_connect(&b->ide.irq[1], rig_sink, b->r, 15);
	b->ide.tray = bench_tray;
	b->ide.tray_opaque = b;
	ide_attach_disk(&b->ide, 0, 0, b->disk->img, NULL, "SERIAL42");
	ide_attach_cdrom(&b->ide, 1, 0, b->cd->img, NULL, NULL);
	device_reset(&b->ide.pci.dev);
	bench_program(b);
	*state = b;
	return 0;
}

static inline int bench_teardown(void **state)
{
	struct ide_bench *b = *state;

	media_settle(b->r, b->disk);
	media_settle(b->r, b->cd);
	assert_true(ide_idle(&b->ide));
	ide_destroy(&b->ide);
	media_free(b->disk);
	media_free(b->cd);
	rig_free(b->r);
	g_free(b);
	return 0;
}

/* Let the image work, both of them. */
static inline void bench_wait(struct ide_bench *b)
{
	media_settle(b->r, b->disk);
	media_settle(b->r, b->cd);
}

static inline void bench_lba28(struct ide_bench *b, uint32_t lba, uint8_t count)
{
	rig_out8(b->r, CMD + 6, (uint8_t)(0xe0 | lba >> 24));
	rig_out8(b->r, CMD + 2, count);
	rig_out8(b->r, CMD + 3, (uint8_t)lba);
	rig_out8(b->r, CMD + 4, (uint8_t)(lba >> 8));
	rig_out8(b->r, CMD + 5, (uint8_t)(lba >> 16));
}

static inline void bench_lba48(struct ide_bench *b, uint64_t lba, uint16_t count)
{
	rig_out8(b->r, CMD + 6, 0xe0);
	for (int high = 1; high >= 0; high--) {
		rig_out8(b->r, CMD + 2, (uint8_t)(count >> 8 * high));
		rig_out8(b->r, CMD + 3, (uint8_t)(lba >> 24 * high));
		rig_out8(b->r, CMD + 4, (uint8_t)(lba >> (24 * high + 8)));
		rig_out8(b->r, CMD + 5, (uint8_t)(lba >> (24 * high + 16)));
	}
}

static inline uint8_t bench_status(struct ide_bench *b)
{
	return rig_in8(b->r, CMD + 7);
}

static inline void bench_in(struct ide_bench *b, uint16_t port, void *buf, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		uint16_t w = rig_in16(b->r, port);

		memcpy((char *)buf + i, &w, 2);
	}
}

static inline void bench_out(struct ide_bench *b, uint16_t port, const void *buf, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		uint16_t w;

		memcpy(&w, (const char *)buf + i, 2);
		rig_out16(b->r, port, w);
	}
}

static inline void bench_prd(struct ide_bench *b, unsigned n, uint32_t address, uint16_t bytes, bool last)
{
	rig_write(b->r, PRDS + 8 * n, 4, address);
	rig_write(b->r, PRDS + 8 * n + 4, 4, bytes | (last ? 0x80000000u : 0));
}

static inline void bench_start(struct ide_bench *b, uint16_t bm, bool to_memory)
{
	rig_out32(b->r, bm + 4, PRDS);
	rig_out8(b->r, bm + 2, 0x66);
	rig_out8(b->r, bm, to_memory ? 8 : 0);
	rig_out8(b->r, bm, to_memory ? 9 : 1);
}

static inline bool bench_holds(struct ide_bench *b, uint64_t gpa, uint32_t sector)
{
	uint8_t want[SECTOR_SIZE], is[SECTOR_SIZE];

	media_pattern(want, sector);
	phys_read(&b->r->mem, gpa, is, sizeof(is));
	return memcmp(want, is, sizeof(is)) == 0;
}

#endif
