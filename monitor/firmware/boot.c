/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/firmware/boot.h"

static void add(struct boot_memory *m, uint64_t base, uint64_t end, uint32_t type)
{
	if (end > base)
		m->e820[m->count++] = (struct boot_range){ base, end - base, type };
}

void boot_memory_init(struct boot_memory *m, uint64_t ram_bytes)
{
	*m = (struct boot_memory){ .below_4g = MIN_OF(ram_bytes, BOOT_LOW_RAM_MAX) };
	m->above_4g = ram_bytes - m->below_4g;
	add(m, 0, BOOT_EBDA, BOOT_RAM);
	add(m, BOOT_EBDA, 0xa0000, BOOT_RESERVED);
	add(m, BOOT_TABLES, BOOT_TABLES + BOOT_TABLES_SIZE, BOOT_RESERVED);
	add(m, 0x100000, m->below_4g, BOOT_RAM);
	add(m, 0xfec00000, 0xfec01000, BOOT_RESERVED);
	add(m, 0xfee00000, 0xfee01000, BOOT_RESERVED);
	add(m, BOOT_4G, BOOT_4G + m->above_4g, BOOT_RAM);
}

void boot_entry_init(struct boot_entry *e, struct physmap *mem)
{
	/* Base 0, limit 4 GiB, 32 bits, accessed: Linux wants code at 0x10 and data at 0x18. */
	static const uint64_t gdt[] = { 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };

	*e = (struct boot_entry){ .gdt = BOOT_GDT, .gdt_limit = sizeof(gdt) - 1, .esp = BOOT_STACK };
	phys_write(mem, BOOT_GDT, gdt, sizeof(gdt));
	/* BIOS data area: COM1, equipment (80x25, PS/2 mouse), EBDA segment, KiB of conventional memory. */
	phys_write_le(mem, 0x400, 2, 0x3f8);
	phys_write_le(mem, 0x40e, 2, BOOT_EBDA >> 4);
	phys_write_le(mem, 0x410, 2, 0x0226);
	phys_write_le(mem, 0x413, 2, BOOT_EBDA >> 10);
	phys_write_le(mem, 0x449, 1, 3);
	phys_write_le(mem, 0x44a, 2, 80);
	phys_write_le(mem, 0x463, 2, 0x3d4);
	phys_write_le(mem, 0x484, 1, 24);
	phys_write_le(mem, BOOT_EBDA, 1, 1);
}
