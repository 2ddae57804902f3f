/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/dma8237.h - the two 8237A DMA controllers and their page registers.
 *
 * Claims ports 0x00..0x0F, 0x81..0x8F and 0xC0..0xDF; page registers no channel uses are plain storage, and
 * 0x80 is not among them: it belongs to the chipset.
 *
 * Threads: under the device lock.
 * Theory:  Intel 8237A data sheet; 82371AB (PIIX4) data sheet, section "DMA controller".
 */
#ifndef SERAI_MONITOR_DEV_DMA8237_H
#define SERAI_MONITOR_DEV_DMA8237_H

#include "monitor/bus/device.h"
#include "monitor/dev/isa_dma.h"

struct dma8237_state {
	/* channels 0..3 bytes, 4..7 words; 4 is the cascade */
	uint16_t base_address[8], base_count[8], address[8], count[8];
	uint8_t mode[8];
	uint8_t page[16]; /* ports 0x80..0x8F; 0x80 belongs to the chipset */
	/* per controller */
	uint8_t command[2], mask[2], request[2], status[2], flipflop[2];
};

struct dma8237 {
	struct device dev;
	struct dma8237_state s;
};

void dma8237_init(struct dma8237 *d, struct physmap *mem, struct timer_queue *timers);

/* The device's end of channel 0..7. */
struct isa_dma dma8237_channel(struct dma8237 *d, unsigned channel);

extern const struct device_class dma8237_class;

#endif
