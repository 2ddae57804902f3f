/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/multiboot.c - the multiboot 1 loader.
 *
 * The kernel goes where its headers say; modules follow page aligned; the information structure with
 * everything it points to goes to low memory, or behind the modules when the kernel itself uses low memory.
 */
#include "monitor/firmware/multiboot.h"

#include "base/bits.h"
#include "base/log.h"

#include <elf.h>
#include <string.h>

#define MB_MAGIC       0x1badb002u
#define MB_ENTRY_MAGIC 0x2badb002u
#define MB_SEARCH      8192
#define MB_INFO_LOW    0x10000u
#define MB_INFO_ROOM   0x40000u

/* Header flags; bits 0..15 must be understood. */
#define MB_WANT_ALIGN 0x00000001u
#define MB_WANT_MEM   0x00000002u
#define MB_WANT_VIDEO 0x00000004u
#define MB_ADDRESSES  0x00010000u

struct loader {
	struct physmap *mem;
	const struct boot_memory *map;
	const struct boot_image *k;
	size_t header; /* file offset */
	uint32_t flags;
	uint32_t entry;
	uint64_t low, high; /* memory the kernel occupies */
	uint64_t next;      /* first free byte behind what was loaded */
};

static bool find_header(const uint8_t *data, size_t size, size_t *at)
{
	size_t end = MIN_OF(size, (size_t)MB_SEARCH);

	for (size_t i = 0; i + 12 <= end; i += 4) {
		if (le_load(data + i, 4) != MB_MAGIC)
			continue;
		if ((uint32_t)(MB_MAGIC + le_load(data + i + 4, 4) + le_load(data + i + 8, 4)) == 0) {
			*at = i;
			return true;
		}
	}
	return false;
}

bool multiboot_probe(const uint8_t *data, size_t size)
{
	size_t at;

	return find_header(data, size, &at);
}

static bool damaged(const struct loader *l, GError **error, const char *what)
{
	return fail(error, SERAI_ERROR_FORMAT, "%s: %s", l->k->name, what);
}

/* Is all of addr..addr+size RAM an image may use?  The first page stays ours: BIOS data area, GDT. */
static bool in_ram(const struct loader *l, uint64_t addr, uint64_t size)
{
	for (unsigned i = 0; i < l->map->count; i++) {
		const struct boot_range *r = &l->map->e820[i];

		if (r->type == BOOT_RAM && addr >= r->base && range_fits(addr - r->base, size, r->size))
			return addr >= 0x1000 && addr + size <= BOOT_4G;
	}
	return false;
}

/* One stretch: `file` bytes from `off`, zeros up to `size`. */
static bool load_stretch(
	struct loader *l, uint64_t off, uint64_t file, uint64_t addr, uint64_t size, GError **error)
{
	static const uint8_t zeros[4096];

	if (!range_fits(off, file, l->k->size))
		return damaged(l, error, "truncated: a segment lies past the end of the file");
	if (file > size)
		return damaged(l, error, "a segment's file size exceeds its memory size");
	if (!in_ram(l, addr, size))
		return fail(error, SERAI_ERROR_CONFIG,
			"%s: wants 0x%" G_GINT64_MODIFIER "x..0x%" G_GINT64_MODIFIER
			"x, which is not all RAM; more memory (--mem) may help",
			l->k->name, addr, addr + size);
	phys_write(l->mem, addr, l->k->data + off, file);
	for (uint64_t done = file; done < size; done += sizeof(zeros))
		phys_write(l->mem, addr + done, zeros, MIN_OF(size - done, sizeof(zeros)));
	l->low = MIN_OF(l->low, addr);
	l->high = MAX_OF(l->high, addr + size);
	return true;
}

/* The header's own addresses (for a.out and flat images). */
static bool load_by_addresses(struct loader *l, GError **error)
{
	const uint8_t *h = l->k->data + l->header;
	uint32_t header_addr, load, load_end, bss_end;
	uint64_t off, file;

	if (l->k->size - l->header < 32)
		return damaged(l, error, "truncated inside the multiboot header");
	header_addr = (uint32_t)le_load(h + 12, 4);
	load = (uint32_t)le_load(h + 16, 4);
	load_end = (uint32_t)le_load(h + 20, 4);
	bss_end = (uint32_t)le_load(h + 24, 4);
	l->entry = (uint32_t)le_load(h + 28, 4);
	if (load > header_addr || header_addr - load > l->header)
		return damaged(l, error, "the multiboot header's addresses contradict its place in the file");
	off = l->header - (header_addr - load);
	if (load_end && load_end < load)
		return damaged(l, error, "the multiboot header's load_end_addr is below load_addr");
	file = load_end ? load_end - load : l->k->size - off;
	return load_stretch(l, off, file, load, MAX_OF(file, bss_end > load ? bss_end - load : 0), error);
}

