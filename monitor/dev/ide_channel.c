/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ide_channel.c - an IDE channel: task file, DRQ windows, interrupts, requests to the image.
 *
 *   command block, read/write           control block
 *     0 data          4 LBA mid           0 alternate status / device control
 *     1 error/feature 5 LBA high
 *     2 sector count  6 device
 *     3 LBA low       7 status/command
 *
 * Writes to 1..6 reach both drives' task files; reads come from the selected one.  Each of 1..5 is two deep
 * for 48-bit commands; device control's HOB shows the older byte.
 *
 * Theory:  ATA/ATAPI-6, chapters 7 (registers) and 9 (protocol).
 */
#include "monitor/dev/ata.h"

#include "base/bits.h"

#define CMD_DEVICE_RESET 0x08
#define CMD_DIAGNOSTIC   0x90

static struct ide_drive *selected(struct ide_drive *first)
{
	return first + drive_channel(first)->selected;
}

/* ---- ends and beginnings ---------------------------------------------------------------------------- */

void drive_interrupt(struct ide_drive *d)
{
	struct ide_channel_state *ch = drive_channel(d);

	ch->irq = 1;
	if (!(ch->control & CTL_NIEN))
		ch->bm_status |= BM_INT;
}

void drive_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	s->phase = PHASE_IDLE;
	s->pos = s->end = 0;
	s->error = 0;
	s->status = ST_DRDY | ST_DSC;
}

void drive_abort(struct ide_drive *d, uint8_t error)
{
	struct ide_drive_state *s = drive_state(d);

	s->phase = PHASE_IDLE;
	s->pos = s->end = 0;
	s->error = error;
	s->status = ST_DRDY | ST_DSC | ST_ERR;
	if (s->dma)
		drive_channel(d)->bm_status &= (uint8_t)~BM_ACTIVE;
	drive_interrupt(d);
}

void drive_window(struct ide_drive *d, enum ide_phase phase, uint32_t pos, uint32_t len, bool interrupt)
{
	struct ide_drive_state *s = drive_state(d);

	s->phase = phase;
	s->pos = pos;
	s->end = pos + len;
	s->status = ST_DRDY | ST_DSC | ST_DRQ;
	if (interrupt)
		drive_interrupt(d);
}

void drive_busy(struct ide_drive *d, enum ide_phase phase)
{
	struct ide_drive_state *s = drive_state(d);

	s->phase = (uint8_t)phase;
	s->status = ST_BSY;
}

void drive_signature(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	bool cd = d->kind == IDE_CDROM;

	s->nsector[0] = 1;
	s->lba_low[0] = 1;
	s->lba_mid[0] = cd ? 0x14 : 0;
	s->lba_high[0] = cd ? 0xeb : 0;
	s->device &= DEV_SELECT;
}

void drive_reset(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	if (d->kind == IDE_NONE)
		return;
	d->stale = d->in_flight;
	s->phase = PHASE_IDLE;
	s->error = 1; /* diagnostics passed */
	s->status = d->kind == IDE_CDROM ? 0 : ST_DRDY | ST_DSC;
	s->pos = s->end = s->fill = s->left = 0;
	s->sense_key = s->asc = s->ascq = 0;
	drive_signature(d);
}

/* ---- requests to the image -------------------------------------------------------------------------- */

static void request_done(struct image_request *r);

static void submit(struct ide_drive *d, enum image_op op, uint64_t lba, uint32_t sectors)
{
	d->iov = (struct iovec){ d->bounce, (size_t)sectors * SECTOR_SIZE };
	d->request = (struct image_request){
		.op = op,
		.lba = lba,
		.sectors = sectors,
		.iov = &d->iov,
		.iov_count = 1,
		.done = request_done,
		.opaque = d,
	};
	d->asked = sectors;
	d->in_flight = true;
	image_submit(d->image, &d->request);
}

