/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/main.c - hostile: guests that want out.
 *
 * A round is a guest of its own: a mode, a privilege level, memory full of damaged code, interrupts and DMA
 * from another thread.  The process must not die, the engine must come back when asked, and nothing outside
 * the guest's memory may change.  Rounds run in child processes, so that a death is a report.  A round is a
 * function of seed and number, but for when the other thread strikes.
 */
#include "base/error.h"
#include "tests/hostile/world.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_PER_CHILD 32
#define STUCK_SECONDS    20 /* over what a round takes: a child that does not even finish one */
#define FAILURES_MAX     5
#define EXIT_FAILED      8

struct options {
	char *engine;
	gint64 seed, rounds, only;
	int seconds, round_ms, cpus;
	gboolean here, verbose;
};

/* Written by children, read by the parent. */
struct shared {
	_Atomic uint64_t round, instructions, interrupts, exceptions, runs;
	_Atomic uint64_t ends[VCPU_RAN_BROKEN + 1];
};

struct hostile {
	struct options o;
	struct shared *shared;
	struct vclock clock;
	struct pool pool;
};

static int64_t now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

/* What to do with a vCPU that stopped for this reason. */
static void go_on(struct hostile *h, struct world *w, struct vcpu *v, struct rng *r, enum vcpu_exit why)
{
	bool ended = why == VCPU_RAN_TRIPLE_FAULT || (why == VCPU_RAN_HALTED && rng_percent(r, 40));

	if (why == VCPU_RAN_HALTED && !ended)
		vcpu_raise(v, v->s.wait_for_sipi     ? VCPU_SIPI
				  : rng_percent(r, 80) ? VCPU_INTR
						       : VCPU_NMI);
	if (!ended && !rng_percent(r, 5))
		return;
	if (!v->index && rng_percent(r, 50))
		state_build(w, r);
	if (rng_percent(r, 30))
		fill_code_page(w, &h->pool, r, PAGE_CODE + rng_below(r, CODE_PAGES));
	state_enter(w, v, r);
}

/* The thread of one of the other vCPUs: in the same memory, code and all. */
struct other {
	struct hostile *h;
	struct world *w;
	struct vcpu *v;
	struct rng rng;
	pthread_t thread;
	_Atomic bool stop;
	bool broken;
};

static void *run_other(void *opaque)
{
	struct other *o = opaque;

	while (!atomic_load(&o->stop) && !o->broken) {
		uint64_t budget = rng_percent(&o->rng, 30) ? 1 + rng_below(&o->rng, 64) : 1 + rng_below(&o->rng, 1000000);
		enum vcpu_exit why = o->v->engine->run(o->v, budget);

		atomic_fetch_add(&o->h->shared->runs, 1);
		atomic_fetch_add(&o->h->shared->ends[why], 1);
		o->broken = why == VCPU_RAN_BROKEN;
		go_on(o->h, o->w, o->v, &o->rng, why);
	}
	return NULL;
}

static void start_others(struct hostile *h, struct world *w, struct other *other, uint64_t seed)
{
	for (unsigned n = 1; n < w->cpus; n++) {
		other[n] = (struct other){ .h = h, .w = w, .v = &w->v[n], .rng = rng_for(seed, 100 + n) };
		other[n].v->views_at_once = w->v[0].views_at_once;
		state_enter(w, other[n].v, &other[n].rng);
		if (pthread_create(&other[n].thread, NULL, run_other, &other[n]) != 0)
			exit(2);
	}
}

/* One that does not come back is what the parent waits for. */
static const char *stop_others(struct world *w, struct other *other)
{
	const char *wrong = NULL;

	for (unsigned n = 1; n < w->cpus; n++) {
		atomic_store(&other[n].stop, true);
		vcpu_raise(other[n].v, VCPU_EXIT);
		pthread_join(other[n].thread, NULL);
		if (other[n].broken)
			wrong = "the engine of another vCPU says that it is broken";
	}
	return wrong;
}

