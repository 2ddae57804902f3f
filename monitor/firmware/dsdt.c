/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/dsdt.c - \_SB with the PCI root, its interrupt links and ISA devices; processors; \_S5.
 *
 * PCI slot s, pin p (0 = INTA) is PIRQ (s - 1 + p) mod 4.  With the 8259s PIRQ A..D go through links
 * LNKA..LNKD, which are the ISA bridge's registers 0x60..0x63; with the I/O APIC they are its pins 16..19.
 */
#include "monitor/firmware/dsdt.h"

#include "monitor/firmware/aml.h"

#include <stdio.h>
#include <string.h>

#define LINK_IRQS     (1u << 5 | 1u << 10 | 1u << 11)
#define FIRST_PCI_PIN 16u
#define PCI_SLOTS     32u

/* AML opcodes used in method bodies. */
enum {
	OP_STORE = 0x70,
	OP_AND = 0x7b,
	OP_OR = 0x7d,
	OP_SHIFT_LEFT = 0x79,
	OP_CREATE_DWORD = 0x8a,
	OP_LOCAL0 = 0x60,
	OP_ARG0 = 0x68,
	OP_IF = 0xa0,
};

static void op(struct aml *a, uint8_t code)
{
	aml_byte(a, code);
}

/* \_PIC tells which interrupt controller the system uses; PICF keeps it for _PRT. */
static void add_pic(struct aml *a)
{
	aml_define_int(a, "\\PICF", 0);
	aml_method(a, "\\_PIC", 1, false);
	op(a, OP_STORE);
	op(a, OP_ARG0);
	aml_name(a, "\\PICF");
	aml_close(a);
}

static void add_route(struct aml *a, unsigned slot, unsigned pin, bool apic)
{
	unsigned pirq = (slot + 3 + pin) % 4;
	char link[] = "LNKA";

	link[3] = (char)('A' + pirq);
	aml_package(a, 4);
	aml_int(a, slot << 16 | 0xffff);
	aml_int(a, pin);
	if (apic) {
		aml_int(a, 0);
		aml_int(a, FIRST_PCI_PIN + pirq);
	} else {
		aml_name(a, link);
		aml_int(a, 0);
	}
	aml_close(a);
}

static void add_routes(struct aml *a, const char *name, bool apic)
{
	aml_define(a, name);
	aml_package(a, (PCI_SLOTS - 1) * 4);
	for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
		for (unsigned pin = 0; pin < 4; pin++)
			add_route(a, slot, pin, apic);
	aml_close(a);
}

static void add_prt(struct aml *a)
{
	add_routes(a, "PRTP", false);
	add_routes(a, "PRTA", true);
	aml_method(a, "_PRT", 0, false);
	aml_open(a, "\xa0", 1);
	aml_name(a, "\\PICF");
	aml_return(a);
	aml_name(a, "PRTA");
	aml_close(a);
	aml_return(a);
	aml_name(a, "PRTP");
	aml_close(a);
}

static void add_root_resources(struct aml *a, const struct acpi_board *b)
{
	struct aml r = aml_new();

	aml_res_bus(&r, 0, 0xff);
	aml_res_io(&r, 0xcf8, 0xcf8, 1, 8);
	aml_res_io_window(&r, 0, 0xcf7);
	aml_res_io_window(&r, 0xd00, 0xffff);
	aml_res_memory_window(&r, 0xa0000, 0xbffff, true);
	aml_res_memory_window(&r, b->pci_memory, 0xfebfffff, false);
	aml_define(a, "_CRS");
	aml_resources(a, &r);
}

/* One interrupt link; PRQn is the ISA bridge's register: bit 7 off, bits 3..0 the ISA interrupt. */
static void add_link(struct aml *a, unsigned n)
{
	static const uint32_t choices[] = { 5, 10, 11 };
	static const uint32_t none[] = { 0 };
	char name[] = "LNKA", reg[] = "\\_SB_.PCI0.ISA_.PRQ0";
	struct aml r = aml_new();

	name[3] = (char)('A' + n);
	reg[sizeof(reg) - 2] = (char)('0' + n);
	aml_device(a, name);
	aml_define_eisa(a, "_HID", "PNP0C0F");
	aml_define_int(a, "_UID", n + 1);
	aml_define(a, "_PRS");
	aml_res_interrupt(&r, choices, ARRAY_LEN(choices));
	aml_resources(a, &r);

	/* Enabled 0x0b, disabled 0x09. */
	aml_method(a, "_STA", 0, true);
	aml_open(a, "\xa0", 1);
	op(a, OP_AND);
	aml_name(a, reg);
	aml_int(a, 0x80);
	aml_byte(a, 0);
	aml_return(a);
	aml_int(a, 0x09);
	aml_close(a);
	aml_return(a);
	aml_int(a, 0x0b);
	aml_close(a);

	aml_method(a, "_DIS", 0, true);
	op(a, OP_OR);
	aml_name(a, reg);
	aml_int(a, 0x80);
	aml_name(a, reg);
	aml_close(a);

	/* A buffer with the number put in at byte 5 (behind tag, length, flags, count). */
	r = aml_new();
	aml_res_interrupt(&r, none, 1);
	aml_method(a, "_CRS", 0, true);
	aml_define(a, "BUF0");
	aml_resources(a, &r);
	op(a, OP_CREATE_DWORD);
	aml_name(a, "BUF0");
	aml_int(a, 5);
	aml_name(a, "IRQN");
	op(a, OP_AND);
	aml_name(a, reg);
	aml_int(a, 0x0f);
	aml_name(a, "IRQN");
	aml_return(a);
	aml_name(a, "BUF0");
	aml_close(a);

	aml_method(a, "_SRS", 1, true);
	op(a, OP_CREATE_DWORD);
	op(a, OP_ARG0);
	aml_int(a, 5);
	aml_name(a, "IRQN");
	op(a, OP_STORE);
	aml_name(a, "IRQN");
	aml_name(a, reg);
	aml_close(a);
	aml_close(a);
}

