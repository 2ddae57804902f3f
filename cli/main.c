/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli/main.c - the `serai` program: picks the command.
 */
#include "cli/cli.h"
#include "vm/vmx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const command_names[] = { "run", "list", "screen", "status", "stats", "pause", "resume",
	"reset", "powerbutton", "save", "quit", "help", "version", NULL };

static bool unknown_command(const char *command, GError **error)
{
	const char *near = vmx_nearest_word(command, command_names);

	if (near)
		return fail(
			error, SERAI_ERROR_CONFIG, "unknown command '%s'; did you mean '%s'?", command, near);
	return fail(error, SERAI_ERROR_CONFIG, "unknown command '%s' (serai help lists them)", command);
}

static bool help(const char *topic, GError **error)
{
	if (topic && strcmp(topic, "run") == 0)
		return cli_run_help(), true;
	if (topic && !g_strv_contains(command_names, topic))
		return unknown_command(topic, error);
	puts("Serai runs unmodified x86 operating systems, with no kernel module and no root.\n"
	     "\n"
	     "  serai run [VM.vmx] [OPTION]...   run a VM in the foreground (serai help run)\n"
	     "  serai list                       running VMs: process number, state, name\n"
	     "  serai screen [VM]                its text screen\n"
	     "  serai status|stats [VM]          what it is; what it does\n"
	     "  serai pause|resume|reset [VM]\n"
	     "  serai powerbutton|quit [VM]      ask the guest to shut down; end it at once\n"
	     "  serai save [VM] FILE             write the whole machine's state\n"
	     "  serai help [COMMAND]\n"
	     "  serai version\n"
	     "\n"
	     "VM is a .vmx file, a name or a process number; it may be left out while only one VM runs.\n"
	     "list, screen, status and stats take --json: one object a line, for programs.\n"
	     "stats measures for a second first; --window MS: for so long.\n"
	     "Exit status: 0 done, 1 host error, 2 bad usage or configuration; serai run has more.");
	return true;
}

static bool dispatch(int argc, char **argv, GError **error)
{
	const char *command = argv[1];
	bool known = false, ok;

	/* A command that asks for help at its end gets it, whatever came before. */
	if (argc > 2 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0))
		return help(command, error);
	if (strcmp(command, "run") == 0)
		return cli_run(argc - 2, argv + 2, error);
	if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
		return help(argv[2], error);
	if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0)
		return puts("serai " SERAI_VERSION), true;
	if (strcmp(command, "list") == 0)
		return cli_list(argc - 2, argv + 2, error);
	ok = cli_control(command, argc - 2, argv + 2, &known, error);
	return known ? ok : unknown_command(command, error);
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;

	if (argc < 2) {
		help(NULL, NULL);
		return EXIT_USAGE;
	}
	if (dispatch(argc, argv, &error) && fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_POWEROFF;
	if (!error)
		fail_errno(&error, SERAI_ERROR_HOST, errno, "standard output");
	fprintf(stderr, "serai: %s\n", error->message);
	return g_error_matches(error, SERAI_ERROR, SERAI_ERROR_CONFIG) ? EXIT_USAGE : EXIT_HOST;
}
