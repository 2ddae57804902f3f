/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ata_disk.c - the commands of an ATA disk.
 *
 * A range is checked before the first sector moves: a command that reaches past the end moves nothing and
 * answers IDNF. With the write cache off every write ends with a flush.
 *
 * Not here: READ and WRITE BUFFER, LONG, QUEUED, SECURITY, host protected area changes: aborted, and not
 * claimed by IDENTIFY. Theory:  ATA/ATAPI-6, chapter 8.
 */
#include "monitor/dev/ata.h"

#include "base/bits.h"

#define MAX_MULTIPLE  16
#define MAX_CYLINDERS 16383
#define MAX_LBA28     0x0fffffffull
#define MODE_PIO      0x08
#define MODE_MWDMA    0x20
#define MODE_UDMA     0x40
#define MODE_KIND     0xf8

static void geometry(const struct ide_drive *d, uint16_t *cylinders, uint8_t *heads, uint8_t *sectors)
{
	uint64_t c;

	*heads = 16;
	*sectors = 63;
	if (d->sectors < 16 * 63) {
		*heads = 1;
		*sectors = (uint8_t)MIN_OF(d->sectors, 63);
	}
	c = *sectors ? d->sectors / (*heads * *sectors) : 0;
	*cylinders = (uint16_t)MIN_OF(c, MAX_CYLINDERS);
}

void ata_reset(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	geometry(d, &s->cylinders, &s->heads, &s->sectors);
	s->multiple = MAX_MULTIPLE;
	s->write_cache = s->look_ahead = s->smart = 1;
	s->xfer_mode = MODE_UDMA | 2;
}

/* ---- addresses -------------------------------------------------------------------------------------- */

static uint64_t get_lba(const struct ide_drive_state *s)
{
	uint64_t low = s->lba_low[0] | (uint64_t)s->lba_mid[0] << 8 | (uint64_t)s->lba_high[0] << 16;
	uint64_t head = s->device & 0x0f;

	if (s->lba48)
		return low | (uint64_t)s->lba_low[1] << 24 | (uint64_t)s->lba_mid[1] << 32 |
		       (uint64_t)s->lba_high[1] << 40;
	if (s->device & DEV_LBA)
		return low | head << 24;
	if (!s->lba_low[0] || s->lba_low[0] > s->sectors || head >= s->heads)
		return UINT64_MAX; /* sectors count from 1 */
	return ((low >> 8) * s->heads + head) * s->sectors + s->lba_low[0] - 1;
}

static void set_lba(struct ide_drive_state *s, uint64_t lba)
{
	if (s->lba48) {
		s->lba_low[1] = (uint8_t)(lba >> 24);
		s->lba_mid[1] = (uint8_t)(lba >> 32);
		s->lba_high[1] = (uint8_t)(lba >> 40);
	} else if (s->device & DEV_LBA) {
		s->device = (uint8_t)((s->device & 0xf0) | ((lba >> 24) & 0x0f));
	} else if (s->heads && s->sectors) {
		uint64_t track = lba / s->sectors;

		s->device = (uint8_t)((s->device & 0xf0) | (track % s->heads));
		lba = (track / s->heads) << 8 | (lba % s->sectors + 1);
	}
	s->lba_low[0] = (uint8_t)lba;
	s->lba_mid[0] = (uint8_t)(lba >> 8);
	s->lba_high[0] = (uint8_t)(lba >> 16);
}

static uint32_t get_count(const struct ide_drive_state *s)
{
	uint32_t n = s->lba48 ? s->nsector[0] | (uint32_t)s->nsector[1] << 8 : s->nsector[0];

	return n ? n : s->lba48 ? 65536 : 256;
}

/* Take address and count from the task file; false: aborted with IDNF. */
static bool take_range(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	s->lba = get_lba(s);
	s->left = get_count(s);
	if (range_fits(s->lba, s->left, d->sectors))
		return true;
	drive_abort(d, ER_IDNF);
	return false;
}

/* ---- transfers -------------------------------------------------------------------------------------- */

