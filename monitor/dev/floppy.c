/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/floppy.c - an 82078 floppy controller with two drives.
 *
 *   0x3F0 SRA  0x3F1 SRB  0x3F2 DOR  0x3F3 TDR  0x3F4 MSR / DSR  0x3F5 FIFO  0x3F7 DIR / CCR
 *
 * A command has three phases: its bytes, the transfer (a sector at a time), its result.  The transfer is
 * carried out by floppy_pump from the state alone, so a loaded state goes on.
 *
 * Promise: every index into command, result and data is checked where it moves (the FIFO's index is VENOM's
 * hole). Not here: SCAN, SAVE, RESTORE; sectors of other sizes than 512 bytes; deleted-data marks (read as
 * plain ones). Theory:  Intel 82078 data sheet, chapters 2 (registers), 5 (commands), 6 (status bytes).
 */
#include "monitor/dev/floppy.h"

#define DOR_DRIVE 0x03
#define DOR_RUN   0x04 /* not in reset */
#define DOR_GATE  0x08 /* interrupt and DMA reach the bus */

#define MSR_RQM  0x80
#define MSR_DIO  0x40
#define MSR_NDMA 0x20
#define MSR_CB   0x10

#define DSR_RESET 0x80

#define ST0_ABNORMAL 0x40
#define ST0_INVALID  0x80
#define ST0_POLLED   0xc0
#define ST0_SEEK_END 0x20
#define ST0_EQUIP    0x10

#define ST1_END     0x80
#define ST1_DATA    0x20 /* CRC: what an unreadable image looks like */
#define ST1_OVERRUN 0x10
#define ST1_NO_DATA 0x04
#define ST1_PROTECT 0x02
#define ST1_NO_MARK 0x01
#define ST2_WRONG_C 0x10

#define CONFIG_EIS 0x40 /* implied seek */

#define VERSION_82078 0x90
#define PART_82078    0x41

enum phase { PHASE_COMMAND, PHASE_EXECUTE, PHASE_RESULT, PHASE_COUNT };
enum kind { KIND_READ, KIND_WRITE, KIND_VERIFY, KIND_FORMAT, KIND_COUNT };
enum io { IO_NONE, IO_READ, IO_WRITE, IO_COUNT };

static const struct media {
	uint16_t sectors_total;
	uint8_t tracks, heads, sectors, rate, cmos_type;
} medias[] = {
	/* in order of size; an image that fits none is the next larger one with its end missing */
	{ 320, 40, 1, 8, 2, 1 },
	{ 360, 40, 1, 9, 2, 1 },
	{ 640, 40, 2, 8, 2, 1 },
	{ 720, 40, 2, 9, 2, 1 },
	{ 1440, 80, 2, 9, 2, 4 },
	{ 2400, 80, 2, 15, 0, 2 },
	{ 2880, 80, 2, 18, 0, 4 },
	{ 3360, 80, 2, 21, 0, 4 },
	{ 5760, 80, 2, 36, 3, 5 },
};

static struct floppy *to_floppy(struct device *dev)
{
	return (struct floppy *)dev;
}

/* Selected by the command, not by DOR. Drives 2 and 3 are never there. */
static const struct floppy_drive *unit(struct floppy *f, uint8_t drive_head)
{
	static const struct floppy_drive none;

	return (drive_head & 3) < FLOPPY_DRIVES ? &f->drive[drive_head & 3] : &none;
}

/* ---- results ---------------------------------------------------------------------------------------- */

static void set_result(struct floppy_state *s, const uint8_t *bytes, uint8_t n)
{
	if (n)
		memcpy(s->result, bytes, n);
	s->result_len = n;
	s->result_pos = 0;
	s->io = IO_NONE;
	s->phase = n ? PHASE_RESULT : PHASE_COMMAND;
	s->command_len = 0;
}

static void no_result(struct floppy_state *s)
{
	set_result(s, NULL, 0);
}

static void invalid(struct floppy_state *s)
{
	set_result(s, (const uint8_t[]){ ST0_INVALID }, 1);
}

/* The seven bytes every transfer ends with, and its interrupt. */
static void finish(struct floppy_state *s, uint8_t st0, uint8_t st1, uint8_t st2)
{
	const uint8_t bytes[7] = { st0 | (s->drive_head & 7), st1, st2, s->c, s->h, s->r, s->n };

	set_result(s, bytes, 7);
	s->irq = 1;
}

