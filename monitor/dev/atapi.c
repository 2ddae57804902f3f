/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/atapi.c - the packet commands of a CD-ROM drive; a disc too big for a CD is a DVD-ROM.
 *
 * Every answer goes through the buffer and from there in DRQ stretches no longer than the byte count the host
 * set, or by DMA.  `lba` and `left` count 2048-byte sectors here.
 *
 * Not here: audio, MODE SELECT, READ TRACK INFORMATION, DVD structures: ILLEGAL REQUEST. The error-correcting
 * bytes of raw sectors are zero. Theory:  ATA/ATAPI-6 9.8; MMC-4; SPC-2 for REQUEST SENSE, INQUIRY and MODE
 * SENSE.
 */
#include "monitor/dev/ata.h"

#include "base/bits.h"

#define SENSE_NONE            0x000000
#define SENSE_NO_MEDIUM       0x023a01
#define SENSE_TRAY_OPEN       0x023a02
#define SENSE_READ_ERROR      0x031100
#define SENSE_BAD_COMMAND     0x052000
#define SENSE_BAD_LBA         0x052100
#define SENSE_BAD_FIELD       0x052400
#define SENSE_REMOVAL_BLOCKED 0x055302
#define SENSE_MEDIUM_CHANGED  0x062800

#define SECTORS_A_CD_SECTOR (CD_SECTOR / SECTOR_SIZE)
#define BUFFER_SECTORS      (IDE_BUFFER / CD_SECTOR)
#define RAW_SECTORS         (IDE_BUFFER / CD_RAW)
#define MAX_CD_SECTORS      (90 * 60 * 75) /* more is a DVD */
#define PREGAP              150            /* frames before logical block 0 */
#define LEAD_OUT            0xaa
#define MAX_BYTE_COUNT      0xfffe

#define CMD_PACKET 0xa0

#define EVENT_NEW     2
#define EVENT_REMOVED 3

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

uint32_t atapi_capacity(const struct ide_drive *d)
{
	return (uint32_t)MIN_OF(d->sectors / SECTORS_A_CD_SECTOR, (uint64_t)UINT32_MAX);
}

static bool is_dvd(const struct ide_drive *d)
{
	return atapi_capacity(d) > MAX_CD_SECTORS;
}

static bool has_medium(struct ide_drive *d)
{
	return d->image && !drive_state(d)->tray_open;
}

/* ---- ends ------------------------------------------------------------------------------------------- */

static void set_sense(struct ide_drive_state *s, uint32_t sense)
{
	s->sense_key = (uint8_t)(sense >> 16);
	s->asc = (uint8_t)(sense >> 8);
	s->ascq = (uint8_t)sense;
}

static void good(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (s->dma)
		bus_master_done(drive_channel(d));
	drive_done(d);
	s->nsector[0] = REASON_IO | REASON_COD;
	drive_interrupt(d);
}

static void check(struct ide_drive *d, uint32_t sense)
{
	struct ide_drive_state *s = drive_state(d);

	set_sense(s, sense);
	s->nsector[0] = REASON_IO | REASON_COD;
	drive_abort(d, (uint8_t)(s->sense_key << 4 | ER_ABRT));
}

void atapi_io_error(struct ide_drive *d)
{
	check(d, SENSE_READ_ERROR);
}

void atapi_no_medium(struct ide_drive *d)
{
	check(d, drive_state(d)->tray_open ? SENSE_TRAY_OPEN : SENSE_NO_MEDIUM);
}

void atapi_medium_changed(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	s->event = d->image ? EVENT_NEW : EVENT_REMOVED;
	s->attention = d->image != NULL;
	if (d->image)
		s->tray_open = 0;
}

/* ---- data towards the host -------------------------------------------------------------------------- */

