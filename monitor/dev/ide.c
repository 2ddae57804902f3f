/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ide.c - the PIIX4 IDE function: PCI configuration, fixed ports, bus master.
 *
 *   BAR4 + 8 * channel:  0 command   bit 0 start, bit 3 direction
 *                        2 status    bit 0 active, 1 error, 2 interrupt, 5 and 6 "drive can DMA" (plain
 * storage) 4 PRD table address
 *
 *   PRD: | 31..1 address | 0 |   then   | 31 last | 30..16 - | 15..1 count, 0 = 64 KiB | 0 |
 *
 * Owns:    the drives' bounce buffers.
 * Promise: a PRD table that is endless, beyond memory or too short costs only the guest its transfer.
 * Not here: what a drive does (ide_channel.c, ata_disk.c, atapi.c).
 * Theory:  82371AB data sheet, chapter 6; Programming Interface for Bus Master IDE Controller 1.0.
 */
#include "monitor/dev/ata.h"

#include "base/bits.h"

#define IDETIM        0x40 /* one 16-bit register a channel */
#define IDETIM_DECODE 0x80 /* in its high byte */
#define SIDETIM       0x44
#define UDMACTL       0x48
#define UDMATIM       0x4a

#define BM_PORTS       16
#define BM_COMMAND_RW  0x09
#define BM_STATUS_RW   0x60
#define PRD_COUNT_MASK 0xfffeu

static const struct pci_ids ide_ids = {
	.vendor = 0x8086,
	.device = 0x7111,
	.class_base = 0x01,
	.class_sub = 0x01,
	.class_prog = 0x80, /* fixed ports, bus master */
	.revision = 0x01,
	.subsys_vendor = 0x15ad,
	.subsys_id = 0x1976,
};

static struct ide *to_ide(struct device *dev)
{
	return (struct ide *)dev;
}

/* ---- PRDs ------------------------------------------------------------------------------------------- */

struct prd_cursor prd_cursor(const struct ide_channel_state *ch)
{
	return (struct prd_cursor){ ch->prd_next, ch->prd_address, ch->prd_left, ch->prd_last };
}

void prd_keep(struct ide_channel_state *ch, const struct prd_cursor *c)
{
	ch->prd_next = c->next;
	ch->prd_address = c->address;
	ch->prd_left = c->left;
	ch->prd_last = c->last;
}

static void prd_fetch(struct ide *ide, struct prd_cursor *c)
{
	uint64_t prd = phys_read_le(ide->pci.dev.mem, c->next, 8);
	uint32_t count = (uint32_t)(prd >> 32) & PRD_COUNT_MASK;

	c->address = (uint32_t)prd & ~1u;
	c->left = count ? count : 0x10000;
	c->last = (uint8_t)(prd >> 63);
	/* The table may not cross 64 KiB: the pointer's upper half stands still. */
	c->next = (c->next & 0xffff0000u) | ((c->next + 8) & 0xffffu);
}

uint32_t prd_copy(struct ide *ide, const struct ide_channel_state *ch, struct prd_cursor *c, uint8_t *buf,
	uint32_t len, bool to_memory)
{
	uint32_t done = 0;

	if (!(ch->bm_command & BM_START))
		return 0;
	while (done < len) {
		uint32_t n;

		if (!c->left) {
			if (c->last)
				break;
			prd_fetch(ide, c);
		}
		n = MIN_OF(c->left, len - done);
		if (to_memory && buf)
			phys_write(ide->pci.dev.mem, c->address, buf + done, n);
		else if (buf)
			phys_read(ide->pci.dev.mem, c->address, buf + done, n);
		c->address += n;
		c->left -= n;
		done += n;
	}
	return done;
}

void bus_master_done(struct ide_channel_state *ch)
{
	if (!ch->prd_left && ch->prd_last)
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
}

/* ---- bus master registers --------------------------------------------------------------------------- */

