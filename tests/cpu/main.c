/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/main.c - check-cpu: random instructions on the host CPU and in an engine, compared.
 *
 * Jobs are processes that share one page of counters; job j takes the case numbers that are j modulo the
 * jobs.  A case is a function of seed, number and the options --bits, --seq and --only, so a failure is
 * repeated by naming them.
 */
#include "base/error.h"
#include "tests/cpu/compare.h"
#include "tests/cpu/gen.h"
#include "tests/cpu/guest.h"
#include "tests/cpu/native.h"
#include "tests/cpu/shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_JOBS   64
#define MAX_SHOWN  40 /* reports a job prints */
#define SAME_TITLE 2  /* reports it prints for one instruction */

struct options {
	gint64 cases, seed, only_case;
	int bits, seq, jobs, seconds;
	char *only, *engine;
	gboolean verbose, stats;
};

struct counters {
	_Atomic uint64_t cases, differences;
	_Atomic uint64_t ends[VECTOR_LOST + 1]; /* of the host's side */
	_Atomic bool stop;
};

struct job {
	const struct options *o;
	struct counters *shared;
	struct form_table tables[2]; /* 64-bit, 32-bit; count 0: not wanted */
	struct guest guest;
	bool have_guest; /* false: the host against itself */
	uint8_t base_memory[MEM_BYTES], memory[MEM_BYTES], native_memory[MEM_BYTES];
	GHashTable *titles; /* title to number of failures */
	unsigned shown;
};

static void run_native(struct job *j, const struct test_case *tc, struct outcome *out)
{
	case_memory(tc, j->base_memory, j->memory);
	native_run(tc, j->memory, out);
}

static void run_other(struct job *j, const struct test_case *tc, struct outcome *out)
{
	if (j->have_guest)
		guest_run(&j->guest, tc, j->memory, out);
	else
		native_run(tc, j->memory, out);
}

static bool agree(struct job *j, const struct test_case *tc, struct outcome *native, struct outcome *other,
	GString *why)
{
	run_native(j, tc, native);
	if (!j->have_guest) {
		memcpy(j->native_memory, native->mem, MEM_BYTES);
		native->mem = j->native_memory;
	}
	run_other(j, tc, other);
	return outcomes_agree(tc, native, other, why);
}

struct failing {
	struct job *job;
	unsigned native_vector, other_vector;
};

static bool still_fails(void *opaque, const struct test_case *tc)
{
	struct failing *f = opaque;
	struct outcome native, other;

	return !agree(f->job, tc, &native, &other, NULL) && native.vector == f->native_vector &&
	       other.vector == f->other_vector;
}

static void replay_command(const struct job *j, const struct test_case *tc, GString *out)
{
	g_string_append_printf(
		out, "  again: check-cpu --seed %" PRId64 " --case %" PRIu64, j->o->seed, tc->number);
	if (j->o->bits)
		g_string_append_printf(out, " --bits %d", j->o->bits);
	if (j->o->seq)
		g_string_append_printf(out, " --seq %d", j->o->seq);
	if (j->o->only)
		g_string_append_printf(out, " --only %s", j->o->only);
	g_string_append_c(out, '\n');
}

/* Shrink and print, unless enough of that instruction were printed. */
static void report_failure(
	struct job *j, struct test_case *tc, const struct outcome *native, const struct outcome *other)
{
	struct failing f = { j, native->vector, other->vector };
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GString) title = g_string_new(NULL);
	struct outcome a, b;
	unsigned seen;

	if (tc->count > 1 && j->shown < MAX_SHOWN)
		shrink(tc, still_fails, &f);
	report_title(tc, title);
	g_string_append_printf(title, " (%s/%s)", vector_name(native->vector), vector_name(other->vector));
	seen = GPOINTER_TO_UINT(g_hash_table_lookup(j->titles, title->str));
	g_hash_table_insert(j->titles, g_strdup(title->str), GUINT_TO_POINTER(seen + 1));
	if (seen >= SAME_TITLE || j->shown >= MAX_SHOWN)
		return;
	j->shown++;
	if (tc->count == 1)
		shrink(tc, still_fails, &f);
	g_string_append_printf(text, "%s, %u-bit, case %" PRIu64 "\n", title->str, tc->bits, tc->number);
	report_case(tc, text);
	agree(j, tc, &a, &b, text);
	replay_command(j, tc, text);
	fputs(text->str, stdout);
	fflush(stdout);
}

