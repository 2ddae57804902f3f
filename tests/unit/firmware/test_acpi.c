/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/firmware/test_acpi.c - the tables hang together: pointers, lengths, checksums. */
#include "base/bits.h"
#include "monitor/firmware/acpi.h"
#include "monitor/firmware/smbios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#define RAM  (2u << 20)
#define BASE 0xe0040u
#define ROOT 0xe0000u

static const struct acpi_board board = { .cpus = 6,
	.cores_per_socket = 3,
	.below_4g = 3ull << 30,
	.above_4g = 1ull << 30,
	.pm_base = 0x600,
	.smi_port = 0xb2,
	.acpi_enable = 0xf1,
	.acpi_disable = 0xf0,
	.sci_irq = 9,
	.hpet_base = 0xfed00000,
	.ioapic_base = 0xfec00000,
	.com1 = true,
	.floppy = true,
	.pci_memory = 0xc0000000 };

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static const uint8_t *table_at(const struct ram *ram, uint64_t gpa, const char *signature)
{
	const uint8_t *p = ram->base + gpa;

	assert_true(gpa >= BASE && gpa < 0x100000);
	assert_memory_equal(p, signature, 4);
	assert_int_equal(sum(p, le_load(p + 4, 4)), 0);
	return p;
}

/* Three cores take two bits of an APIC ID. */
static void processors_are_numbered(const uint8_t *madt, const uint8_t *srat)
{
	static const uint8_t ids[] = { 0, 1, 2, 4, 5, 6 };
	uint64_t memory = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(madt[44 + i * 8], 0);
		assert_int_equal(madt[44 + i * 8 + 3], ids[i]);
	}
	for (uint32_t at = 48; at < le_load(srat + 4, 4); at += srat[at + 1]) {
		if (srat[at] == 0) {
			assert_int_equal(srat[at + 1], 16);
			assert_true(n < ARRAY_LEN(ids));
			assert_int_equal(srat[at + 3], ids[n++]);
			assert_int_equal(le_load(srat + at + 4, 4), 1);
		} else {
			assert_int_equal(srat[at], 1);
			assert_int_equal(srat[at + 1], 40);
			memory += le_load(srat + at + 16, 8);
		}
	}
	assert_int_equal(n, ARRAY_LEN(ids));
	assert_int_equal(memory, board.below_4g + board.above_4g);
}

static void tables_are_joined(void **state)
{
	static const char *const names[] = { "FACP", "APIC", "SRAT", "HPET" };
	struct acpi_tables t;
	struct ram ram;
	struct physmap mem;
	const uint8_t *root, *rsdt, *xsdt, *fadt, *madt;

	(void)state;
	assert_true(ram_create(&ram, RAM, NULL));
	physmap_init(&mem, &ram);
	pthread_mutex_lock(&mem.lock);
	physmap_add(
		&mem, &(struct phys_region){ .size = RAM, .rd = ram.base, .wr = ram.base, .name = "ram" });
	pthread_mutex_unlock(&mem.lock);
	acpi_build(&t, &board);
	acpi_place(&t, &mem, BASE, ROOT);
	root = ram.base + ROOT;
	assert_memory_equal(root, "RSD PTR ", 8);
	assert_int_equal(sum(root, 20), 0);
	assert_int_equal(sum(root, 36), 0);
	rsdt = table_at(&ram, le_load(root + 16, 4), "RSDT");
	xsdt = table_at(&ram, le_load(root + 24, 8), "XSDT");
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		uint64_t gpa = le_load(rsdt + 36 + i * 4, 4);

		assert_int_equal(gpa, le_load(xsdt + 36 + i * 8, 8));
		table_at(&ram, gpa, names[i]);
	}
	fadt = ram.base + le_load(rsdt + 36, 4);
	table_at(&ram, le_load(fadt + 40, 4), "DSDT");
	assert_int_equal(le_load(fadt + 40, 4), le_load(fadt + 140, 8));
	assert_int_equal(le_load(fadt + 36, 4) % 64, 0);
	assert_memory_equal(ram.base + le_load(fadt + 36, 4), "FACS", 4);
	madt = ram.base + le_load(rsdt + 40, 4);
	for (uint32_t at = 44; at < le_load(madt + 4, 4); at += madt[at + 1])
		assert_true(madt[at + 1] >= 6);
	processors_are_numbered(madt, ram.base + le_load(rsdt + 44, 4));
	acpi_free(&t);
	physmap_destroy(&mem);
	ram_destroy(&ram);
}

/* A firmware that runs the script gets what acpi_place makes. */
static void the_script_says_the_same(void **state)
{
	struct acpi_tables t;
	GByteArray *s;
	uint8_t *copy;
	uint8_t root[36];

	(void)state;
	acpi_build(&t, &board);
	s = acpi_loader_script(&t);
	copy = g_memdup2(t.tables->data, t.tables->len);
	memcpy(root, t.rsdp, sizeof(root));
	assert_int_equal(s->len % 128, 0);
	for (guint i = 0; i < s->len; i += 128) {
		const uint8_t *e = s->data + i + 4;
		bool in_root = strcmp((const char *)e, "etc/acpi/rsdp") == 0;
		uint8_t *file = in_root ? root : copy;
		size_t size = in_root ? sizeof(root) : t.tables->len;

		switch (le_load(s->data + i, 4)) {
		case 1:
			break;
		case 2:
			assert_true(range_fits(le_load(e + 112, 4), e[116], size));
			file += le_load(e + 112, 4);
			le_store(file, e[116], le_load(file, e[116]) + 0x7000000);
			break;
		case 3:
			assert_true(range_fits(le_load(e + 60, 4), le_load(e + 64, 4), size));
			file[le_load(e + 56, 4)] =
				(uint8_t)-sum(file + le_load(e + 60, 4), le_load(e + 64, 4));
			break;
		default:
			assert_true(false);
		}
	}
	assert_int_equal(sum(root, 36), 0);
	for (unsigned i = 0; i < t.count; i++)
		assert_int_equal(sum(copy + t.table[i].at, t.table[i].length), 0);
	g_free(copy);
	g_byte_array_unref(s);
	acpi_free(&t);
}

static void smbios_structures_chain(void **state)
{
	const struct smbios_board b = { .sockets = 2,
		.cores_per_socket = 3,
		.ram_bytes = 5ull << 30,
		.below_4g = 3ull << 30,
		.mhz = 2000,
		.version = "1" };
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];
	GByteArray *t = smbios_build(&b, 0xf0000, anchor);
	unsigned count = 0;
	guint at = 0;
	uint8_t type = 0;

	(void)state;
	assert_int_equal(sum(anchor, sizeof(anchor)), 0);
	assert_int_equal(sum(anchor + 16, 15), 0);
	while (at + 4 <= t->len) {
		type = t->data[at];
		at += t->data[at + 1];
		while (at + 2 <= t->len && (t->data[at] || t->data[at + 1]))
			at++;
		at += 2;
		count++;
	}
	assert_int_equal(at, t->len);
	assert_int_equal(type, 127);
	assert_int_equal(count, le_load(anchor + 28, 2));
	g_byte_array_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_joined),
		cmocka_unit_test(the_script_says_the_same),
		cmocka_unit_test(smbios_structures_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