static void bus_master_command(struct ide_channel_state *ch, uint8_t v)
{
	bool was = ch->bm_command & BM_START;

	ch->bm_command = v & BM_COMMAND_RW;
	if (!(v & BM_START)) {
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
	} else if (!was) {
		ch->prd_next = ch->bm_table;
		ch->prd_left = 0;
		ch->prd_last = 0;
		ch->bm_status |= BM_ACTIVE;
	}
}

static uint8_t bus_master_read(const struct ide_channel_state *ch, unsigned reg)
{
	switch (reg) {
	case 0:
		return ch->bm_command;
	case 2:
		return ch->bm_status;
	case 4 ... 7:
		return (uint8_t)(ch->bm_table >> 8 * (reg - 4));
	default:
		return 0;
	}
}

static void bus_master_write(struct ide_channel_state *ch, unsigned reg, uint8_t v)
{
	switch (reg) {
	case 0:
		bus_master_command(ch, v);
		break;
	case 2:
		ch->bm_status = (uint8_t)((ch->bm_status & ~BM_STATUS_RW) | (v & BM_STATUS_RW));
		ch->bm_status &= (uint8_t) ~(v & (BM_ERROR | BM_INT));
		break;
	case 4 ... 7:
		ch->bm_table = (uint32_t)bits_put(ch->bm_table, 8 * (reg - 4) + 7, 8 * (reg - 4), v) & ~3u;
		break;
	default:
		break;
	}
}

static uint64_t bm_read(void *opaque, uint64_t off, unsigned size)
{
	struct ide *ide = opaque;
	uint64_t v = 0;

	for (unsigned i = 0; i < size && off + i < BM_PORTS; i++)
		v |= (uint64_t)bus_master_read(&ide->s.ch[(off + i) >> 3], (off + i) & 7) << 8 * i;
	return v;
}

static void bm_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct ide *ide = opaque;

	for (unsigned i = 0; i < size && off + i < BM_PORTS; i++)
		bus_master_write(&ide->s.ch[(off + i) >> 3], (off + i) & 7, (uint8_t)(v >> 8 * i));
	ide_update(ide);
}

static const struct io_ops bm_ops = { bm_read, bm_write };

/* ---- life cycle ------------------------------------------------------------------------------------- */

static void ide_reset(struct device *dev)
{
	struct ide *ide = to_ide(dev);

	pci_function_reset(&ide->pci, &ide_ids);
	/* The data sheet's reset value has decoding off and the BIOS switches it on; a kernel booted without
	 * one looks at the same bits to see which channels there are. */
	ide->s.config[IDETIM + 1] = IDETIM_DECODE;
	ide->s.config[IDETIM + 3] = IDETIM_DECODE;
	for (unsigned i = 0; i < ARRAY_LEN(ide->drive); i++) {
		if (ide->drive[i].kind == IDE_DISK)
			ata_reset(&ide->drive[i]);
		drive_reset(&ide->drive[i]);
	}
}

static void ide_settle(struct device *dev)
{
	pci_function_settle(&to_ide(dev)->pci);
	ide_update(to_ide(dev));
}

static bool drive_check(const struct ide_drive_state *s)
{
	if (s->phase >= PHASE_COUNT || s->pos > s->end || s->end > IDE_BUFFER || s->fill > IDE_BUFFER)
		return false;
	if (s->phase == PHASE_WRITE && (s->fill % SECTOR_SIZE || s->left < s->fill / SECTOR_SIZE))
		return false;
	if ((s->phase == PHASE_PIO_IN || s->phase == PHASE_DMA_BUFFER) &&
		(s->end > s->fill || s->pos > s->fill))
		return false;
	return s->block <= 64 && s->multiple <= 16;
}

static bool ide_check(const void *state, GError **error)
{
	const struct ide_state *s = state;

	for (unsigned i = 0; i < ARRAY_LEN(s->drive); i++)
		if (!drive_check(&s->drive[i]))
			return fail(
				error, SERAI_ERROR_STATE, "ide: drive %u: a transfer outside its buffer", i);
	for (unsigned i = 0; i < ARRAY_LEN(s->ch); i++)
		if (s->ch[i].selected >= IDE_DRIVES)
			return fail(error, SERAI_ERROR_STATE, "ide: channel %u: drive %u selected", i,
				s->ch[i].selected);
	return true;
}