/* The next stretch of the buffer: by DRQ, or all of it by DMA. */
static void send_buffer(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint32_t n = s->fill - s->pos;

	if (s->dma) {
		s->end = s->fill;
		drive_busy(d, PHASE_DMA_BUFFER);
		return;
	}
	/* Only the last stretch may be odd (ATA-6 8.21.5). */
	if (n > s->byte_limit)
		n = s->byte_limit > 1 ? s->byte_limit & ~1u : 1;
	s->nsector[0] = REASON_IO;
	s->lba_mid[0] = (uint8_t)n;
	s->lba_high[0] = (uint8_t)(n >> 8);
	drive_window(d, PHASE_PIO_IN, s->pos, n, true);
}

static void more_or_good(struct ide_drive *d)
{
	if (drive_state(d)->left)
		drive_busy(d, PHASE_READ);
	else
		good(d);
}

void atapi_window_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (s->command != CMD_PACKET)
		drive_done(d); /* IDENTIFY: the last PIO-in block has no interrupt behind it */
	else if (s->pos < s->fill)
		send_buffer(d);
	else
		more_or_good(d);
}

void atapi_buffer_moved(struct ide_drive *d)
{
	more_or_good(d);
}

/* An answer of len bytes lies in the buffer; the host has room for `room`. */
static void reply(struct ide_drive *d, uint32_t len, uint32_t room)
{
	struct ide_drive_state *s = drive_state(d);

	s->left = 0;
	s->pos = 0;
	s->fill = MIN_OF(len, room);
	if (s->fill)
		send_buffer(d);
	else
		good(d);
}

/* ---- reading sectors -------------------------------------------------------------------------------- */

void atapi_extent(struct ide_drive *d, uint64_t *lba, uint32_t *sectors)
{
	struct ide_drive_state *s = drive_state(d);
	uint32_t n = MIN_OF(s->left, (uint32_t)(s->raw_read ? RAW_SECTORS : BUFFER_SECTORS));

	*lba = s->lba * SECTORS_A_CD_SECTOR;
	*sectors = n * SECTORS_A_CD_SECTOR;
}

static uint8_t bcd(uint32_t v)
{
	return (uint8_t)(v / 10 << 4 | v % 10);
}

/* Around the user data: sync pattern, address, mode 1 before; EDC and ECC after. */
static void frame_raw(uint8_t *out, const uint8_t *user, uint32_t lba)
{
	uint32_t frame = lba + PREGAP;

	memmove(out + 16, user, CD_SECTOR);
	out[0] = 0;
	memset(out + 1, 0xff, 10);
	out[11] = 0;
	out[12] = bcd(frame / 75 / 60 % 100);
	out[13] = bcd(frame / 75 % 60);
	out[14] = bcd(frame % 75);
	out[15] = 1;
	memset(out + 16 + CD_SECTOR, 0, CD_RAW - CD_SECTOR - 16);
}

void atapi_read_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint32_t n = s->fill / CD_SECTOR;

	if (s->raw_read) {
		/* From the last one on, so that spreading out overwrites nothing still needed. */
		for (uint32_t i = n; i-- > 0;)
			frame_raw(s->buffer + i * CD_RAW, s->buffer + i * CD_SECTOR, (uint32_t)s->lba + i);
		s->fill = n * CD_RAW;
	}
	s->lba += n;
	s->left -= MIN_OF(n, s->left);
	send_buffer(d);
}

static void start_sectors(struct ide_drive *d, uint32_t lba, uint32_t count, bool raw)
{
	struct ide_drive_state *s = drive_state(d);

	if (!range_fits(lba, count, atapi_capacity(d))) {
		check(d, SENSE_BAD_LBA);
		return;
	}
	s->lba = lba;
	s->left = count;
	s->raw_read = raw;
	more_or_good(d);
}

static void cmd_read10(struct ide_drive *d, const uint8_t *p)
{
	start_sectors(d, be32(p + 2), be16(p + 7), false);
}