struct segment_row {
	uint64_t off, file, paddr, vaddr, mem;
	uint32_t type;
};

static void read_phdr(const uint8_t *p, bool is64, struct segment_row *s)
{
	if (is64) {
		Elf64_Phdr h;

		memcpy(&h, p, sizeof(h));
		*s = (struct segment_row){ h.p_offset, h.p_filesz, h.p_paddr, h.p_vaddr, h.p_memsz,
			h.p_type };
	} else {
		Elf32_Phdr h;

		memcpy(&h, p, sizeof(h));
		*s = (struct segment_row){ h.p_offset, h.p_filesz, h.p_paddr, h.p_vaddr, h.p_memsz,
			h.p_type };
	}
}

struct elf_head {
	bool is64;
	uint64_t entry, phoff;
	unsigned phnum;
	size_t phsize;
};

static bool read_elf_head(const struct loader *l, struct elf_head *e, GError **error)
{
	const uint8_t *d = l->k->data;
	unsigned entsize;

	if (l->k->size < sizeof(Elf32_Ehdr) || memcmp(d, ELFMAG, SELFMAG) != 0)
		return damaged(l, error, "the multiboot image is neither ELF nor has load addresses");
	e->is64 = d[EI_CLASS] == ELFCLASS64;
	if (e->is64 && l->k->size < sizeof(Elf64_Ehdr))
		return damaged(l, error, "truncated inside the ELF header");
	if (e->is64) {
		Elf64_Ehdr h;

		memcpy(&h, d, sizeof(h));
		e->entry = h.e_entry, e->phoff = h.e_phoff, e->phnum = h.e_phnum, entsize = h.e_phentsize;
		e->phsize = sizeof(Elf64_Phdr);
	} else {
		Elf32_Ehdr h;

		memcpy(&h, d, sizeof(h));
		e->entry = h.e_entry, e->phoff = h.e_phoff, e->phnum = h.e_phnum, entsize = h.e_phentsize;
		e->phsize = sizeof(Elf32_Phdr);
	}
	if (!e->phnum || entsize != e->phsize ||
		!range_fits(e->phoff, (uint64_t)e->phnum * e->phsize, l->k->size))
		return damaged(l, error, "truncated or damaged: the ELF program headers");
	return true;
}

static bool load_elf(struct loader *l, GError **error)
{
	struct elf_head e = { 0 };
	bool mapped = false;

	if (!read_elf_head(l, &e, error))
		return false;
	l->entry = (uint32_t)e.entry;
	for (unsigned i = 0; i < e.phnum; i++) {
		struct segment_row s;

		read_phdr(l->k->data + e.phoff + i * e.phsize, e.is64, &s);
		if (s.type != PT_LOAD || !s.mem)
			continue;
		if (!load_stretch(l, s.off, s.file, s.paddr, s.mem, error))
			return false;
		/* The entry point may be a virtual address (e.g. linked high): translate through its segment.
		 */
		if (!mapped && e.entry >= s.vaddr && e.entry - s.vaddr < s.mem) {
			l->entry = (uint32_t)(e.entry - s.vaddr + s.paddr);
			mapped = true;
		}
	}
	if (!l->high)
		return damaged(l, error, "the ELF file has nothing to load");
	return true;
}

/* ---- the information structure: built as bytes at its final address
 * ----------------------------------------- */

struct info {
	GByteArray *bytes;
	uint32_t base;
};

static uint32_t info_room(struct info *in, size_t len)
{
	uint32_t at = (uint32_t)align_up(in->bytes->len, 4);

	g_byte_array_set_size(in->bytes, (guint)(at + len));
	memset(in->bytes->data + at, 0, len);
	return at;
}

static uint32_t info_string(struct info *in, const char *s)
{
	uint32_t at = info_room(in, strlen(s) + 1);

	memcpy(in->bytes->data + at, s, strlen(s) + 1);
	return in->base + at;
}

static void info_put(struct info *in, uint32_t at, uint32_t v)
{
	le_store(in->bytes->data + at, 4, v);
}

static void info_memory(struct info *in, const struct boot_memory *map)
{
	uint32_t at = info_room(in, map->count * 24);

	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *row = in->bytes->data + at + i * 24;

		le_store(row, 4, 20);
		le_store(row + 4, 8, map->e820[i].base);
		le_store(row + 12, 8, map->e820[i].size);
		le_store(row + 20, 4, map->e820[i].type);
	}
	info_put(in, 4, BOOT_EBDA >> 10);
	info_put(in, 8, (uint32_t)((map->below_4g - 0x100000) >> 10));
	info_put(in, 44, map->count * 24);
	info_put(in, 48, in->base + at);
}