#define EXT   1u /* 48-bit */
#define DMA   2u
#define WRITE 4u
#define MULTI 8u

static void next_write_window(struct ide_drive *d, bool interrupt)
{
	struct ide_drive_state *s = drive_state(d);

	drive_window(d, PHASE_PIO_OUT, 0, MIN_OF(s->left, (uint32_t)s->block) * SECTOR_SIZE, interrupt);
}

static void cmd_transfer(struct ide_drive *d, unsigned how)
{
	struct ide_drive_state *s = drive_state(d);

	s->lba48 = how & EXT ? 1 : 0;
	s->dma = how & DMA ? 1 : 0;
	s->write = how & WRITE ? 1 : 0;
	s->block = how & MULTI ? s->multiple : 1;
	if (!s->block || (s->write && image_read_only(d->image))) {
		drive_abort(d, ER_ABRT);
		return;
	}
	if (!take_range(d))
		return;
	if (s->dma)
		drive_busy(d, s->write ? PHASE_DMA_WRITE : PHASE_DMA_READ);
	else if (s->write)
		next_write_window(d, false); /* the first block comes without interrupt (ATA-6 9.6) */
	else
		drive_busy(d, PHASE_READ);
}

static void next_read_window(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	drive_window(d, PHASE_PIO_IN, s->pos, MIN_OF(s->fill - s->pos, s->block * SECTOR_SIZE), true);
}

static void finish(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (s->dma)
		bus_master_done(drive_channel(d));
	drive_done(d);
	s->nsector[0] = 0;
	drive_interrupt(d);
}

void ata_read_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (s->phase == PHASE_READ)
		next_read_window(d);
	else if (!s->left)
		finish(d);
}

void ata_window_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (s->phase == PHASE_PIO_OUT) {
		s->fill = s->end;
		drive_busy(d, PHASE_WRITE);
	} else if (s->pos < s->fill) {
		next_read_window(d);
	} else if (s->left) {
		drive_busy(d, PHASE_READ);
	} else {
		drive_done(d);
	}
}

void ata_write_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (s->left) {
		if (!s->dma)
			next_write_window(d, true);
	} else if (!s->write_cache) {
		drive_busy(d, PHASE_FLUSH);
	} else {
		finish(d);
	}
}

void ata_flush_done(struct ide_drive *d)
{
	finish(d);
}

/* s->lba is still the first sector of the failed request: as near as the image tells. */
void ata_io_error(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	bool read = s->phase == PHASE_READ || s->phase == PHASE_DMA_READ;

	if (s->phase != PHASE_FLUSH)
		set_lba(s, s->lba);
	drive_abort(d, read ? ER_UNC : ER_ABRT);
	if (!read)
		s->status |= ST_DF;
}

/* ---- IDENTIFY --------------------------------------------------------------------------------------- */

void ata_put_string(uint16_t *words, unsigned count, const char *text)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t a = *text ? (uint8_t)*text++ : ' ', b = *text ? (uint8_t)*text++ : ' ';

		words[i] = (uint16_t)(a << 8 | b);
	}
}

/* The words that are the same for all disks (ATA-6 table 26). */
static const struct {
	uint8_t word;
	uint16_t value;
} identify_fixed[] = {
	{ 0, 0x0040 },                                                  /* fixed disk */
	{ 20, 3 }, { 21, 512 },                                         /* buffer: 256 KiB */
	{ 22, 4 }, { 47, 0x8000 | MAX_MULTIPLE }, { 48, 1 },            /* 32-bit data port */
	{ 49, 0x0b00 },                                                 /* IORDY, LBA, DMA */
	{ 50, 0x4000 }, { 51, 0x0200 }, { 52, 0x0200 }, { 53, 0x0007 }, /* words 54-58, 64-70, 88 are valid */
	{ 64, 0x0003 },                                                 /* PIO 3 and 4 */
	{ 65, 120 }, { 66, 120 }, { 67, 120 }, { 68, 120 }, { 80, 0x007e }, /* ATA-1 to ATA-6 */
	{ 81, 0x0019 }, { 82, 0x4061 }, /* NOP, look-ahead, write cache, SMART */
	{ 83, 0x7400 },                 /* FLUSH CACHE EXT, FLUSH CACHE, 48 bits */
	{ 84, 0x4000 }, { 86, 0x3400 }, { 87, 0x4000 },
	{ 93, 0x600b }, /* 80-wire cable, device 0 by jumper */
};