static void cmd_read12(struct ide_drive *d, const uint8_t *p)
{
	start_sectors(d, be32(p + 2), be32(p + 6), false);
}

/* Which parts of a sector byte 9 asks for; user data alone or everything. */
static void read_parts(struct ide_drive *d, uint32_t lba, uint32_t count, uint8_t parts)
{
	switch (parts & 0xf8) {
	case 0x00:
		good(d);
		break;
	case 0x10:
		start_sectors(d, lba, count, false);
		break;
	case 0xf8:
		start_sectors(d, lba, count, true);
		break;
	default:
		check(d, SENSE_BAD_FIELD);
	}
}

static void cmd_read_cd(struct ide_drive *d, const uint8_t *p)
{
	read_parts(d, be32(p + 2), be32(p + 5) & 0xffffff, p[9]);
}

static uint32_t msf_to_lba(const uint8_t *p)
{
	return ((uint32_t)p[0] * 60 + p[1]) * 75 + p[2] - PREGAP;
}

static void cmd_read_cd_msf(struct ide_drive *d, const uint8_t *p)
{
	uint32_t from = msf_to_lba(p + 3), to = msf_to_lba(p + 6);

	if (to < from)
		check(d, SENSE_BAD_FIELD);
	else
		read_parts(d, from, to - from, p[9]);
}

/* ---- short commands --------------------------------------------------------------------------------- */

static void cmd_good(struct ide_drive *d, const uint8_t *p)
{
	(void)p;
	good(d);
}

static void cmd_seek(struct ide_drive *d, const uint8_t *p)
{
	if (be32(p + 2) < atapi_capacity(d))
		good(d);
	else
		check(d, SENSE_BAD_LBA);
}

static void cmd_request_sense(struct ide_drive *d, const uint8_t *p)
{
	struct ide_drive_state *s = drive_state(d);
	uint8_t *b = s->buffer;

	/* A waiting unit attention is told here, too. */
	if (s->attention && !s->sense_key) {
		set_sense(s, SENSE_MEDIUM_CHANGED);
		s->attention = 0;
	}
	memset(b, 0, 18);
	b[0] = 0x70;
	b[2] = s->sense_key;
	b[7] = 10;
	b[12] = s->asc;
	b[13] = s->ascq;
	set_sense(s, SENSE_NONE);
	reply(d, 18, p[4]);
}

/* Up to `max` bytes of text into a field of len bytes, the rest blanks. */
static void pad_text(uint8_t *out, unsigned len, const char *text, size_t max)
{
	memset(out, ' ', len);
	memcpy(out, text, strnlen(text, MIN_OF(len, max)));
}

static void cmd_inquiry(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer;
	size_t vendor = strcspn(d->model, " "); /* the model's first word */

	if (p[1] & 1 || p[2]) {
		check(d, SENSE_BAD_FIELD);
		return;
	}
	memset(b, 0, 36);
	b[0] = 0x05; /* CD-ROM */
	b[1] = 0x80; /* removable */
	b[3] = 0x21; /* ATAPI, response format 1 */
	b[4] = 31;
	pad_text(b + 8, 8, d->model, vendor);
	pad_text(b + 16, 16, d->model + vendor + strspn(d->model + vendor, " "), 16);
	pad_text(b + 32, 4, d->firmware, 4);
	reply(d, 36, be16(p + 3));
}

static void cmd_start_stop(struct ide_drive *d, const uint8_t *p)
{
	struct ide_drive_state *s = drive_state(d);
	bool load_eject = p[4] & 2, start = p[4] & 1, open = !start;

	if (!load_eject || open == s->tray_open) {
		good(d);
		return;
	}
	if (open && s->locked) {
		check(d, SENSE_REMOVAL_BLOCKED);
		return;
	}
	s->tray_open = open;
	s->event = open ? EVENT_REMOVED : d->image ? EVENT_NEW : 0;
	s->attention = !open && d->image;
	good(d);
	if (d->ide->tray)
		d->ide->tray(d->ide->tray_opaque, d->index / IDE_DRIVES, d->index % IDE_DRIVES, open);
}