#define S struct ide_state
#define CHANNEL(n)                                                                                           \
	STATE_FIELD(S, ch[n].control, 1), STATE_FIELD(S, ch[n].selected, 1), STATE_FIELD(S, ch[n].irq, 1),   \
		STATE_FIELD(S, ch[n].bm_command, 1), STATE_FIELD(S, ch[n].bm_status, 1),                     \
		STATE_ARRAY(S, ch[n].pad, 1), STATE_FIELD(S, ch[n].bm_table, 1),                             \
		STATE_FIELD(S, ch[n].prd_next, 1), STATE_FIELD(S, ch[n].prd_address, 1),                     \
		STATE_FIELD(S, ch[n].prd_left, 1), STATE_FIELD(S, ch[n].prd_last, 1),                        \
		STATE_ARRAY(S, ch[n].pad2, 1)
#define DRIVE(n)                                                                                             \
	STATE_ARRAY(S, drive[n].feature, 1), STATE_ARRAY(S, drive[n].nsector, 1),                            \
		STATE_ARRAY(S, drive[n].lba_low, 1), STATE_ARRAY(S, drive[n].lba_mid, 1),                    \
		STATE_ARRAY(S, drive[n].lba_high, 1), STATE_FIELD(S, drive[n].device, 1),                    \
		STATE_FIELD(S, drive[n].status, 1), STATE_FIELD(S, drive[n].error, 1),                       \
		STATE_FIELD(S, drive[n].command, 1), STATE_FIELD(S, drive[n].phase, 1),                      \
		STATE_FIELD(S, drive[n].lba48, 1), STATE_FIELD(S, drive[n].write, 1),                        \
		STATE_FIELD(S, drive[n].dma, 1), STATE_FIELD(S, drive[n].multiple, 1),                       \
		STATE_FIELD(S, drive[n].block, 1), STATE_FIELD(S, drive[n].heads, 1),                        \
		STATE_FIELD(S, drive[n].sectors, 1), STATE_FIELD(S, drive[n].write_cache, 1),                \
		STATE_FIELD(S, drive[n].look_ahead, 1), STATE_FIELD(S, drive[n].xfer_mode, 1),               \
		STATE_FIELD(S, drive[n].smart, 1), STATE_FIELD(S, drive[n].security_frozen, 1),              \
		STATE_FIELD(S, drive[n].standby, 1), STATE_FIELD(S, drive[n].sense_key, 1),                  \
		STATE_FIELD(S, drive[n].asc, 1), STATE_FIELD(S, drive[n].ascq, 1),                           \
		STATE_FIELD(S, drive[n].attention, 1), STATE_FIELD(S, drive[n].tray_open, 1),                \
		STATE_FIELD(S, drive[n].locked, 1), STATE_FIELD(S, drive[n].event, 1),                       \
		STATE_FIELD(S, drive[n].raw_read, 1), STATE_ARRAY(S, drive[n].pad, 1),                       \
		STATE_FIELD(S, drive[n].byte_limit, 1), STATE_FIELD(S, drive[n].cylinders, 1),               \
		STATE_FIELD(S, drive[n].lba, 1), STATE_FIELD(S, drive[n].left, 1),                           \
		STATE_FIELD(S, drive[n].pos, 1), STATE_FIELD(S, drive[n].end, 1),                            \
		STATE_FIELD(S, drive[n].fill, 1), STATE_ARRAY(S, drive[n].buffer, 1)
static const struct state_field ide_fields[] = {
	STATE_ARRAY(S, config, 1),
	CHANNEL(0),
	CHANNEL(1),
	DRIVE(0),
	DRIVE(1),
	DRIVE(2),
	DRIVE(3),
};
#undef S

const struct device_class ide_class = {
	DEVICE_STATE("ide", 1, struct ide, ide_fields),
	.state.check = ide_check,
	.reset = ide_reset,
	.settle = ide_settle,
};

