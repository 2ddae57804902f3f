/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ATA disks behind the PIIX4 IDE function: PIO, DMA, errors, resets, save and load in the middle. */
#include "tests/unit/dev/ide_bench.h"

static void identify(void **state)
{
	struct ide_bench *b = *state;
	uint16_t w[256];
	uint8_t sum = 0;

	rig_out8(b->r, CMD + 6, 0xa0);
	rig_out8(b->r, CMD + 7, 0xec);
	assert_true(b->r->irq[14].level);
	assert_int_equal(bench_status(b), 0x58);
	assert_false(b->r->irq[14].level);
	bench_in(b, CMD, w, 512);
	assert_int_equal(bench_status(b), 0x50);
	assert_int_equal(b->r->irq[14].rises, 1); /* none after the last block */
	assert_int_equal(w[60] | (uint32_t)w[61] << 16, SECTORS);
	assert_int_equal(w[100], SECTORS);
	assert_int_equal(w[10], 'S' << 8 | 'E');
	assert_int_equal(w[47], 0x8010);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + (w[i / 2] >> (i & 1 ? 8 : 0)));
	assert_int_equal(sum, 0);
}

static void pio_read_one_interrupt_a_sector(void **state)
{
	struct ide_bench *b = *state;
	uint8_t is[SECTOR_SIZE], want[SECTOR_SIZE];

	bench_lba28(b, 100, 3);
	rig_out8(b->r, CMD + 7, 0x20);
	assert_int_equal(rig_in8(b->r, CTL), 0x80);
	bench_wait(b);
	for (uint32_t n = 100; n < 103; n++) {
		assert_true(b->r->irq[14].level);
		assert_int_equal(bench_status(b), 0x58);
		bench_in(b, CMD, is, sizeof(is));
		media_pattern(want, n);
		assert_memory_equal(is, want, sizeof(is));
	}
	assert_int_equal(bench_status(b), 0x50);
	assert_int_equal(b->r->irq[14].rises, 3);
}

static void pio_read_more_than_the_buffer_48_bits_multiple(void **state)
{
	struct ide_bench *b = *state;
	uint8_t is[SECTOR_SIZE], want[SECTOR_SIZE];
	unsigned blocks = 0;

	rig_out8(b->r, CMD + 2, 16);
	rig_out8(b->r, CMD + 7, 0xc6);
	assert_int_equal(bench_status(b), 0x50);
	bench_lba48(b, 1000, 301);
	rig_out8(b->r, CMD + 7, 0x29);
	for (uint32_t n = 1000; n < 1301; n++) {
		bench_wait(b);
		if (b->r->irq[14].level) {
			blocks++;
			assert_int_equal(bench_status(b), 0x58);
		}
		bench_in(b, CMD, is, sizeof(is));
		media_pattern(want, n);
		assert_memory_equal(is, want, sizeof(is));
	}
	assert_int_equal(blocks, 19);
	assert_int_equal(bench_status(b), 0x50);
}

static void pio_write_reaches_the_image(void **state)
{
	struct ide_bench *b = *state;
	uint8_t data[2 * SECTOR_SIZE], is[2 * SECTOR_SIZE];

	memset(data, 0x5a, sizeof(data));
	bench_lba28(b, 7, 2);
	rig_out8(b->r, CMD + 7, 0x30);
	assert_int_equal(bench_status(b), 0x58);
	assert_int_equal(b->r->irq[14].rises, 0); /* none before the first block */
	for (unsigned i = 0; i < 2; i++) {
		bench_out(b, CMD, data + i * SECTOR_SIZE, SECTOR_SIZE);
		assert_int_equal(rig_in8(b->r, CTL), 0x80);
		bench_wait(b);
		assert_true(b->r->irq[14].level);
		assert_int_equal(bench_status(b), i ? 0x50 : 0x58);
	}
	assert_true(image_read(b->disk->img, 7, is, 2, NULL));
	assert_memory_equal(is, data, sizeof(is));
}