static void put32(uint16_t *words, uint32_t v)
{
	words[0] = (uint16_t)v;
	words[1] = (uint16_t)(v >> 16);
}

static uint16_t dma_modes(const struct ide_drive_state *s, uint8_t kind, uint16_t modes)
{
	if ((s->xfer_mode & MODE_KIND) == kind)
		modes |= (uint16_t)(0x100u << (s->xfer_mode & 7));
	return modes;
}

static void fill_identify(struct ide_drive *d, uint16_t w[256])
{
	struct ide_drive_state *s = drive_state(d);
	uint16_t cylinders;
	uint8_t heads, sectors, sum = 0;

	memset(w, 0, 512);
	for (size_t i = 0; i < ARRAY_LEN(identify_fixed); i++)
		w[identify_fixed[i].word] = identify_fixed[i].value;
	geometry(d, &cylinders, &heads, &sectors);
	w[1] = cylinders;
	w[3] = heads;
	w[6] = sectors;
	ata_put_string(w + 10, 10, d->serial);
	ata_put_string(w + 23, 4, d->firmware);
	ata_put_string(w + 27, 20, d->model);
	w[54] = s->cylinders;
	w[55] = s->heads;
	w[56] = s->sectors;
	put32(w + 57, (uint32_t)s->cylinders * s->heads * s->sectors);
	w[59] = s->multiple ? 0x100 | s->multiple : 0;
	put32(w + 60, (uint32_t)MIN_OF(d->sectors, MAX_LBA28));
	w[63] = dma_modes(s, MODE_MWDMA, 0x07);
	w[85] = (uint16_t)(0x4000 | (s->look_ahead ? 0x40 : 0) | (s->write_cache ? 0x20 : 0) |
			   (s->smart ? 1 : 0));
	w[88] = dma_modes(s, MODE_UDMA, 0x3f);
	put32(w + 100, (uint32_t)d->sectors);
	put32(w + 102, (uint32_t)(d->sectors >> 32));
	w[255] = 0xa5;
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + (w[i / 2] >> (i & 1 ? 8 : 0)));
	w[255] |= (uint16_t)((uint8_t)-sum << 8);
}

/* One block out of the buffer, no medium involved. */
static void send_block(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	s->left = 0;
	s->fill = SECTOR_SIZE;
	drive_window(d, PHASE_PIO_IN, 0, SECTOR_SIZE, true);
}

static void cmd_identify(struct ide_drive *d, unsigned arg)
{
	uint16_t words[256];

	(void)arg;
	fill_identify(d, words);
	memcpy(drive_state(d)->buffer, words, sizeof(words));
	send_block(d);
}

/* ---- the small ones --------------------------------------------------------------------------------- */

static void ok(struct ide_drive *d)
{
	drive_done(d);
	drive_interrupt(d);
}

static void cmd_ok(struct ide_drive *d, unsigned arg)
{
	(void)arg;
	ok(d);
}

static void cmd_verify(struct ide_drive *d, unsigned how)
{
	drive_state(d)->lba48 = how & EXT ? 1 : 0;
	if (take_range(d))
		ok(d);
}

static void cmd_seek(struct ide_drive *d, unsigned arg)
{
	struct ide_drive_state *s = drive_state(d);

	(void)arg;
	if (get_lba(s) < d->sectors)
		ok(d);
	else
		drive_abort(d, ER_IDNF);
}

static void cmd_flush(struct ide_drive *d, unsigned arg)
{
	(void)arg;
	drive_busy(d, PHASE_FLUSH);
}