/* ---- transfers -------------------------------------------------------------------------------------- */

static bool at_end(const struct floppy_state *s)
{
	return s->r == s->eot && (!s->multi_track || (s->h & 1));
}

/* The sector after this one, as the result shows it (82078 table 6-2). */
static void advance(struct floppy_state *s)
{
	if (s->r != s->eot) {
		s->r++;
		return;
	}
	s->r = 1;
	if (s->multi_track)
		s->h ^= 1;
	if (!s->multi_track || !(s->h & 1))
		s->c++;
}

/* Check that the sector is on the track under the head; false: the command has ended. */
static bool find_sector(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	const struct floppy_drive *d = unit(f, s->drive_head);
	uint8_t track = d->present ? s->drive[s->drive_head & 1].track : 0;

	if (!d->image || (s->ccr & 3) != d->rate || s->h >= d->heads) {
		finish(s, ST0_ABNORMAL, ST1_NO_MARK, 0);
		return false;
	}
	if (s->c != track) {
		finish(s, ST0_ABNORMAL, ST1_NO_DATA, ST2_WRONG_C);
		return false;
	}
	if (!s->r || s->r > d->sectors || s->n != 2 || s->c >= d->tracks) {
		finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
		return false;
	}
	return true;
}

static uint64_t sector_lba(struct floppy *f)
{
	const struct floppy_state *s = &f->s;
	const struct floppy_drive *d = unit(f, s->drive_head);

	return ((uint64_t)s->c * d->heads + s->h) * d->sectors + s->r - 1;
}

/* The processor's turn to move n bytes. */
static void open_pio(struct floppy_state *s, uint16_t n)
{
	s->pos = 0;
	s->len = n;
	s->irq = 1;
}

/* Fetch what the next write needs: a sector, or four bytes of a format. */
static void want_data(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	uint16_t n = s->kind == KIND_FORMAT ? 4 : 512;
	bool tc = false;
	size_t got;

	if (!s->use_dma) {
		open_pio(s, n);
		return;
	}
	memset(s->data, 0, n); /* a sector cut short by terminal count ends in zeros */
	got = f->dma.from_memory ? f->dma.from_memory(f->dma.opaque, f->dma.channel, s->data, n, &tc) : 0;
	s->tc = tc;
	if (got < n && !tc)
		finish(s, ST0_ABNORMAL, ST1_OVERRUN, 0);
	else
		s->io = IO_WRITE;
}

static void next_sector(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	bool end = at_end(s), implied_end = s->kind == KIND_VERIFY || s->kind == KIND_FORMAT;

	if (s->kind == KIND_FORMAT || s->kind == KIND_VERIFY)
		end = s->left <= 1 || (s->kind == KIND_VERIFY && end);
	if (s->left)
		s->left--;
	if (s->kind != KIND_FORMAT)
		advance(s);
	if (s->tc || (end && implied_end)) {
		finish(s, 0, 0, 0);
	} else if (end) {
		finish(s, ST0_ABNORMAL, ST1_END, 0);
	} else if (s->kind == KIND_FORMAT) {
		want_data(f);
	} else if (find_sector(f)) {
		if (s->kind == KIND_WRITE)
			want_data(f);
		else
			s->io = IO_READ;
	}
}

static void sector_read(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	bool tc = false;
	size_t moved;

	s->io = IO_NONE;
	memcpy(s->data, f->bounce, sizeof(s->data));
	if (s->kind == KIND_VERIFY) {
		next_sector(f);
		return;
	}
	if (!s->use_dma) {
		open_pio(s, 512);
		return;
	}
	moved = f->dma.to_memory ? f->dma.to_memory(f->dma.opaque, f->dma.channel, s->data, 512, &tc) : 0;
	s->tc = tc;
	if (moved < 512 && !tc)
		finish(s, ST0_ABNORMAL, ST1_OVERRUN, 0);
	else
		next_sector(f);
}

static void floppy_pump(struct floppy *f);

static void request_done(struct image_request *r)
{
	struct floppy *f = r->opaque;
	bool stale = f->stale;

	f->in_flight = f->stale = false;
	if (!stale && r->error && f->s.io != IO_NONE) {
		finish(&f->s, ST0_ABNORMAL, ST1_DATA, 0);
	} else if (!stale && f->s.io == IO_READ) {
		sector_read(f);
	} else if (!stale && f->s.io == IO_WRITE) {
		f->s.io = IO_NONE;
		next_sector(f);
	}
	device_settle(&f->dev);
}

