/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli/run.c - `serai run`: translate options into .vmx keys and become serai-vmx.
 *
 * The keys are the only currency of configuration: every option is shorthand for one or a few of them, handed
 * on as
 * `--set KEY=VALUE`.
 */
#include "cli/cli.h"
#include "vm/vmx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct run {
	const char *vm, *restore;
	GPtrArray *sets; /* "key=value" */
	unsigned initrds, disks, cdroms, floppies;
	bool serial_given, display_text;
	bool something; /* to run: a kernel, a drive, a key that may bring one */
};

struct option {
	const char *name;
	const char *argument; /* what help calls it; NULL: takes none */
	bool (*apply)(struct run *r, const char *value, GError **error);
	const char *key; /* without apply: the key that gets the value, or TRUE when there is none */
	const char *help;
};

static void set(struct run *r, const char *key, const char *value)
{
	g_ptr_array_add(r->sets, g_strdup_printf("%s=%s", key, value));
}

static bool apply_kernel(struct run *r, const char *value, GError **error)
{
	(void)error;
	r->something = true;
	set(r, "kernel", value);
	return true;
}

/* A drive at ideB:D: 0 is the first disk; the first CD-ROM goes to ide1:0, where firmware and guests expect
 * it. */
static void set_drive(struct run *r, unsigned bus, unsigned unit, const char *type, const char *file)
{
	g_autofree char *present = g_strdup_printf("ide%u:%u.present", bus, unit);
	g_autofree char *kind = g_strdup_printf("ide%u:%u.deviceType", bus, unit);
	g_autofree char *name = g_strdup_printf("ide%u:%u.fileName", bus, unit);

	r->something = true;
	set(r, present, "TRUE");
	set(r, kind, type);
	set(r, name, file);
}

static bool apply_disk(struct run *r, const char *value, GError **error)
{
	static const uint8_t place[] = { 0, 1, 3 };
	unsigned at;

	if (r->disks >= ARRAY_LEN(place))
		return fail(
			error, SERAI_ERROR_CONFIG, "--disk %s: at most %zu disks", value, ARRAY_LEN(place));
	at = place[r->disks++];
	set_drive(r, at / 2, at % 2, "disk", value);
	return true;
}

static bool apply_cdrom(struct run *r, const char *value, GError **error)
{
	if (r->cdroms++)
		return fail(error, SERAI_ERROR_CONFIG, "--cdrom %s: there is one CD-ROM drive", value);
	set_drive(r, 1, 0, "cdrom-image", value);
	return true;
}

static bool apply_floppy(struct run *r, const char *value, GError **error)
{
	g_autofree char *present = g_strdup_printf("floppy%u.present", r->floppies);
	g_autofree char *name = g_strdup_printf("floppy%u.fileName", r->floppies);

	if (r->floppies++ > 1)
		return fail(error, SERAI_ERROR_CONFIG, "--floppy %s: there are two floppy drives", value);
	r->something = true;
	set(r, present, "TRUE");
	set(r, name, value);
	return true;
}

static bool apply_initrd(struct run *r, const char *value, GError **error)
{
	g_autofree char *key = r->initrds ? g_strdup_printf("initrd%u", r->initrds) : g_strdup("initrd");

	if (r->initrds++ > 63)
		return fail(error, SERAI_ERROR_CONFIG, "--initrd %s: at most 64", value);
	set(r, key, value);
	return true;
}

static bool one_of(const char *option, const char *value, const char *const *words, GError **error)
{
	g_autofree char *list = g_strjoinv(", ", (char **)words);

	if (g_strv_contains(words, value))
		return true;
	return fail(error, SERAI_ERROR_CONFIG, "--%s %s: one of %s was expected", option, value, list);
}

static bool apply_boot(struct run *r, const char *value, GError **error)
{
	static const char *const words[] = { "disk", "cdrom", "floppy", NULL };

	if (!one_of("boot", value, words, error))
		return false;
	set(r, "bios.bootOrder", strcmp(value, "disk") == 0 ? "hdd" : value);
	return true;
}