/* NULL, or what went wrong. */
static const char *play(struct hostile *h, struct world *w, struct injector *in, struct rng *r)
{
	int64_t end = now_ms() + h->o.round_ms * (rng_percent(r, 3) ? 10 : 1);
	const char *wrong = NULL;

	for (unsigned n = 0; !wrong && now_ms() < end; n++) {
		uint64_t budget = rng_percent(r, 30) ? 1 + rng_below(r, 64) : 1 + rng_below(r, 1000000);
		enum vcpu_exit why;

		injector_running(in, true);
		why = w->v[0].engine->run(&w->v[0], budget);
		injector_running(in, false);
		atomic_fetch_add(&h->shared->runs, 1);
		atomic_fetch_add(&h->shared->ends[why], 1);
		if (why == VCPU_RAN_BROKEN)
			wrong = "the engine says that it is broken";
		else if (n % 16 == 0)
			wrong = world_check(w);
		go_on(h, w, &w->v[0], r, why);
	}
	return wrong ? wrong : world_check(w);
}

static bool run_round(struct hostile *h, uint64_t round)
{
	uint64_t seed = (uint64_t)h->o.seed * 1000003 + round;
	struct rng r = rng_for((uint64_t)h->o.seed, round);
	g_autoptr(GError) error = NULL;
	struct world *w = world_new(h->o.engine, (unsigned)h->o.cpus, &h->clock, seed, &error);
	struct other other[WORLD_CPUS];
	struct injector *in;
	const char *wrong, *others_wrong;

	if (!w) {
		fprintf(stderr, "hostile: %s\n", error ? error->message : "out of memory");
		exit(2);
	}
	w->mode = (enum world_mode)rng_below(&r, MODE_COUNT);
	w->user = rng_percent(&r, 50);
	w->v[0].views_at_once = rng_percent(&r, 70);
	w->start = w->v[0].s;
	fill_memory(w, &h->pool, &r);
	state_build(w, &r);
	state_enter(w, &w->v[0], &r);
	in = injector_start(w, seed);
	if (!in)
		exit(2);
	start_others(h, w, other, seed);
	wrong = play(h, w, in, &r);
	others_wrong = stop_others(w, other);
	wrong = wrong ? wrong : others_wrong ? others_wrong : world_check(w);
	injector_stop(in);
	if (wrong)
		fprintf(stderr, "hostile: %s\n", wrong);
	if (h->o.verbose)
		printf("round %" PRIu64 ": mode %d, %s, %" PRIu64 " instructions\n", round, w->mode,
			w->user ? "user" : "supervisor", w->v[0].stats.instructions);
	for (unsigned n = 0; n < w->cpus; n++) {
		atomic_fetch_add(&h->shared->instructions, w->v[n].stats.instructions);
		atomic_fetch_add(&h->shared->exceptions, w->v[n].stats.exceptions);
	}
	atomic_fetch_add(&h->shared->interrupts, w->interrupts);
	world_free(w);
	return !wrong;
}

/* Rounds from..to-1 in a process of their own; its wait status, or -1: it had to be killed. */
static int run_child(struct hostile *h, uint64_t from, uint64_t to, int64_t deadline)
{
	uint64_t seen = UINT64_MAX;
	int64_t since = now_ms();
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint64_t k = from; k < to && (now_ms() < deadline || !deadline); k++) {
			atomic_store(&h->shared->round, k);
			if (!run_round(h, k))
				_exit(EXIT_FAILED);
		}
		fflush(stdout);
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		uint64_t round = atomic_load(&h->shared->round);

		g_usleep(2000);
		if (round != seen) {
			seen = round;
			since = now_ms();
		}
		if (now_ms() - since > STUCK_SECONDS * 1000 + 10 * h->o.round_ms) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
	}
	return status;
}

static void report(const struct hostile *h, int status)
{
	uint64_t round = atomic_load(&h->shared->round);

	if (status == -1)
		printf("round %" PRIu64 ": stuck", round);
	else if (WIFSIGNALED(status))
		printf("round %" PRIu64 ": died of signal %d", round, WTERMSIG(status));
	else
		printf("round %" PRIu64 ": exit status %d", round, WEXITSTATUS(status));
	printf("\n  again: hostile --engine %s --cpus %d --seed %" PRId64 " --round %" PRIu64 "\n", h->o.engine,
		h->o.cpus, h->o.seed, round);
	fflush(stdout);
}