static void submit(struct floppy *f, enum image_op op, uint64_t lba)
{
	f->iov = (struct iovec){ f->bounce, sizeof(f->bounce) };
	f->request = (struct image_request){ .op = op,
		.lba = lba,
		.sectors = 1,
		.iov = &f->iov,
		.iov_count = 1,
		.done = request_done,
		.opaque = f };
	f->in_flight = true;
	image_submit(unit(f, f->s.drive_head)->image, &f->request);
}

/* Address bytes of a format are the sector's; everything else was checked when it was found. */
static bool prepare_write(struct floppy *f)
{
	struct floppy_state *s = &f->s;

	memcpy(f->bounce, s->data, sizeof(f->bounce));
	if (s->kind != KIND_FORMAT)
		return find_sector(f);
	s->c = s->data[0];
	s->h = s->data[1];
	s->r = s->data[2];
	s->n = s->data[3];
	memset(f->bounce, s->fill, sizeof(f->bounce));
	return find_sector(f);
}

static void floppy_pump(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	const struct floppy_drive *d = unit(f, s->drive_head);
	uint64_t lba;

	if (s->phase != PHASE_EXECUTE || s->io == IO_NONE || f->in_flight)
		return;
	if (s->io == IO_WRITE ? !prepare_write(f) : !find_sector(f))
		return;
	lba = sector_lba(f);
	if (lba >= image_sectors(d->image)) /* the missing end of a short image */
		finish(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
	else
		submit(f, s->io == IO_WRITE ? IMAGE_WRITE : IMAGE_READ, lba);
}

static void start_transfer(struct floppy *f, enum kind kind)
{
	struct floppy_state *s = &f->s;
	const uint8_t *c = s->command;
	const struct floppy_drive *d = unit(f, c[1]);

	s->kind = (uint8_t)kind;
	s->multi_track = c[0] >> 7;
	s->drive_head = c[1];
	s->c = c[2];
	s->h = c[3];
	s->r = c[4];
	s->n = c[5];
	s->eot = s->last_eot = c[6];
	s->left = kind == KIND_VERIFY && (c[1] & 0x80) ? c[8] : 255;
	s->use_dma = !(s->specify[1] & 1);
	s->tc = 0;
	s->phase = PHASE_EXECUTE;
	if (kind == KIND_READ && (c[0] & 0x1f) == 0x02) { /* READ TRACK: from the index on */
		s->r = 1;
		s->multi_track = 0;
	}
	if ((s->config & CONFIG_EIS) && d->image && s->c < d->tracks)
		s->drive[c[1] & 1].track = s->c;
	if (kind == KIND_WRITE && d->image && image_read_only(d->image))
		finish(s, ST0_ABNORMAL, ST1_PROTECT, 0);
	else if (!find_sector(f))
		return;
	else if (kind == KIND_WRITE)
		want_data(f);
	else
		s->io = IO_READ;
}

static void cmd_read(struct floppy *f)
{
	start_transfer(f, KIND_READ);
}

static void cmd_write(struct floppy *f)
{
	start_transfer(f, KIND_WRITE);
}

static void cmd_verify(struct floppy *f)
{
	start_transfer(f, KIND_VERIFY);
}

static void cmd_format(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	const struct floppy_drive *d = unit(f, s->command[1]);

	s->kind = KIND_FORMAT;
	s->drive_head = s->command[1];
	s->multi_track = 0;
	s->n = s->command[2];
	s->left = s->last_eot = s->command[3];
	s->fill = s->command[5];
	s->use_dma = !(s->specify[1] & 1);
	s->tc = 0;
	s->phase = PHASE_EXECUTE;
	if (!d->image || !s->left)
		finish(s, ST0_ABNORMAL, ST1_NO_MARK, 0);
	else if (image_read_only(d->image))
		finish(s, ST0_ABNORMAL, ST1_PROTECT, 0);
	else
		want_data(f);
}

/* ---- the other commands ----------------------------------------------------------------------------- */

static void cmd_read_id(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	const struct floppy_drive *d = unit(f, s->command[1]);

	s->drive_head = s->command[1];
	s->c = d->present ? s->drive[s->command[1] & 1].track : 0;
	s->h = s->command[1] >> 2 & 1;
	s->r = 1;
	s->n = 2;
	if (!d->image || (s->ccr & 3) != d->rate || s->h >= d->heads || s->c >= d->tracks)
		finish(s, ST0_ABNORMAL, ST1_NO_MARK | ST1_NO_DATA, 0);
	else
		finish(s, 0, 0, 0);
}

static void seek_to(struct floppy *f, uint8_t drive_head, unsigned track, uint8_t st0)
{
	struct floppy_state *s = &f->s;
	const struct floppy_drive *d = unit(f, drive_head);

	no_result(s);
	if (d->present) {
		s->drive[drive_head & 1].track = (uint8_t)MIN_OF(track, 83u);
		if (d->image) /* stepping clears the change line once a disk is in */
			s->drive[drive_head & 1].changed = 0;
	}
	s->seek_done = 1;
	s->seek_st0 = st0 | ST0_SEEK_END | (drive_head & 7);
	s->irq = 1;
}

static void cmd_recalibrate(struct floppy *f)
{
	uint8_t drive = f->s.command[1] & 3;

	/* Without a drive nobody pulls "track 0". */
	seek_to(f, drive, 0, unit(f, drive)->present ? 0 : ST0_ABNORMAL | ST0_EQUIP);
}

static void cmd_seek(struct floppy *f)
{
	const uint8_t *c = f->s.command;
	unsigned track = unit(f, c[1])->present ? f->s.drive[c[1] & 1].track : 0;

	if (c[0] == 0xcf) /* relative, inwards */
		track = track + c[2];
	else if (c[0] == 0x8f) /* relative, outwards */
		track -= MIN_OF(track, c[2]);
	else
		track = c[2];
	seek_to(f, c[1], track, 0);
}

static void cmd_sense_interrupt(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	uint8_t st0, drive;

	if (s->reset_sense) {
		drive = (uint8_t)(4 - s->reset_sense--) & 3;
		st0 = ST0_POLLED | drive;
	} else if (s->seek_done) {
		st0 = s->seek_st0;
		drive = st0 & 3;
		s->seek_done = 0;
	} else {
		invalid(s);
		return;
	}
	s->irq = 0;
	set_result(s, (const uint8_t[]){ st0, drive < FLOPPY_DRIVES ? s->drive[drive].track : 0 }, 2);
}

static void cmd_sense_drive(struct floppy *f)
{
	const struct floppy_drive *d = unit(f, f->s.command[1]);
	uint8_t st3 = (f->s.command[1] & 7) | 0x28; /* ready, two sides */

	if (d->present && f->s.drive[f->s.command[1] & 1].track == 0)
		st3 |= 0x10;
	if (d->image && image_read_only(d->image))
		st3 |= 0x40;
	set_result(&f->s, &st3, 1);
}

static void cmd_specify(struct floppy *f)
{
	memcpy(f->s.specify, f->s.command + 1, 2);
	no_result(&f->s);
}

static void cmd_configure(struct floppy *f)
{
	f->s.config = f->s.command[2];
	f->s.precomp = f->s.command[3];
	no_result(&f->s);
}

static void cmd_perpendicular(struct floppy *f)
{
	/* OW (bit 7) lets the drive bits through. */
	if (f->s.command[1] & 0x80)
		f->s.perpendicular = f->s.command[1] & 0x3f;
	else
		f->s.perpendicular = (uint8_t)((f->s.perpendicular & 0x3c) | (f->s.command[1] & 3));
	no_result(&f->s);
}

static void cmd_lock(struct floppy *f)
{
	f->s.lock = f->s.command[0] >> 7;
	set_result(&f->s, (const uint8_t[]){ (uint8_t)(f->s.lock << 4) }, 1);
}

static void cmd_version(struct floppy *f)
{
	set_result(&f->s, (const uint8_t[]){ VERSION_82078 }, 1);
}

static void cmd_part_id(struct floppy *f)
{
	set_result(&f->s, (const uint8_t[]){ PART_82078 }, 1);
}

static void cmd_dump(struct floppy *f)
{
	const struct floppy_state *s = &f->s;
	const uint8_t bytes[10] = { s->drive[0].track, s->drive[1].track, 0, 0, s->specify[0], s->specify[1],
		s->last_eot, (uint8_t)(s->lock << 7 | s->perpendicular), s->config, s->precomp };

	set_result(&f->s, bytes, 10);
}

static void cmd_power_down(struct floppy *f)
{
	set_result(&f->s, (const uint8_t[]){ 0 }, 1);
}

static const struct command {
	uint8_t mask, code, len;
	void (*run)(struct floppy *f);
} commands[] = {
	{ 0x1f, 0x06, 9, cmd_read },
	{ 0x1f, 0x0c, 9, cmd_read }, /* deleted data */
	{ 0x9f, 0x02, 9, cmd_read }, /* a whole track */
	{ 0x3f, 0x05, 9, cmd_write },
	{ 0x3f, 0x09, 9, cmd_write },
	{ 0x1f, 0x16, 9, cmd_verify },
	{ 0xbf, 0x0d, 6, cmd_format },
	{ 0xbf, 0x0a, 2, cmd_read_id },
	{ 0xff, 0x07, 2, cmd_recalibrate },
	{ 0xff, 0x08, 1, cmd_sense_interrupt },
	{ 0xff, 0x03, 3, cmd_specify },
	{ 0xff, 0x04, 2, cmd_sense_drive },
	{ 0xff, 0x0f, 3, cmd_seek },
	{ 0xbf, 0x8f, 3, cmd_seek },
	{ 0xff, 0x0e, 1, cmd_dump },
	{ 0xff, 0x10, 1, cmd_version },
	{ 0xff, 0x12, 2, cmd_perpendicular },
	{ 0xff, 0x13, 4, cmd_configure },
	{ 0x7f, 0x14, 1, cmd_lock },
	{ 0xff, 0x17, 2, cmd_power_down },
	{ 0xff, 0x18, 1, cmd_part_id },
};

static const struct command *find_command(uint8_t code)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if ((code & commands[i].mask) == commands[i].code)
			return &commands[i];
	return NULL;
}