static void chs_addresses_the_same_sectors(void **state)
{
	struct ide_bench *b = *state;
	uint32_t n;

	/* INITIALIZE DEVICE PARAMETERS: 4 heads, 10 sectors; then cylinder 3, head 2, sector 5. */
	rig_out8(b->r, CMD + 6, 0xa3);
	rig_out8(b->r, CMD + 2, 10);
	rig_out8(b->r, CMD + 7, 0x91);
	assert_int_equal(bench_status(b), 0x50);
	rig_out8(b->r, CMD + 6, 0xa2);
	rig_out8(b->r, CMD + 2, 1);
	rig_out8(b->r, CMD + 3, 5);
	rig_out8(b->r, CMD + 4, 3);
	rig_out8(b->r, CMD + 5, 0);
	rig_out8(b->r, CMD + 7, 0x20);
	bench_wait(b);
	n = rig_in32(b->r, CMD);
	assert_int_equal(n, (3 * 4 + 2) * 10 + 4);
}

static void out_of_range_is_idnf(void **state)
{
	struct ide_bench *b = *state;

	bench_lba28(b, SECTORS - 1, 2);
	rig_out8(b->r, CMD + 7, 0x20);
	assert_true(b->r->irq[14].level);
	assert_int_equal(bench_status(b) & 0x89, 0x01);
	assert_int_equal(rig_in8(b->r, CMD + 1), 0x10);
	bench_lba48(b, 0xffffffffffffull, 0);
	rig_out8(b->r, CMD + 7, 0x25);
	assert_int_equal(bench_status(b) & 0x89, 0x01);
	rig_out8(b->r, CMD + 7, 0x06); /* not a command it has */
	assert_int_equal(rig_in8(b->r, CMD + 1), 0x04);
}

static void dma_read_scatters(void **state)
{
	struct ide_bench *b = *state;

	bench_prd(b, 0, DMA_BUF, 512 + 256, false);
	bench_prd(b, 1, DMA_BUF + 0x1000, 256, false);
	bench_prd(b, 2, DMA_BUF + 0x2000, 512, true);
	bench_lba28(b, 50, 3);
	rig_out8(b->r, CMD + 7, 0xc8);
	bench_wait(b);
	assert_int_equal(rig_in8(b->r, BM + 2) & 5, 0); /* nothing before the start */
	bench_start(b, BM, true);
	bench_wait(b);
	assert_true(b->r->irq[14].level);
	assert_int_equal(rig_in8(b->r, BM + 2) & 7, 4);
	assert_int_equal(bench_status(b), 0x50);
	assert_true(bench_holds(b, DMA_BUF, 50));
	assert_true(bench_holds(b, DMA_BUF + 0x2000, 52));
	assert_int_equal(rig_read(b->r, DMA_BUF + 0x1000, 4), 51 * 0x01010101);
	rig_out8(b->r, BM + 2, 4);
	assert_int_equal(rig_in8(b->r, BM + 2) & 7, 0);
}

static void dma_write_long(void **state)
{
	struct ide_bench *b = *state;
	uint8_t is[SECTOR_SIZE];

	/* 1024 sectors: more than one request to the image; the same 64 KiB of memory eight times. */
	for (unsigned i = 0; i < 8; i++)
		bench_prd(b, i, DMA_BUF, 0, i == 7);
	memset(b->r->ram.base + DMA_BUF, 0xc3, 0x10000);
	bench_lba48(b, 2000, 1024);
	bench_start(b, BM, false);
	rig_out8(b->r, CMD + 7, 0x35);
	bench_wait(b);
	assert_int_equal(rig_in8(b->r, BM + 2) & 7, 4);
	assert_int_equal(bench_status(b), 0x50);
	assert_true(image_read(b->disk->img, 3023, is, 1, NULL));
	assert_int_equal(is[511], 0xc3);
	assert_true(image_read(b->disk->img, 3024, is, 1, NULL));
	assert_int_equal(is[511], 3024 & 0xff);
}

