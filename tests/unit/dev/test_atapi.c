/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An ATAPI CD-ROM drive: packets by PIO and DMA, sense data, changing the disc. */
#include "tests/unit/dev/ide_bench.h"

/* Send a packet; byte limit for PIO answers. */
static void packet(struct ide_bench *b, const uint8_t *p, uint16_t limit, bool dma)
{
	uint8_t full[12] = { 0 };

	memcpy(full, p, 12);
	rig_out8(b->r, CMD2 + 6, 0xa0);
	rig_out8(b->r, CMD2 + 1, dma);
	rig_out8(b->r, CMD2 + 4, (uint8_t)limit);
	rig_out8(b->r, CMD2 + 5, (uint8_t)(limit >> 8));
	rig_out8(b->r, CMD2 + 7, 0xa0);
	assert_int_equal(rig_in8(b->r, CMD2 + 7) & 0x88, 0x08);
	assert_int_equal(rig_in8(b->r, CMD2 + 2) & 3, 1);
	bench_out(b, CMD2, full, 12);
	bench_wait(b);
}

/* A whole command by PIO; returns the bytes that came, status of its end in *status. */
static unsigned command(struct ide_bench *b, const uint8_t *p, uint8_t *out, unsigned room, uint8_t *status)
{
	unsigned got = 0;

	packet(b, p, 2048, false);
	for (;;) {
		unsigned n;

		assert_true(b->r->irq[15].level);
		*status = rig_in8(b->r, CMD2 + 7);
		if (!(*status & 8))
			return got;
		n = rig_in8(b->r, CMD2 + 4) | (unsigned)rig_in8(b->r, CMD2 + 5) << 8;
		assert_true(n <= 2048 && got + n <= room);
		bench_in(b, CMD2, out + got, n);
		got += n;
		bench_wait(b);
	}
}

static void expect_sense(struct ide_bench *b, uint8_t key, uint8_t asc)
{
	uint8_t sense[18], status;

	assert_int_equal(
		command(b, (const uint8_t[12]){ 0x03, 0, 0, 0, 18 }, sense, sizeof(sense), &status), 18);
	assert_int_equal(status & 1, 0);
	assert_int_equal(sense[0], 0x70);
	assert_int_equal(sense[2], key);
	assert_int_equal(sense[12], asc);
}

static void signature_and_identify(void **state)
{
	struct ide_bench *b = *state;
	uint16_t w[256];

	rig_out8(b->r, CMD2 + 6, 0xa0);
	assert_int_equal(rig_in8(b->r, CMD2 + 4), 0x14);
	assert_int_equal(rig_in8(b->r, CMD2 + 5), 0xeb);
	rig_out8(b->r, CMD2 + 7, 0xec);
	assert_int_equal(rig_in8(b->r, CMD2 + 7) & 1, 1);
	assert_int_equal(rig_in8(b->r, CMD2 + 4), 0x14);
	rig_out8(b->r, CMD2 + 7, 0xa1);
	assert_int_equal(rig_in8(b->r, CMD2 + 7) & 0x89, 8);
	bench_in(b, CMD2, w, 512);
	assert_int_equal(w[0], 0x85c0);
	assert_false(b->r->irq[15].level);
	assert_int_equal(rig_in8(b->r, CMD2 + 7) & 0x89, 0);
}

static void reads_by_pio(void **state)
{
	struct ide_bench *b = *state;
	uint8_t data[20 * 2048], status;
	uint32_t n;

	/* READ(10), 20 sectors from 3: more than one filling of the buffer. */
	assert_int_equal(
		command(b, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 3, 0, 0, 20 }, data, sizeof(data), &status),
		20 * 2048);
	assert_int_equal(status, 0x50);
	assert_int_equal(rig_in8(b->r, CMD2 + 2) & 3, 3);
	for (unsigned i = 0; i < 80; i++) {
		memcpy(&n, data + i * 512, 4);
		assert_int_equal(n, 12 + i);
	}
	assert_int_equal(command(b, (const uint8_t[12]){ 0x25 }, data, sizeof(data), &status), 8);
	assert_int_equal(data[3], CD_SECTORS / 4 - 1);
	assert_int_equal(data[6], 8);
}

static void reads_by_dma(void **state)
{
	struct ide_bench *b = *state;

	for (unsigned i = 0; i < 40; i++)
		bench_prd(b, i, DMA_BUF + i * 2048, 2048, i == 39);
	bench_start(b, BM2, true);
	packet(b, (const uint8_t[12]){ 0xa8, 0, 0, 0, 0, 10, 0, 0, 0, 40 }, 0, true);
	assert_int_equal(rig_in8(b->r, BM2 + 2) & 7, 4);
	assert_int_equal(rig_in8(b->r, CMD2 + 7), 0x50);
	for (unsigned i = 0; i < 160; i++)
		assert_true(bench_holds(b, DMA_BUF + i * 512, 40 + i));
}

