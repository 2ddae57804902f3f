/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/unit/firmware/test_boot.c - bzImage and multiboot loaders: sound images, cut-off ones, hostile
 * fields. */
#include "base/bits.h"
#include "monitor/firmware/linux.h"
#include "monitor/firmware/multiboot.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define RAM (64u << 20)

struct rig {
	struct ram ram;
	struct physmap mem;
	struct boot_memory map;
	uint8_t *file; /* exactly `size` bytes on the heap, so that a sanitizer sees any step past the end */
	size_t size;
	struct boot_image image;
	struct boot_entry entry;
};

static int rig_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct phys_region low = { .size = RAM, .name = "ram" };

	assert_true(ram_create(&r->ram, RAM, NULL));
	physmap_init(&r->mem, &r->ram);
	low.rd = low.wr = r->ram.base;
	pthread_mutex_lock(&r->mem.lock);
	physmap_add(&r->mem, &low);
	pthread_mutex_unlock(&r->mem.lock);
	boot_memory_init(&r->map, RAM);
	*state = r;
	return 0;
}

static int rig_down(void **state)
{
	struct rig *r = *state;

	physmap_destroy(&r->mem);
	ram_destroy(&r->ram);
	free(r->file);
	free(r);
	return 0;
}

static void rig_file(struct rig *r, const void *data, size_t size)
{
	free(r->file);
	r->file = malloc(size ? size : 1);
	memcpy(r->file, data, size);
	r->size = size;
	r->image = (struct boot_image){ "kernel", r->file, size, "console=ttyS0" };
}

/* ---- bzImage
 * ---------------------------------------------------------------------------------------------------- */

#define SETUP   (2 * 512)
#define PAYLOAD 4096

/* One setup sector, protocol 2.12, one page of 0xaa as the kernel. */
static void make_bzimage(uint8_t *f)
{
	memset(f, 0, SETUP);
	memset(f + SETUP, 0xaa, PAYLOAD);
	f[0x1f1] = 1;
	le_store(f + 0x1f4, 4, PAYLOAD / 16);
	le_store(f + 0x1fe, 2, 0xaa55);
	f[0x200] = 0xeb;
	f[0x201] = 0x66;
	memcpy(f + 0x202, "HdrS", 4);
	le_store(f + 0x206, 2, 0x20c);
	f[0x211] = 1;
	le_store(f + 0x214, 4, 0x100000);
	le_store(f + 0x22c, 4, 0x7fffffff);
	le_store(f + 0x230, 4, 0x200000);
	f[0x234] = 1;
	le_store(f + 0x238, 4, 2047);
	le_store(f + 0x258, 8, 0x1000000);
	le_store(f + 0x260, 4, 0x100000);
}

static bool try_linux(struct rig *r, const struct boot_image *initrd)
{
	g_autoptr(GError) error = NULL;
	bool ok = linux_load(&r->mem, &r->map, &r->image, initrd, 0xe0000, &r->entry, &error);

	assert_true(ok == !error);
	return ok;
}

static void linux_is_loaded(void **state)
{
	struct rig *r = *state;
	uint8_t f[SETUP + PAYLOAD], initrd[5000];
	struct boot_image rd = { "initrd", initrd, sizeof(initrd), NULL };
	const uint8_t *zp = r->ram.base + 0x10000;
	uint32_t at;

	make_bzimage(f);
	memset(initrd, 0x55, sizeof(initrd));
	rig_file(r, f, sizeof(f));
	assert_true(linux_probe(r->file, r->size));
	assert_true(try_linux(r, &rd));
	assert_int_equal(r->entry.eip, 0x100000);
	assert_int_equal(r->entry.esi, 0x10000);
	assert_int_equal(r->ram.base[0x100000], 0xaa);
	assert_int_equal(r->ram.base[0x100000 + PAYLOAD], 0);
	assert_int_equal(zp[0x210], 0xff);
	assert_int_equal(zp[0x211], 0x81);
	assert_int_equal(le_load(zp + 0x70, 8), 0xe0000);
	assert_string_equal((char *)r->ram.base + le_load(zp + 0x228, 4), "console=ttyS0");
	at = (uint32_t)le_load(zp + 0x218, 4);
	assert_int_equal(at, RAM - 8192);
	assert_int_equal(le_load(zp + 0x21c, 4), sizeof(initrd));
	assert_memory_equal(r->ram.base + at, initrd, sizeof(initrd));
	assert_int_equal(zp[0x1e8], r->map.count);
	assert_int_equal(le_load(zp + 0x2d0 + 8, 8), BOOT_EBDA);
	assert_int_equal(le_load(r->ram.base + r->entry.gdt + 0x10, 8), 0x00cf9b000000ffff);
}

