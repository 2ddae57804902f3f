/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/machine/config.h"

#include "monitor/firmware/seabios.h"
#include "monitor/machine/vmware.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define RAM_DEFAULT_MIB 512
#define RAM_MIN_MIB     2
#define RAM_MAX_MIB     (1u << 20)

/* A drive's or port's key: PREFIX.LEAF. */
static char *leaf(const char *prefix, const char *name)
{
	return g_strdup_printf("%s.%s", prefix, name);
}

static bool read_memory(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	struct sysinfo host;
	uint64_t mib, host_mib;

	if (!vmx_get_uint(vmx, "memsize", RAM_DEFAULT_MIB, RAM_MIN_MIB, RAM_MAX_MIB, &mib, error))
		return false;
	c->ram_bytes = mib << 20;
	if (sysinfo(&host) == 0) {
		host_mib = ((uint64_t)host.totalram + host.totalswap) * host.mem_unit >> 20;
		if (mib > host_mib)
			return vmx_refuse(vmx, "memsize", error,
				"this host has %" G_GUINT64_FORMAT " MiB; give the VM less (--mem)",
				host_mib);
	}
	return true;
}

static bool fits(const struct engine *e)
{
	g_autoptr(GError) why = NULL;

	if (!e->fits || e->fits(&why))
		return true;
	log_info("engine", "auto: not %s: %s", e->name, why->message);
	return false;
}

/* The fastest engine that works on this host, or the one that was asked for. */
static bool read_engine(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	static const char *const by_preference[] = { "kvm", "bt", "interp", "diff" }; /* diff: only by name */
	const char *name = vmx_get_string(vmx, "engine", "auto");
	g_autoptr(GString) have = g_string_new("auto");
	bool automatic = strcmp(name, "auto") == 0;

	for (size_t i = 0; i < ARRAY_LEN(by_preference); i++) {
		const struct engine *e = engine_by_name(by_preference[i]);

		if (!e)
			continue;
		g_string_append_printf(have, ", %s", by_preference[i]);
		if (!c->engine && (automatic ? fits(e) : strcmp(name, by_preference[i]) == 0))
			c->engine = e;
	}
	if (!c->engine)
		return vmx_refuse(vmx, "engine", error, "no such engine here; there is %s", have->str);
	if (automatic)
		log_info("engine", "auto: %s, the fastest there is", c->engine->name);
	c->trace = vmx_get_path(vmx, "engine.trace");
	return vmx_get_uint(vmx, "engine.traceFrom", 0, 0, INT64_MAX, &c->trace_from, error) &&
	       vmx_get_uint(vmx, "engine.traceCount", INT64_MAX, 0, INT64_MAX, &c->trace_count, error) &&
	       vmx_get_bool(vmx, "engine.perfMap", false, &c->engine_options.perf_map, error);
}

static bool read_drive(struct drive_config *d, const struct vmx *vmx, const char *prefix, GError **error)
{
	g_autofree char *present_key = leaf(prefix, "present"), *file_key = leaf(prefix, "fileName"),
			*type_key = leaf(prefix, "deviceType"), *start_key = leaf(prefix, "startConnected");
	const char *type = vmx_get_string(vmx, type_key, "disk");
	bool present, connected;

	if (!vmx_get_bool(vmx, present_key, false, &present, error) ||
		!vmx_get_bool(vmx, start_key, true, &connected, error))
		return false;
	if (!present)
		return true;
	if (g_str_has_prefix(type, "cdrom") || g_str_has_prefix(type, "atapi-cdrom"))
		d->kind = DRIVE_CDROM;
	else if (strcmp(type, "disk") == 0 || g_ascii_strcasecmp(type, "ata-hardDisk") == 0)
		d->kind = DRIVE_DISK;
	else
		return vmx_refuse(vmx, type_key, error, "one of disk, cdrom-image was expected");
	d->path = connected ? vmx_get_path(vmx, file_key) : NULL;
	if (d->kind == DRIVE_CDROM && strcmp(type, "cdrom-image") != 0) {
		log_warn("boot", "%s: host CD-ROM drives are not passed through; the drive is empty", prefix);
		g_clear_pointer(&d->path, g_free);
	}
	if (d->kind == DRIVE_DISK && !d->path)
		return fail(error, SERAI_ERROR_CONFIG, "%s is missing; a disk needs an image", file_key);
	return d->kind != DRIVE_DISK || vmware_check_raw(d->path, error);
}

