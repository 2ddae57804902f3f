/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/main.c - check-cpu: random instructions on the host CPU and in an engine, compared.
 *
 * Jobs are processes that share one page of counters; job j takes the case numbers that are j modulo the
 * jobs.  A case is a function of seed, number and the options --bits, --seq, --blocks and --only, so a
 * failure is repeated by naming them.
 */
#include "base/error.h"
#include "tests/cpu/compare.h"
#include "tests/cpu/job.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_JOBS 64

/* Wait for the jobs, with a progress line and an eye on the clock; the worst of their exit statuses. */
static int supervise(const struct options *o, struct counters *shared, const pid_t *pids)
{
	int64_t start = g_get_monotonic_time();
	int left = o->jobs, worst = 0;
	bool tty = isatty(STDERR_FILENO);

	while (left) {
		double s;
		int status;

		for (int i = 0; i < o->jobs; i++)
			if (pids[i] > 0 && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				int code = WIFEXITED(status) ? WEXITSTATUS(status) : 3;

				if (WIFSIGNALED(status))
					fprintf(stderr, "check-cpu: a job died of signal %d\n",
						WTERMSIG(status));
				worst = MAX_OF(worst, code);
				((pid_t *)pids)[i] = 0;
				left--;
			}
		if (!left)
			break;
		g_usleep(20000);
		s = (double)(g_get_monotonic_time() - start) / 1e6;
		if (o->seconds && s >= o->seconds)
			atomic_store(&shared->stop, true);
		if (tty)
			fprintf(stderr, "\r%" PRIu64 " cases, %" PRIu64 " differences, %.0f/s ",
				shared->cases, shared->differences, (double)shared->cases / (s > 0 ? s : 1));
	}
	if (tty)
		fputc('\r', stderr);
	printf("%" PRIu64 " cases, %" PRIu64 " differences, %.0f cases/s, seed %" PRId64 "\n", shared->cases,
		shared->differences,
		(double)shared->cases * 1e6 / (double)(g_get_monotonic_time() - start + 1), o->seed);
	return worst;
}

static bool parse_options(struct options *o, int argc, char **argv)
{
	const GOptionEntry entries[] = {
		{ "cases", 'n', 0, G_OPTION_ARG_INT64, &o->cases, "how many (default 1000000)", "N" },
		{ "seed", 's', 0, G_OPTION_ARG_INT64, &o->seed, "of the random stream (default 1)", "S" },
		{ "case", 'c', 0, G_OPTION_ARG_INT64, &o->only_case, "run only this one", "K" },
		{ "only", 'o', 0, G_OPTION_ARG_STRING, &o->only, "only this instruction", "MNEMONIC" },
		{ "bits", 'b', 0, G_OPTION_ARG_INT, &o->bits, "64 or 32 (default: both)", "N" },
		{ "seq", 'q', 0, G_OPTION_ARG_INT, &o->seq, "1: single instructions, N: sequences of up to N",
			"N" },
		{ "blocks", 'B', 0, G_OPTION_ARG_NONE, &o->blocks,
			"5 to 50 instructions with branches, run cold, warm, evicted and in slices", NULL },
		{ "jobs", 'j', 0, G_OPTION_ARG_INT, &o->jobs, "processes (default 1)", "N" },
		{ "seconds", 't', 0, G_OPTION_ARG_INT, &o->seconds, "stop after so long", "T" },
		{ "engine", 'e', 0, G_OPTION_ARG_STRING, &o->engine,
			"interp, bt, or host: the host against itself", "NAME" },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &o->verbose, "print every case before it runs",
			NULL },
		{ "stats", 0, 0, G_OPTION_ARG_NONE, &o->stats, "say how the cases ended on the host", NULL },
		{ "coverage", 0, 0, G_OPTION_ARG_NONE, &o->coverage, "count the cases by instruction", NULL },
		{ NULL },
	};
	GOptionContext *context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	bool ok;

	g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_set_summary(
		context, "Compare random instructions on the host CPU and in an engine of ours.");
	ok = g_option_context_parse(context, &argc, &argv, &error);
	g_option_context_free(context);
	if (ok && argc > 1)
		ok = fail(&error, SERAI_ERROR_CONFIG, "unexpected argument '%s'", argv[1]);
	if (ok && ((o->bits && o->bits != 32 && o->bits != 64) || o->seq < 0 || o->seq > CASE_INSNS ||
			  o->jobs < 1 || o->jobs > MAX_JOBS || o->cases < 1))
		ok = fail(&error, SERAI_ERROR_CONFIG, "--bits is 32 or 64, --seq 1 to %d, --jobs 1 to %d",
			CASE_INSNS, MAX_JOBS);
	if (!ok)
		fprintf(stderr, "check-cpu: %s\n", error->message);
	return ok;
}

static void print_ends(const struct options *o, const struct counters *shared)
{
	for (unsigned i = 0; o->stats && i <= VECTOR_LOST; i++)
		if (shared->ends[i])
			printf("%10" PRIu64 " %s\n", shared->ends[i], vector_name(i));
	for (unsigned i = 0; o->coverage && i <= ZYDIS_MNEMONIC_MAX_VALUE; i++)
		if (shared->by_mnemonic[i][0])
			printf("%-20s %8" PRIu64 " run, %8" PRIu64 " without a fault\n",
				ZydisMnemonicGetString((ZydisMnemonic)i), shared->by_mnemonic[i][0],
				shared->by_mnemonic[i][1]);
}

int main(int argc, char **argv)
{
	struct options o = { .cases = 1000000, .seed = 1, .only_case = -1, .jobs = 1, .engine = "interp" };
	struct counters *shared;
	pid_t pids[MAX_JOBS];
	int worst;

	if (!parse_options(&o, argc, argv))
		return 2;
	if (o.only_case >= 0)
		o.jobs = 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	fflush(stdout);
	for (int i = 0; i < o.jobs; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			exit(job_run(&o, shared, (unsigned)i));
		}
	}
	worst = supervise(&o, shared, pids);
	print_ends(&o, shared);
	return worst ? worst : shared->differences ? 1 : 0;
}