struct placed_module {
	uint32_t start, end;
	char *text;
};

static void info_build(
	struct info *in, const struct loader *l, const struct placed_module *mods, unsigned count)
{
	g_autofree char *command = NULL;
	uint32_t at;

	info_room(in, 120);
	/* Memory, command line, modules, memory map, loader name. */
	info_put(in, 0, 0x01 | 0x04 | 0x08 | 0x40 | 0x200);
	info_memory(in, l->map);
	command = g_strdup_printf("%s%s%s", l->k->name, l->k->arguments && *l->k->arguments ? " " : "",
		l->k->arguments ? l->k->arguments : "");
	info_put(in, 16, info_string(in, command));
	info_put(in, 64, info_string(in, "Serai"));
	at = info_room(in, (size_t)count * 16);
	info_put(in, 20, count);
	info_put(in, 24, in->base + at);
	for (unsigned i = 0; i < count; i++) {
		info_put(in, at + i * 16, mods[i].start);
		info_put(in, at + i * 16 + 4, mods[i].end);
		info_put(in, at + i * 16 + 8, info_string(in, mods[i].text));
	}
}

static bool load_modules(struct loader *l, const struct boot_image *modules, unsigned count,
	struct placed_module *placed, GError **error)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t at = align_up(l->next, PAGE_SIZE);

		if (!in_ram(l, at, MAX_OF(modules[i].size, 1u)))
			return fail(error, SERAI_ERROR_CONFIG,
				"%s (%zu MiB) does not fit; give more memory (--mem)", modules[i].name,
				modules[i].size >> 20);
		phys_write(l->mem, at, modules[i].data, modules[i].size);
		placed[i].start = (uint32_t)at;
		placed[i].end = (uint32_t)(at + modules[i].size);
		placed[i].text = g_strdup_printf("%s%s%s", modules[i].name,
			modules[i].arguments && *modules[i].arguments ? " " : "",
			modules[i].arguments ? modules[i].arguments : "");
		l->next = at + modules[i].size;
	}
	return true;
}

static bool finish(struct loader *l, const struct placed_module *placed, unsigned count,
	struct boot_entry *entry, GError **error)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	struct info in = { .bytes = bytes, .base = MB_INFO_LOW };

	if (l->low < MB_INFO_LOW + MB_INFO_ROOM)
		in.base = (uint32_t)align_up(MAX_OF(l->next, 0x100000u), PAGE_SIZE);
	info_build(&in, l, placed, count);
	if (in.bytes->len > MB_INFO_ROOM || !in_ram(l, in.base, in.bytes->len))
		return fail(error, SERAI_ERROR_CONFIG,
			"%s: the boot information does not fit; give more memory (--mem)", l->k->name);
	boot_entry_init(entry, l->mem);
	phys_write(l->mem, in.base, in.bytes->data, in.bytes->len);
	entry->eip = l->entry;
	entry->eax = MB_ENTRY_MAGIC;
	entry->ebx = in.base;
	return true;
}

bool multiboot_load(struct physmap *mem, const struct boot_memory *map, const struct boot_image *kernel,
	const struct boot_image *modules, unsigned module_count, struct boot_entry *entry, GError **error)
{
	struct loader l = { .mem = mem, .map = map, .k = kernel, .low = UINT64_MAX };
	struct placed_module placed[MULTIBOOT_MODULES] = { 0 };
	bool ok;

	if (!find_header(kernel->data, kernel->size, &l.header))
		return damaged(&l, error, "no multiboot header");
	if (module_count > MULTIBOOT_MODULES)
		return fail(
			error, SERAI_ERROR_CONFIG, "%u modules; at most %u", module_count, MULTIBOOT_MODULES);
	l.flags = (uint32_t)le_load(kernel->data + l.header + 4, 4);
	if (l.flags & 0xffffu & ~(MB_WANT_ALIGN | MB_WANT_MEM | MB_WANT_VIDEO))
		return fail(error, SERAI_ERROR_FORMAT, "%s: multiboot flags 0x%x ask for what is not known",
			kernel->name, l.flags);
	if (l.flags & MB_WANT_VIDEO)
		log_info("boot", "%s asks for a video mode; it gets 80x25 text", kernel->name);
	ok = l.flags & MB_ADDRESSES ? load_by_addresses(&l, error) : load_elf(&l, error);
	l.next = MAX_OF(l.high, 0x100000u);
	ok = ok && load_modules(&l, modules, module_count, placed, error) &&
	     finish(&l, placed, module_count, entry, error);
	for (unsigned i = 0; i < module_count && i < MULTIBOOT_MODULES; i++)
		g_free(placed[i].text);
	return ok;
}