/* ---- reset ------------------------------------------------------------------------------------------ */

/* Software's reset: configuration survives under LOCK, then four drives want to be sensed. */
static void controller_reset(struct floppy *f, bool interrupt)
{
	struct floppy_state *s = &f->s;

	f->stale = f->in_flight;
	no_result(s);
	s->seek_done = 0;
	s->irq = interrupt;
	s->reset_sense = interrupt ? 4 : 0;
	if (!s->lock) {
		s->config = 0;
		s->precomp = 0;
	}
	s->perpendicular &= 0x3c;
}

/* ---- ports ------------------------------------------------------------------------------------------ */

static uint8_t main_status(const struct floppy_state *s)
{
	uint8_t msr = s->dor & DOR_RUN ? MSR_RQM : 0;

	if (s->phase == PHASE_RESULT)
		return msr | MSR_DIO | MSR_CB;
	if (s->phase == PHASE_COMMAND)
		return msr | (s->command_len ? MSR_CB : 0);
	if (s->use_dma || s->pos >= s->len)
		return MSR_CB | (s->use_dma ? 0 : MSR_NDMA);
	return msr | MSR_CB | MSR_NDMA | (s->kind == KIND_READ ? MSR_DIO : 0);
}

static void pio_done(struct floppy *f)
{
	struct floppy_state *s = &f->s;

	s->pos = s->len = 0;
	if (s->kind == KIND_READ)
		next_sector(f);
	else
		s->io = IO_WRITE;
}

