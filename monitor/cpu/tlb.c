/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/cpu/tlb.h"

#include "monitor/cpu/arch.h"
#include "monitor/cpu/debug.h"

#include "base/bits.h"

#include <sys/mman.h>

/* A page that is never looked up in this slot.  Page 0 is none of theirs but of the first: zeroed memory is nearly empty. */
static uint64_t empty_tag(unsigned index)
{
	return index ? 0 : PAGE_SIZE;
}

static bool is_empty(const struct tlb_entry *e, unsigned index)
{
	return e->tag == empty_tag(index);
}

static void empty_all(struct tlb_entry *e)
{
	for (unsigned i = 0; i < TLB_SIZE; i++)
		e[i] = (struct tlb_entry){ .tag = empty_tag(i) };
}

static void flush_table(struct tlb_table *t)
{
	if (!t->filled_count) /* most tables are never used, and their memory stays untouched */
		return;
	if (t->filled_count == TLB_SIZE) {
		empty_all(t->entry);
	} else {
		for (unsigned k = 0; k < t->filled_count; k++)
			t->entry[t->filled[k]].tag = empty_tag(t->filled[k]);
	}
	t->filled_count = 0;
	memset(t->replaced, 0, sizeof(t->replaced));
}

/* Every table there is, one after the other; NULL at the end. */
static struct tlb_table *nth_table(struct tlb *t, unsigned n)
{
	if (n < 4)
		return &t->super[n / 2][n % 2];
	if (n == 4)
		return &t->super_code;
	n -= 5;
	return n < TLB_SPACES * TLB_KINDS ? &t->space[n / TLB_KINDS].table[n % TLB_KINDS] : NULL;
}

struct tlb *tlb_new(void)
{
	struct tlb *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct tlb_table *table;

	if (t == MAP_FAILED)
		return NULL;
	t->none[0].tag = empty_tag(0);
	for (unsigned n = 0; (table = nth_table(t, n)); n++)
		table->entry[0].tag = empty_tag(0);
	return t;
}

void tlb_free(struct tlb *t)
{
	if (t)
		munmap(t, sizeof(*t));
}

static void new_generations(struct tlb *t)
{
	t->super_generation = ++t->counter;
	for (unsigned k = 0; k < TLB_SPACES; k++)
		t->space[k].code_generation = ++t->counter;
}

/* A PCID only tags when CR4.PCIDE is set; otherwise everything is PCID 0. */
static uint16_t effective_pcid(const struct vcpu *v, unsigned pcid)
{
	return v->s.cr4 & CR4_PCIDE ? (uint16_t)pcid : 0;
}

/* No canonical address is in this page, and the host has none where it leads. */
#define NO_PAGE 0x5ea17c3b9d426000ull

static void forget_quick(struct vcpu *v)
{
	for (unsigned g = 0; g < ARRAY_LEN(v->bt.quick_used); g++) {
		if (g % 8 == 0 && !le_load(v->bt.quick_used + g, 8)) {
			g += 7;
			continue;
		}
		if (!v->bt.quick_used[g])
			continue;
		v->bt.quick_used[g] = 0;
		for (unsigned n = g * VCPU_QUICK_GROUP; n < (g + 1) * VCPU_QUICK_GROUP; n++)
			v->bt.quick[n].tag = NO_PAGE, v->bt.quick[n].addend = 0;
	}
}

static void watcher_space(struct vcpu *v, unsigned k)
{
	if (v->watcher)
		v->watcher->space(v, k);
}

void tlb_flush_all(struct vcpu *v)
{
	struct tlb *t = v->tlb;
	struct tlb_table *table;

	if (!v->bt.quick[0].tag) /* new */
		memset(v->bt.quick_used, 1, sizeof(v->bt.quick_used));
	for (unsigned n = 0; (table = nth_table(t, n)); n++)
		flush_table(table);
	for (unsigned k = 0; k < TLB_SPACES; k++) {
		t->space[k].used = 0;
		watcher_space(v, k);
	}
	watcher_space(v, TLB_KERNEL);
	forget_quick(v);
	new_generations(t);
	t->local_count = 0;
	t->local_code = false;
	memset(t->large, 0, sizeof(t->large));
	memset(t->huge, 0, sizeof(t->huge));
	t->current = 0;
	t->space[0].pcid = effective_pcid(v, v->s.cr3 & 0xfff);
	t->space[0].used = ++t->counter;
	tlb_select_view(v);
}

static void flush_space(struct vcpu *v, struct tlb_space *s)
{
	struct tlb *t = v->tlb;

	for (unsigned kind = 0; kind < TLB_KINDS; kind++)
		flush_table(&s->table[kind]);
	watcher_space(v, (unsigned)(s - t->space));
	s->code_generation = ++t->counter;
}

static void drop_entry(struct tlb_table *table, struct tlb_entry *e)
{
	e->tag = empty_tag((unsigned)(e - table->entry));
}