static void raw_sectors_and_toc(void **state)
{
	struct ide_bench *b = *state;
	uint8_t data[14 * 2352], status;

	assert_int_equal(command(b, (const uint8_t[12]){ 0xbe, 0, 0, 0, 0, 0, 0, 0, 14, 0xf8 }, data,
				 sizeof(data), &status),
		14 * 2352);
	assert_int_equal(data[13 * 2352 + 1], 0xff);
	assert_int_equal(data[13 * 2352 + 13], 0x02);
	assert_int_equal(data[13 * 2352 + 14], 0x13);
	assert_int_equal(data[13 * 2352 + 16], 52);
	assert_int_equal(command(b, (const uint8_t[12]){ 0x43, 0, 0, 0, 0, 0, 0, 0, 100 }, data, sizeof(data),
				 &status),
		20);
	assert_int_equal(data[14], 0xaa);
	assert_int_equal(data[19], CD_SECTORS / 4);
	assert_int_equal(command(b, (const uint8_t[12]){ 0x43, 2, 2, 0, 0, 0, 0, 0, 100 }, data, sizeof(data),
				 &status),
		48);
	assert_int_equal(
		command(b, (const uint8_t[12]){ 0x43, 0, 0, 0, 0, 0, 0, 0, 6 }, data, sizeof(data), &status),
		6);
	assert_int_equal(data[1], 18); /* the length is that of the whole answer */
	assert_int_equal(command(b, (const uint8_t[12]){ 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 200 }, data,
				 sizeof(data), &status),
		54);
	assert_int_equal(command(b, (const uint8_t[12]){ 0x46, 0, 0, 0, 0, 0, 0, 0, 200 }, data, sizeof(data),
				 &status),
		64);
	assert_int_equal(data[7], 8);
	assert_int_equal(command(b, (const uint8_t[12]){ 0x51, 0, 0, 0, 0, 0, 0, 0, 200 }, data, sizeof(data),
				 &status),
		34);
	assert_int_equal(
		command(b, (const uint8_t[12]){ 0x12, 0, 0, 0, 36 }, data, sizeof(data), &status), 36);
	assert_memory_equal(data + 8, "VMware  Virtual IDE CDRO", 24);
}

static void errors(void **state)
{
	struct ide_bench *b = *state;
	uint8_t data[2048], status;

	command(b, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, CD_SECTORS / 4, 0, 0, 1 }, data, sizeof(data),
		&status);
	assert_int_equal(status & 1, 1);
	assert_int_equal(rig_in8(b->r, CMD2 + 1) >> 4, 5);
	expect_sense(b, 5, 0x21);
	expect_sense(b, 0, 0);
	command(b, (const uint8_t[12]){ 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff }, data, sizeof(data),
		&status);
	expect_sense(b, 5, 0x21);
	command(b, (const uint8_t[12]){ 0xff }, data, sizeof(data), &status);
	expect_sense(b, 5, 0x20);
	command(b, (const uint8_t[12]){ 0x12, 1, 0x80, 0, 36 }, data, sizeof(data), &status);
	expect_sense(b, 5, 0x24);
}

static void change_and_eject(void **state)
{
	struct ide_bench *b = *state;
	uint8_t data[64], status;

	/* Locked, it does not open; unlocked, it does. */
	command(b, (const uint8_t[12]){ 0x1e, 0, 0, 0, 1 }, data, 0, &status);
	command(b, (const uint8_t[12]){ 0x1b, 0, 0, 0, 2 }, data, 0, &status);
	expect_sense(b, 5, 0x53);
	command(b, (const uint8_t[12]){ 0x1e }, data, 0, &status);
	command(b, (const uint8_t[12]){ 0x1b, 0, 0, 0, 2 }, data, 0, &status);
	assert_int_equal(status & 1, 0);
	assert_int_equal(b->tray_calls, 1);
	command(b, (const uint8_t[12]){ 0x00 }, data, 0, &status);
	assert_int_equal(status & 1, 1);
	expect_sense(b, 2, 0x3a);
	assert_int_equal(
		command(b, (const uint8_t[12]){ 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 }, data, 8, &status), 8);
	assert_int_equal(data[4], 3);
	assert_int_equal(data[5], 1);

	pthread_mutex_lock(&b->r->mem.lock);
	ide_change_medium(&b->ide, 1, 0, b->cd->img);
	pthread_mutex_unlock(&b->r->mem.lock);
	command(b, (const uint8_t[12]){ 0x00 }, data, 0, &status);
	expect_sense(b, 6, 0x28);
	command(b, (const uint8_t[12]){ 0x00 }, data, 0, &status);
	assert_int_equal(status & 1, 0);
	assert_int_equal(
		command(b, (const uint8_t[12]){ 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 }, data, 8, &status), 8);
	assert_int_equal(data[4], 2);

	/* Taken out: answers without a disc still work, by DMA too. */
	pthread_mutex_lock(&b->r->mem.lock);
	ide_change_medium(&b->ide, 1, 0, NULL);
	pthread_mutex_unlock(&b->r->mem.lock);
	bench_prd(b, 0, DMA_BUF, 64, true);
	bench_start(b, BM2, true);
	packet(b, (const uint8_t[12]){ 0x12, 0, 0, 0, 36 }, 0, true);
	assert_int_equal(rig_in8(b->r, CMD2 + 7), 0x50);
	assert_int_equal(rig_read(b->r, DMA_BUF, 2), 0x8005);
	assert_int_equal(rig_in8(b->r, BM2 + 2) & 7, 5); /* the PRDs had more room: ACTIVE stays */
}

static void save_in_the_middle(void **state)
{
	struct ide_bench *b = *state;
	uint8_t data[2048];
	uint32_t n;

	packet(b, (const uint8_t[12]){ 0x28, 0, 0, 0, 0, 5, 0, 0, 2 }, 2048, false);
	assert_true(rig_reloads(b->r, &b->ide.pci.dev));
	bench_in(b, CMD2, data, 2048);
	assert_true(rig_reloads(b->r, &b->ide.pci.dev));
	bench_wait(b);
	bench_in(b, CMD2, data, 2048);
	memcpy(&n, data, 4);
	assert_int_equal(n, 24);
	assert_int_equal(rig_in8(b->r, CMD2 + 7), 0x50);
}

#define T(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signature_and_identify),
		T(reads_by_pio),
		T(reads_by_dma),
		T(raw_sectors_and_toc),
		T(errors),
		T(change_and_eject),
		T(save_in_the_middle),
	};

	return cmocka_run_group_tests_name("atapi", tests, NULL, NULL);
}