static uint8_t fifo_read(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	uint8_t v = 0;

	if (s->phase == PHASE_RESULT && s->result_pos < s->result_len && s->result_len <= sizeof(s->result)) {
		s->irq = 0;
		v = s->result[s->result_pos++];
		if (s->result_pos == s->result_len)
			no_result(s);
	} else if (s->phase == PHASE_EXECUTE && s->kind == KIND_READ && s->pos < s->len &&
		   s->len <= sizeof(s->data)) {
		s->irq = 0;
		v = s->data[s->pos++];
		if (s->pos == s->len)
			pio_done(f);
	}
	return v;
}

static void command_byte(struct floppy *f, uint8_t v)
{
	struct floppy_state *s = &f->s;
	const struct command *c;

	if (s->command_len >= sizeof(s->command))
		s->command_len = 0;
	s->command[s->command_len++] = v;
	c = find_command(s->command[0]);
	if (!c)
		invalid(s);
	else if (s->command_len >= c->len)
		c->run(f);
}

static void fifo_write(struct floppy *f, uint8_t v)
{
	struct floppy_state *s = &f->s;

	if (!(s->dor & DOR_RUN))
		return;
	if (s->phase == PHASE_COMMAND) {
		command_byte(f, v);
	} else if (s->phase == PHASE_EXECUTE && s->kind != KIND_READ && s->pos < s->len &&
		   s->len <= sizeof(s->data)) {
		s->irq = 0;
		s->data[s->pos++] = v;
		if (s->pos == s->len)
			pio_done(f);
	}
}