static void prds_beyond_memory_and_too_short(void **state)
{
	struct ide_bench *b = *state;

	/* The table itself lies nowhere: entries of all ones. */
	bench_lba28(b, 0, 1);
	rig_out8(b->r, CMD + 7, 0xc8);
	rig_out32(b->r, BM + 4, 0xfffffff0);
	rig_out8(b->r, BM, 9);
	bench_wait(b);
	assert_int_equal(bench_status(b), 0x50);
	rig_out8(b->r, BM, 8);

	/* One sector of room for two: the drive waits, ACTIVE falls, no interrupt; a reset gets out of it. */
	bench_prd(b, 0, DMA_BUF, 512, true);
	rig_out8(b->r, BM + 2, 6);
	bench_lba28(b, 0, 2);
	rig_out8(b->r, CMD + 7, 0xc8);
	bench_start(b, BM, true);
	bench_wait(b);
	assert_int_equal(rig_in8(b->r, BM + 2) & 7, 0);
	assert_int_equal(rig_in8(b->r, CTL), 0x80);
	rig_out8(b->r, CTL, 4);
	rig_out8(b->r, CTL, 0);
	assert_int_equal(bench_status(b), 0x50);
	assert_int_equal(rig_in8(b->r, CMD + 4), 0);
}

static void reset_drops_the_answer_of_an_old_request(void **state)
{
	struct ide_bench *b = *state;

	bench_lba28(b, 10, 1);
	rig_out8(b->r, CMD + 7, 0x20);
	rig_out8(b->r, CTL, 4);
	assert_int_equal(rig_in8(b->r, CTL), 0x80);
	rig_out8(b->r, CTL, 0);
	bench_lba28(b, 20, 1);
	rig_out8(b->r, CMD + 7, 0x20);
	bench_wait(b);
	assert_int_equal(bench_status(b), 0x58);
	assert_int_equal(rig_in32(b->r, CMD), 20);
}

static void absent_drives_and_nien(void **state)
{
	struct ide_bench *b = *state;

	rig_out8(b->r, CMD + 6, 0xb0);
	assert_int_equal(bench_status(b), 0);
	rig_out8(b->r, CMD + 7, 0xec);
	assert_int_equal(bench_status(b), 0);
	rig_out8(b->r, CMD + 6, 0xa0);
	rig_out8(b->r, CTL, 2);
	rig_out8(b->r, CMD + 7, 0xec);
	assert_int_equal(b->r->irq[14].rises, 0);
	rig_out8(b->r, CTL, 0);
	assert_true(b->r->irq[14].level);
	/* EXECUTE DEVICE DIAGNOSTIC */
	bench_status(b);
	rig_out8(b->r, CTL, 4);
	rig_out8(b->r, CTL, 0);
	rig_out8(b->r, CMD + 7, 0x90);
	assert_int_equal(rig_in8(b->r, CMD + 1), 1);
	assert_int_equal(rig_in8(b->r, CMD + 3), 1);
}

static void flush_and_features(void **state)
{
	struct ide_bench *b = *state;

	rig_out8(b->r, CMD + 7, 0xe7);
	assert_int_equal(rig_in8(b->r, CTL), 0x80);
	bench_wait(b);
	assert_int_equal(bench_status(b), 0x50);
	rig_out8(b->r, CMD + 1, 0x03);
	rig_out8(b->r, CMD + 2, 0x45);
	rig_out8(b->r, CMD + 7, 0xef);
	assert_int_equal(bench_status(b), 0x50);
	rig_out8(b->r, CMD + 2, 0x4f);
	rig_out8(b->r, CMD + 7, 0xef);
	assert_int_equal(bench_status(b) & 1, 1);
	/* READ NATIVE MAX */
	rig_out8(b->r, CMD + 6, 0xe0);
	rig_out8(b->r, CMD + 7, 0xf8);
	assert_int_equal(rig_in8(b->r, CMD + 3) | rig_in8(b->r, CMD + 4) << 8, SECTORS - 1);
	/* SMART RETURN STATUS keeps the signature */
	rig_out8(b->r, CMD + 1, 0xda);
	rig_out8(b->r, CMD + 4, 0x4f);
	rig_out8(b->r, CMD + 5, 0xc2);
	rig_out8(b->r, CMD + 7, 0xb0);
	assert_int_equal(bench_status(b), 0x50);
	assert_int_equal(rig_in8(b->r, CMD + 4), 0x4f);
}

