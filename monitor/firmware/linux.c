/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/linux.c - the bzImage loader.
 *
 *   0x00800  GDT        0x10000  zero page (boot_params)      0x20000  command line
 *   code32_start        protected-mode kernel                 top      initrd, as high as allowed
 */
#include "monitor/firmware/linux.h"

#include "base/bits.h"

#include <string.h>

#define ZERO_PAGE    0x10000u
#define COMMAND_LINE 0x20000u
#define COMMAND_ROOM 0x10000u

/* Offsets in the file and in the zero page alike. */
enum {
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_VID_MODE = 0x1fa,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP = 0x200,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADER = 0x210,
	HDR_LOADFLAGS = 0x211,
	HDR_CODE32 = 0x214,
	HDR_RAMDISK = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_HEAP_END = 0x224,
	HDR_CMDLINE = 0x228,
	HDR_INITRD_MAX = 0x22c,
	HDR_RELOCATABLE = 0x234,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_MIN = 0x22c, /* protocol 2.02's header ends here */
};

/* Zero page only. */
enum {
	ZP_SCREEN = 0x000,
	ZP_RSDP = 0x070,
	ZP_ALT_MEM = 0x1e0,
	ZP_E820_COUNT = 0x1e8,
	ZP_E820 = 0x2d0,
};

#define LOADED_HIGH  0x01
#define CAN_USE_HEAP 0x80

struct header {
	unsigned version;
	size_t setup_size;    /* bytes of boot sector and setup */
	size_t header_end;    /* what is copied to the zero page ends here */
	size_t kernel_size;   /* protected-mode part in the file */
	uint32_t load;        /* where it goes and is entered */
	uint64_t run_end;     /* memory it needs before it can read its memory map ends here */
	uint32_t initrd_max;  /* last byte the initrd may occupy */
	uint32_t command_max; /* without its NUL */
};

bool linux_probe(const uint8_t *data, size_t size)
{
	return size >= HDR_VERSION + 2 && le_load(data + HDR_BOOT_FLAG, 2) == 0xaa55 &&
	       memcmp(data + HDR_MAGIC, "HdrS", 4) == 0;
}

static bool damaged(const struct boot_image *k, GError **error, const char *what)
{
	return fail(error, SERAI_ERROR_FORMAT, "%s: %s", k->name, what);
}

/* How much of the file is the protected-mode kernel. */
static bool read_sizes(const struct boot_image *k, struct header *h, GError **error)
{
	const uint8_t *d = k->data;
	unsigned sects = d[HDR_SETUP_SECTS] ? d[HDR_SETUP_SECTS] : 4;
	uint64_t promised = le_load(d + HDR_SYSSIZE, h->version >= 0x204 ? 4 : 2) * 16;

	h->setup_size = (sects + 1) * 512;
	h->header_end = HDR_MAGIC + d[HDR_JUMP + 1];
	if (h->header_end < HDR_MIN)
		return damaged(k, error, "the setup header is shorter than its protocol's version says");
	if (h->header_end > h->setup_size || h->setup_size >= k->size)
		return damaged(k, error, "truncated: the file ends inside the set-up code");
	h->kernel_size = k->size - h->setup_size;
	/* The size is in paragraphs, rounded up; old kernels do not pad the file to it. */
	if (h->version >= 0x204 && promised > h->kernel_size + 15)
		return fail(error, SERAI_ERROR_FORMAT,
			"%s: truncated: %zu bytes, but the header promises %" G_GUINT64_FORMAT, k->name,
			k->size, h->setup_size + promised);
	return true;
}

/* A header field that exists since protocol `version`, else `old`. */
static uint64_t field(const struct boot_image *k, const struct header *h, unsigned version, size_t off,
	unsigned size, uint64_t old)
{
	if (h->version < version || off + size > h->header_end)
		return old;
	return le_load(k->data + off, size);
}

static bool read_header(const struct boot_image *k, struct header *h, GError **error)
{
	uint64_t pref, init;

	*h = (struct header){ 0 };
	if (!k->size)
		return damaged(k, error, "the file is empty");
	if (!linux_probe(k->data, k->size))
		return damaged(k, error, "neither a Linux bzImage nor a multiboot image");
	h->version = (unsigned)le_load(k->data + HDR_VERSION, 2);
	if (h->version < 0x202)
		return fail(error, SERAI_ERROR_FORMAT, "%s: boot protocol %u.%02u; 2.02 or newer is needed",
			k->name, h->version >> 8, h->version & 0xff);
	if (k->size < HDR_MIN)
		return damaged(k, error, "truncated: the file ends inside the setup header");
	if (!read_sizes(k, h, error))
		return false;
	if (!(k->data[HDR_LOADFLAGS] & LOADED_HIGH))
		return damaged(k, error,
			"a zImage, which loads below 640 KiB; only bzImages can be booted directly");
	h->load = (uint32_t)le_load(k->data + HDR_CODE32, 4);
	if (h->load < 0x100000)
		return damaged(k, error, "its entry point lies below 1 MiB");
	h->initrd_max = (uint32_t)field(k, h, 0x203, HDR_INITRD_MAX, 4, 0x37ffffff);
	h->command_max = (uint32_t)field(k, h, 0x206, HDR_CMDLINE_SIZE, 4, 255);
	pref = field(k, h, 0x20a, HDR_PREF_ADDRESS, 8, h->load);
	init = field(k, h, 0x20a, HDR_INIT_SIZE, 4, 0);
	h->run_end = (uint64_t)h->load + h->kernel_size;
	/* A kernel that may run elsewhere still unpacks to its preferred address when that is above where it
	 * is. */
	if (pref < BOOT_4G && pref + init > h->run_end)
		h->run_end = pref + init;
	return true;
}