/* The supervisor's entries of pages that are not global. */
static void flush_local(struct vcpu *v)
{
	struct tlb *t = v->tlb;

	if (v->watcher)
		v->watcher->local(v);
	for (unsigned n = 0; n < 5; n++) {
		struct tlb_table *table = nth_table(t, n);

		if (t->local_count > TLB_LOCALS) {
			flush_table(table);
			continue;
		}
		for (unsigned k = 0; k < t->local_count; k++) {
			if (t->local[k] >= table->entry && t->local[k] < table->entry + TLB_SIZE)
				drop_entry(table, t->local[k]);
		}
	}
	if (t->local_code || t->local_count > TLB_LOCALS)
		t->super_generation = ++t->counter;
	t->local_count = 0;
	t->local_code = false;
}

static struct tlb_space *find_space(struct tlb *t, uint16_t pcid)
{
	for (unsigned k = 0; k < TLB_SPACES; k++) {
		if (t->space[k].used && t->space[k].pcid == pcid)
			return &t->space[k];
	}
	return NULL;
}

void tlb_flush_pcid(struct vcpu *v, unsigned pcid)
{
	struct tlb_space *s = find_space(v->tlb, effective_pcid(v, pcid));

	if (!s)
		return;
	forget_quick(v);
	flush_space(v, s);
	if (s == &v->tlb->space[v->tlb->current])
		flush_local(v);
}

/* One for a PCID that has none: the one not used for longest. */
static struct tlb_space *take_space(struct vcpu *v, uint16_t pcid)
{
	struct tlb *t = v->tlb;
	struct tlb_space *s = &t->space[0];

	for (unsigned k = 1; k < TLB_SPACES; k++) {
		if (t->space[k].used < s->used)
			s = &t->space[k];
	}
	flush_space(v, s);
	s->pcid = pcid;
	return s;
}

void tlb_switch(struct vcpu *v, unsigned pcid, bool keep)
{
	struct tlb *t = v->tlb;
	uint16_t eff = effective_pcid(v, pcid);
	struct tlb_space *s = find_space(t, eff);

	if (!s)
		s = take_space(v, eff);
	else if (!keep)
		flush_space(v, s);
	flush_local(v);
	forget_quick(v);
	s->used = ++t->counter;
	t->current = (unsigned)(s - t->space);
	tlb_select_view(v);
}

static bool bit_test(const uint64_t *bits, uint64_t n)
{
	n &= TLB_LARGES - 1;
	return bits[n / 64] >> (n % 64) & 1;
}

static void bit_set(uint64_t *bits, uint64_t n)
{
	n &= TLB_LARGES - 1;
	bits[n / 64] |= 1ull << (n % 64);
}

#define LARGE_SHIFT 21
#define HUGE_SHIFT  30

/* Entries from la's page, or from the large page it may be part of; true: there may have been some. */
static bool flush_in_table(struct tlb_table *t, uint64_t la, bool large)
{
	unsigned first = tlb_index(la), count = 1, shift = large ? LARGE_SHIFT : PAGE_SHIFT;
	bool found = false;

	if (!t->filled_count)
		return false;
	if (large) {
		count = 1u << (LARGE_SHIFT - PAGE_SHIFT);
		first &= ~(count - 1);
	}
	for (unsigned k = first; k < first + count; k++) {
		if (is_empty(&t->entry[k], k))
			continue;
		/* What was there before it may have been of the page. */
		found |= t->replaced[k / 64] >> (k % 64) & 1;
		if (t->entry[k].tag >> shift != la >> shift)
			continue;
		drop_entry(t, &t->entry[k]);
		found = true;
	}
	return found;
}

void tlb_flush_page(struct vcpu *v, uint64_t la)
{
	struct tlb *t = v->tlb;
	bool large;

	la &= v->la_mask;
	large = bit_test(t->large, la >> LARGE_SHIFT);
	if (bit_test(t->huge, la >> HUGE_SHIFT)) {
		tlb_flush_all(v);
		return;
	}
	forget_quick(v);
	if (v->watcher)
		v->watcher->page(v, la, large);
	for (unsigned n = 0; n < 4; n++)
		flush_in_table(nth_table(t, n), la, large);
	if (flush_in_table(&t->super_code, la, large)) {
		t->super_generation = ++t->counter;
		memset(t->super_code.replaced, 0, sizeof(t->super_code.replaced));
	}
	for (unsigned k = 0; k < TLB_SPACES; k++) {
		struct tlb_space *s = &t->space[k];

		flush_in_table(&s->table[TLB_READ], la, large);
		flush_in_table(&s->table[TLB_WRITE], la, large);
		if (flush_in_table(&s->table[TLB_CODE], la, large)) {
			s->code_generation = ++t->counter;
			memset(s->table[TLB_CODE].replaced, 0, sizeof(s->table[TLB_CODE].replaced));
		}
	}
}

void tlb_flush_code(struct vcpu *v)
{
	struct tlb *t = v->tlb;

	flush_table(&t->super_code);
	for (unsigned k = 0; k < TLB_SPACES; k++)
		flush_table(&t->space[k].table[TLB_CODE]);
	new_generations(t);
}

