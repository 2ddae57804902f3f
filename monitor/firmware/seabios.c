/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/firmware/seabios.h"

#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* fw_cfg keys of numbers that have no file. */
#define KEY_RAM_SIZE  0x0003
#define KEY_CPUS      0x0005
#define KEY_BOOT_MENU 0x000e
#define KEY_MAX_CPUS  0x000f

bool seabios_read(const char *path, uint8_t **rom, uint32_t *size, GError **error)
{
	g_autofree char *data = NULL;
	g_autoptr(GError) why = NULL;
	gsize len = 0;

	if (!g_file_get_contents(path, &data, &len, &why))
		return fail(error, SERAI_ERROR_CONFIG, "%s (Debian's package seabios has the usual one)",
			why->message);
	if (!len || len % 0x10000 || len > FIRMWARE_IMAGE_MAX)
		return fail(error, SERAI_ERROR_FORMAT,
			"%s: %zu bytes; a BIOS image is a multiple of 64 KiB, up to 16 MiB", path, len);
	*rom = aligned_alloc(PAGE_SIZE, len);
	if (!*rom)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "%s", path);
	memcpy(*rom, data, len);
	*size = (uint32_t)len;
	return true;
}

static bool number(const struct firmware_sink *sink, uint16_t key, unsigned size, uint64_t v, GError **error)
{
	uint8_t bytes[8];

	le_store(bytes, size, v);
	return sink->item(sink->opaque, key, bytes, size, error);
}

/* RAM only: the BIOS knows what else there is.  Rows of base, size, type. */
static bool add_e820(const struct firmware_sink *sink, const struct boot_memory *m, GError **error)
{
	uint8_t rows[2 * 20];
	unsigned n = 1;

	le_store(rows, 8, 0);
	le_store(rows + 8, 8, m->below_4g);
	le_store(rows + 16, 4, BOOT_RAM);
	if (m->above_4g) {
		le_store(rows + 20, 8, BOOT_4G);
		le_store(rows + 28, 8, m->above_4g);
		le_store(rows + 36, 4, BOOT_RAM);
		n = 2;
	}
	return sink->file(sink->opaque, "etc/e820", rows, n * 20, error);
}

static bool add_acpi(const struct firmware_sink *sink, const struct acpi_tables *t, GError **error)
{
	g_autoptr(GByteArray) script = acpi_loader_script(t);

	return sink->file(sink->opaque, "etc/acpi/tables", t->tables->data, t->tables->len, error) &&
	       sink->file(sink->opaque, "etc/acpi/rsdp", t->rsdp, sizeof(t->rsdp), error) &&
	       sink->file(sink->opaque, "etc/table-loader", script->data, script->len, error);
}

static bool add_smbios(const struct firmware_sink *sink, const struct smbios_board *b, GError **error)
{
	uint8_t anchor[SMBIOS_ANCHOR_SIZE];
	g_autoptr(GByteArray) tables = smbios_build(b, 0, anchor);

	return sink->file(sink->opaque, "etc/smbios/smbios-tables", tables->data, tables->len, error) &&
	       sink->file(sink->opaque, "etc/smbios/smbios-anchor", anchor, sizeof(anchor), error);
}

bool seabios_configure(const struct firmware_sink *sink, const struct seabios_config *c, GError **error)
{
	/* Bit 7: supported, low bits: sleep type.  S3, S4, S5 of \_S3_, \_S4_, \_S5_: only S5, type 0. */
	static const uint8_t states[6] = { 0x80, 0, 0, 0x01, 0x02, 0x80 };

	return number(sink, KEY_RAM_SIZE, 8, c->map->below_4g, error) &&
	       number(sink, KEY_CPUS, 2, c->cpus, error) && number(sink, KEY_MAX_CPUS, 2, c->cpus, error) &&
	       number(sink, KEY_BOOT_MENU, 2, 0, error) &&
	       sink->file(sink->opaque, "etc/system-states", states, sizeof(states), error) &&
	       add_e820(sink, c->map, error) && add_acpi(sink, c->acpi, error) &&
	       add_smbios(sink, c->smbios, error) &&
	       (!c->vga_size || sink->file(sink->opaque, c->vga_name, c->vga_rom, c->vga_size, error));
}
