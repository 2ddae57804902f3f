/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/acpi.c - the fixed tables and what joins them; the DSDT is dsdt.c's.
 */
#include "monitor/firmware/acpi.h"

#include "base/bits.h"
#include "base/topology.h"
#include "monitor/firmware/dsdt.h"

#include <stddef.h>
#include <string.h>

#define RESET_PORT  0xcf9
#define RESET_VALUE 0x06

static void put(struct acpi_tables *t, uint32_t at, unsigned size, uint64_t v)
{
	le_store(t->tables->data + at, size, v);
}

/* Space for a table, aligned, with its header; `length` is known beforehand. */
static uint32_t table_begin(struct acpi_tables *t, const char *signature, uint32_t length, uint8_t revision)
{
	uint32_t at = (uint32_t)align_up(t->tables->len, 64);
	uint32_t old = t->tables->len;
	uint8_t *h;

	g_byte_array_set_size(t->tables, at + length);
	memset(t->tables->data + old, 0, at + length - old);
	h = t->tables->data + at;
	memcpy(h, signature, 4);
	le_store(h + 4, 4, length);
	h[8] = revision;
	memcpy(h + 10, "SERAI ", 6);
	memcpy(h + 16, "SERAIPC ", 8);
	le_store(h + 24, 4, 1);
	memcpy(h + 28, "SRAI", 4);
	le_store(h + 32, 4, 1);
	if (t->count < ARRAY_LEN(t->table))
		t->table[t->count++] = (struct acpi_table){ at, length };
	return at;
}

static void put_pointer(struct acpi_tables *t, uint32_t at, uint8_t size, uint32_t target)
{
	put(t, at, size, target);
	if (t->pointers < ARRAY_LEN(t->pointer))
		t->pointer[t->pointers++] = (struct acpi_pointer){ at, size };
}

/* Generic address of `bits` of I/O space. */
static void put_io(struct acpi_tables *t, uint32_t at, unsigned bits, unsigned access, uint64_t port)
{
	put(t, at, 1, 1);
	put(t, at + 1, 1, bits);
	put(t, at + 3, 1, access);
	put(t, at + 4, 8, port);
}

static uint32_t add_facs(struct acpi_tables *t)
{
	uint32_t at = (uint32_t)align_up(t->tables->len, 64);
	uint32_t old = t->tables->len;

	g_byte_array_set_size(t->tables, at + 64);
	memset(t->tables->data + old, 0, at + 64 - old);
	memcpy(t->tables->data + at, "FACS", 4);
	put(t, at + 4, 4, 64);
	put(t, at + 32, 1, 1);
	return at;
}

static uint32_t add_dsdt(struct acpi_tables *t, const struct acpi_board *b)
{
	g_autoptr(GByteArray) aml = dsdt_build(b);
	uint32_t at = table_begin(t, "DSDT", 36 + aml->len, 2);

	memcpy(t->tables->data + at + 36, aml->data, aml->len);
	return at;
}

static uint32_t add_fadt(struct acpi_tables *t, const struct acpi_board *b, uint32_t facs, uint32_t dsdt)
{
	uint32_t at = table_begin(t, "FACP", 244, 3);

	put_pointer(t, at + 36, 4, facs);
	put_pointer(t, at + 40, 4, dsdt);
	put(t, at + 46, 2, b->sci_irq);
	put(t, at + 48, 4, b->smi_port);
	put(t, at + 52, 1, b->acpi_enable);
	put(t, at + 53, 1, b->acpi_disable);
	put(t, at + 56, 4, b->pm_base);
	put(t, at + 64, 4, b->pm_base + 4u);
	put(t, at + 76, 4, b->pm_base + 8u);
	put(t, at + 80, 4, b->pm_base + 12u);
	put(t, at + 88, 1, 4); /* lengths: PM1 event, control, timer, GPE0 */
	put(t, at + 89, 1, 2);
	put(t, at + 91, 1, 4);
	put(t, at + 92, 1, 4);
	put(t, at + 96, 2, 0xfff); /* no C2, no C3 */
	put(t, at + 98, 2, 0xfff);
	put(t, at + 106, 1, 0x0d); /* RTC alarm day, month; century */
	put(t, at + 108, 1, 0x32);
	put(t, at + 109, 2, 0x3); /* legacy devices, 8042 */
	/* WBINVD works, HLT on every CPU, no sleep button, RTC wake not in PM1, reset register. */
	put(t, at + 112, 4, 1u << 0 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 10);
	put_io(t, at + 116, 8, 1, RESET_PORT);
	put(t, at + 128, 1, RESET_VALUE);
	put_pointer(t, at + 140, 8, dsdt);
	put_io(t, at + 148, 32, 2, b->pm_base);
	put_io(t, at + 172, 16, 2, b->pm_base + 4u);
	put_io(t, at + 208, 32, 3, b->pm_base + 8u);
	put_io(t, at + 220, 32, 1, b->pm_base + 12u);
	return at;
}