static void start_read(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	uint64_t lba = s->lba;
	uint32_t sectors = MIN_OF(s->left, IDE_BUFFER / SECTOR_SIZE);

	if (d->kind == IDE_CDROM)
		atapi_extent(d, &lba, &sectors);
	submit(d, IMAGE_READ, lba, sectors);
}

static void start_write(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	memcpy(d->bounce, s->buffer, s->fill);
	submit(d, IMAGE_WRITE, s->lba, s->fill / SECTOR_SIZE);
}

static void start_dma_write(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	struct ide_channel_state *ch = drive_channel(d);
	struct prd_cursor c = prd_cursor(ch);
	uint32_t sectors = MIN_OF(s->left, IDE_BOUNCE / SECTOR_SIZE);

	/* The cursor moves on only when the image has the data, so that a saved state asks again from here.
	 */
	if (prd_copy(d->ide, ch, &c, d->bounce, sectors * SECTOR_SIZE, false) == sectors * SECTOR_SIZE)
		submit(d, IMAGE_WRITE, s->lba, sectors);
	else
		ch->bm_status &=
			(uint8_t)~BM_ACTIVE; /* table too short: the drive waits for more (BMIDE 3.1) */
}

static void move_buffer(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	struct ide_channel_state *ch = drive_channel(d);
	struct prd_cursor c = prd_cursor(ch);

	s->pos += prd_copy(d->ide, ch, &c, s->buffer + s->pos, s->fill - s->pos, true);
	prd_keep(ch, &c);
	if (s->pos == s->fill)
		atapi_buffer_moved(d);
	else
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
}

/* What the phase asks for, unless the image is still busy with us. */
static void drive_pump(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	bool started = (drive_channel(d)->bm_status & BM_ACTIVE) && (drive_channel(d)->bm_command & BM_START);

	/* A buffer may lead to a read and that to nothing more: two rounds are enough, the rest is
	 * asynchronous. */
	for (int round = 0; round < 2 && !d->in_flight; round++) {
		if (d->kind == IDE_NONE || s->phase == PHASE_IDLE || s->phase >= PHASE_PIO_IN)
			return;
		if (!d->image && s->phase != PHASE_DMA_BUFFER) {
			atapi_no_medium(d);
		} else if (s->phase == PHASE_READ) {
			start_read(d);
		} else if (s->phase == PHASE_WRITE) {
			start_write(d);
		} else if (s->phase == PHASE_FLUSH) {
			submit(d, IMAGE_FLUSH, 0, 0);
		} else if (!started) {
			return;
		} else if (s->phase == PHASE_DMA_READ) {
			submit(d, IMAGE_READ, s->lba, MIN_OF(s->left, IDE_BOUNCE / SECTOR_SIZE));
		} else if (s->phase == PHASE_DMA_WRITE) {
			start_dma_write(d);
			return;
		} else {
			move_buffer(d);
			started = drive_channel(d)->bm_status & BM_ACTIVE;
		}
	}
}

static void dma_read_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	struct ide_channel_state *ch = drive_channel(d);
	struct prd_cursor c = prd_cursor(ch);
	uint32_t bytes = d->asked * SECTOR_SIZE;

	if (!(ch->bm_command & BM_START))
		return; /* stopped meanwhile; a new start asks again */
	if (prd_copy(d->ide, ch, &c, d->bounce, bytes, true) != bytes) {
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
		return;
	}
	prd_keep(ch, &c);
	s->lba += d->asked;
	s->left -= d->asked;
	ata_read_done(d);
}

static void dma_write_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);
	struct ide_channel_state *ch = drive_channel(d);
	struct prd_cursor c = prd_cursor(ch);

	/* Walk the table again, only to move the cursor; stopped meanwhile, it stays and the sectors are
	 * written again. */
	if (prd_copy(d->ide, ch, &c, NULL, d->asked * SECTOR_SIZE, false) != d->asked * SECTOR_SIZE)
		return;
	prd_keep(ch, &c);
	s->lba += d->asked;
	s->left -= d->asked;
	ata_write_done(d);
}