void ide_init(
	struct ide *ide, struct pci_bus *bus, uint8_t devfn, struct physmap *mem, struct timer_queue *timers)
{
	static const uint16_t command[IDE_CHANNELS] = { 0x1f0, 0x170 },
			      control[IDE_CHANNELS] = { 0x3f6, 0x376 };

	memset(ide, 0, sizeof(*ide));
	device_init(&ide->pci.dev, &ide_class, "0", mem, timers);
	ide->pci.config = ide->s.config;
	ide->pci.bars[4] = (struct pci_bar){
		.kind = PCI_BAR_IO, .size = BM_PORTS, .ops = &bm_ops, .opaque = ide, .name = "ide bus master"
	};
	pci_add(bus, &ide->pci, devfn, &ide_ids);
	memset(ide->pci.writable + IDETIM, 0xff, 4);
	ide->pci.writable[SIDETIM] = 0xff;
	ide->pci.writable[UDMACTL] = 0x0f;
	ide->pci.writable[UDMATIM] = ide->pci.writable[UDMATIM + 1] = 0x33;
	for (unsigned i = 0; i < ARRAY_LEN(ide->drive); i++) {
		ide->drive[i].ide = ide;
		ide->drive[i].index = i;
	}
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_drive *first = &ide->drive[i * IDE_DRIVES];

		port_add(mem, &(struct port_range){ command[i], 8, &ide_command_ops, first, "ide command" });
		port_add(mem, &(struct port_range){ control[i], 1, &ide_control_ops, first, "ide control" });
	}
}

void ide_destroy(struct ide *ide)
{
	for (unsigned i = 0; i < ARRAY_LEN(ide->drive); i++) {
		g_free(ide->drive[i].bounce);
		ide->drive[i].bounce = NULL;
	}
}

static struct ide_drive *attach(struct ide *ide, unsigned channel, unsigned drive, enum ide_kind kind,
	struct image *image, const char *model, const char *serial)
{
	struct ide_drive *d = &ide->drive[(channel % IDE_CHANNELS) * IDE_DRIVES + drive % IDE_DRIVES];

	d->kind = kind;
	d->image = image;
	d->sectors = image ? image_sectors(image) : 0;
	g_strlcpy(d->model,
		model              ? model
		: kind == IDE_DISK ? "VMware Virtual IDE Hard Drive"
				   : "VMware Virtual IDE CDROM Drive",
		sizeof(d->model));
	if (serial)
		g_strlcpy(d->serial, serial, sizeof(d->serial));
	else
		g_snprintf(d->serial, sizeof(d->serial), "%020u", d->index + 1);
	g_strlcpy(d->firmware, "00000001", sizeof(d->firmware));
	if (!d->bounce)
		d->bounce = g_malloc(IDE_BOUNCE);
	return d;
}

void ide_attach_disk(struct ide *ide, unsigned channel, unsigned drive, struct image *image,
	const char *model, const char *serial)
{
	attach(ide, channel, drive, IDE_DISK, image, model, serial);
}

void ide_attach_cdrom(struct ide *ide, unsigned channel, unsigned drive, struct image *image,
	const char *model, const char *serial)
{
	attach(ide, channel, drive, IDE_CDROM, image, model, serial);
}

void ide_change_medium(struct ide *ide, unsigned channel, unsigned drive, struct image *image)
{
	struct ide_drive *d = &ide->drive[(channel % IDE_CHANNELS) * IDE_DRIVES + drive % IDE_DRIVES];

	if (d->kind != IDE_CDROM)
		return;
	d->image = image;
	d->sectors = image ? image_sectors(image) : 0;
	d->stale = d->in_flight; /* the old disc's answer is not wanted any more */
	atapi_medium_changed(d);
	ide_update(ide);
}

bool ide_idle(const struct ide *ide)
{
	for (unsigned i = 0; i < ARRAY_LEN(ide->drive); i++)
		if (ide->drive[i].in_flight)
			return false;
	return true;
}
