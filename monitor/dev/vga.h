/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/vga.h - a VGA with the Bochs VBE extensions, PCI 1234:1111.
 *
 * Claims ports 0x3B0..0x3DF (what a VGA owns of them), 0x1CE..0x1D0, the region 0xA0000..0xBFFFF; BAR0 is the
 * linear frame buffer, BAR2 the same registers as memory.  The video BIOS is no ROM BAR: give the firmware
 * vgabios-stdvga.bin as the fw_cfg file VGA_ROM_FILE, which SeaBIOS runs with this function's address.
 *
 * Owns:    the video memory.
 * Threads: under the device lock.
 * Theory:  IBM VGA Technical Reference; Bochs VBE DISPI interface.
 */
#ifndef SERAI_MONITOR_DEV_VGA_H
#define SERAI_MONITOR_DEV_VGA_H

#include "monitor/bus/pci.h"

#define VGA_ROM_FILE "pci1234,1111.rom"
#define VGA_MEMORY   (16u << 20)

struct vga_state {
	uint8_t config[256];
	uint8_t misc, feature;
	uint8_t seq_index, seq[8];
	uint8_t gfx_index, gfx[16];
	uint8_t crtc_index, crtc[32];
	uint8_t attr_index, attr_flipflop, attr[32];
	uint8_t dac_state, dac_read, dac_write, dac_sub, dac_mask;
	uint8_t dac_cache[3];
	uint8_t palette[768]; /* 6 bits, or 8 with VBE's 8-bit DAC */
	uint8_t latch[4];
	uint16_t vbe_index;
	uint16_t vbe[12];
};

struct vga {
	struct pci_function pci; /* first */
	struct vga_state s;
	uint8_t *vram;      /* planes interleaved: plane p of address a is vram[4a + p] */
	uint8_t *text_page; /* 32 KiB: B8000 as the guest sees it while `fast` is VGA_FAST_TEXT */
	int legacy_handle;  /* A0000..BFFFF, by operations */
	int fast_handle;    /* on top of it while plain memory */
	unsigned fast;      /* derived: enum in vga.c */
	uint32_t fast_offset;
	unsigned slow_hits; /* accesses by operations since the last register change */
};

bool vga_init(struct vga *v, struct pci_bus *bus, uint8_t devfn, struct physmap *mem,
	struct timer_queue *timers, GError **error);
void vga_destroy(struct vga *v);

/* The video memory's part of suspend: a blob beside the device's record, before or after it. */
void vga_save_memory(struct vga *v, struct state_writer *w);
bool vga_load_memory(struct vga *v, struct state_reader *r, GError **error);

struct vga_text_info {
	unsigned columns, rows;
	int cursor_column, cursor_row; /* -1: hidden or off the page */
};

/* The text page as UTF-8, rows * (columns characters and '\n'); NULL when a graphics mode is shown.  g_free
 * it. */
char *vga_text(struct vga *v, struct vga_text_info *info);

/* The attribute byte of a cell as of the last vga_text(); 0 outside or in graphics modes. */
uint8_t vga_text_attribute(struct vga *v, unsigned column, unsigned row);

/* What is on the screen, for consoles. */
struct vga_mode {
	enum { VGA_SCREEN_TEXT, VGA_SCREEN_PLANAR, VGA_SCREEN_CGA, VGA_SCREEN_LINEAR, VGA_SCREEN_BLANK } kind;
	unsigned width, height; /* pixels */
	unsigned bpp;           /* 4, 8, 15, 16, 24, 32; text: 4 */
	unsigned pitch;         /* bytes of video memory per line */
	uint32_t start;         /* offset of the first pixel in vram */
};
void vga_get_mode(struct vga *v, struct vga_mode *mode);

/* The screen as 32-bit 0x00RRGGBB pixels, `pitch` bytes a line (width * 4 at least); sizes from vga_get_mode.
 */
void vga_render(struct vga *v, const struct vga_mode *mode, uint32_t *pixels, size_t pitch);

extern const struct device_class vga_class;

#endif
