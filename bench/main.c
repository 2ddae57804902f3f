/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench/main.c - runs the workloads that the environment's SERAI_BENCH names ("sort,pipe"; all without it).
 *
 * As the first process of a guest (the kernel hands its command line's SERAI_BENCH= on) it mounts what they need and
 * powers off at the end.  For each workload it prints "begin NAME" and "end NAME CHECKSUM": who reads takes the times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/work.h"

static const struct {
	const char *name;
	uint64_t (*run)(void);
} works[] = {
	{ "integer", work_integer },     { "hash", work_hash },         { "sort", work_sort },
	{ "dispatch", work_dispatch },   { "recursion", work_recursion }, { "calls", work_calls },
	{ "matrix", work_matrix },       { "nbody", work_nbody },       { "division", work_division },
	{ "chase", work_chase },         { "copy", work_copy },         { "scatter", work_scatter },
	{ "syscall", work_syscall },     { "pipe", work_pipe },         { "process", work_process },
	{ "fault", work_fault },         { "file", work_file },         { "signal", work_signal },
};

static int named(const char *list, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = list; (at = strstr(at, name)); at += length)
		if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ','))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--nothing"))
		return 7;
	if (getpid() == 1) {
		mkdir("/dev/shm", 0755);
		mount("proc", "/proc", "proc", 0, NULL);
		mount("shm", "/dev/shm", "tmpfs", 0, NULL);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("serai-bench: up\n");
	const char *list = getenv("SERAI_BENCH");
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++) {
		if (list && !named(list, works[i].name))
			continue;
		printf("begin %s\n", works[i].name);
		printf("end %s %016llx\n", works[i].name, (unsigned long long)works[i].run());
	}
	printf("serai-bench: done\n");
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	return 0;
}