static void cmd_init_parameters(struct ide_drive *d, unsigned arg)
{
	struct ide_drive_state *s = drive_state(d);
	uint64_t cylinders;

	(void)arg;
	if (!s->nsector[0]) {
		drive_abort(d, ER_ABRT);
		return;
	}
	s->heads = (s->device & 0x0f) + 1;
	s->sectors = s->nsector[0];
	cylinders = d->sectors / (s->heads * s->sectors);
	s->cylinders = (uint16_t)MIN_OF(cylinders, 65535);
	ok(d);
}

static void cmd_set_multiple(struct ide_drive *d, unsigned arg)
{
	struct ide_drive_state *s = drive_state(d);
	uint8_t n = s->nsector[0];

	(void)arg;
	if (n > MAX_MULTIPLE || (n & (n - 1))) {
		drive_abort(d, ER_ABRT);
		return;
	}
	s->multiple = n;
	ok(d);
}

static bool set_transfer_mode(struct ide_drive_state *s, uint8_t mode)
{
	uint8_t n = mode & 7;

	switch (mode & MODE_KIND) {
	case 0:
		if (n > 1)
			return false;
		break;
	case MODE_PIO:
		if (n > 4)
			return false;
		break;
	case MODE_MWDMA:
		if (n > 2)
			return false;
		break;
	case MODE_UDMA:
		if (n > 5)
			return false;
		break;
	default:
		return false;
	}
	/* A PIO mode leaves the DMA mode selected. */
	if (mode & (MODE_MWDMA | MODE_UDMA))
		s->xfer_mode = mode;
	return true;
}

static void cmd_set_features(struct ide_drive *d, unsigned arg)
{
	struct ide_drive_state *s = drive_state(d);

	(void)arg;
	switch (s->feature[0]) {
	case 0x03:
		if (!set_transfer_mode(s, s->nsector[0])) {
			drive_abort(d, ER_ABRT);
			return;
		}
		break;
	case 0x02:
		s->write_cache = 1;
		break;
	case 0x82: /* what is cached goes to the medium first */
		s->write_cache = 0;
		drive_busy(d, PHASE_FLUSH);
		return;
	case 0x55:
		s->look_ahead = 0;
		break;
	case 0xaa:
		s->look_ahead = 1;
		break;
	case 0x66: /* keep or restore defaults at reset: nothing to do */
	case 0xcc:
		break;
	default:
		drive_abort(d, ER_ABRT);
		return;
	}
	ok(d);
}

static void cmd_power(struct ide_drive *d, unsigned standby)
{
	drive_state(d)->standby = (uint8_t)standby;
	if (standby)
		drive_busy(d, PHASE_FLUSH);
	else
		ok(d);
}

static void cmd_check_power(struct ide_drive *d, unsigned arg)
{
	(void)arg;
	drive_state(d)->nsector[0] = 0xff; /* any command wakes the disk: this one did */
	ok(d);
}

static void cmd_native_max(struct ide_drive *d, unsigned how)
{
	struct ide_drive_state *s = drive_state(d);
	uint64_t last = d->sectors - 1;

	s->lba48 = how & EXT ? 1 : 0;
	if (!s->lba48) {
		s->device |= DEV_LBA;
		last = MIN_OF(last, MAX_LBA28 - 1);
	}
	set_lba(s, last);
	ok(d);
}

/* ---- SMART: a healthy disk without attributes ------------------------------------------------------- */

static void smart_data(struct ide_drive *d, bool status)
{
	uint8_t *b = drive_state(d)->buffer, sum = 0;

	memset(b, 0, SECTOR_SIZE);
	b[0] = 1; /* structure revision */
	if (status) {
		b[362] = 0x82; /* off-line collection completed without error */
		b[364] = 1;    /* seconds it takes */
		b[367] = 0x03; /* off-line immediate, autosave */
		b[368] = 0x03;
		b[372] = 1;
	}
	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + b[i]);
	b[511] = (uint8_t)-sum;
	send_block(d);
}