static void linux_cut_anywhere_is_refused(void **state)
{
	struct rig *r = *state;
	uint8_t f[SETUP + PAYLOAD];

	make_bzimage(f);
	for (size_t n = 0; n < sizeof(f); n += n < SETUP + 64 ? 1 : 61) {
		rig_file(r, f, n);
		if (n > SETUP && n + 15 >= sizeof(f))
			continue;
		assert_false(try_linux(r, NULL));
	}
}

static void linux_hostile_fields(void **state)
{
	static const struct {
		uint16_t off;
		uint8_t size;
		uint64_t value;
	} bad[] = {
		{ 0x1f1, 1, 0xff },       /* set-up longer than the file */
		{ 0x1f4, 4, 0xffffffff }, /* kernel longer than the file */
		{ 0x1fe, 2, 0 },          /* no signature */
		{ 0x201, 1, 0x10 },       /* header too short for its version */
		{ 0x206, 2, 0x201 },      /* too old */
		{ 0x211, 1, 0 },          /* loads low */
		{ 0x214, 4, 0x1000 },     /* entry below 1 MiB */
		{ 0x214, 4, 0xfffff000 }, /* entry past RAM */
		{ 0x260, 4, 0xffffffff }, /* needs more memory than there is */
		{ 0x238, 4, 3 },          /* command line too long */
	};
	struct rig *r = *state;
	uint8_t f[SETUP + PAYLOAD];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		make_bzimage(f);
		le_store(f + bad[i].off, bad[i].size, bad[i].value);
		rig_file(r, f, sizeof(f));
		assert_false(try_linux(r, NULL));
	}
}

static void linux_initrd_must_fit(void **state)
{
	struct rig *r = *state;
	uint8_t f[SETUP + PAYLOAD];
	uint8_t *big = calloc(1, RAM);
	struct boot_image rd = { "initrd", big, RAM - 0x1000000, NULL };

	make_bzimage(f);
	rig_file(r, f, sizeof(f));
	assert_false(try_linux(r, &rd));
	rd.size = 0;
	assert_false(try_linux(r, &rd));
	rd.size = 8u << 20;
	assert_true(try_linux(r, &rd));
	/* An old kernel that cannot reach high memory gets it lower. */
	le_store(f + 0x22c, 4, 0x1ffffff);
	rig_file(r, f, sizeof(f));
	assert_true(try_linux(r, &rd));
	assert_int_equal(le_load(r->ram.base + 0x10218, 4), 0x1800000);
	free(big);
}

/* ---- multiboot
 * -------------------------------------------------------------------------------------------------- */

#define MB_FILE 8192

static void put_mb_header(uint8_t *p, uint32_t flags)
{
	le_store(p, 4, 0x1badb002);
	le_store(p + 4, 4, flags);
	le_store(p + 8, 4, (uint32_t) - (0x1badb002 + flags));
}

/* ELF32 with one segment of a page at 1 MiB, two pages in memory, linked at 0xC0100000. */
static void make_elf(uint8_t *f)
{
	Elf32_Ehdr e = { .e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = 1,
		.e_entry = 0xc0100010,
		.e_phoff = sizeof(e),
		.e_ehsize = sizeof(e),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1 };
	Elf32_Phdr p = { .p_type = PT_LOAD,
		.p_offset = 4096,
		.p_vaddr = 0xc0100000,
		.p_paddr = 0x100000,
		.p_filesz = 4096,
		.p_memsz = 8192 };

	memset(f, 0, 4096);
	memset(f + 4096, 0xbb, 4096);
	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS32;
	e.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(f, &e, sizeof(e));
	memcpy(f + sizeof(e), &p, sizeof(p));
	put_mb_header(f + 256, 3);
}

static bool try_multiboot(struct rig *r, const struct boot_image *mods, unsigned count)
{
	g_autoptr(GError) error = NULL;
	bool ok = multiboot_load(&r->mem, &r->map, &r->image, mods, count, &r->entry, &error);

	assert_true(ok == !error);
	return ok;
}

static void multiboot_elf_with_modules(void **state)
{
	struct rig *r = *state;
	uint8_t f[MB_FILE], m[3] = { 1, 2, 3 };
	const struct boot_image mods[] = { { "one", m, 3, "with args" }, { "two", m, 2, NULL } };
	const uint8_t *info, *list;

	make_elf(f);
	rig_file(r, f, sizeof(f));
	memset(r->ram.base + 0x101000, 0xff, 4096);
	assert_true(multiboot_probe(r->file, r->size));
	assert_true(try_multiboot(r, mods, 2));
	assert_int_equal(r->entry.eip, 0x100010);
	assert_int_equal(r->entry.eax, 0x2badb002);
	assert_int_equal(r->ram.base[0x100fff], 0xbb);
	assert_int_equal(r->ram.base[0x101000], 0);
	assert_int_equal(r->ram.base[0x101fff], 0);
	info = r->ram.base + r->entry.ebx;
	assert_int_equal(le_load(info, 4), 0x24d);
	assert_int_equal(le_load(info + 4, 4), 639);
	assert_int_equal(le_load(info + 8, 4), (RAM >> 10) - 1024);
	assert_string_equal((char *)r->ram.base + le_load(info + 16, 4), "kernel console=ttyS0");
	assert_int_equal(le_load(info + 20, 4), 2);
	list = r->ram.base + le_load(info + 24, 4);
	assert_int_equal(le_load(list, 4), 0x102000);
	assert_int_equal(le_load(list + 4, 4), 0x102003);
	assert_string_equal((char *)r->ram.base + le_load(list + 8, 4), "one with args");
	assert_int_equal(le_load(list + 16, 4), 0x103000);
	assert_int_equal(le_load(info + 44, 4), 24 * r->map.count);
}

