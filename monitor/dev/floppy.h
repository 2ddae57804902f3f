/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/floppy.h - an 82078 floppy controller with two drives.
 *
 * Claims ports 0x3F0..0x3F5 and 0x3F7 (0x3F6 is the IDE controller's).
 *
 * Threads: under the device lock; media through image_submit.
 * Theory:  Intel 82078 data sheet.
 */
#ifndef SERAI_MONITOR_DEV_FLOPPY_H
#define SERAI_MONITOR_DEV_FLOPPY_H

#include "disk/disk.h"
#include "monitor/bus/device.h"
#include "monitor/dev/isa_dma.h"

#define FLOPPY_DRIVES 2

struct floppy_drive_state {
	uint8_t track;   /* where the head is */
	uint8_t changed; /* disk change line */
};

struct floppy_state {
	uint8_t dor, tdr, ccr;
	uint8_t phase;                   /* enum in floppy.c */
	uint8_t command[9], command_len; /* bytes so far */
	uint8_t result[10], result_len, result_pos;
	uint8_t config, precomp, lock, perpendicular, specify[2], last_eot;
	uint8_t irq;         /* interrupt asserted */
	uint8_t reset_sense; /* drives still to be told by SENSE INTERRUPT after reset */
	uint8_t seek_done;   /* a seek or recalibrate ended: SENSE INTERRUPT has news */
	uint8_t seek_st0;
	/* the transfer under way */
	uint8_t kind, drive_head; /* enum in floppy.c; second command byte */
	uint8_t c, h, r, n, eot, multi_track, use_dma, tc;
	uint8_t left;      /* sectors of VERIFY and FORMAT */
	uint8_t fill;      /* FORMAT's byte */
	uint8_t io;        /* the image has to be asked: enum in floppy.c */
	uint16_t pos, len; /* of the bytes in data the processor moves */
	uint8_t data[512];
	struct floppy_drive_state drive[FLOPPY_DRIVES];
};

struct floppy_drive {
	struct image *image;                  /* NULL: no disk */
	bool present;                         /* there is a drive */
	uint8_t cmos_type;                    /* of the drive */
	uint8_t tracks, heads, sectors, rate; /* of the medium; rate as in CCR */
};

struct floppy {
	struct device dev;
	struct floppy_state s;
	struct irq_line irq; /* 6 */
	struct isa_dma dma;  /* channel 2 */
	struct floppy_drive drive[FLOPPY_DRIVES];
	struct image_request request;
	struct iovec iov;
	uint8_t bounce[512];
	bool in_flight, stale;
};

/* dma is copied; both drives are absent until attached. */
void floppy_init(
	struct floppy *f, struct physmap *mem, struct timer_queue *timers, const struct isa_dma *dma);

/* Drive n (0, 1) exists; image may be NULL: empty.  The image stays the caller's and must outlive its use
 * here. */
bool floppy_attach(struct floppy *f, unsigned n, struct image *image, GError **error);

/* Change the disk while running; NULL: take it out. The caller drains the old image before closing it. */
bool floppy_change(struct floppy *f, unsigned n, struct image *image, GError **error);

/* CMOS register 0x10's nibble for drive n: 0 none, 4 1.44 MB, 5 2.88 MB, ... */
uint8_t floppy_cmos_type(const struct floppy *f, unsigned n);

/* Nothing under way. */
bool floppy_idle(const struct floppy *f);

extern const struct device_class floppy_class;

#endif
