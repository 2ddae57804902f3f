/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ata.h - what the IDE controller's files share: the drive protocol.  Private to
 * monitor/dev/ide*, ata*.
 *
 *   ide.c          PCI function, ports, bus master, life cycle
 *   ide_channel.c  task file, DRQ windows, interrupts, requests to the image
 *   ata_disk.c     commands of a disk          atapi.c  packet commands of a CD-ROM
 *
 * A command handler only moves the drive to a phase; ide_update carries out what the phase wants.  So a state
 * loaded in the middle of a transfer goes on by itself.
 */
#ifndef SERAI_MONITOR_DEV_ATA_H
#define SERAI_MONITOR_DEV_ATA_H

#include "monitor/dev/ide.h"

#define ST_ERR  0x01
#define ST_DRQ  0x08
#define ST_DSC  0x10
#define ST_DF   0x20
#define ST_DRDY 0x40
#define ST_BSY  0x80

#define ER_ABRT 0x04
#define ER_IDNF 0x10
#define ER_UNC  0x40

#define DEV_SELECT 0x10
#define DEV_LBA    0x40

#define CTL_NIEN 0x02
#define CTL_SRST 0x04
#define CTL_HOB  0x80

#define BM_START  0x01
#define BM_ACTIVE 0x01
#define BM_ERROR  0x02
#define BM_INT    0x04

/* Interrupt reason of packet commands, in the sector count register. */
#define REASON_COD 0x01
#define REASON_IO  0x02

#define CD_SECTOR 2048u
#define CD_RAW    2352u

enum ide_phase {
	PHASE_IDLE,
	PHASE_READ,       /* image -> buffer, then a DRQ window or PHASE_DMA_BUFFER */
	PHASE_WRITE,      /* buffer -> image */
	PHASE_FLUSH,      /* image flush, then done */
	PHASE_DMA_READ,   /* image -> guest memory, once the bus master is started */
	PHASE_DMA_WRITE,  /* guest memory -> image */
	PHASE_DMA_BUFFER, /* buffer pos..fill -> guest memory */
	PHASE_PIO_IN,     /* DRQ: the guest reads buffer pos..end */
	PHASE_PIO_OUT,    /* DRQ: the guest writes it */
	PHASE_PACKET,     /* DRQ: the guest writes the 12 bytes of a packet */
	PHASE_COUNT
};

static inline struct ide_drive_state *drive_state(struct ide_drive *d)
{
	return &d->ide->s.drive[d->index];
}

static inline struct ide_channel_state *drive_channel(struct ide_drive *d)
{
	return &d->ide->s.ch[d->index / IDE_DRIVES];
}

/* ---- ide.c ------------------------------------------------------------------------------------------ */

/* Copy between buf and the memory the channel's PRDs name, from *c on; returns how much they had room for.
 * buf NULL: only move the cursor. */
struct prd_cursor {
	uint32_t next, address, left;
	uint8_t last;
};
struct prd_cursor prd_cursor(const struct ide_channel_state *ch);
void prd_keep(struct ide_channel_state *ch, const struct prd_cursor *c);
uint32_t prd_copy(struct ide *ide, const struct ide_channel_state *ch, struct prd_cursor *c, uint8_t *buf,
	uint32_t len, bool to_memory);

/* The command's last byte has moved: ACTIVE falls when the PRDs are used up, too. */
void bus_master_done(struct ide_channel_state *ch);

/* ---- ide_channel.c ---------------------------------------------------------------------------------- */

extern const struct io_ops ide_command_ops,
	ide_control_ops; /* opaque: the channel's first struct ide_drive */

/* Drive the interrupt lines and carry out what the phases want. */
void ide_update(struct ide *ide);

/* The drive wants attention. */
void drive_interrupt(struct ide_drive *d);

/* Give up what is under way and show the signature. */
void drive_reset(struct ide_drive *d);
void drive_signature(struct ide_drive *d);

/* End of a command: good, or with these error bits. No interrupt for PIO-in's last block. */
void drive_done(struct ide_drive *d);
void drive_abort(struct ide_drive *d, uint8_t error);

/* Open the DRQ window buffer[pos..pos+len). */
void drive_window(struct ide_drive *d, enum ide_phase phase, uint32_t pos, uint32_t len, bool interrupt);

/* BSY, and the phase is carried out by ide_update. */
void drive_busy(struct ide_drive *d, enum ide_phase phase);

/* ---- ata_disk.c ------------------------------------------------------------------------------------- */

void ata_command(struct ide_drive *d, uint8_t command);
void ata_reset(struct ide_drive *d);

/* A sector transfer moved on: buffer filled, window used up, request done. */
void ata_read_done(struct ide_drive *d);
void ata_window_done(struct ide_drive *d);
void ata_write_done(struct ide_drive *d);
void ata_flush_done(struct ide_drive *d);
void ata_io_error(struct ide_drive *d);

/* Words of an IDENTIFY answer: strings are padded with blanks, bytes swapped. */
void ata_put_string(uint16_t *words, unsigned count, const char *text);

/* ---- atapi.c ---------------------------------------------------------------------------------------- */

void atapi_command(struct ide_drive *d, uint8_t command);
void atapi_packet(struct ide_drive *d);
void atapi_read_done(struct ide_drive *d);
void atapi_window_done(struct ide_drive *d);
void atapi_buffer_moved(struct ide_drive *d); /* by DMA */
void atapi_io_error(struct ide_drive *d);
void atapi_no_medium(struct ide_drive *d);
void atapi_medium_changed(struct ide_drive *d);

/* Where in the image, and how many 512-byte sectors, the next fill of the buffer is. */
void atapi_extent(struct ide_drive *d, uint64_t *lba, uint32_t *sectors);

/* 2048-byte sectors of the disc. */
uint32_t atapi_capacity(const struct ide_drive *d);

#endif