/* ---- ISA devices
 * ------------------------------------------------------------------------------------------------- */

struct isa_row {
	const char *name, *hid;
	struct {
		uint16_t port;
		uint8_t len;
	} io[4];
	int irq; /* -1: none */
	int dma;
	int uid; /* -1: none */
};

static const struct isa_row isa_rows[] = {
	{ "PIC_", "PNP0000", { { 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 } }, 2, -1, -1 },
	{ "TMR_", "PNP0100", { { 0x40, 4 } }, 0, -1, -1 },
	{ "DMA_", "PNP0200", { { 0x00, 16 }, { 0x81, 15 }, { 0xc0, 32 } }, -1, 4, -1 },
	{ "RTC_", "PNP0B00", { { 0x70, 4 } }, 8, -1, -1 },
	{ "KBD_", "PNP0303", { { 0x60, 1 }, { 0x64, 1 } }, 1, -1, -1 },
	{ "MOU_", "PNP0F13", { { 0 } }, 12, -1, -1 },
	{ "SPK_", "PNP0800", { { 0x61, 1 } }, -1, -1, -1 },
};

static const struct isa_row com1_row = { "COM1", "PNP0501", { { 0x3f8, 8 } }, 4, -1, 1 };
static const struct isa_row com2_row = { "COM2", "PNP0501", { { 0x2f8, 8 } }, 3, -1, 2 };
static const struct isa_row floppy_row = { "FDC0", "PNP0700", { { 0x3f0, 6 }, { 0x3f7, 1 } }, 6, 2, -1 };

static void add_isa_device(struct aml *a, const struct isa_row *d)
{
	struct aml r = aml_new();

	aml_device(a, d->name);
	aml_define_eisa(a, "_HID", d->hid);
	if (d->uid >= 0)
		aml_define_int(a, "_UID", (uint64_t)d->uid);
	aml_define_int(a, "_STA", 0x0f);
	for (unsigned i = 0; i < ARRAY_LEN(d->io) && d->io[i].len; i++)
		aml_res_io(&r, d->io[i].port, d->io[i].port, 1, d->io[i].len);
	if (d->irq >= 0)
		aml_res_irq(&r, (uint16_t)(1u << d->irq), 0, false);
	if (d->dma >= 0)
		aml_res_dma(&r, (uint8_t)(1u << d->dma));
	aml_define(a, "_CRS");
	aml_resources(a, &r);
	aml_close(a);
}

static void add_isa_bridge(struct aml *a, const struct acpi_board *b)
{
	aml_device(a, "ISA_");
	aml_define_int(a, "_ADR", 0x00010000);
	/* OperationRegion (PIRQ, PCI_Config, 0x60, 4) and a byte field for each. */
	aml_bytes(a, "\x5b\x80", 2);
	aml_name(a, "PIRQ");
	aml_byte(a, 2);
	aml_int(a, 0x60);
	aml_int(a, 4);
	aml_open(a, "\x5b\x81", 2);
	aml_name(a, "PIRQ");
	aml_byte(a, 1); /* byte access, no lock, preserve */
	for (unsigned i = 0; i < 4; i++) {
		char reg[] = "PRQ0";

		reg[3] = (char)('0' + i);
		aml_bytes(a, reg, 4);
		aml_byte(a, 8);
	}
	aml_close(a);
	for (size_t i = 0; i < ARRAY_LEN(isa_rows); i++)
		add_isa_device(a, &isa_rows[i]);
	if (b->com1)
		add_isa_device(a, &com1_row);
	if (b->com2)
		add_isa_device(a, &com2_row);
	if (b->floppy)
		add_isa_device(a, &floppy_row);
	aml_close(a);
}

static void add_hpet(struct aml *a, const struct acpi_board *b)
{
	struct aml r = aml_new();

	aml_device(a, "HPET");
	aml_define_eisa(a, "_HID", "PNP0103");
	aml_define_int(a, "_UID", 0);
	aml_res_memory32(&r, (uint32_t)b->hpet_base, 0x400, false);
	aml_define(a, "_CRS");
	aml_resources(a, &r);
	aml_close(a);
}

static void add_processors(struct aml *a, const struct acpi_board *b)
{
	aml_scope(a, "\\_PR_");
	for (unsigned i = 0; i < b->cpus; i++) {
		char name[8];

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		aml_processor(a, name, (uint8_t)i);
	}
	aml_close(a);
}

GByteArray *dsdt_build(const struct acpi_board *board)
{
	struct aml a = aml_new();

	add_pic(&a);
	add_processors(&a, board);
	aml_scope(&a, "\\_SB_");
	aml_device(&a, "PCI0");
	aml_define_eisa(&a, "_HID", "PNP0A03");
	aml_define_int(&a, "_ADR", 0);
	aml_define_int(&a, "_UID", 0);
	aml_define_int(&a, "_BBN", 0);
	add_root_resources(&a, board);
	add_prt(&a);
	add_isa_bridge(&a, board);
	aml_close(&a);
	for (unsigned i = 0; i < 4; i++)
		add_link(&a, i);
	if (board->hpet_base)
		add_hpet(&a, board);
	aml_close(&a);
	/* S5 is sleep type 0 of the PIIX4. */
	aml_define(&a, "\\_S5_");
	aml_package(&a, 4);
	for (unsigned i = 0; i < 4; i++)
		aml_int(&a, 0);
	aml_close(&a);
	return a.b;
}