static unsigned run_all(struct hostile *h)
{
	int64_t deadline = h->o.seconds ? now_ms() + h->o.seconds * 1000 : 0;
	uint64_t last = h->o.only >= 0 ? (uint64_t)h->o.only + 1 : (uint64_t)h->o.rounds;
	uint64_t next = h->o.only >= 0 ? (uint64_t)h->o.only : 0;
	unsigned failures = 0;

	while (next < last && failures < FAILURES_MAX && (!deadline || now_ms() < deadline)) {
		int status = run_child(h, next, MIN_OF(last, next + ROUNDS_PER_CHILD), deadline);

		if (status == 0) {
			next += ROUNDS_PER_CHILD;
			continue;
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
			exit(2);
		failures++;
		report(h, status);
		next = atomic_load(&h->shared->round) + 1;
	}
	return failures;
}

static bool parse_options(struct options *o, int argc, char **argv)
{
	const GOptionEntry entries[] = {
		{ "engine", 'e', 0, G_OPTION_ARG_STRING, &o->engine, "interp (default) or bt", "NAME" },
		{ "cpus", 'c', 0, G_OPTION_ARG_INT, &o->cpus, "processors that share the memory (default 1)", "N" },
		{ "seconds", 't', 0, G_OPTION_ARG_INT, &o->seconds, "stop after so long", "T" },
		{ "seed", 's', 0, G_OPTION_ARG_INT64, &o->seed, "of the random stream (default 1)", "S" },
		{ "rounds", 'n', 0, G_OPTION_ARG_INT64, &o->rounds,
			"how many (default 100, or until --seconds)", "N" },
		{ "round", 'r', 0, G_OPTION_ARG_INT64, &o->only, "run only this one", "R" },
		{ "round-ms", 0, 0, G_OPTION_ARG_INT, &o->round_ms, "how long a round takes (default 40)",
			"T" },
		{ "here", 0, 0, G_OPTION_ARG_NONE, &o->here, "with --round: in this process, for a debugger",
			NULL },
		{ "verbose", 'v', 0, G_OPTION_ARG_NONE, &o->verbose, "a line for each round", NULL },
		{ NULL },
	};
	GOptionContext *context = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;
	bool ok;

	g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_set_summary(
		context, "Run guests made of damaged code and see that nothing gets out.");
	ok = g_option_context_parse(context, &argc, &argv, &error);
	g_option_context_free(context);
	if (!ok)
		fprintf(stderr, "hostile: %s\n", error->message);
	if (ok && (o->cpus < 1 || o->cpus > WORLD_CPUS)) {
		fprintf(stderr, "hostile: --cpus %d: 1 to %d\n", o->cpus, WORLD_CPUS);
		ok = false;
	}
	if (!o->rounds)
		o->rounds = o->seconds ? INT64_MAX - ROUNDS_PER_CHILD : 100;
	return ok;
}

int main(int argc, char **argv)
{
	struct hostile h = { .o = { .engine = "interp", .seed = 1, .only = -1, .round_ms = 40, .cpus = 1 } };
	unsigned failures;

	if (!parse_options(&h.o, argc, argv))
		return 2;
	h.shared = mmap(NULL, sizeof(*h.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (h.shared == MAP_FAILED || !pool_open(&h.pool))
		return 2;
	vclock_init(&h.clock);
	vclock_start(&h.clock);
	if (h.o.here && h.o.only >= 0)
		return run_round(&h, (uint64_t)h.o.only) ? 0 : 1;
	failures = run_all(&h);
	printf("%" PRIu64 " rounds, %" PRIu64 " instructions, %" PRIu64 " exceptions, %" PRIu64
	       " interrupts; runs: %" PRIu64 " kicked, %" PRIu64 " halted, %" PRIu64 " shut down, %" PRIu64
	       " out of budget; %u failures, seed %" PRId64 "\n",
		atomic_load(&h.shared->round) + 1, h.shared->instructions, h.shared->exceptions,
		h.shared->interrupts, h.shared->ends[VCPU_RAN_KICKED], h.shared->ends[VCPU_RAN_HALTED],
		h.shared->ends[VCPU_RAN_TRIPLE_FAULT], h.shared->ends[VCPU_RAN_BUDGET], failures, h.o.seed);
	return failures ? 1 : 0;
}