static void read_done(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	memcpy(s->buffer, d->bounce, d->asked * SECTOR_SIZE);
	s->fill = d->asked * SECTOR_SIZE;
	s->pos = 0;
	if (d->kind == IDE_CDROM) {
		atapi_read_done(d);
		return;
	}
	s->lba += d->asked;
	s->left -= d->asked;
	ata_read_done(d);
}

static void request_ok(struct ide_drive *d)
{
	struct ide_drive_state *s = drive_state(d);

	switch (s->phase) {
	case PHASE_READ:
		read_done(d);
		break;
	case PHASE_DMA_READ:
		dma_read_done(d);
		break;
	case PHASE_DMA_WRITE:
		dma_write_done(d);
		break;
	case PHASE_WRITE:
		s->lba += d->asked;
		s->left -= d->asked;
		ata_write_done(d);
		break;
	case PHASE_FLUSH:
		ata_flush_done(d);
		break;
	default:
		break;
	}
}

static void request_done(struct image_request *r)
{
	struct ide_drive *d = r->opaque;
	bool stale = d->stale;

	d->in_flight = d->stale = false;
	if (!stale && r->error) {
		if (d->kind == IDE_CDROM)
			atapi_io_error(d);
		else
			ata_io_error(d);
	} else if (!stale) {
		request_ok(d);
	}
	ide_update(d->ide);
}

void ide_update(struct ide *ide)
{
	for (unsigned i = 0; i < ARRAY_LEN(ide->drive); i++)
		drive_pump(&ide->drive[i]);
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		irq_set(&ide->irq[i], ide->s.ch[i].irq && !(ide->s.ch[i].control & CTL_NIEN));
}

/* ---- the data port ---------------------------------------------------------------------------------- */

static void window_done(struct ide_drive *d)
{
	if (drive_state(d)->phase == PHASE_PACKET)
		atapi_packet(d);
	else if (d->kind == IDE_CDROM)
		atapi_window_done(d);
	else
		ata_window_done(d);
}

static uint64_t data_read(struct ide_drive *d, unsigned size)
{
	struct ide_drive_state *s = drive_state(d);
	unsigned n;
	uint64_t v;

	if (d->kind == IDE_NONE || s->phase != PHASE_PIO_IN)
		return 0;
	n = MIN_OF(size, s->end - s->pos);
	v = n ? le_load(s->buffer + s->pos, n) : 0;
	s->pos += n;
	if (s->pos == s->end) {
		window_done(d);
		ide_update(d->ide);
	}
	return v;
}

static void data_write(struct ide_drive *d, unsigned size, uint64_t v)
{
	struct ide_drive_state *s = drive_state(d);
	unsigned n;

	if (d->kind == IDE_NONE || (s->phase != PHASE_PIO_OUT && s->phase != PHASE_PACKET))
		return;
	n = MIN_OF(size, s->end - s->pos);
	memcpy(s->buffer + s->pos, &v, n);
	s->pos += n;
	if (s->pos == s->end) {
		window_done(d);
		ide_update(d->ide);
	}
}

/* ---- the registers ---------------------------------------------------------------------------------- */

static bool decoded(struct ide_drive *first)
{
	/* IDETIM bit 15 of the channel. */
	return first->ide->s.config[0x41 + 2 * (first->index / IDE_DRIVES)] & 0x80;
}

static uint8_t read_register(struct ide_drive *first, unsigned reg)
{
	struct ide_channel_state *ch = drive_channel(first);
	struct ide_drive *d = selected(first);
	struct ide_drive_state *s = drive_state(d);
	unsigned older = ch->control & CTL_HOB ? 1 : 0;

	/* No drive: drive 0 answers for it with zeros, and an empty channel is pulled down. */
	if (d->kind == IDE_NONE)
		return 0;
	switch (reg) {
	case 1:
		return s->error;
	case 2:
		return s->nsector[older];
	case 3:
		return s->lba_low[older];
	case 4:
		return s->lba_mid[older];
	case 5:
		return s->lba_high[older];
	case 6:
		return s->device | 0xa0;
	default:
		return s->status;
	}
}

