/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/loader.c - direct boot: images from the host's files, and the processor at the entry point.
 */
#include "monitor/firmware/linux.h"
#include "monitor/firmware/multiboot.h"
#include "monitor/machine/machine.h"

#include <string.h>

static bool read_image(struct boot_image *image, const char *path, const char *arguments, GError **error)
{
	g_autoptr(GError) why = NULL;
	char *data;
	gsize len;

	if (g_file_test(path, G_FILE_TEST_IS_DIR))
		return fail(error, SERAI_ERROR_CONFIG, "%s: a directory", path);
	if (!g_file_get_contents(path, &data, &len, &why))
		return fail(error, SERAI_ERROR_CONFIG, "%s", why->message);
	*image = (struct boot_image){ .name = g_path_get_basename(path),
		.data = (uint8_t *)data,
		.size = len,
		.arguments = g_strdup(arguments) };
	return true;
}

/* "FILE" or "FILE ARGUMENTS": the whole is a file's name when such a file exists. */
static bool read_module(struct boot_image *image, const char *text, GError **error)
{
	const char *space = g_file_test(text, G_FILE_TEST_EXISTS) ? NULL : strchr(text, ' ');
	g_autofree char *path = space ? g_strndup(text, (gsize)(space - text)) : g_strdup(text);

	return read_image(image, path, space ? space + 1 : NULL, error);
}

bool machine_read_images(struct machine *m, GError **error)
{
	const struct machine_config *c = &m->config;

	if (!c->kernel) {
		if (c->initrds->len)
			return fail(error, SERAI_ERROR_CONFIG, "initrd without a kernel (--kernel)");
		return true;
	}
	if (!read_image(&m->kernel, c->kernel, c->append, error))
		return false;
	for (guint i = 0; i < c->initrds->len && i < ARRAY_LEN(m->modules); i++) {
		if (!read_module(&m->modules[i], c->initrds->pdata[i], error))
			return false;
		m->module_count++;
	}
	return true;
}

static void free_image(struct boot_image *image)
{
	g_free((void *)image->name);
	g_free((void *)image->data);
	g_free((void *)image->arguments);
	*image = (struct boot_image){ 0 };
}

void machine_free_images(struct machine *m)
{
	free_image(&m->kernel);
	for (unsigned i = 0; i < m->module_count; i++)
		free_image(&m->modules[i]);
	m->module_count = 0;
}

static void set_segment(struct segment *s, uint16_t selector, uint16_t type)
{
	*s = (struct segment){ .base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.attr = (uint16_t)(type | SEG_S | SEG_P | SEG_DB | SEG_G) };
}

/* Memory types as a BIOS leaves them: RAM write-back, the VGA window and what lies above RAM below 4 GiB
 * uncached. */
static void set_mtrrs(struct vcpu *v)
{
	v->s.mtrr_def_type = 0xc06;
	for (unsigned i = 0; i < ARRAY_LEN(v->s.mtrr_fixed); i++)
		v->s.mtrr_fixed[i] = i == 2 ? 0 : i < 2 ? 0x0606060606060606 : 0x0505050505050505;
	v->s.mtrr_var[0] = BOOT_LOW_RAM_MAX;
	v->s.mtrr_var[1] = (((1ull << v->phys_bits) - 1) & ~(BOOT_4G - BOOT_LOW_RAM_MAX - 1)) | 0x800;
}

static void enter(struct vcpu *v, const struct boot_entry *e)
{
	static const uint8_t data[] = { S_ES, S_SS, S_DS, S_FS, S_GS };

	v->s.cr0 |= 1;
	set_segment(&v->s.seg[S_CS], 0x10, 0x0b);
	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		set_segment(&v->s.seg[data[i]], 0x18, 0x03);
	v->s.gdt_base = e->gdt;
	v->s.gdt_limit = e->gdt_limit;
	v->s.rip = e->eip;
	memset(v->s.gpr, 0, sizeof(v->s.gpr));
	v->s.gpr[R_AX] = e->eax;
	v->s.gpr[R_BX] = e->ebx;
	v->s.gpr[R_SI] = e->esi;
	v->s.gpr[R_SP] = e->esp;
	vcpu_set_rflags(v, 2);
	vcpu_settle(v);
}

static bool load(struct machine *m, uint32_t rsdp, struct boot_entry *entry, GError **error)
{
	struct pc *pc = &m->pc;

	/* A Linux bzImage may hold a multiboot header by accident, not the other way round. */
	if (!linux_probe(m->kernel.data, m->kernel.size) && multiboot_probe(m->kernel.data, m->kernel.size))
		return multiboot_load(
			&pc->mem, &pc->map, &m->kernel, m->modules, m->module_count, entry, error);
	if (m->module_count > 1)
		return fail(error, SERAI_ERROR_CONFIG, "%s: a Linux kernel takes one initrd", m->kernel.name);
	return linux_load(
		&pc->mem, &pc->map, &m->kernel, m->module_count ? &m->modules[0] : NULL, rsdp, entry, error);
}

bool machine_boot_direct(struct machine *m, GError **error)
{
	uint32_t rsdp = pc_post(&m->pc);
	struct boot_entry entry;

	if (!load(m, rsdp, &entry, error))
		return false;
	for (unsigned i = 0; i < m->cpus_made; i++)
		set_mtrrs(&m->vcpus[i]);
	enter(&m->vcpus[0], &entry);
	return true;
}