static uint32_t add_madt(struct acpi_tables *t, const struct acpi_board *b)
{
	uint32_t at = table_begin(t, "APIC", 44 + b->cpus * 8 + 12 + 2 * 10 + 6, 1);
	uint32_t p = at + 44;

	put(t, at + 36, 4, 0xfee00000);
	put(t, at + 40, 4, 1); /* there are 8259s too */
	for (unsigned i = 0; i < b->cpus; i++, p += 8) {
		put(t, p, 2, 8 << 8 | 0);
		put(t, p + 2, 1, i);
		put(t, p + 3, 1, topology_apic_id(i, b->cores_per_socket));
		put(t, p + 4, 4, 1);
	}
	put(t, p, 2, 12 << 8 | 1);
	put(t, p + 2, 1, 0); /* as the I/O APIC's ID register after reset */
	put(t, p + 4, 4, b->ioapic_base);
	p += 12;
	/* ISA interrupt 0 arrives at pin 2; the SCI is level, active high. */
	put(t, p, 2, 10 << 8 | 2);
	put(t, p + 4, 4, 2);
	p += 10;
	put(t, p, 2, 10 << 8 | 2);
	put(t, p + 3, 1, b->sci_irq);
	put(t, p + 4, 4, b->sci_irq);
	put(t, p + 8, 2, 0xd);
	p += 10;
	/* NMI at LINT1 of every CPU. */
	put(t, p, 2, 6 << 8 | 4);
	put(t, p + 2, 1, 0xff);
	put(t, p + 5, 1, 1);
	return at;
}

static void put_memory(struct acpi_tables *t, uint32_t p, uint64_t base, uint64_t size)
{
	put(t, p, 2, 40 << 8 | 1);
	put(t, p + 8, 8, base);
	put(t, p + 16, 8, size);
	put(t, p + 28, 4, 1);
}

/* One domain for all processors and all memory: the host gives no part of the memory to a part of the
 * processors. */
static uint32_t add_srat(struct acpi_tables *t, const struct acpi_board *b)
{
	unsigned ranges = b->above_4g ? 2 : 1;
	uint32_t at = table_begin(t, "SRAT", 48 + b->cpus * 16 + ranges * 40, 3);
	uint32_t p = at + 48;

	put(t, at + 36, 4, 1);
	for (unsigned i = 0; i < b->cpus; i++, p += 16) {
		put(t, p, 2, 16 << 8 | 0);
		put(t, p + 3, 1, topology_apic_id(i, b->cores_per_socket));
		put(t, p + 4, 4, 1);
	}
	put_memory(t, p, 0, b->below_4g);
	if (b->above_4g)
		put_memory(t, p + 40, 1ull << 32, b->above_4g);
	return at;
}

static uint32_t add_hpet(struct acpi_tables *t, const struct acpi_board *b)
{
	uint32_t at = table_begin(t, "HPET", 56, 1);

	/* Intel, legacy replacement, 64 bits, 3 comparators, revision 1. */
	put(t, at + 36, 4, 0x8086a201);
	put(t, at + 40, 1, 0);
	put(t, at + 44, 8, b->hpet_base);
	put(t, at + 53, 2, 100); /* ticks a periodic timer needs at least */
	return at;
}