static void write_e820(uint8_t *zp, const struct boot_memory *map)
{
	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *row = zp + ZP_E820 + i * 20;

		le_store(row, 8, map->e820[i].base);
		le_store(row + 8, 8, map->e820[i].size);
		le_store(row + 16, 4, map->e820[i].type);
	}
	zp[ZP_E820_COUNT] = (uint8_t)map->count;
	le_store(zp + ZP_ALT_MEM, 4, (map->below_4g - 0x100000) >> 10);
}

/* What the BIOS would have said of the screen: VGA text mode 3, 80 by 25, 16-line characters. */
static void write_screen_info(uint8_t *zp, const struct boot_memory *map)
{
	uint64_t kib = (map->below_4g - 0x100000) >> 10;

	le_store(zp + ZP_SCREEN + 2, 2, MIN_OF(kib, 0xfc00));
	zp[ZP_SCREEN + 6] = 3;
	zp[ZP_SCREEN + 7] = 80;
	le_store(zp + ZP_SCREEN + 0x0a, 2, 3);
	zp[ZP_SCREEN + 0x0e] = 25;
	zp[ZP_SCREEN + 0x0f] = 1;
	le_store(zp + ZP_SCREEN + 0x10, 2, 16);
}

static void write_zero_page(struct physmap *mem, const struct boot_memory *map, const struct boot_image *k,
	const struct header *h, uint32_t initrd, uint32_t initrd_size, uint64_t rsdp)
{
	uint8_t zp[4096] = { 0 };

	memcpy(zp + HDR_SETUP_SECTS, k->data + HDR_SETUP_SECTS, h->header_end - HDR_SETUP_SECTS);
	le_store(zp + HDR_VID_MODE, 2, 0xffff);
	zp[HDR_LOADER] = 0xff;
	zp[HDR_LOADFLAGS] |= CAN_USE_HEAP;
	le_store(zp + HDR_HEAP_END, 2, 0xe000 - 0x200);
	le_store(zp + HDR_RAMDISK, 4, initrd);
	le_store(zp + HDR_RAMDISK_SIZE, 4, initrd_size);
	le_store(zp + HDR_CMDLINE, 4, COMMAND_LINE);
	le_store(zp + ZP_RSDP, 8, rsdp);
	write_screen_info(zp, map);
	write_e820(zp, map);
	phys_write(mem, ZERO_PAGE, zp, sizeof(zp));
}

/* The highest page-aligned place allowed; 0 when there is none above `floor`. */
static uint32_t place_initrd(
	const struct boot_memory *map, const struct header *h, uint64_t size, uint64_t floor)
{
	uint64_t top = MIN_OF(map->below_4g, (uint64_t)h->initrd_max + 1);

	if (size > top || align_down(top - size, PAGE_SIZE) < floor)
		return 0;
	return (uint32_t)align_down(top - size, PAGE_SIZE);
}

bool linux_load(struct physmap *mem, const struct boot_memory *map, const struct boot_image *kernel,
	const struct boot_image *initrd, uint64_t rsdp, struct boot_entry *entry, GError **error)
{
	const char *command = kernel->arguments ? kernel->arguments : "";
	size_t command_len = strlen(command);
	uint32_t initrd_at = 0;
	struct header h;

	if (!read_header(kernel, &h, error))
		return false;
	if (command_len > h.command_max || command_len >= COMMAND_ROOM)
		return fail(error, SERAI_ERROR_CONFIG,
			"the kernel's command line has %zu bytes; %s takes at most %u", command_len,
			kernel->name, MIN_OF(h.command_max, COMMAND_ROOM - 1));
	if (h.run_end > map->below_4g)
		return fail(error, SERAI_ERROR_CONFIG,
			"%s needs %" G_GUINT64_FORMAT " MiB of memory; give more (--mem)", kernel->name,
			(h.run_end + 0xfffff) >> 20);
	if (initrd && !initrd->size)
		return damaged(initrd, error, "the file is empty");
	if (initrd) {
		initrd_at = place_initrd(map, &h, initrd->size, h.run_end);
		if (!initrd_at)
			return fail(error, SERAI_ERROR_CONFIG,
				"%s (%zu MiB) does not fit beside the kernel; give more memory (--mem)",
				initrd->name, initrd->size >> 20);
		phys_write(mem, initrd_at, initrd->data, initrd->size);
	}
	boot_entry_init(entry, mem);
	phys_write(mem, h.load, kernel->data + h.setup_size, h.kernel_size);
	phys_write(mem, COMMAND_LINE, command, command_len + 1);
	write_zero_page(mem, map, kernel, &h, initrd_at, initrd ? (uint32_t)initrd->size : 0, rsdp);
	entry->eip = h.load;
	entry->esi = ZERO_PAGE;
	return true;
}