static void push(uint8_t reg[2], uint8_t v)
{
	reg[1] = reg[0];
	reg[0] = v;
}

static void diagnose(struct ide_drive *first)
{
	drive_channel(first)->selected = 0;
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		drive_reset(first + i);
		drive_state(first + i)->device = 0;
	}
	drive_interrupt(first);
}

static void write_command(struct ide_drive *first, uint8_t command)
{
	struct ide_drive *d = selected(first);
	struct ide_drive_state *s = drive_state(d);

	if (command == CMD_DIAGNOSTIC) {
		diagnose(first);
		return;
	}
	drive_channel(first)->irq = 0;
	if (d->kind == IDE_NONE)
		return;
	if ((s->status & (ST_BSY | ST_DRQ)) && command != CMD_DEVICE_RESET)
		return;
	s->command = command;
	s->dma = s->write = s->lba48 = 0;
	s->error = 0;
	s->standby = 0;
	if (d->kind == IDE_CDROM)
		atapi_command(d, command);
	else
		ata_command(d, command);
}

static void write_task_file(struct ide_drive_state *s, unsigned reg, uint8_t v)
{
	switch (reg) {
	case 1:
		push(s->feature, v);
		break;
	case 2:
		push(s->nsector, v);
		break;
	case 3:
		push(s->lba_low, v);
		break;
	case 4:
		push(s->lba_mid, v);
		break;
	case 5:
		push(s->lba_high, v);
		break;
	default:
		s->device = v;
	}
}

static void write_register(struct ide_drive *first, unsigned reg, uint8_t v)
{
	struct ide_channel_state *ch = drive_channel(first);

	ch->control &= (uint8_t)~CTL_HOB;
	if (reg == 7) {
		write_command(first, v);
		ide_update(first->ide);
		return;
	}
	for (unsigned i = 0; i < IDE_DRIVES; i++)
		if (!(drive_state(first + i)->status & ST_BSY) || reg == 6)
			write_task_file(drive_state(first + i), reg, v);
	if (reg == 6)
		ch->selected = v & DEV_SELECT ? 1 : 0;
}

static uint64_t command_read(void *opaque, uint64_t off, unsigned size)
{
	struct ide_drive *first = opaque;
	uint64_t v;

	if (!decoded(first))
		return bits_mask_bytes(size);
	if (off == 0)
		return data_read(selected(first), size);
	v = read_register(first, (unsigned)off);
	if (off == 7) {
		drive_channel(first)->irq = 0;
		ide_update(first->ide);
	}
	return v;
}

static void command_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct ide_drive *first = opaque;

	if (!decoded(first))
		return;
	if (off == 0)
		data_write(selected(first), size, v);
	else
		write_register(first, (unsigned)off, (uint8_t)v);
}

static uint64_t control_read(void *opaque, uint64_t off, unsigned size)
{
	(void)off;
	return decoded(opaque) ? read_register(opaque, 7) : bits_mask_bytes(size);
}

static void control_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct ide_drive *first = opaque;
	struct ide_channel_state *ch = drive_channel(first);
	uint8_t was = ch->control;

	(void)off, (void)size;
	if (!decoded(first))
		return;
	ch->control = v & (CTL_NIEN | CTL_SRST | CTL_HOB);
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		if ((v & CTL_SRST) && first[i].kind != IDE_NONE) {
			drive_reset(first + i);
			drive_state(first + i)->status = ST_BSY;
		} else if (was & CTL_SRST) {
			drive_reset(first + i);
			drive_state(first + i)->device = 0;
		}
	}
	if (was & CTL_SRST) {
		ch->selected = 0;
		ch->irq = 0;
	}
	ide_update(first->ide);
}

const struct io_ops ide_command_ops = { command_read, command_write };
const struct io_ops ide_control_ops = { control_read, control_write };