/* The file was cut behind our back: the sectors it lost are unreadable, the others are not. */
static void an_unreadable_image_is_unc(void **state)
{
	struct ide_bench *b = *state;

	assert_int_equal(truncate(b->disk->path, 1000 * SECTOR_SIZE), 0);
	bench_lba28(b, 2000, 1);
	rig_out8(b->r, CMD + 7, 0x20);
	bench_wait(b);
	assert_true(b->r->irq[14].level);
	assert_int_equal(bench_status(b) & 0x89, 0x01);
	assert_int_equal(rig_in8(b->r, CMD + 1), 0x40);
	assert_int_equal(rig_in8(b->r, CMD + 3) | rig_in8(b->r, CMD + 4) << 8, 2000);
	bench_prd(b, 0, DMA_BUF, 512, true);
	bench_lba28(b, 2000, 1);
	bench_start(b, BM, true);
	rig_out8(b->r, CMD + 7, 0xc8);
	bench_wait(b);
	assert_int_equal(rig_in8(b->r, BM + 2) & 5, 4);
	assert_int_equal(bench_status(b) & 0x89, 0x01);
	bench_lba28(b, 999, 1);
	rig_out8(b->r, CMD + 7, 0x20);
	bench_wait(b);
	assert_int_equal(bench_status(b), 0x58);
}

/* The state is saved while the image is being asked, and goes on by itself after the load. */
static void save_in_the_middle(void **state)
{
	struct ide_bench *b = *state;

	assert_true(rig_reloads_golden(b->r, &b->ide.pci.dev, "ide-v1"));

	/* A PIO read: between two sectors, then while asking. */
	bench_lba28(b, 30, 2);
	rig_out8(b->r, CMD + 7, 0x20);
	assert_true(rig_reloads(b->r, &b->ide.pci.dev));
	bench_wait(b);
	assert_int_equal(bench_status(b), 0x58);
	assert_int_equal(rig_in32(b->r, CMD), 30);
	assert_true(rig_reloads(b->r, &b->ide.pci.dev));
	for (unsigned i = 4; i < 512; i += 4)
		assert_int_equal(rig_in32(b->r, CMD), 30 * 0x01010101);
	assert_int_equal(rig_in32(b->r, CMD), 31);

	/* A DMA write that was started. */
	rig_out8(b->r, CTL, 4);
	rig_out8(b->r, CTL, 0);
	bench_prd(b, 0, DMA_BUF, 1024, true);
	memset(b->r->ram.base + DMA_BUF, 0x77, 1024);
	bench_lba28(b, 60, 2);
	rig_out8(b->r, CMD + 7, 0xca);
	bench_start(b, BM, false);
	assert_true(rig_reloads(b->r, &b->ide.pci.dev));
	bench_wait(b);
	assert_int_equal(rig_in8(b->r, BM + 2) & 7, 4);
	assert_int_equal(bench_status(b), 0x50);
}

static void a_read_only_image_refuses_writes(void **state)
{
	struct ide_bench *b = *state;

	ide_attach_disk(&b->ide, 0, 1, b->cd->img, NULL, NULL);
	pthread_mutex_lock(&b->r->mem.lock);
	device_reset(&b->ide.pci.dev);
	pthread_mutex_unlock(&b->r->mem.lock);
	rig_out8(b->r, CMD + 6, 0xf0);
	rig_out8(b->r, CMD + 2, 1);
	rig_out8(b->r, CMD + 7, 0x30);
	assert_int_equal(bench_status(b) & 9, 1);
	assert_int_equal(rig_in8(b->r, CMD + 1), 4);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(identify),
		T(pio_read_one_interrupt_a_sector),
		T(pio_read_more_than_the_buffer_48_bits_multiple),
		T(pio_write_reaches_the_image),
		T(chs_addresses_the_same_sectors),
		T(out_of_range_is_idnf),
		T(dma_read_scatters),
		T(dma_write_long),
		T(prds_beyond_memory_and_too_short),
		T(reset_drops_the_answer_of_an_old_request),
		T(absent_drives_and_nien),
		T(flush_and_features),
		T(an_unreadable_image_is_unc),
		T(save_in_the_middle),
		T(a_read_only_image_refuses_writes),
	};

	return cmocka_run_group_tests_name("ata", tests, NULL, NULL);
}
