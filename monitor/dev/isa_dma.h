/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/isa_dma.h - what an ISA device sees of a DMA channel: DREQ, bytes, terminal count.
 *
 * Threads: under the device lock.
 */
#ifndef SERAI_MONITOR_DEV_ISA_DMA_H
#define SERAI_MONITOR_DEV_ISA_DMA_H

#include "base/compiler.h"

struct isa_dma {
	void *opaque;
	unsigned channel;
	/*
	 * Move up to len bytes; returns how many the channel took (0: masked, disabled or programmed for the
	 * other direction).  *tc: terminal count was reached with the last of them.  Verify transfers count
	 * but move nothing.
	 */
	size_t (*to_memory)(void *opaque, unsigned channel, const uint8_t *buf, size_t len, bool *tc);
	size_t (*from_memory)(void *opaque, unsigned channel, uint8_t *buf, size_t len, bool *tc);
};

#endif