static bool apply_display(struct run *r, const char *value, GError **error)
{
	static const char *const words[] = { "auto", "none", "text", NULL };

	if (!one_of("display", value, words, error))
		return false;
	r->display_text = strcmp(value, "text") == 0;
	set(r, "display", value);
	return true;
}

static bool apply_serial(struct run *r, const char *value, GError **error)
{
	static const char *const words[] = { "stdio", "none", "pty", "file:PATH", NULL };

	r->serial_given = true;
	if (g_str_has_prefix(value, "file:") && value[5]) {
		set(r, "serial0.present", "TRUE");
		set(r, "serial0.fileType", "file");
		set(r, "serial0.fileName", value + 5);
		return true;
	}
	if (strcmp(value, "file:PATH") == 0 || !one_of("serial", value, words, error))
		return false;
	set(r, "serial0.present", strcmp(value, "none") == 0 ? "FALSE" : "TRUE");
	if (strcmp(value, "none") != 0)
		set(r, "serial0.fileType", value);
	return true;
}

static bool apply_set(struct run *r, const char *value, GError **error)
{
	struct vmx *check = vmx_new("command line");
	bool ok = vmx_override(check, value, error);

	vmx_free(check);
	r->something = true;
	if (ok)
		g_ptr_array_add(r->sets, g_strdup(value));
	return ok;
}

static bool apply_restore(struct run *r, const char *value, GError **error)
{
	(void)error;
	r->restore = value;
	return true;
}

static const struct option options[] = {
	{ "kernel", "FILE", apply_kernel, NULL, "Linux bzImage or multiboot image to boot directly" },
	{ "initrd", "FILE", apply_initrd, NULL,
		"initial RAM disk; multiboot: a module (\"FILE ARGS\"), repeatable" },
	{ "append", "TEXT", NULL, "append", "the kernel's command line" },
	{ "mem", "MIB", NULL, "memsize", "memory (default 512)" },
	{ "cpus", "N", NULL, "numvcpus", "processors (default 1)" },
	{ "disk", "FILE", apply_disk, NULL, "raw disk image, up to three" },
	{ "cdrom", "FILE", apply_cdrom, NULL, "ISO image in the CD-ROM drive" },
	{ "floppy", "FILE", apply_floppy, NULL, "floppy image, up to two" },
	{ "boot", "disk|cdrom|floppy", apply_boot, NULL, "what the firmware boots first" },
	{ "engine", "auto|interp|bt|diff", NULL, "engine", "how guest code runs" },
	{ "perf-map", NULL, NULL, "engine.perfMap", "bt: name translated code for perf, in /tmp/perf-PID.map" },
	{ "trace", "FILE", NULL, "engine.trace", "write instructions as they are carried out" },
	{ "trace-from", "N", NULL, "engine.traceFrom", "... from the Nth on" },
	{ "trace-count", "N", NULL, "engine.traceCount", "... so many" },
	{ "serial", "stdio|none|file:PATH|pty", apply_serial, NULL, "where COM1 leads" },
	{ "display", "auto|none|text", apply_display, NULL,
		"the VGA text screen on this terminal, or not; auto: unless it is a serial line" },
	{ "no-reboot", NULL, NULL, "noReboot", "end (status 4) where the guest reboots" },
	{ "restore", "FILE", apply_restore, NULL, "go on from a state that serai save wrote" },
	{ "log", "LEVEL", NULL, "log.level", "error, warn, info, debug or trace" },
	{ "set", "KEY=VALUE", apply_set, NULL, "any .vmx key" },
};

void cli_run_help(void)
{
	printf("Usage: serai run [VM.vmx] [OPTION]...\n"
	       "Run a virtual machine in the foreground. Options override the .vmx file.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option *o = &options[i];
		g_autofree char *left = g_strdup_printf("--%s %s", o->name, o->argument ? o->argument : "");

		printf("  %-34s %s\n", left, o->help);
	}
	printf("\nExit status: 0 guest powered off (or Ctrl-A X), 1 host error, 2 bad configuration, 3 "
	       "triple fault,\n"
	       "4 reboot under --no-reboot; with debug.exitPort, what the guest wrote.\n"
	       "While it runs: Ctrl-A H tells the keys.\n");
}

