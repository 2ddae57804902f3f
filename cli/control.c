/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli/control.c - commands that speak to a running VM over its control socket.
 */
#include "cli/cli.h"
#include "vm/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct command {
	const char *name;
	const char *show; /* member of the answer to print as it is; NULL: nothing */
	bool takes_file;
	bool show_all; /* print the whole answer, one member a line */
	bool json;     /* knows --json */
	bool measures; /* lets the engines measure themselves for a while first: knows --window */
};

static const struct command commands[] = {
	{ "screen", .show = "text", .json = true },
	{ "status", .show_all = true, .json = true },
	{ "stats", .show = "text", .json = true, .measures = true },
	{ "pause" },
	{ "resume" },
	{ "reset" },
	{ "powerbutton" },
	{ "save", .takes_file = true },
	{ "quit" },
};

static void print_status(const struct json *status)
{
	static const char *const members[] = { "name", "config", "pid", "state", "engine", "cpus", "memory" };

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const char *value = json_get(status, members[i]);

		if (value)
			printf("%-8s %s\n", members[i], value);
	}
}

struct options {
	bool json;
	unsigned window; /* milliseconds */
};

/* MILLISECONDS, 0 for none. */
static bool parse_window(const char *text, unsigned *out)
{
	char *end;
	unsigned long ms = strtoul(text, &end, 10);

	*out = (unsigned)ms;
	return *text >= '0' && *text <= '9' && !*end && ms <= 60000;
}

/* Take options out of the arguments; false: there is another one, or it has no meaning here. */
static bool take_options(int *argc, char **argv, bool json, bool window, struct options *o)
{
	int kept = 0;

	*o = (struct options){ .window = window ? 1000 : 0 };
	for (int i = 0; i < *argc; i++) {
		if (json && strcmp(argv[i], "--json") == 0)
			o->json = true;
		else if (window && g_str_has_prefix(argv[i], "--window=")) {
			if (!parse_window(argv[i] + 9, &o->window))
				return false;
		} else if (window && strcmp(argv[i], "--window") == 0 && i + 1 < *argc) {
			if (!parse_window(argv[++i], &o->window))
				return false;
		} else if (argv[i][0] == '-')
			return false;
		else
			argv[kept++] = argv[i];
	}
	*argc = kept;
	return true;
}

/* Engines measure themselves from now on: give them time.  A paused VM has nothing to measure. */
static void measure(int fd, unsigned ms)
{
	g_autoptr(GString) request = g_string_new(NULL);
	g_autoptr(GError) why = NULL;
	struct json *answer = NULL;

	json_begin(request);
	json_add_string(request, "command", "measure");
	json_add_uint(request, "ms", ms + 1000);
	json_end(request);
	if (control_ask(fd, request->str, &answer, NULL, &why))
		g_usleep(ms * 1000ul);
	json_free(answer);
}

static void show(const struct command *c, const struct json *answer, const char *text, bool json)
{
	const char *value = c->show ? json_get(answer, c->show) : NULL;

	if (json)
		fputs(text, stdout);
	else if (c->show_all)
		print_status(answer);
	else if (value)
		fputs(value, stdout);
}

bool cli_control(const char *command, int argc, char **argv, bool *known, GError **error)
{
	const struct command *c = NULL;
	g_autoptr(GString) request = g_string_new(NULL);
	g_autofree char *file = NULL, *text = NULL;
	struct json *answer = NULL;
	struct options o;
	bool ok;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, command) == 0)
			c = &commands[i];
	*known = c;
	if (!c)
		return false;
	if (!take_options(&argc, argv, c->json, c->measures, &o) || argc > 1 + c->takes_file ||
		(c->takes_file && !argc))
		return fail(error, SERAI_ERROR_CONFIG, "usage: serai %s %s%s%s", command,
			c->json ? "[--json] " : "", c->measures ? "[--window MS] " : "", c->takes_file ? "[VM] FILE" : "[VM]");
	json_begin(request);
	json_add_string(request, "command", command);
	if (c->takes_file) {
		file = g_canonicalize_filename(argv[argc - 1], NULL);
		json_add_string(request, "file", file);
		argc--;
	}
	json_end(request);
	fd = control_connect(argc ? argv[0] : NULL, error);
	if (fd < 0)
		return false;
	if (o.window)
		measure(fd, o.window);
	ok = control_ask(fd, request->str, &answer, &text, error);
	if (ok)
		show(c, answer, text, o.json);
	json_free(answer);
	close(fd);
	return ok;
}

static void list_line(void *opaque, const struct json *status, const char *text)
{
	bool json = *(bool *)opaque;
	const char *name = json_get(status, "name"), *pid = json_get(status, "pid"),
		   *state = json_get(status, "state");

	if (json)
		fputs(text, stdout);
	else
		printf("%-8s %-8s %s\n", pid ? pid : "?", state ? state : "?", name ? name : "?");
}

bool cli_list(int argc, char **argv, GError **error)
{
	g_autoptr(GError) none = NULL;
	struct options o;

	if (!take_options(&argc, argv, true, false, &o) || argc)
		return fail(error, SERAI_ERROR_CONFIG, "usage: serai list [--json]");
	if (control_foreach(list_line, &o.json, &none) || none->code == SERAI_ERROR_CONFIG)
		return true;
	g_propagate_error(error, g_steal_pointer(&none));
	return false;
}