static void cmd_prevent(struct ide_drive *d, const uint8_t *p)
{
	drive_state(d)->locked = p[4] & 1;
	good(d);
}

static void cmd_read_capacity(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer;

	(void)p;
	put_be32(b, atapi_capacity(d) - 1);
	put_be32(b + 4, CD_SECTOR);
	reply(d, 8, 8);
}

/* ---- the table of contents: one data track ---------------------------------------------------------- */

static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
	uint32_t frame = lba + PREGAP;

	put_be32(p, lba);
	if (!msf)
		return;
	p[0] = 0;
	p[1] = (uint8_t)MIN_OF(frame / 75 / 60, 255u);
	p[2] = (uint8_t)(frame / 75 % 60);
	p[3] = (uint8_t)(frame % 75);
}

static uint32_t toc_tracks(struct ide_drive *d, uint8_t *b, uint8_t first, bool msf)
{
	uint32_t n = 4;

	b[2] = b[3] = 1; /* first and last track */
	if (first <= 1) {
		memcpy(b + n, (const uint8_t[]){ 0, 0x14, 1, 0 }, 4);
		put_address(b + n + 4, 0, msf);
		n += 8;
	}
	memcpy(b + n, (const uint8_t[]){ 0, 0x14, LEAD_OUT, 0 }, 4);
	put_address(b + n + 4, atapi_capacity(d), msf);
	return n + 8;
}

static uint32_t toc_sessions(uint8_t *b, bool msf)
{
	b[2] = b[3] = 1;
	memcpy(b + 4, (const uint8_t[]){ 0, 0x14, 1, 0 }, 4);
	put_address(b + 8, 0, msf);
	return 12;
}

/* Q-channel rows as in the lead-in: A0 first track, A1 last track, A2 lead-out, then the track; always in
 * MSF. */
static uint32_t toc_full(struct ide_drive *d, uint8_t *b)
{
	static const uint8_t points[4] = { 0xa0, 0xa1, 0xa2, 1 };
	uint8_t *row = b + 4;

	b[2] = b[3] = 1;
	for (unsigned i = 0; i < ARRAY_LEN(points); i++, row += 11) {
		memset(row, 0, 11);
		row[0] = 1; /* session */
		row[1] = 0x14;
		row[3] = points[i];
		if (points[i] == 0xa0 || points[i] == 0xa1)
			row[8] = 1;
		else
			put_address(row + 7, points[i] == 0xa2 ? atapi_capacity(d) : 0, true);
	}
	return 4 + 4 * 11;
}

static void cmd_read_toc(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer, format = p[2] & 0x0f;
	bool msf = p[1] & 2;
	uint32_t n;

	/* Older hosts put the format into the control byte. */
	if (!format)
		format = p[9] >> 6;
	if ((p[6] > 1 && p[6] != LEAD_OUT && format == 0) || format > 2) {
		check(d, SENSE_BAD_FIELD);
		return;
	}
	n = format == 0 ? toc_tracks(d, b, p[6], msf) : format == 1 ? toc_sessions(b, msf) : toc_full(d, b);
	put_be16(b, n - 2);
	reply(d, n, be16(p + 7));
}

static void cmd_read_disc_info(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer;

	if (p[1] & 7) {
		check(d, SENSE_BAD_FIELD);
		return;
	}
	memset(b, 0, 34);
	put_be16(b, 32);
	b[2] = 0x0e; /* last session complete, disc finalized */
	b[3] = b[4] = b[5] = b[6] = 1;
	b[7] = 0x20;             /* unrestricted use */
	b[8] = 0x00;             /* CD-ROM or data DVD */
	memset(b + 16, 0xff, 8); /* no lead-in or last lead-out to append to */
	reply(d, 34, be16(p + 7));
}

