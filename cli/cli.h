/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli/cli.h - the commands of `serai`, and what its exit statuses mean.
 */
#ifndef SERAI_CLI_CLI_H
#define SERAI_CLI_CLI_H

#include "base/error.h"

/* serai-vmx uses the same numbers (docs/man/serai.1); with debug.exitPort the guest chooses its own. */
enum {
	EXIT_POWEROFF = 0,
	EXIT_HOST = 1,
	EXIT_USAGE = 2,
};

/* `serai run`: becomes serai-vmx, or returns false with the reason. */
bool cli_run(int argc, char **argv, GError **error);

/* The option table's text for `serai help run`. */
void cli_run_help(void);

/* Commands that speak to a running VM: `serai COMMAND [VM] [FILE]`; *known tells whether it is one of them.
 */
bool cli_control(const char *command, int argc, char **argv, bool *known, GError **error);
bool cli_list(int argc, char **argv, GError **error);

#endif
