/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli/control.c - commands that speak to a running VM over its control socket.
 */
#include "cli/cli.h"
#include "vm/control.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct command {
	const char *name;
	const char *show; /* member of the answer to print as it is; NULL: nothing */
	bool takes_file;
	bool show_all; /* print the whole answer, one member a line */
};

static const struct command commands[] = {
	{ "screen", "text", false, false },
	{ "status", NULL, false, true },
	{ "stats", "text", false, false },
	{ "pause", NULL, false, false },
	{ "resume", NULL, false, false },
	{ "reset", NULL, false, false },
	{ "powerbutton", NULL, false, false },
	{ "save", NULL, true, false },
	{ "quit", NULL, false, false },
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

bool cli_control(const char *command, int argc, char **argv, bool *known, GError **error)
{
	const struct command *c = NULL;
	g_autoptr(GString) request = g_string_new(NULL);
	g_autofree char *file = NULL;
	struct json *answer = NULL;
	int fd;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, command) == 0)
			c = &commands[i];
	*known = c;
	if (!c)
		return false;
	if (argc > 1 + c->takes_file || (c->takes_file && !argc))
		return fail(error, SERAI_ERROR_CONFIG, "usage: serai %s %s", command,
			c->takes_file ? "[VM] FILE" : "[VM]");
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
	if (control_ask(fd, request->str, &answer, error)) {
		if (c->show_all)
			print_status(answer);
		else if (c->show && json_get(answer, c->show))
			fputs(json_get(answer, c->show), stdout);
	}
	json_free(answer);
	close(fd);
	return !error || !*error;
}

static void list_line(void *opaque, const struct json *status)
{
	const char *name = json_get(status, "name"), *pid = json_get(status, "pid"),
		   *state = json_get(status, "state");

	(void)opaque;
	printf("%-8s %-8s %s\n", pid ? pid : "?", state ? state : "?", name ? name : "?");
}

bool cli_list(GError **error)
{
	g_autoptr(GError) none = NULL;

	if (control_foreach(list_line, NULL, &none) || none->code == SERAI_ERROR_CONFIG)
		return true;
	g_propagate_error(error, g_steal_pointer(&none));
	return false;
}