static void cmd_read_subchannel(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer;

	memset(b, 0, 4);
	b[1] = 0x15; /* no audio status to report */
	reply(d, 4, be16(p + 7));
}

/* ---- what the drive can ----------------------------------------------------------------------------- */

static uint32_t feature(uint8_t *p, uint16_t code, uint8_t flags, const uint8_t *data, uint8_t len)
{
	put_be16(p, code);
	p[2] = flags; /* version, persistent, current */
	p[3] = len;
	memcpy(p + 4, data, len);
	return 4u + len;
}

#define PROFILE_CD  0x08
#define PROFILE_DVD 0x10

static void cmd_get_configuration(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer, type = p[1] & 3;
	uint16_t start = be16(p + 2), profile = !has_medium(d) ? 0 : is_dvd(d) ? PROFILE_DVD : PROFILE_CD;
	const struct {
		uint16_t code;
		uint8_t flags, len, data[8];
	} features[] = {
		{ 0x0000, 3, 8,
			{ 0, PROFILE_DVD, profile == PROFILE_DVD, 0, 0, PROFILE_CD, profile == PROFILE_CD,
				0 } },
		{ 0x0001, 0x0b, 8, { 0, 0, 0, 2, 1 } },            /* core: ATAPI */
		{ 0x0003, 0x0b, 4, { 0x29 } },                     /* removable: tray, eject, lock */
		{ 0x0010, profile != 0, 8, { 0, 0, 8, 0, 0, 1 } }, /* random readable, 2048-byte blocks */
		{ 0x001e, profile == PROFILE_CD ? 9 : 8, 4, { 0 } },
		{ 0x001f, profile == PROFILE_DVD, 0, { 0 } },
	};
	uint32_t n = 8;

	if (type == 3) {
		check(d, SENSE_BAD_FIELD);
		return;
	}
	memset(b, 0, 8);
	put_be16(b + 6, profile);
	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		bool current = features[i].flags & 1;

		if (type == 2 ? features[i].code == start
			      : features[i].code >= start && (type == 0 || current))
			n += feature(b + n, features[i].code, features[i].flags, features[i].data,
				features[i].len);
	}
	put_be32(b, n - 4);
	reply(d, n, be16(p + 7));
}

static void cmd_get_event(struct ide_drive *d, const uint8_t *p)
{
	struct ide_drive_state *s = drive_state(d);
	uint8_t *b = s->buffer;

	if (!(p[1] & 1)) { /* asynchronous notification needs tagged queuing */
		check(d, SENSE_BAD_FIELD);
		return;
	}
	memset(b, 0, 8);
	b[3] = 0x10; /* supported: media */
	if (!(p[4] & 0x10)) {
		put_be16(b, 2);
		b[2] = 0x80; /* no event of a class asked for */
		reply(d, 4, be16(p + 7));
		return;
	}
	put_be16(b, 6);
	b[2] = 4;
	b[4] = s->event;
	b[5] = (uint8_t)((has_medium(d) ? 2 : 0) | (s->tray_open ? 1 : 0));
	s->event = 0;
	reply(d, 8, be16(p + 7));
}

static void cmd_mechanism_status(struct ide_drive *d, const uint8_t *p)
{
	uint8_t *b = drive_state(d)->buffer;

	memset(b, 0, 8);
	b[1] = drive_state(d)->tray_open ? 0x10 : 0;
	b[5] = 1;
	reply(d, 8, be16(p + 8));
}

static uint32_t page_recovery(uint8_t *b)
{
	memset(b, 0, 8);
	b[0] = 0x01;
	b[1] = 6;
	b[3] = 5; /* read retries */
	return 8;
}

static uint32_t page_audio(uint8_t *b)
{
	memset(b, 0, 16);
	b[0] = 0x0e;
	b[1] = 14;
	b[2] = 4;
	return 16;
}