static void cmd_smart(struct ide_drive *d, unsigned arg)
{
	struct ide_drive_state *s = drive_state(d);
	uint8_t sub = s->feature[0];

	(void)arg;
	if (s->lba_mid[0] != 0x4f || s->lba_high[0] != 0xc2 || (!s->smart && sub != 0xd8)) {
		drive_abort(d, ER_ABRT);
		return;
	}
	switch (sub) {
	case 0xd0:
	case 0xd1:
		smart_data(d, sub == 0xd0);
		break;
	case 0xd8:
	case 0xd9:
		s->smart = sub == 0xd8;
		ok(d);
		break;
	case 0xd2: /* attribute autosave */
	case 0xd4: /* off-line immediate: done already */
	case 0xda: /* status: the signature unchanged says "good" */
		ok(d);
		break;
	default:
		drive_abort(d, ER_ABRT);
	}
}

/* ---- the table -------------------------------------------------------------------------------------- */

static const struct {
	uint8_t first, last;
	void (*run)(struct ide_drive *d, unsigned arg);
	unsigned arg;
} commands[] = {
	{ 0x10, 0x1f, cmd_ok, 0 }, /* RECALIBRATE */
	{ 0x20, 0x21, cmd_transfer, 0 },
	{ 0x24, 0x24, cmd_transfer, EXT },
	{ 0x25, 0x25, cmd_transfer, EXT | DMA },
	{ 0x27, 0x27, cmd_native_max, EXT },
	{ 0x29, 0x29, cmd_transfer, EXT | MULTI },
	{ 0x30, 0x31, cmd_transfer, WRITE },
	{ 0x34, 0x34, cmd_transfer, EXT | WRITE },
	{ 0x35, 0x35, cmd_transfer, EXT | DMA | WRITE },
	{ 0x39, 0x39, cmd_transfer, EXT | MULTI | WRITE },
	{ 0x3c, 0x3c, cmd_transfer, WRITE }, /* WRITE VERIFY */
	{ 0x40, 0x41, cmd_verify, 0 },
	{ 0x42, 0x42, cmd_verify, EXT },
	{ 0x70, 0x7f, cmd_seek, 0 },
	{ 0x91, 0x91, cmd_init_parameters, 0 },
	{ 0x94, 0x94, cmd_power, 1 }, /* the older codes of E0..E6 */
	{ 0x95, 0x95, cmd_power, 0 },
	{ 0x96, 0x96, cmd_power, 1 },
	{ 0x97, 0x97, cmd_power, 0 },
	{ 0x98, 0x98, cmd_check_power, 0 },
	{ 0x99, 0x99, cmd_power, 1 },
	{ 0xb0, 0xb0, cmd_smart, 0 },
	{ 0xc4, 0xc4, cmd_transfer, MULTI },
	{ 0xc5, 0xc5, cmd_transfer, MULTI | WRITE },
	{ 0xc6, 0xc6, cmd_set_multiple, 0 },
	{ 0xc8, 0xc9, cmd_transfer, DMA },
	{ 0xca, 0xcb, cmd_transfer, DMA | WRITE },
	{ 0xe0, 0xe0, cmd_power, 1 }, /* STANDBY IMMEDIATE, IDLE IMMEDIATE, STANDBY, IDLE */
	{ 0xe1, 0xe1, cmd_power, 0 },
	{ 0xe2, 0xe2, cmd_power, 1 },
	{ 0xe3, 0xe3, cmd_power, 0 },
	{ 0xe5, 0xe5, cmd_check_power, 0 },
	{ 0xe6, 0xe6, cmd_power, 1 }, /* SLEEP */
	{ 0xe7, 0xe7, cmd_flush, 0 },
	{ 0xea, 0xea, cmd_flush, 0 },
	{ 0xec, 0xec, cmd_identify, 0 },
	{ 0xef, 0xef, cmd_set_features, 0 },
	{ 0xf8, 0xf8, cmd_native_max, 0 },
};

void ata_command(struct ide_drive *d, uint8_t command)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (command >= commands[i].first && command <= commands[i].last) {
			commands[i].run(d, commands[i].arg);
			return;
		}
	}
	drive_abort(d, ER_ABRT);
}
