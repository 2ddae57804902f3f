/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/post.c - what a BIOS's power-on work leaves behind, for kernels entered without one.
 *
 * Done through the devices' own ports, as a BIOS does it, so that nothing here knows a device's inside.
 */
#include "base/bits.h"
#include "monitor/machine/pc.h"

#define ROOT_POINTER  BOOT_TABLES
#define TABLES        (BOOT_TABLES + 0x40)
#define SMBIOS_ANCHOR 0xf0000u
#define SMBIOS_TABLES 0xf0040u
#define PCI_IO_FIRST  0xc000u
#define PCI_MEM_FIRST 0xe0000000u
#define TEXT_MEMORY   0xb8000u

static void out(struct pc *pc, uint16_t port, uint8_t value)
{
	port_write(&pc->mem, port, 1, value);
}

/* ---- PCI
 * ---------------------------------------------------------------------------------------------------------
 */

static const uint8_t pirq_irq[4] = { 10, 10, 11, 11 };

static void assign_bars(struct pci_function *f, uint32_t *io, uint32_t *mem)
{
	uint32_t command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;

	for (unsigned i = 0; i < 6; i++) {
		const struct pci_bar *bar = &f->bars[i];
		uint32_t *next = bar->kind == PCI_BAR_IO ? io : mem;

		if (bar->kind == PCI_BAR_NONE)
			continue;
		*next = (uint32_t)align_up(*next, bar->size);
		pci_config_write(f, PCI_BAR0 + 4 * i, 4, *next);
		*next += bar->size;
	}
	if (pci_config_read(f, PCI_INTERRUPT_PIN, 1)) {
		unsigned pin = pci_config_read(f, PCI_INTERRUPT_PIN, 1) - 1, slot = f->devfn >> 3;

		pci_config_write(f, PCI_INTERRUPT_LINE, 1, pirq_irq[(slot + 3 + pin) % 4]);
	}
	pci_config_write(f, PCI_COMMAND, 2, pci_config_read(f, PCI_COMMAND, 2) | command);
}

static void post_pci(struct pc *pc)
{
	uint32_t io = PCI_IO_FIRST, mem = PCI_MEM_FIRST;

	pthread_mutex_lock(&pc->mem.lock);
	i440bx_shadow_all(&pc->host);
	pm_enable(&pc->pm);
	for (unsigned i = 0; i < 256; i++)
		if (pc->pci.slots[i])
			assign_bars(pc->pci.slots[i], &io, &mem);
	pci_config_write(&pc->pm.pci, PCI_INTERRUPT_LINE, 1, PM_SCI_IRQ);
	/* Both IDE channels decode. */
	pci_config_write(&pc->ide.pci, 0x40, 2, 0x8000);
	pci_config_write(&pc->ide.pci, 0x42, 2, 0x8000);
	for (unsigned i = 0; i < 4; i++)
		pci_config_write(&pc->isa.pci, 0x60 + i, 1, pirq_irq[i]);
	pthread_mutex_unlock(&pc->mem.lock);
	/* PCI interrupts are level-triggered. */
	out(pc, 0x4d1, 1 << (10 - 8) | 1 << (11 - 8));
}

/* ---- ISA
 * ---------------------------------------------------------------------------------------------------------
 */

static void post_isa(struct pc *pc)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} writes[] = {
		/* 8259s: vectors 0x08 and 0x70, all masked but the cascade */
		{ 0x20, 0x11 },
		{ 0xa0, 0x11 },
		{ 0x21, 0x08 },
		{ 0xa1, 0x70 },
		{ 0x21, 0x04 },
		{ 0xa1, 0x02 },
		{ 0x21, 0x01 },
		{ 0xa1, 0x01 },
		{ 0x21, 0xfb },
		{ 0xa1, 0xff },
		/* 8254: channel 0 at 18.2 Hz, channel 1 refresh */
		{ 0x43, 0x36 },
		{ 0x40, 0x00 },
		{ 0x40, 0x00 },
		{ 0x43, 0x54 },
		{ 0x41, 0x12 },
		/* 8042: self test (sets the system flag), then translation and keyboard interrupt on */
		{ 0x64, 0xaa },
		{ 0x64, 0x60 },
		{ 0x60, 0x65 },
		{ 0x64, 0xae },
		/* cascade of the DMA controllers */
		{ 0xd6, 0xc0 },
		{ 0xd4, 0x00 },
	};

	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		out(pc, writes[i].port, writes[i].value);
		if (writes[i].port == 0x64 && writes[i].value == 0xaa)
			port_read(&pc->mem, 0x60, 1);
	}
}

/* ---- VGA: mode 3, 80 by 25 text
 * ---------------------------------------------------------------------------------- */

static void indexed(struct pc *pc, uint16_t port, const uint8_t *values, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		out(pc, port, (uint8_t)i);
		out(pc, port + 1, values[i]);
	}
}

static void post_palette(struct pc *pc)
{
	out(pc, 0x3c8, 0);
	for (unsigned i = 0; i < 64; i++) {
		/* EGA colours rgbRGB: the high bit of each is two thirds, the low one a third. */
		out(pc, 0x3c9, (uint8_t)((i >> 2 & 1) * 42 + (i >> 5 & 1) * 21));
		out(pc, 0x3c9, (uint8_t)((i >> 1 & 1) * 42 + (i >> 4 & 1) * 21));
		out(pc, 0x3c9, (uint8_t)((i & 1) * 42 + (i >> 3 & 1) * 21));
	}
}

static void post_vga(struct pc *pc)
{
	static const uint8_t seq[] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
	static const uint8_t crtc[] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d,
		0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x0e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
	static const uint8_t gfx[] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff };
	static const uint8_t attr[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
		0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };

	out(pc, 0x3c2, 0x67);
	indexed(pc, 0x3c4, seq, sizeof(seq));
	/* CRTC registers 0..7 open only while bit 7 of 0x11 is clear. */
	out(pc, 0x3d4, 0x11);
	out(pc, 0x3d5, 0x0e);
	indexed(pc, 0x3d4, crtc, sizeof(crtc));
	indexed(pc, 0x3ce, gfx, sizeof(gfx));
	port_read(&pc->mem, 0x3da, 1);
	for (unsigned i = 0; i < sizeof(attr); i++) {
		out(pc, 0x3c0, (uint8_t)i);
		out(pc, 0x3c0, attr[i]);
	}
	out(pc, 0x3c0, 0x20);
	out(pc, 0x3c6, 0xff);
	post_palette(pc);
	for (unsigned i = 0; i < 4000; i += 2) {
		struct phys_region r;

		if (!physmap_find(&pc->mem, TEXT_MEMORY + i, &r))
			return;
		if (r.wr)
			phys_write_le(&pc->mem, TEXT_MEMORY + i, 2, 0x0720);
		else
			phys_io_write(&pc->mem, &r, TEXT_MEMORY + i, 2, 0x0720);
	}
}

uint32_t pc_post(struct pc *pc)
{
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];
	g_autoptr(GByteArray) tables = smbios_build(&pc->smbios, SMBIOS_TABLES, anchor);

	post_pci(pc);
	post_isa(pc);
	post_vga(pc);
	acpi_place(&pc->acpi, &pc->mem, TABLES, ROOT_POINTER);
	phys_write(&pc->mem, SMBIOS_ANCHOR, anchor, sizeof(anchor));
	phys_write(&pc->mem, SMBIOS_TABLES, tables->data, MIN_OF(tables->len, 0xf000u));
	return ROOT_POINTER;
}
