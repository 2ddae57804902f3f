/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/job.c - generate, run on both sides, compare, shrink, report.
 */
#include "tests/cpu/job.h"
#include "base/error.h"
#include "tests/cpu/block.h"
#include "tests/cpu/compare.h"
#include "tests/cpu/gen.h"
#include "tests/cpu/guest.h"
#include "tests/cpu/native.h"
#include "tests/cpu/segments.h"
#include "tests/cpu/shrink.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SHOWN  200 /* reports a job prints */
#define SAME_TITLE 2   /* reports it prints for one instruction */

struct job {
	const struct options *o;
	struct counters *shared;
	struct form_table tables[2]; /* 64-bit, 32-bit; count 0: not wanted */
	struct guest guest;
	bool have_ldt;
	bool have_guest; /* false: the host against itself */
	uint8_t base_memory[MEM_BYTES], memory[MEM_BYTES];
	uint8_t native_memory[MEM_BYTES], native_code[CODE_BYTES];
	GHashTable *titles; /* title to number of failures */
	unsigned shown;
};

static void run_native(struct job *j, const struct test_case *tc, struct outcome *out)
{
	case_memory(tc, j->base_memory, j->memory);
	native_run(tc, j->memory, out);
}

/* The host against itself. */
static bool host_agrees(struct job *j, const struct test_case *tc, struct outcome *native,
	struct outcome *other, GString *why)
{
	memcpy(j->native_memory, native->mem, MEM_BYTES);
	memcpy(j->native_code, native->code, CODE_BYTES);
	native->mem = j->native_memory;
	native->code = j->native_code;
	native_run(tc, j->memory, other);
	return outcomes_agree(tc, native, other, why);
}

/* A block runs in every way there is, anything else once; `other` is what the first that differs left. */
static bool agree(struct job *j, const struct test_case *tc, struct outcome *native, struct outcome *other,
	GString *why)
{
	unsigned ways = tc->block ? GUEST_WAYS : 1;

	run_native(j, tc, native);
	if (tc->block && native->vector == VECTOR_HUNG) { /* how far it came means nothing (undefined.c) */
		*other = *native;
		return true;
	}
	if (!j->have_guest)
		return host_agrees(j, tc, native, other, why);
	for (unsigned way = 0; way < ways; way++) {
		guest_run(&j->guest, tc, j->memory, (enum guest_way)way, other);
		if (outcomes_agree(tc, native, other, NULL))
			continue;
		if (why && tc->block)
			g_string_append_printf(why, "  %s:\n", guest_way_name((enum guest_way)way));
		if (why)
			outcomes_agree(tc, native, other, why);
		return false;
	}
	return true;
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
	if (j->o->blocks)
		g_string_append(out, " --blocks");
	if (j->have_guest && strcmp(j->o->engine, "interp") != 0)
		g_string_append_printf(out, " --engine %s", j->o->engine);
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

static void count_mnemonic(struct job *j, const struct test_case *tc, const struct outcome *native)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(
		    &table_for(j, tc->number)->decoder, tc->insns[0].bytes, tc->insns[0].len, &insn, ops)))
		return;
	atomic_fetch_add(&j->shared->by_mnemonic[insn.mnemonic][0], 1);
	if (native->vector == VECTOR_EXIT)
		atomic_fetch_add(&j->shared->by_mnemonic[insn.mnemonic][1], 1);
}

static void run_case(struct job *j, uint64_t number)
{
	/* Without --seq every eighth case is a sequence. */
	unsigned seq = j->o->seq ? (unsigned)j->o->seq : number / 4 % 8 == 7 ? 24 : 1;
	struct gen_options g = { (uint64_t)j->o->seed, seq, j->have_ldt };
	struct outcome native, other;
	struct test_case tc;

	if (j->o->blocks)
		gen_block_case(table_for(j, number), &g, number, &tc);
	else
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
	if (j->o->coverage && tc.count == 1)
		count_mnemonic(j, &tc, &native);
	if (native.vector <= VECTOR_LOST)
		atomic_fetch_add_explicit(&j->shared->ends[native.vector], 1, memory_order_relaxed);
}

/* Each job on a CPU of its own choosing: its number shows in Linux's GDT. */
static void pin(unsigned index)
{
	cpu_set_t all, one;
	int n = 0;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return;
	index %= (unsigned)MAX_OF(CPU_COUNT(&all), 1);
	while (n < CPU_SETSIZE && (!CPU_ISSET(n, &all) || index-- > 0))
		n++;
	CPU_ZERO(&one);
	CPU_SET(n, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static bool job_init(
	struct job *j, const struct options *o, struct counters *shared, unsigned index, GError **error)
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
	if (o->jobs > 1)
		pin(index);
	else
		pin((unsigned)sched_getcpu());
	gen_base_memory((uint64_t)o->seed, j->base_memory);
	j->have_guest = strcmp(o->engine, "host") != 0;
	if (j->have_guest && !guest_init(&j->guest, o->engine, error))
		return false;
	j->have_ldt = seg_install();
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

int job_run(const struct options *o, struct counters *shared, unsigned index)
{
	struct job *j = aligned_alloc(64, (sizeof(*j) + 63) & ~63ul);
	g_autoptr(GError) error = NULL;

	if (!j || !job_init(j, o, shared, index, &error)) {
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