static bool read_drives(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	for (unsigned i = 0; i < 4; i++) {
		g_autofree char *prefix = g_strdup_printf("ide%u:%u", i / 2, i % 2);

		if (!read_drive(&c->ide[i / 2][i % 2], vmx, prefix, error))
			return false;
	}
	for (unsigned i = 0; i < 2; i++) {
		g_autofree char *present_key = g_strdup_printf("floppy%u.present", i);
		g_autofree char *file_key = g_strdup_printf("floppy%u.fileName", i);
		bool present;

		if (!vmx_get_bool(vmx, present_key, false, &present, error))
			return false;
		if (!present)
			continue;
		c->floppy[i].kind = DRIVE_DISK;
		c->floppy[i].path = vmx_get_path(vmx, file_key);
	}
	return true;
}

static bool read_serial(struct serial_config *s, const struct vmx *vmx, unsigned n, GError **error)
{
	static const char *const types[] = { "stdio", "file", "pty", "none", NULL };
	static const char *const vmware_types[] = { "device", "pipe", "network", "thinprint", NULL };
	g_autofree char *present_key = g_strdup_printf("serial%u.present", n);
	g_autofree char *type_key = g_strdup_printf("serial%u.fileType", n);
	g_autofree char *file_key = g_strdup_printf("serial%u.fileName", n);
	const char *type;

	if (!vmx_get_bool(vmx, present_key, false, &s->present, error))
		return false;
	type = s->present ? vmx_get_string(vmx, type_key, "none") : "none";
	if (!g_strv_contains(types, type)) {
		if (!g_strv_contains(vmware_types, type))
			return vmx_refuse(vmx, type_key, error, "one of stdio, file, pty, none was expected");
		log_warn("boot", "serial%u: fileType %s is not supported; nothing is plugged in", n, type);
		type = "none";
	}
	s->type = g_strdup(type);
	s->path = vmx_get_path(vmx, file_key);
	if (strcmp(type, "file") == 0 && !s->path)
		return fail(error, SERAI_ERROR_CONFIG, "%s is missing", file_key);
	return true;
}

static bool read_consoles(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	const char *display = vmx_get_string(vmx, "display", "auto");
	bool stdio = false;

	for (unsigned i = 0; i < 2; i++)
		if (!read_serial(&c->serial[i], vmx, i, error))
			return false;
	if (strcmp(display, "auto") != 0 && strcmp(display, "none") != 0 && strcmp(display, "text") != 0)
		return vmx_refuse(vmx, "display", error, "one of auto, none, text was expected");
	if (strcmp(c->serial[0].type, "stdio") == 0 && strcmp(c->serial[1].type, "stdio") == 0)
		return fail(error, SERAI_ERROR_CONFIG, "only one serial port can have this terminal");
	stdio = strcmp(c->serial[0].type, "stdio") == 0 || strcmp(c->serial[1].type, "stdio") == 0;
	c->text_display = strcmp(display, "text") == 0;
	/* A person who starts a VM wants to see something of it. */
	if (strcmp(display, "auto") == 0)
		c->text_display = !stdio && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (c->text_display && stdio)
		return fail(error, SERAI_ERROR_CONFIG,
			"display = text and a serial port on stdio both want this terminal; choose one");
	return true;
}

/* "cdrom,hdd,floppy": what is not named comes after, in the order floppy, disk, CD. */
static bool read_boot_order(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	static const struct {
		const char *name;
		uint8_t code;
	} names[] = { { "floppy", 1 }, { "hdd", 2 }, { "disk", 2 }, { "cdrom", 3 } };
	g_auto(GStrv) words = g_strsplit(vmx_get_string(vmx, "bios.bootOrder", "hdd,cdrom,floppy"), ",", 16);
	unsigned n = 0;

	for (char **w = words; *w; w++) {
		char *word = g_strstrip(*w);
		uint8_t code = 0;

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (g_ascii_strcasecmp(word, names[i].name) == 0)
				code = names[i].code;
		if (!code && !g_str_has_prefix(word, "ethernet") && *word)
			return vmx_refuse(
				vmx, "bios.bootOrder", error, "'%s' is none of hdd, cdrom, floppy", word);
		if (code && n < 3 && !memchr(c->boot_order, code, 3))
			c->boot_order[n++] = code;
	}
	for (uint8_t code = 1; code <= 3 && n < 3; code++)
		if (!memchr(c->boot_order, code, 3))
			c->boot_order[n++] = code;
	return true;
}

static bool read_port(const struct vmx *vmx, const char *key, uint16_t *port, GError **error)
{
	uint64_t v;

	if (!vmx_get_uint(vmx, key, 0, 0, 0xfffc, &v, error))
		return false;
	*port = (uint16_t)v;
	return true;
}