static void multiboot_addresses(void **state)
{
	struct rig *r = *state;
	uint8_t f[MB_FILE];

	memset(f, 0xcc, sizeof(f));
	put_mb_header(f + 64, 0x10003);
	le_store(f + 64 + 12, 4, 0x200040); /* header */
	le_store(f + 64 + 16, 4, 0x200000);
	le_store(f + 64 + 20, 4, 0x201000);
	le_store(f + 64 + 24, 4, 0x203000);
	le_store(f + 64 + 28, 4, 0x200080);
	rig_file(r, f, sizeof(f));
	assert_true(try_multiboot(r, NULL, 0));
	assert_int_equal(r->entry.eip, 0x200080);
	assert_int_equal(r->ram.base[0x200fff], 0xcc);
	assert_int_equal(r->ram.base[0x201000], 0);
	le_store(f + 64 + 16, 4, 0x100000); /* would start before the file */
	rig_file(r, f, sizeof(f));
	assert_false(try_multiboot(r, NULL, 0));
	le_store(f + 64 + 16, 4, 0x200000);
	le_store(f + 64 + 20, 4, 0x300000); /* longer than the file */
	rig_file(r, f, sizeof(f));
	assert_false(try_multiboot(r, NULL, 0));
}

static void multiboot_bad(void **state)
{
	static const struct {
		uint16_t off;
		uint8_t size;
		uint64_t value;
	} bad[] = {
		{ 0, 4, 0 },                /* no ELF magic */
		{ 28, 4, 0xfffffff0 },      /* program headers outside */
		{ 42, 2, 7 },               /* entry size */
		{ 44, 2, 0xffff },          /* too many */
		{ 44, 2, 0 },               /* none */
		{ 52 + 4, 4, 0xffffff00 },  /* offset outside */
		{ 52 + 12, 4, 0xfffff000 }, /* not RAM */
		{ 52 + 12, 4, 0xa0000 },    /* the VGA hole */
		{ 52 + 12, 4, 0 },          /* over the BIOS data area */
		{ 52 + 16, 4, 0x3000 },     /* file size above memory size */
		{ 52 + 20, 4, 0xffffffff }, /* more than RAM */
		{ 256 + 4, 4, 0 },          /* checksum */
	};
	struct rig *r = *state;
	uint8_t f[MB_FILE];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		make_elf(f);
		le_store(f + bad[i].off, bad[i].size, bad[i].value);
		rig_file(r, f, sizeof(f));
		assert_false(try_multiboot(r, NULL, 0));
	}
	make_elf(f);
	put_mb_header(f + 256, 0x8003); /* a feature that does not exist */
	rig_file(r, f, sizeof(f));
	assert_false(try_multiboot(r, NULL, 0));
	make_elf(f);
	for (size_t n = 0; n < sizeof(f); n += 37) {
		rig_file(r, f, n);
		assert_false(try_multiboot(r, NULL, 0));
	}
}

static void memory_above_4g(void **state)
{
	struct boot_memory m;
	uint64_t ram = 0;

	(void)state;
	boot_memory_init(&m, 5ull << 30);
	assert_int_equal(m.below_4g, 3ull << 30);
	assert_int_equal(m.above_4g, 2ull << 30);
	for (unsigned i = 0; i < m.count; i++) {
		if (m.e820[i].type == BOOT_RAM)
			ram += m.e820[i].size;
		if (i)
			assert_true(m.e820[i].base >= m.e820[i - 1].base + m.e820[i - 1].size);
	}
	assert_int_equal(ram, (5ull << 30) - (0x100000 - BOOT_EBDA));
}

int main(void)
{
#define LOADER_TEST(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		LOADER_TEST(linux_is_loaded),
		LOADER_TEST(linux_cut_anywhere_is_refused),
		LOADER_TEST(linux_hostile_fields),
		LOADER_TEST(linux_initrd_must_fit),
		LOADER_TEST(multiboot_elf_with_modules),
		LOADER_TEST(multiboot_addresses),
		LOADER_TEST(multiboot_bad),
		cmocka_unit_test(memory_above_4g),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