static uint32_t page_capabilities(struct ide_drive *d, uint8_t *b)
{
	memset(b, 0, 22);
	b[0] = 0x2a;
	b[1] = 20;
	b[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
	b[4] = 0x70; /* mode 2 forms, multi-session */
	b[5] = 0x03;
	b[6] = (uint8_t)(0x29 | (drive_state(d)->locked ? 2 : 0)); /* tray, eject, lock */
	put_be16(b + 8, 5632);                                     /* kB/s, maximum */
	put_be16(b + 10, 2);
	put_be16(b + 12, 512);  /* KiB of buffer */
	put_be16(b + 14, 5632); /* current */
	return 22;
}

/* Header of 4 bytes (6-byte command) or 8, then the pages. */
static void mode_sense(struct ide_drive *d, const uint8_t *p, uint32_t header, uint32_t room)
{
	uint8_t *b = drive_state(d)->buffer, page = p[2] & 0x3f;
	uint32_t n = header;

	if (p[2] >> 6 == 3) { /* saved values are not kept */
		check(d, 0x053900);
		return;
	}
	memset(b, 0, header);
	if (page == 0x01 || page == 0x3f)
		n += page_recovery(b + n);
	if (page == 0x0e || page == 0x3f)
		n += page_audio(b + n);
	if (page == 0x2a || page == 0x3f)
		n += page_capabilities(d, b + n);
	if (n == header) {
		check(d, SENSE_BAD_FIELD);
		return;
	}
	if (p[2] >> 6 == 1) /* changeable: nothing */
		memset(b + header + 2, 0, n - header - 2);
	if (header == 4) {
		b[0] = (uint8_t)(n - 1);
		b[1] = has_medium(d) ? 0x01 : 0x70;
	} else {
		put_be16(b, n - 2);
		b[2] = has_medium(d) ? 0x01 : 0x70; /* 120 mm data disc, or door closed and no disc */
	}
	reply(d, n, room);
}

static void cmd_mode_sense6(struct ide_drive *d, const uint8_t *p)
{
	mode_sense(d, p, 4, p[4]);
}

static void cmd_mode_sense10(struct ide_drive *d, const uint8_t *p)
{
	mode_sense(d, p, 8, be16(p + 7));
}

/* ---- the table -------------------------------------------------------------------------------------- */

#define MEDIUM 1u /* needs one */
#define QUIET  2u /* does not report, and does not clear, a unit attention */

static const struct {
	uint8_t code;
	uint8_t flags;
	void (*run)(struct ide_drive *d, const uint8_t *packet);
} commands[] = {
	{ 0x00, MEDIUM, cmd_good }, /* TEST UNIT READY */
	{ 0x03, QUIET, cmd_request_sense },
	{ 0x12, QUIET, cmd_inquiry },
	{ 0x1a, 0, cmd_mode_sense6 },
	{ 0x1b, 0, cmd_start_stop },
	{ 0x1e, 0, cmd_prevent },
	{ 0x25, MEDIUM, cmd_read_capacity },
	{ 0x28, MEDIUM, cmd_read10 },
	{ 0x2b, MEDIUM, cmd_seek },
	{ 0x42, MEDIUM, cmd_read_subchannel },
	{ 0x43, MEDIUM, cmd_read_toc },
	{ 0x46, QUIET, cmd_get_configuration },
	{ 0x4a, QUIET, cmd_get_event },
	{ 0x51, MEDIUM, cmd_read_disc_info },
	{ 0x5a, 0, cmd_mode_sense10 },
	{ 0xa8, MEDIUM, cmd_read12 },
	{ 0xb9, MEDIUM, cmd_read_cd_msf },
	{ 0xbb, 0, cmd_good }, /* SET CD SPEED */
	{ 0xbd, 0, cmd_mechanism_status },
	{ 0xbe, MEDIUM, cmd_read_cd },
};

void atapi_packet(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint8_t packet[12];

	memcpy(packet, s->buffer, sizeof(packet));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (commands[i].code != packet[0])
			continue;
		if (s->attention && !(commands[i].flags & QUIET)) {
			s->attention = 0;
			check(d, SENSE_MEDIUM_CHANGED);
		} else if ((commands[i].flags & MEDIUM) && !has_medium(d)) {
			atapi_no_medium(d);
		} else {
			if (packet[0] != 0x03)
				set_sense(s, SENSE_NONE);
			commands[i].run(d, packet);
		}
		return;
	}
	check(d, SENSE_BAD_COMMAND);
}