static void write_dor(struct floppy *f, uint8_t v)
{
	uint8_t was = f->s.dor;

	f->s.dor = v;
	if (!(v & DOR_RUN))
		controller_reset(f, false);
	else if (!(was & DOR_RUN))
		controller_reset(f, true);
}

static uint8_t digital_input(struct floppy *f)
{
	struct floppy_state *s = &f->s;
	uint8_t n = s->dor & DOR_DRIVE;

	/* Only with its motor on does a drive drive the line. */
	if (n >= FLOPPY_DRIVES || !(s->dor >> (4 + n) & 1) || !f->drive[n].present)
		return 0;
	return s->drive[n].changed || !f->drive[n].image ? 0x80 : 0;
}

static uint64_t floppy_read(void *opaque, uint64_t off, unsigned size)
{
	struct floppy *f = opaque;
	uint8_t v = 0xff;

	(void)size;
	switch (off) {
	case 0: /* SRA: interrupt pending; the rest of it is the PS/2's */
		v = f->s.irq ? 0x80 : 0;
		break;
	case 1:
		v = 0xc0;
		break;
	case 2:
		v = f->s.dor;
		break;
	case 3:
		v = f->s.tdr;
		break;
	case 4:
		v = main_status(&f->s);
		break;
	case 5:
		v = fifo_read(f);
		device_settle(&f->dev);
		break;
	case 7:
		v = digital_input(f);
		break;
	default:
		break;
	}
	return v;
}

static void floppy_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct floppy *f = opaque;
	uint8_t v = (uint8_t)value;

	(void)size;
	switch (off) {
	case 2:
		write_dor(f, v);
		break;
	case 3:
		f->s.tdr = v & 3;
		break;
	case 4: /* DSR: the reset bit falls by itself */
		f->s.ccr = v & 3;
		if (v & DSR_RESET)
			controller_reset(f, true);
		break;
	case 5:
		fifo_write(f, v);
		break;
	case 7:
		f->s.ccr = v & 3;
		break;
	default:
		break;
	}
	device_settle(&f->dev);
}

static uint64_t input_read(void *opaque, uint64_t off, unsigned size)
{
	return floppy_read(opaque, off + 7, size);
}

static void control_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	floppy_write(opaque, off + 7, size, v);
}

static const struct io_ops floppy_ops = { floppy_read, floppy_write };
static const struct io_ops control_ops = { input_read, control_write };

/* ---- the class -------------------------------------------------------------------------------------- */

static void floppy_reset(struct device *dev)
{
	struct floppy *f = to_floppy(dev);

	f->stale = f->in_flight;
	/* As after the BIOS's reset: a kernel without one resets the controller itself. */
	f->s.dor = DOR_RUN | DOR_GATE;
	for (unsigned i = 0; i < FLOPPY_DRIVES; i++)
		f->s.drive[i].changed = 1;
}

static void floppy_settle(struct device *dev)
{
	struct floppy *f = to_floppy(dev);

	floppy_pump(f);
	irq_set(&f->irq, f->s.irq && (f->s.dor & DOR_GATE));
}

static bool floppy_check(const void *state, GError **error)
{
	const struct floppy_state *s = state;

	if (s->phase >= PHASE_COUNT || s->kind >= KIND_COUNT || s->io >= IO_COUNT ||
		s->command_len > sizeof(s->command) || s->result_len > sizeof(s->result) ||
		s->result_pos > s->result_len || s->len > sizeof(s->data) || s->pos > s->len ||
		s->reset_sense > 4)
		return fail(error, SERAI_ERROR_STATE, "floppy: an index out of range");
	return true;
}

