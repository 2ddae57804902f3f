/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/i440bx.c - host bridge.
 *
 * Each PAM nibble: bit 1 writes go to RAM, bit 0 reads come from RAM; else the access goes to the bus, where
 * only the BIOS ROM answers.
 */
#include "base/bits.h"
#include "monitor/chipset/i440bx.h"

#define CFG_PAM0   0x59
#define CFG_SMRAM  0x72
#define SMRAM_OPEN 0x40
#define SMRAM_LOCK 0x10

#define SHADOW_START 0xc0000u
#define MIB          0x100000u
#define ROM_SHOWN    0x20000u

/* Segment i: where it lies and which nibble of which PAM register rules it. */
static uint32_t segment_start(unsigned i)
{
	return i == 12 ? 0xf0000 : SHADOW_START + i * 0x4000;
}

static uint32_t segment_size(unsigned i)
{
	return i == 12 ? 0x10000 : 0x4000;
}

static uint8_t segment_pam(const struct i440bx *hb, unsigned i)
{
	if (i == 12)
		return hb->s.config[CFG_PAM0] >> 4 & 3;
	return hb->s.config[CFG_PAM0 + 1 + i / 2] >> (i & 1 ? 4 : 0) & 3;
}

/* The ROM's byte that shows at gpa; NULL below 0xE0000, which a board does not decode, and below the ROM. */
static uint8_t *rom_at(const struct i440bx *hb, uint32_t gpa)
{
	uint32_t from_end = MIB - gpa;

	return hb->rom && from_end <= MIN_OF(hb->rom_size, ROM_SHOWN) ? hb->rom + (hb->rom_size - from_end)
								      : NULL;
}

static struct phys_region segment_region(const struct i440bx *hb, unsigned i)
{
	struct ram *ram = hb->pci.dev.mem->ram;
	uint32_t gpa = segment_start(i);
	uint8_t *memory = ram && ram->size >= MIB ? ram->base + gpa : NULL;
	uint8_t pam = segment_pam(hb, i);

	return (struct phys_region){
		.gpa = gpa,
		.size = segment_size(i),
		.rd = pam & 1 ? memory : rom_at(hb, gpa),
		.wr = pam & 2 ? memory : NULL,
		.priority = 5,
		.name = "pam",
	};
}

static void i440bx_settle(struct device *dev)
{
	struct i440bx *hb = (struct i440bx *)dev;
	uint8_t *smram = &hb->s.config[CFG_SMRAM];

	pci_function_settle(&hb->pci);
	if (*smram & SMRAM_LOCK)
		*smram &= ~SMRAM_OPEN;
	hb->pci.writable[CFG_SMRAM] = *smram & SMRAM_LOCK ? 0 : 0x78;
	physmap_begin(dev->mem);
	for (unsigned i = 0; i < I440BX_SEGMENTS; i++) {
		struct phys_region want = segment_region(hb, i);
		const struct phys_region *is = &dev->mem->map[MAX_OF(hb->region[i], 0)];

		if (hb->region[i] >= 0 && (is->rd != want.rd || is->wr != want.wr))
			physmap_update(dev->mem, hb->region[i], &want);
	}
	physmap_commit(dev->mem);
}

static void i440bx_reset(struct device *dev)
{
	struct i440bx *hb = (struct i440bx *)dev;

	pci_function_reset(&hb->pci, &hb->ids);
	le_store(hb->s.config + PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	le_store(hb->s.config + PCI_STATUS, 2, 0x0280);
	hb->s.config[CFG_SMRAM] = 0x02;
}

static const struct state_field i440bx_fields[] = {
	STATE_ARRAY(struct i440bx_state, config, 1),
};

static const struct device_class i440bx_class = {
	DEVICE_STATE("i440bx", 1, struct i440bx, i440bx_fields),
	.reset = i440bx_reset,
	.settle = i440bx_settle,
};

void i440bx_init(struct i440bx *hb, struct pci_bus *bus, uint8_t devfn, uint16_t device_id, uint8_t *rom,
	uint32_t rom_size)
{
	struct pci_function *f = &hb->pci;
	bool fx = device_id == I440FX_DEVICE_ID;

	memset(hb, 0, sizeof(*hb));
	device_init(&f->dev, &i440bx_class, "0", bus->dev.mem, bus->dev.timers);
	f->config = hb->s.config;
	hb->rom = rom;
	hb->rom_size = rom_size;
	/* SeaBIOS uses fw_cfg only behind a 440FX with this subsystem ID; the 440BX is VMware's. */
	hb->ids = (struct pci_ids){
		.vendor = 0x8086,
		.device = device_id,
		.class_base = 0x06,
		.revision = fx ? 2 : 1,
		.subsys_vendor = fx ? 0x1af4 : 0x15ad,
		.subsys_id = fx ? 0x1100 : 0x1976,
	};
	pci_add(bus, f, devfn, &hb->ids);
	memset(f->writable + 0x50, 0xff, 0xb0); /* DRAM timing and the like: kept, without effect */
	memset(f->writable + CFG_PAM0, 0x33, 7);
	f->writable[CFG_PAM0] = 0x30;
	f->writable[CFG_SMRAM] = 0x78;
	physmap_begin(bus->dev.mem);
	for (unsigned i = 0; i < I440BX_SEGMENTS; i++) {
		struct phys_region region = segment_region(hb, i);

		hb->region[i] = physmap_add(bus->dev.mem, &region);
	}
	physmap_commit(bus->dev.mem);
}

void i440bx_shadow_all(struct i440bx *hb)
{
	memset(hb->s.config + CFG_PAM0, 0x33, 7);
	hb->s.config[CFG_PAM0] = 0x30;
	i440bx_settle(&hb->pci.dev);
}