static bool read_rest(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	const char *level = vmx_get_string(vmx, "log.level", "warn");
	const char *triple = vmx_get_string(vmx, "tripleFault", "exit");
	uint64_t cpus, cores;

	if (!log_parse_level(level, &c->log_level))
		return vmx_refuse(
			vmx, "log.level", error, "one of error, warn, info, debug, trace was expected");
	if (strcmp(triple, "exit") != 0 && strcmp(triple, "reset") != 0)
		return vmx_refuse(vmx, "tripleFault", error, "one of exit, reset was expected");
	c->triple_fault_resets = strcmp(triple, "reset") == 0;
	if (!vmx_get_uint(vmx, "numvcpus", 1, 1, MACHINE_CPUS_MAX, &cpus, error))
		return false;
	c->cpus = (unsigned)cpus;
	/* As VMware has it: a socket for each processor unless told otherwise. */
	if (!vmx_get_uint(vmx, "cpuid.coresPerSocket", 1, 1, MACHINE_CPUS_MAX, &cores, error))
		return false;
	if (cpus % cores)
		return vmx_refuse(vmx, "cpuid.coresPerSocket", error, "numvcpus is not a multiple of it");
	c->cores_per_socket = (unsigned)cores;
	if (g_ascii_strcasecmp(vmx_get_string(vmx, "firmware", "bios"), "bios") != 0)
		return vmx_refuse(vmx, "firmware", error, "only bios is there so far");
	return vmx_get_bool(vmx, "noReboot", false, &c->no_reboot, error) &&
	       vmx_get_bool(vmx, "cpu.mitigations", false, &c->mitigations, error) &&
	       vmx_get_bool(vmx, "cpu.mwait", false, &c->mwait, error) &&
	       read_port(vmx, "debug.exitPort", &c->exit_port, error) &&
	       read_port(vmx, "debug.consolePort", &c->console_port, error);
}

static void read_kernel(struct machine_config *c, const struct vmx *vmx)
{
	c->kernel = vmx_get_path(vmx, "kernel");
	c->append = g_strdup(vmx_get_string(vmx, "append", ""));
	c->initrds = g_ptr_array_new_with_free_func(g_free);
	for (unsigned i = 0; i < 64; i++) {
		g_autofree char *key = i ? g_strdup_printf("initrd%u", i) : g_strdup("initrd");
		char *path = vmx_get_path(vmx, key);

		if (path)
			g_ptr_array_add(c->initrds, path);
	}
}

/* The same machine has the same identity each time it is started. */
static bool read_uuid(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	g_autoptr(GError) bad = NULL;

	if (vmware_read_uuid(vmx, c->uuid, &bad))
		return true;
	if (bad) {
		g_propagate_error(error, g_steal_pointer(&bad));
		return false;
	}
	c->uuid[0] = 0x56;
	c->uuid[1] = 0x4d;
	for (unsigned i = 2; i < 16; i++)
		c->uuid[i] = (uint8_t)(g_str_hash(c->name) >> (i % 4 * 8)) ^ (uint8_t)(i * 37);
	return true;
}

static char *path_or(const struct vmx *vmx, const char *key, const char *fallback)
{
	char *path = vmx_get_path(vmx, key);

	return path ? path : g_strdup(fallback);
}

bool machine_config_read(struct machine_config *c, const struct vmx *vmx, GError **error)
{
	*c = (struct machine_config){ .name = g_strdup(vmx_get_string(vmx, "displayName", "")) };
	read_kernel(c, vmx);
	if (!*c->name && c->kernel) {
		g_free(c->name);
		c->name = g_path_get_basename(c->kernel);
	}
	c->bios_path = path_or(vmx, "bios440.filename", SEABIOS_PATH);
	c->vga_bios_path = path_or(vmx, "vgabios.filename", SEABIOS_VGA_PATH);
	vmware_warn_left_out(vmx);
	return read_uuid(c, vmx, error) && read_rest(c, vmx, error) && read_memory(c, vmx, error) &&
	       read_engine(c, vmx, error) && read_drives(c, vmx, error) && read_consoles(c, vmx, error) &&
	       read_boot_order(c, vmx, error);
}

void machine_config_free(struct machine_config *c)
{
	g_free(c->name);
	g_free(c->vmx_path);
	g_free(c->kernel);
	g_free(c->trace);
	g_free(c->append);
	g_free(c->bios_path);
	g_free(c->vga_bios_path);
	if (c->initrds)
		g_ptr_array_unref(c->initrds);
	for (unsigned i = 0; i < 4; i++)
		g_free(c->ide[i / 2][i % 2].path);
	for (unsigned i = 0; i < 2; i++) {
		g_free(c->floppy[i].path);
		g_free(c->serial[i].type);
		g_free(c->serial[i].path);
	}
}
