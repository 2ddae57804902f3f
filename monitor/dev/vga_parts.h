/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/vga_parts.h - between a VGA's registers (vga.c) and its pixels (vga_render.c).  Private to
 * them.
 */
#ifndef SERAI_MONITOR_DEV_VGA_PARTS_H
#define SERAI_MONITOR_DEV_VGA_PARTS_H

#include "monitor/dev/vga.h"

enum vbe {
	VBE_ID,
	VBE_X,
	VBE_Y,
	VBE_BPP,
	VBE_ENABLE,
	VBE_BANK,
	VBE_VIRT_WIDTH,
	VBE_VIRT_HEIGHT,
	VBE_X_OFFSET,
	VBE_Y_OFFSET,
	VBE_MEMORY_64K,
	VBE_COUNT
};

#define VBE_ON       0x01
#define VBE_GET_CAPS 0x02
#define VBE_8BIT_DAC 0x20
#define VBE_KEEP     0x80

/* Bring video memory up to date with what the guest wrote through a plain window. */
void vga_sync(struct vga *v);

/* Bytes from one line of a VBE mode to the next. */
unsigned vga_line_bytes(const struct vga_state *s);

#endif