/* ---- the ATA side ----------------------------------------------------------------------------------- */

static void packet_command(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint32_t limit = s->lba_mid[0] | (uint32_t)s->lba_high[0] << 8;

	s->dma = s->feature[0] & 1;
	s->byte_limit = (uint16_t)(limit && limit < MAX_BYTE_COUNT ? limit : MAX_BYTE_COUNT);
	s->nsector[0] = REASON_COD;
	drive_window(d, PHASE_PACKET, 0, 12, false);
}

static void identify_packet(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint16_t w[256] = { 0 };

	w[0] = 0x85c0; /* ATAPI, CD-ROM, removable, DRQ within 50 us, 12-byte packets */
	ata_put_string(w + 10, 10, d->serial);
	ata_put_string(w + 23, 4, d->firmware);
	ata_put_string(w + 27, 20, d->model);
	w[49] = 0x0b00; /* IORDY, LBA, DMA */
	w[50] = 0x4000;
	w[51] = w[52] = 0x0200;
	w[53] = 0x0006;
	w[63] = 0x0007;
	w[64] = 0x0003;
	w[65] = w[66] = w[67] = w[68] = 120;
	w[80] = 0x007e;
	w[82] = 0x4210; /* NOP, DEVICE RESET, PACKET */
	w[83] = w[84] = w[87] = 0x4000;
	w[85] = 0x4210;
	w[88] = 0x0007;
	if (s->xfer_mode & 0x40)
		w[88] |= (uint16_t)(0x100 << (s->xfer_mode & 7));
	else if (s->xfer_mode & 0x20)
		w[63] |= (uint16_t)(0x100 << (s->xfer_mode & 7));
	w[93] = 0x600b;
	memcpy(s->buffer, w, sizeof(w));
	s->left = 0;
	s->fill = sizeof(w);
	drive_window(d, PHASE_PIO_IN, 0, sizeof(w), true);
}

static void set_features(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint8_t mode = s->nsector[0];

	if (s->feature[0] == 0x03) {
		if (mode > 0x42 || (mode & 7) > 4) {
			drive_abort(d, ER_ABRT);
			return;
		}
		if (mode & 0x60)
			s->xfer_mode = mode;
	} else if (s->feature[0] != 0x66 && s->feature[0] != 0xcc) {
		drive_abort(d, ER_ABRT);
		return;
	}
	drive_done(d);
	drive_interrupt(d);
}

void atapi_command(struct ide_drive *d, uint8_t command)
{
	switch (command) {
	case 0x08: /* DEVICE RESET: no interrupt */
		drive_reset(d);
		break;
	case CMD_PACKET:
		packet_command(d);
		break;
	case 0xa1:
		identify_packet(d);
		break;
	case 0xef:
		set_features(d);
		break;
	case 0x20: /* READ and IDENTIFY DEVICE tell the old BIOS what is here */
	case 0xec:
		drive_signature(d);
		drive_abort(d, ER_ABRT);
		break;
	case 0xe0 ... 0xe3:
	case 0xe6:
		drive_done(d);
		drive_interrupt(d);
		break;
	case 0xe5:
		drive_done(d);
		drive_state(d)->nsector[0] = 0xff;
		drive_interrupt(d);
		break;
	default:
		drive_abort(d, ER_ABRT);
	}
}