static const struct option *find_option(const char *arg, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, arg, len) == 0)
			return &options[i];
	return NULL;
}

static bool unknown_option(const char *arg, GError **error)
{
	const char *names[ARRAY_LEN(options) + 1] = { NULL };
	g_autofree char *name = g_strndup(arg, strcspn(arg, "="));
	const char *near;

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		names[i] = options[i].name;
	near = vmx_nearest_word(name + strspn(name, "-"), names);
	if (near)
		return fail(
			error, SERAI_ERROR_CONFIG, "unknown option '%s'; did you mean '--%s'?", name, near);
	return fail(error, SERAI_ERROR_CONFIG, "unknown option '%s' (serai help run lists them)", name);
}

static bool parse_option(struct run *r, int argc, char **argv, int *i, GError **error)
{
	const char *arg = argv[*i] + 2, *eq = strchr(arg, '='), *value = eq ? eq + 1 : NULL;
	const struct option *o = find_option(arg, eq ? (size_t)(eq - arg) : strlen(arg));

	if (argv[*i][1] != '-' || !o)
		return unknown_option(argv[*i], error);
	if (!o->argument && value)
		return fail(error, SERAI_ERROR_CONFIG, "--%s takes no value", o->name);
	if (o->argument && !value) {
		if (*i + 1 >= argc)
			return fail(error, SERAI_ERROR_CONFIG, "--%s: %s is missing", o->name, o->argument);
		value = argv[++*i];
	}
	if (o->apply)
		return o->apply(r, value, error);
	set(r, o->key, value ? value : "TRUE");
	return true;
}

static bool parse(struct run *r, int argc, char **argv, GError **error)
{
	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			if (!parse_option(r, argc, argv, &i, error))
				return false;
		} else if (r->vm) {
			return fail(
				error, SERAI_ERROR_CONFIG, "'%s': only one VM can be run at a time", argv[i]);
		} else {
			r->vm = argv[i];
		}
	}
	if (!r->vm && !r->something)
		return fail(error, SERAI_ERROR_CONFIG,
			"nothing to run: name a .vmx file, or give --kernel, --disk, --cdrom or --floppy");
	/* With no VM to say otherwise this terminal is the guest's serial line. */
	if (!r->vm && !r->serial_given && !r->display_text)
		return apply_serial(r, "stdio", error);
	return true;
}

/* serai-vmx beside this program, in ../libexec/serai, or on the PATH. */
static char *find_vmx(void)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *dir = self ? g_path_get_dirname(self) : g_strdup(".");
	static const char *const places[] = { "serai-vmx", "../libexec/serai/serai-vmx",
		"../monitor/machine/serai-vmx" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		g_autofree char *path = g_build_filename(dir, places[i], NULL);

		if (access(path, X_OK) == 0)
			return g_steal_pointer(&path);
	}
	return g_find_program_in_path("serai-vmx");
}

bool cli_run(int argc, char **argv, GError **error)
{
	struct run r = { .sets = g_ptr_array_new_with_free_func(g_free) };
	g_autoptr(GPtrArray) args = g_ptr_array_new();
	g_autoptr(GPtrArray) sets = r.sets;
	g_autofree char *program = NULL;

	if (!parse(&r, argc, argv, error))
		return false;
	program = find_vmx();
	if (!program)
		return fail(
			error, SERAI_ERROR_HOST, "serai-vmx was found neither beside serai nor on the PATH");
	g_ptr_array_add(args, program);
	if (r.vm)
		g_ptr_array_add(args, (void *)r.vm);
	for (guint i = 0; i < sets->len; i++) {
		g_ptr_array_add(args, (void *)"--set");
		g_ptr_array_add(args, sets->pdata[i]);
	}
	if (r.restore) {
		g_ptr_array_add(args, (void *)"--restore");
		g_ptr_array_add(args, (void *)r.restore);
	}
	g_ptr_array_add(args, NULL);
	execv(program, (char **)args->pdata);
	return fail_errno(error, SERAI_ERROR_HOST, errno, "%s", program);
}
