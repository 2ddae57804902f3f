/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diff/slice.c - one slice: the first side runs it, the second repeats it; and repeating it once more.
 *
 * Instructions are counted the same way on both sides.  A repeated string instruction that was interrupted
 * counts when it is done, however many pieces that took, so the first side never ends a slice within one.
 */
#include "monitor/engine/diff/diff.h"

#define ALL_MEMORY 50000000u /* instructions from one look at all memory to the next */

/* Run a side; what it did is in `done`. */
static enum vcpu_exit run(struct side *s, uint64_t budget)
{
	const struct interp *in = s->v->engine_data;
	enum vcpu_exit why;

	s->asked = budget;
	why = s->engine->run(s->v, budget);
	s->done += budget - in->left;
	return why;
}

/* ---- the first side */

/* Stands it before REP with a string instruction, or within one? */
static bool at_repeat(struct side *s)
{
	uint8_t code[15];
	size_t n = vcpu_debug_read(s->v, s->v->seg_base[S_CS] + s->v->s.rip, code, sizeof(code));
	bool repeat = false;

	for (size_t k = 0; k < n; k++) {
		uint8_t c = code[k];

		if (c == 0xf2 || c == 0xf3)
			repeat = true;
		else if (c != 0x66 && c != 0x67 && c != 0x2e && c != 0x36 && c != 0x3e && c != 0x26 &&
			 c != 0x64 && c != 0x65 && (c & 0xf0) != 0x40)
			return repeat && ((c >= 0x6c && c <= 0x6f) || (c >= 0xa4 && c <= 0xa7) ||
						 (c >= 0xaa && c <= 0xaf));
	}
	return false;
}

/* Whole blocks as far as there is room for them: what is interpreted compares nothing. */
static enum vcpu_exit run_blocks(struct side *s, uint64_t budget)
{
	enum vcpu_exit why;

	s->v->soft_budget = budget >= 64;
	why = run(s, budget);
	s->v->soft_budget = false;
	while (why == VCPU_RAN_BUDGET && at_repeat(s))
		why = run(s, 1);
	return why;
}

/* ---- playing back */

static enum vcpu_exit play_to(struct side *s, uint64_t target)
{
	enum vcpu_exit why = run(s, target - s->done);

	if (why == VCPU_RAN_HALTED && s->done < target)
		log_mismatch(s, "%s halts after %llu instructions of the slice, not %llu", s->name,
			(unsigned long long)s->done, (unsigned long long)target);
	if (why == VCPU_RAN_BROKEN)
		log_mismatch(s, "%s met a fault of its own", s->name);
	return why;
}

/* Is there more to meet before record `at`?  DMA comes by itself. */
static bool more_before(const struct side *s, unsigned at)
{
	for (unsigned k = s->next; k < at; k++) {
		if (s->diff->log[k].kind != REC_DMA)
			return true;
	}
	return false;
}

/* Take the interrupt that is in the log at `at`. */
static enum vcpu_exit take_interrupt(struct side *s, unsigned at)
{
	enum vcpu_exit why;

	if (more_before(s, at)) { /* first go on within a repeated instruction */
		uint64_t done = s->done;

		why = run(s, 1);
		if (s->done != done)
			log_mismatch(s,
				"%s is through with an instruction in which the other was interrupted",
				s->name);
		return why;
	}
	vcpu_raise(s->v, VCPU_INTR);
	why = run(s, 0);
	if (s->next <= at)
		log_mismatch(s, "%s does not take an interrupt after %llu instructions of the slice", s->name,
			(unsigned long long)s->done);
	vcpu_lower(s->v, VCPU_INTR);
	return why;
}

enum vcpu_exit slice_play(struct side *s, uint64_t upto)
{
	enum vcpu_exit why = VCPU_RAN_BUDGET;
	struct diff *d = s->diff;

	while (!d->mismatch[0] && why != VCPU_RAN_TRIPLE_FAULT) {
		unsigned at;
		const struct record *ack = log_next_ack(d, s->next, &at);

		if (ack && ack->at > upto)
			ack = NULL;
		if (s->done < (ack ? ack->at : upto)) {
			uint64_t done = s->done;

			why = play_to(s, ack ? ack->at : upto);
			if (s->done == done && s->v->soft_budget)
				break; /* no block fits in what is left */
		} else if (ack) {
			why = take_interrupt(s, at);
		} else {
			break;
		}
	}
	return why;
}

static void rewind_side(struct side *s)
{
	struct diff *d = s->diff;

	s->replays = true;
	s->next = 0;
	s->done = 0;
	s->v->s = d->before;
	vcpu_settle(s->v);
	s->v->cc = d->before_cc;
	vcpu_lower(s->v, VCPU_INTR | VCPU_EXIT);
	vcpu_raise(s->v, VCPU_FLUSH | VCPU_FORGET);
}

void slice_rewind(struct diff *d)
{
	memory_restore(d);
	rewind_side(&d->first);
	rewind_side(&d->second);
	d->mismatch[0] = 0;
}

/* ---- the slice */

static bool agree(struct diff *d, enum vcpu_exit first, enum vcpu_exit second, uint64_t *offset)
{
	bool all = d->instructions >= d->checked + ALL_MEMORY;

	if (!d->mismatch[0] && (first == VCPU_RAN_TRIPLE_FAULT) != (second == VCPU_RAN_TRIPLE_FAULT))
		log_mismatch(&d->second, "a triple fault on one side only");
	if (!d->mismatch[0] && d->second.next < d->log_count)
		log_mismatch(&d->second, "%s has not done all that is in the log", d->second.name);
	if (d->mismatch[0] || report_registers(d, false))
		return false;
	*offset = memory_compare(d, all);
	if (all)
		d->checked = d->instructions;
	return *offset == UINT64_MAX;
}

bool slice_run(struct diff *d, uint64_t budget, enum vcpu_exit *why, uint64_t *offset)
{
	enum vcpu_exit second;
	bool ok;

	*offset = UINT64_MAX;
	log_clear(d);
	memory_begin_slice(d);
	world_take_requests(d);
	d->before = d->first.v->s;
	d->before_cc = d->first.v->cc;
	d->first.done = d->second.done = 0;
	d->in_slice = true;
	*why = run_blocks(&d->first, MIN_OF(budget, SLICE));
	second = slice_play(&d->second, d->first.done);
	d->instructions += d->first.done;
	d->slices++;
	ok = *why != VCPU_RAN_BROKEN && agree(d, *why, second, offset);
	if (ok)
		d->in_slice = false;
	return ok;
}