void tlb_flush_writes(struct vcpu *v)
{
	struct tlb *t = v->tlb;

	flush_table(&t->super[TLB_SUPER_OPEN][TLB_WRITE]);
	flush_table(&t->super[TLB_SUPER_CLOSED][TLB_WRITE]);
	for (unsigned k = 0; k < TLB_SPACES; k++) {
		flush_table(&t->space[k].table[TLB_WRITE]);
		watcher_space(v, k);
	}
	watcher_space(v, TLB_KERNEL);
	forget_quick(v);
}

static struct tlb_table *table_of(struct tlb *t, enum tlb_view view, enum tlb_kind kind)
{
	if (view == TLB_USER)
		return &t->space[t->current].table[kind];
	return kind == TLB_CODE ? &t->super_code : &t->super[view][kind];
}

struct tlb_entry *tlb_table_of(struct vcpu *v, enum tlb_view view, enum tlb_kind kind)
{
	return table_of(v->tlb, view, kind)->entry;
}

struct tlb_entry *tlb_slot(struct vcpu *v, enum tlb_view view, enum tlb_kind kind, uint64_t la)
{
	return &table_of(v->tlb, view, kind)->entry[tlb_index(la)];
}

void tlb_fill(struct vcpu *v, enum tlb_view view, enum tlb_kind kind, uint64_t la, uintptr_t addend,
	struct tlb_page page)
{
	struct tlb *t = v->tlb;
	struct tlb_table *table = table_of(t, view, kind);
	unsigned index = tlb_index(la);
	struct tlb_entry *e = &table->entry[index];

	if (page.size > 1ull << LARGE_SHIFT)
		bit_set(t->huge, la >> HUGE_SHIFT);
	else if (page.size > PAGE_SIZE)
		bit_set(t->large, la >> LARGE_SHIFT);
	if (!is_empty(e, index) && e->tag != (la & PAGE_MASK))
		table->replaced[index / 64] |= 1ull << (index % 64);
	if (is_empty(e, index) && table->filled_count < TLB_SIZE)
		table->filled[table->filled_count++] = (uint16_t)index;
	if (view != TLB_USER && !page.global) {
		if (t->local_count < TLB_LOCALS)
			t->local[t->local_count] = e;
		if (t->local_count <= TLB_LOCALS)
			t->local_count++;
		t->local_code |= kind == TLB_CODE;
	}
	*e = (struct tlb_entry){ la & PAGE_MASK, addend };
}

static bool protect_in_table(struct tlb_table *t, const uint8_t *host_page)
{
	unsigned count = t->filled_count;
	bool found = false;

	for (unsigned k = 0; k < count; k++) {
		unsigned index = count == TLB_SIZE ? k : t->filled[k];
		struct tlb_entry *e = &t->entry[index];

		if ((const uint8_t *)(uintptr_t)(e->tag + e->addend) == host_page && !is_empty(e, index)) {
			drop_entry(t, e);
			found = true;
		}
	}
	return found;
}

bool tlb_protect_host_page(struct vcpu *v, const uint8_t *host_page)
{
	struct tlb *t = v->tlb;
	bool found = protect_in_table(&t->super[TLB_SUPER_OPEN][TLB_WRITE], host_page);

	found |= protect_in_table(&t->super[TLB_SUPER_CLOSED][TLB_WRITE], host_page);
	forget_quick(v);
	if (v->watcher)
		v->watcher->writes(v, host_page);
	for (unsigned k = 0; k < TLB_SPACES; k++)
		found |= protect_in_table(&t->space[k].table[TLB_WRITE], host_page);
	return found;
}

void tlb_select_view(struct vcpu *v)
{
	struct tlb *t = v->tlb;
	bool middle = v->cpl == 1 || v->cpl == 2;

	if (unlikely(middle || v->bt.quick_middle))
		forget_quick(v);
	v->bt.quick_middle = middle;
	if (v->cpl == 3) {
		bool checked = (v->s.cr0 & CR0_AM) && (v->s.rflags & FLAG_AC);

		v->view = checked ? TLB_CHECKED : TLB_USER;
	} else {
		v->view =
			(v->s.cr4 & CR4_SMAP) && !(v->s.rflags & FLAG_AC) ? TLB_SUPER_CLOSED : TLB_SUPER_OPEN;
	}
	if (unlikely(debug_has_data(v)))
		v->view = TLB_CHECKED;
	if (v->view == TLB_CHECKED)
		forget_quick(v);
	v->tlb_data[TLB_CODE] = v->cpl == 3 ? t->space[t->current].table[TLB_CODE].entry : t->super_code.entry;
	for (unsigned kind = TLB_READ; kind <= TLB_WRITE; kind++)
		v->tlb_data[kind] = v->view == TLB_CHECKED ? t->none : table_of(t, v->view, kind)->entry;
}
