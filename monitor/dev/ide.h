/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ide.h - the PIIX4 IDE controller (8086:7111), two channels with two ATA disks or ATAPI CD-ROMs
 * each.
 *
 * Claims the fixed ports 0x1F0..0x1F7, 0x3F6, 0x170..0x177, 0x376; BAR4 is the bus master.
 *
 * Owns:    the transfer buffers; not the images.
 * Threads: under the device lock; media through image_submit, whose completions must be finished under it
 * too. Theory:  Intel 82371AB data sheet; ATA/ATAPI-6; SFF-8020i, MMC-4; Programming Interface for Bus Master
 * IDE 1.0.
 */
#ifndef SERAI_MONITOR_DEV_IDE_H
#define SERAI_MONITOR_DEV_IDE_H

#include "disk/disk.h"
#include "monitor/bus/pci.h"

#define IDE_CHANNELS 2
#define IDE_DRIVES   2
#define IDE_BUFFER   32768u  /* one DRQ stretch: 16 CD sectors, 64 disk sectors */
#define IDE_BOUNCE   262144u /* one DMA request to the image */

/* What the guest can observe of one drive. */
struct ide_drive_state {
	/* task file; [0] as last written, [1] the byte before (48-bit commands) */
	uint8_t feature[2], nsector[2], lba_low[2], lba_mid[2], lba_high[2];
	uint8_t device, status, error;
	uint8_t command;           /* in progress */
	uint8_t phase;             /* enum ide_phase */
	uint8_t lba48, write, dma; /* of the command in progress */
	uint8_t multiple;          /* sectors per DRQ block of MULTIPLE commands, 0: off */
	uint8_t block;             /* sectors per DRQ block of this command */
	uint8_t heads, sectors;    /* current CHS translation */
	uint8_t write_cache, look_ahead, xfer_mode, smart, security_frozen, standby;
	/* ATAPI */
	uint8_t sense_key, asc, ascq, attention; /* attention: unit attention waits to be told */
	uint8_t tray_open, locked, event;        /* event: for GET EVENT STATUS */
	uint8_t raw_read;                        /* READ CD of 2352-byte sectors */
	uint8_t pad[5];
	uint16_t byte_limit; /* of a PIO DRQ stretch */
	uint16_t cylinders;
	uint64_t lba;      /* next sector the medium is asked for */
	uint32_t left;     /* sectors still to be asked for */
	uint32_t pos, end; /* the DRQ window in buffer */
	uint32_t fill;     /* valid bytes in buffer */
	uint8_t buffer[IDE_BUFFER];
};

struct ide_channel_state {
	uint8_t control;  /* nIEN, SRST, HOB */
	uint8_t selected; /* drive 0 or 1 */
	uint8_t irq;      /* interrupt pending at the selected drive */
	uint8_t bm_command, bm_status;
	uint8_t pad[3];
	uint32_t bm_table;    /* PRD table address as written */
	uint32_t prd_next;    /* address of the next PRD */
	uint32_t prd_address; /* what is left of the current one */
	uint32_t prd_left;
	uint8_t prd_last;
	uint8_t pad2[3];
};

struct ide_state {
	uint8_t config[256];
	struct ide_channel_state ch[IDE_CHANNELS];
	struct ide_drive_state drive[IDE_CHANNELS * IDE_DRIVES];
};

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CDROM };

struct ide;

/* One drive's wiring. */
struct ide_drive {
	struct ide *ide;
	unsigned index; /* channel * 2 + drive */
	enum ide_kind kind;
	struct image *image; /* NULL: a CD-ROM drive without disc */
	uint64_t sectors;    /* of SECTOR_SIZE */
	char model[41], serial[21], firmware[9];
	struct image_request request;
	struct iovec iov;
	uint8_t *bounce;
	uint32_t asked; /* sectors of the request under way */
	bool in_flight; /* the image has the request */
	bool stale;     /* and its answer is to be dropped (reset meanwhile) */
};

struct ide {
	struct pci_function pci; /* first */
	struct ide_state s;
	struct irq_line irq[IDE_CHANNELS]; /* 14, 15 */
	struct ide_drive drive[IDE_CHANNELS * IDE_DRIVES];
	/* The guest asked to eject or load (START STOP UNIT), after the drive's state changed; may be NULL.
	 */
	void (*tray)(void *opaque, unsigned channel, unsigned drive, bool open);
	void *tray_opaque;
};

void ide_init(
	struct ide *ide, struct pci_bus *bus, uint8_t devfn, struct physmap *mem, struct timer_queue *timers);

/* Free the buffers; the images must be drained (image_drain and their completions finished) before. */
void ide_destroy(struct ide *ide);

/*
 * Plug drives in before the first reset.  model (up to 40) and serial (up to 20 characters) may be NULL.  The
 * image stays the caller's.  A disk image that is read-only answers writes with an aborted command.
 */
void ide_attach_disk(struct ide *ide, unsigned channel, unsigned drive, struct image *image,
	const char *model, const char *serial);
void ide_attach_cdrom(struct ide *ide, unsigned channel, unsigned drive, struct image *image,
	const char *model, const char *serial);

/* Change the disc while running, NULL: take it out. The caller drains the old image before closing it. */
void ide_change_medium(struct ide *ide, unsigned channel, unsigned drive, struct image *image);

/* No request is with an image. Save does not need it: what is under way is asked again after load. */
bool ide_idle(const struct ide *ide);

extern const struct device_class ide_class;

#endif