void acpi_build(struct acpi_tables *t, const struct acpi_board *board)
{
	uint32_t list[5], facs, dsdt, rsdt, xsdt;
	unsigned n = 0;

	*t = (struct acpi_tables){ .tables = g_byte_array_new() };
	facs = add_facs(t);
	dsdt = add_dsdt(t, board);
	list[n++] = add_fadt(t, board, facs, dsdt);
	list[n++] = add_madt(t, board);
	list[n++] = add_srat(t, board);
	if (board->hpet_base)
		list[n++] = add_hpet(t, board);
	rsdt = table_begin(t, "RSDT", 36 + n * 4, 1);
	xsdt = table_begin(t, "XSDT", 36 + n * 8, 1);
	for (unsigned i = 0; i < n; i++) {
		put_pointer(t, rsdt + 36 + i * 4, 4, list[i]);
		put_pointer(t, xsdt + 36 + i * 8, 8, list[i]);
	}
	memcpy(t->rsdp, "RSD PTR ", 8);
	memcpy(t->rsdp + 9, "SERAI ", 6);
	t->rsdp[15] = 2;
	le_store(t->rsdp + 16, 4, rsdt);
	le_store(t->rsdp + 20, 4, sizeof(t->rsdp));
	le_store(t->rsdp + 24, 8, xsdt);
}

void acpi_free(struct acpi_tables *t)
{
	g_byte_array_unref(t->tables);
	t->tables = NULL;
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

void acpi_place(struct acpi_tables *t, struct physmap *mem, uint32_t base, uint32_t rsdp)
{
	g_autofree uint8_t *copy = g_memdup2(t->tables->data, t->tables->len);
	uint8_t root[sizeof(t->rsdp)];

	for (unsigned i = 0; i < t->pointers; i++) {
		uint8_t *p = copy + t->pointer[i].at;

		le_store(p, t->pointer[i].size, le_load(p, t->pointer[i].size) + base);
	}
	for (unsigned i = 0; i < t->count; i++)
		copy[t->table[i].at + 9] = checksum(copy + t->table[i].at, t->table[i].length);
	memcpy(root, t->rsdp, sizeof(root));
	le_store(root + 16, 4, le_load(root + 16, 4) + base);
	le_store(root + 24, 8, le_load(root + 24, 8) + base);
	root[8] = checksum(root, 20);
	root[32] = checksum(root, sizeof(root));
	phys_write(mem, base, copy, t->tables->len);
	phys_write(mem, rsdp, root, sizeof(root));
}

/* ---- the loader script: entries of 128 bytes
 * ------------------------------------------------------------------ */

enum { SCRIPT_ALLOCATE = 1, SCRIPT_POINTER = 2, SCRIPT_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

static uint8_t *script_entry(GByteArray *s, uint32_t command)
{
	guint at = s->len;

	g_byte_array_set_size(s, at + 128);
	memset(s->data + at, 0, 128);
	le_store(s->data + at, 4, command);
	return s->data + at + 4;
}

static void script_allocate(GByteArray *s, const char *file, uint32_t align, uint8_t zone)
{
	uint8_t *e = script_entry(s, SCRIPT_ALLOCATE);

	g_strlcpy((char *)e, file, 56);
	le_store(e + 56, 4, align);
	e[60] = zone;
}

static void script_pointer(GByteArray *s, const char *file, uint32_t at, uint8_t size)
{
	uint8_t *e = script_entry(s, SCRIPT_POINTER);

	g_strlcpy((char *)e, file, 56);
	g_strlcpy((char *)e + 56, tables_file, 56);
	le_store(e + 112, 4, at);
	e[116] = size;
}

static void script_checksum(GByteArray *s, const char *file, uint32_t at, uint32_t start, uint32_t len)
{
	uint8_t *e = script_entry(s, SCRIPT_CHECKSUM);

	g_strlcpy((char *)e, file, 56);
	le_store(e + 56, 4, at);
	le_store(e + 60, 4, start);
	le_store(e + 64, 4, len);
}

GByteArray *acpi_loader_script(const struct acpi_tables *t)
{
	GByteArray *s = g_byte_array_new();

	script_allocate(s, rsdp_file, 16, ZONE_FSEG);
	script_allocate(s, tables_file, 64, ZONE_HIGH);
	for (unsigned i = 0; i < t->pointers; i++)
		script_pointer(s, tables_file, t->pointer[i].at, t->pointer[i].size);
	for (unsigned i = 0; i < t->count; i++)
		script_checksum(s, tables_file, t->table[i].at + 9, t->table[i].at, t->table[i].length);
	script_pointer(s, rsdp_file, 16, 4);
	script_pointer(s, rsdp_file, 24, 8);
	script_checksum(s, rsdp_file, 8, 0, 20);
	script_checksum(s, rsdp_file, 32, 0, sizeof(t->rsdp));
	return s;
}
