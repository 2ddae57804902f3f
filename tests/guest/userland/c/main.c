/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - run every group of self-checks, or the ones named, and add them up. */
#include "check.h"

int checks, failures;

void check_result(int good, const char *file, int line, const char *what)
{
	checks++;
	if (good)
		return;
	failures++;
	printf("%s:%d: failed: %s\n", file, line, what);
}

void check_equal(uint64_t have, uint64_t want, const char *file, int line, const char *what)
{
	check_result(have == want, file, line, what);
	if (have != want)
		printf("    is %#llx, should be %#llx\n", (unsigned long long)have, (unsigned long long)want);
}

void check_string(const char *have, const char *want, const char *file, int line, const char *what)
{
	check_result(!strcmp(have, want), file, line, what);
	if (strcmp(have, want))
		printf("    is \"%s\", should be \"%s\"\n", have, want);
}

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "integer", test_integer }, { "float", test_float },   { "text", test_text },     { "sort", test_sort },
	{ "hash", test_hash },       { "vector", test_vector }, { "jump", test_jump },     { "signal", test_signal },
	{ "memory", test_memory },   { "code", test_code },     { "thread", test_thread }, { "process", test_process },
};

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		int wanted = argc < 2, before = failures;
		for (int j = 1; j < argc; j++)
			wanted |= !strcmp(argv[j], groups[i].name);
		if (!wanted)
			continue;
		groups[i].run();
		if (failures > before)
			printf("%s: %d failed\n", groups[i].name, failures - before);
	}
	printf("%d checks, %d failures\n", checks, failures);
	return failures || !checks;
}