#define S struct floppy_state
static const struct state_field floppy_fields[] = {
	STATE_FIELD(S, dor, 1),
	STATE_FIELD(S, tdr, 1),
	STATE_FIELD(S, ccr, 1),
	STATE_FIELD(S, phase, 1),
	STATE_ARRAY(S, command, 1),
	STATE_FIELD(S, command_len, 1),
	STATE_ARRAY(S, result, 1),
	STATE_FIELD(S, result_len, 1),
	STATE_FIELD(S, result_pos, 1),
	STATE_FIELD(S, config, 1),
	STATE_FIELD(S, precomp, 1),
	STATE_FIELD(S, lock, 1),
	STATE_FIELD(S, perpendicular, 1),
	STATE_ARRAY(S, specify, 1),
	STATE_FIELD(S, last_eot, 1),
	STATE_FIELD(S, irq, 1),
	STATE_FIELD(S, reset_sense, 1),
	STATE_FIELD(S, seek_done, 1),
	STATE_FIELD(S, seek_st0, 1),
	STATE_FIELD(S, kind, 1),
	STATE_FIELD(S, drive_head, 1),
	STATE_FIELD(S, c, 1),
	STATE_FIELD(S, h, 1),
	STATE_FIELD(S, r, 1),
	STATE_FIELD(S, n, 1),
	STATE_FIELD(S, eot, 1),
	STATE_FIELD(S, multi_track, 1),
	STATE_FIELD(S, use_dma, 1),
	STATE_FIELD(S, tc, 1),
	STATE_FIELD(S, left, 1),
	STATE_FIELD(S, fill, 1),
	STATE_FIELD(S, io, 1),
	STATE_FIELD(S, pos, 1),
	STATE_FIELD(S, len, 1),
	STATE_ARRAY(S, data, 1),
	STATE_FIELD(S, drive[0].track, 1),
	STATE_FIELD(S, drive[0].changed, 1),
	STATE_FIELD(S, drive[1].track, 1),
	STATE_FIELD(S, drive[1].changed, 1),
};
#undef S

const struct device_class floppy_class = {
	DEVICE_STATE("floppy", 1, struct floppy, floppy_fields),
	.state.check = floppy_check,
	.reset = floppy_reset,
	.settle = floppy_settle,
};

void floppy_init(struct floppy *f, struct physmap *mem, struct timer_queue *timers, const struct isa_dma *dma)
{
	memset(f, 0, sizeof(*f));
	device_init(&f->dev, &floppy_class, "0", mem, timers);
	f->dma = *dma;
	port_add(mem, &(struct port_range){ 0x3f0, 6, &floppy_ops, f, "floppy" });
	port_add(mem, &(struct port_range){ 0x3f7, 1, &control_ops, f, "floppy control" });
}

/* ---- media ------------------------------------------------------------------------------------------ */

static bool set_medium(struct floppy_drive *d, struct image *image, GError **error)
{
	const struct media *m = medias;

	while (image && m < medias + ARRAY_LEN(medias) && m->sectors_total < image_sectors(image))
		m++;
	if (m == medias + ARRAY_LEN(medias))
		return fail(error, SERAI_ERROR_FORMAT, "%s: larger than a 2.88 MB floppy disk",
			image_path(image));
	d->image = image;
	if (!image)
		return true;
	d->tracks = m->tracks;
	d->heads = m->heads;
	d->sectors = m->sectors;
	d->rate = m->rate;
	if (!d->cmos_type)
		d->cmos_type = m->cmos_type;
	return true;
}

bool floppy_attach(struct floppy *f, unsigned n, struct image *image, GError **error)
{
	struct floppy_drive *d = &f->drive[n % FLOPPY_DRIVES];

	if (!set_medium(d, image, error))
		return false;
	d->present = true;
	if (!d->cmos_type)
		d->cmos_type = 4;
	return true;
}

bool floppy_change(struct floppy *f, unsigned n, struct image *image, GError **error)
{
	struct floppy_drive *d = &f->drive[n % FLOPPY_DRIVES];

	if (!d->present || !set_medium(d, image, error))
		return d->present ? false : fail(error, SERAI_ERROR_CONFIG, "there is no floppy drive %u", n);
	f->s.drive[n % FLOPPY_DRIVES].changed = 1;
	device_settle(&f->dev);
	return true;
}

uint8_t floppy_cmos_type(const struct floppy *f, unsigned n)
{
	return n < FLOPPY_DRIVES && f->drive[n].present ? f->drive[n].cmos_type : 0;
}

bool floppy_idle(const struct floppy *f)
{
	return !f->in_flight;
}