static const struct form_table *table_for(const struct job *j, uint64_t number)
{
	if (!j->tables[1].count)
		return &j->tables[0];
	if (!j->tables[0].count)
		return &j->tables[1];
	return &j->tables[number % 4 == 3];
}

static void run_case(struct job *j, uint64_t number)
{
	/* Without --seq every eighth case is a sequence. */
	struct gen_options g = { (uint64_t)j->o->seed, j->o->seq             ? (unsigned)j->o->seq
						       : number / 4 % 8 == 7 ? 24
									     : 1 };
	struct outcome native, other;
	struct test_case tc;

	gen_case(table_for(j, number), &g, number, &tc);
	if (j->o->verbose) {
		g_autoptr(GString) text = g_string_new(NULL);

		g_string_append_printf(text, "case %" PRIu64 "\n", number);
		report_case(&tc, text);
		fputs(text->str, stdout);
		fflush(stdout);
	}
	if (!agree(j, &tc, &native, &other, NULL)) {
		atomic_fetch_add(&j->shared->differences, 1);
		report_failure(j, &tc, &native, &other);
	}
	atomic_fetch_add_explicit(&j->shared->cases, 1, memory_order_relaxed);
	if (native.vector <= VECTOR_LOST)
		atomic_fetch_add_explicit(&j->shared->ends[native.vector], 1, memory_order_relaxed);
}

static bool job_init(struct job *j, const struct options *o, struct counters *shared, GError **error)
{
	memset(j, 0, sizeof(*j));
	j->o = o;
	j->shared = shared;
	j->titles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	if (o->bits != 32 && !forms_build(&j->tables[0], 64, o->only, o->bits ? error : NULL) && o->bits)
		return false;
	if (o->bits != 64 && !forms_build(&j->tables[1], 32, o->only, j->tables[0].count ? NULL : error) &&
		!j->tables[0].count)
		return false;
	gen_base_memory((uint64_t)o->seed, j->base_memory);
	j->have_guest = strcmp(o->engine, "host") != 0;
	if (j->have_guest && !guest_init(&j->guest, o->engine, error))
		return false;
	return native_init(error);
}

static void print_titles(struct job *j)
{
	GHashTableIter it;
	gpointer key, value;

	g_hash_table_iter_init(&it, j->titles);
	while (g_hash_table_iter_next(&it, &key, &value))
		printf("%8u x %s\n", GPOINTER_TO_UINT(value), (const char *)key);
	fflush(stdout);
}

static int run_job(const struct options *o, struct counters *shared, unsigned index)
{
	struct job *j = aligned_alloc(64, (sizeof(*j) + 63) & ~63ul);
	g_autoptr(GError) error = NULL;

	if (!j || !job_init(j, o, shared, &error)) {
		fprintf(stderr, "check-cpu: %s\n", error ? error->message : "out of memory");
		return 2;
	}
	if (o->only_case >= 0)
		run_case(j, (uint64_t)o->only_case);
	else
		for (uint64_t n = index; n < (uint64_t)o->cases && !atomic_load(&shared->stop);
			n += (unsigned)o->jobs)
			run_case(j, n);
	if (j->shown)
		print_titles(j);
	if (j->have_guest)
		guest_destroy(&j->guest);
	forms_free(&j->tables[0]);
	forms_free(&j->tables[1]);
	g_hash_table_destroy(j->titles);
	free(j);
	return 0;
}

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
		{ "jobs", 'j', 0, G_OPTION_ARG_INT, &o->jobs, "processes (default 1)", "N" },
		{ "seconds", 't', 0, G_OPTION_ARG_INT, &o->seconds, "stop after so long", "T" },
		{ "engine", 'e', 0, G_OPTION_ARG_STRING, &o->engine,
			"interp, or host: the host against itself", "NAME" },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &o->verbose, "print every case before it runs",
			NULL },
		{ "stats", 0, 0, G_OPTION_ARG_NONE, &o->stats, "say how the cases ended on the host", NULL },
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
			exit(run_job(&o, shared, (unsigned)i));
		}
	}
	worst = supervise(&o, shared, pids);
	for (unsigned i = 0; o.stats && i <= VECTOR_LOST; i++)
		if (shared->ends[i])
			printf("%10" PRIu64 " %s\n", shared->ends[i], vector_name(i));
	return worst ? worst : shared->differences ? 1 : 0;
}
