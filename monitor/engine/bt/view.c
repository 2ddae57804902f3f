/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/bt/view.h"

#include "monitor/cpu/access.h"
#include "monitor/engine/bt/bt.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define WINDOW    (1ull << VIEW_SHIFT)
#define GUARD     (36ull << 30) /* eight times a small index, a displacement, a group's span, an access */
#define HALF      (1ull << 47)                  /* user addresses lie below */
#define LARGE     (2ull << 20)
#define PLACES    65536u
#define PAGES_MAX 24000u
#define MAPS_MAX  20000u /* in all views of all vCPUs: each may take two of the host's (vm.max_map_count) */
#define RUN_BESIDE 8 /* pages before and behind one that are mapped with it */
#define RUN_MAX_PAGES (2 * RUN_BESIDE + 1)
#define HOT       4          /* ticks */
#define BUSY      16         /* exceptions since the last tick: memory is still being handed out */
#define TICK      1000000ull  /* nanoseconds that lie between two at least */
#define LONGEST   10000000ull /* and count at most */
#define CREDIT    400        /* faults that a new view may cost */
#define CREDIT_MAX 100000
#define CREDIT_NS 100000     /* of user code, for another one: about a twentieth of the time */
#define RESUME    100
#define WALKS     200        /* of the page tables, for the price of a fault */
#define WRONG_MAX 64
#define SPARED_MAX 24        /* pages of a large one that are not to be written */
#define EARLY_MAX 256        /* pages mapped before they fault */

/* What a mapped page or large page is found by: linear address | KEY_USED | flags; KEY_GONE: it was one. */
#define KEY_USED  1ull
#define KEY_WRITE 2ull
#define KEY_LARGE 4ull
#define KEY_GONE  8ull

#define CR3_ROOT 0x000ffffffffff000ull

struct view_page {
	uint64_t key;
	const uint8_t *host;
};

/* ---- the record of what is mapped */

static unsigned place_of(uint64_t key)
{
	return (unsigned)((key & ~KEY_WRITE) * 0x9e3779b97f4a7c15ull >> 48) % PLACES;
}

static struct view_page *find(const struct view *w, uint64_t la, bool large)
{
	uint64_t key = (la & ~((large ? LARGE : PAGE_SIZE) - 1)) | KEY_USED | (large ? KEY_LARGE : 0);

	for (unsigned n = place_of(key); w->index[n]; n = (n + 1) % PLACES) {
		struct view_page *p = &w->page[w->index[n] - 1];

		if ((p->key & ~KEY_WRITE) == key)
			return p;
	}
	return NULL;
}

static void add(struct view *w, uint64_t key, const uint8_t *host)
{
	unsigned n = place_of(key);

	while (w->index[n])
		n = (n + 1) % PLACES;
	w->page[w->used] = (struct view_page){ key, host };
	w->index[n] = (uint16_t)++w->used;
}

static void record(struct view *w, uint64_t la, const uint8_t *host, bool large, bool write)
{
	uint64_t key = la | KEY_USED | (large ? KEY_LARGE : 0);
	struct view_page *p = find(w, la, large);

	key |= write ? KEY_WRITE : 0;
	if (p)
		*p = (struct view_page){ key, host };
	else
		add(w, key, host);
}

/* Without those that are gone. */
static void tidy(struct view *w)
{
	unsigned used = w->used;

	memset(w->index, 0, PLACES * sizeof(*w->index));
	w->used = 0;
	for (unsigned n = 0; n < used; n++) {
		if (w->page[n].key != KEY_GONE)
			add(w, w->page[n].key, w->page[n].host);
	}
}

/* ---- windows */

static unsigned terabyte(uint64_t la)
{
	return (unsigned)(la >> VIEW_SHIFT) % VCPU_VIEW;
}

/* Its first address: canonical ones alone lead into its window. */
static uint64_t terabyte_start(unsigned which)
{
	return (uint64_t)((int64_t)((uint64_t)which << 56) >> (56 - VIEW_SHIFT));
}

static uint64_t delta(const uint8_t *base, unsigned which)
{
	return (uintptr_t)base - terabyte_start(which);
}

/* Does the address lie in its half? */
static bool is_for(const struct view *w, uint64_t la)
{
	return w->kernel ? la >= -HALF : la < HALF;
}

static unsigned who(const struct view *w)
{
	return w->kernel ? ACC_IMPLICIT : ACC_USER;
}

static uint8_t *reserve(void)
{
	uint8_t *p = mmap(NULL, WINDOW + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p + GUARD;
}

static void release(uint8_t *base)
{
	if (base)
		munmap(base - GUARD, WINDOW + 2 * GUARD);
}

static bool unmap(uint8_t *at, uint64_t size)
{
	return mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* Where la is or would be seen; NULL: its terabyte has no window. */
static uint8_t *seen_at(const struct view *w, uint64_t la)
{
	for (unsigned n = 0; n < w->windows; n++) {
		if (w->window[n].which == terabyte(la))
			return w->window[n].base + (la & (WINDOW - 1));
	}
	return NULL;
}

/* Where code looks, if it is this view's that it looks through now. */
static void lead_to(struct vcpu *v, const struct views *s, const struct view *w, unsigned which, const uint8_t *base)
{
	if (w->kernel || s->installed == w)
		v->bt.view[w->kernel][which] = delta(base, which);
}

static bool add_window(struct vcpu *v, struct views *s, struct view *w, uint64_t la)
{
	uint8_t *base;

	if (!is_for(w, la) || w->windows == VIEW_WINDOWS)
		return false;
	base = reserve();
	if (!base)
		return false;
	w->window[w->windows].which = terabyte(la);
	w->window[w->windows++].base = base;
	lead_to(v, s, w, terabyte(la), base);
	return true;
}

static void forget_locals(struct views *s)
{
	s->local.pages = s->local.uppers = s->local.tops = 0;
}

/* One more of the host's mappings, perhaps. */
static void add_map(struct view *w)
{
	w->maps++;
	atomic_fetch_add(w->all, 1);
}

/* The page before it is in the same of the host's mappings. */
static bool goes_on(const struct view *w, const struct view_page *p, uint64_t size)
{
	const struct view_page *before = find(w, (p->key & PAGE_MASK) - size, size == LARGE);

	return before && before->host + size == p->host && !((before->key ^ p->key) & KEY_WRITE);
}

/* How many it has: those that went were not counted off. */
static void recount(struct view *w)
{
	unsigned maps = 0;

	for (unsigned n = 0; n < w->used; n++) {
		const struct view_page *p = &w->page[n];
		bool large = p->key & KEY_LARGE;

		if (p->key != KEY_GONE && !goes_on(w, p, large ? LARGE : PAGE_SIZE))
			maps += !large && find(w, p->key & PAGE_MASK, true) ? 2 : 1;
	}
	if (maps < w->maps) {
		atomic_fetch_sub(w->all, w->maps - maps);
		w->maps = maps;
	}
}

static bool has_map_left(struct view *w)
{
	if (atomic_load(w->all) < MAPS_MAX)
		return true;
	recount(w);
	return atomic_load(w->all) < MAPS_MAX / 8 * 7; /* or it would be counted again soon */
}

/* It shows nothing any more. */
static void empty(struct vcpu *v, struct views *s, struct view *w)
{
	for (unsigned n = 0; n < w->windows; n++) {
		if (unmap(w->window[n].base, WINDOW))
			continue;
		release(w->window[n].base);
		lead_to(v, s, w, w->window[n].which, s->nothing);
		w->window[n--] = w->window[--w->windows];
	}
	memset(w->index, 0, PLACES * sizeof(*w->index));
	w->used = 0;
	if (w->kernel)
		forget_locals(s);
	atomic_fetch_sub(w->all, w->maps);
	w->maps = 0;
	w->dirty = w->full = false;
}

/* What is mapped may be wrong from now on. */
static void turn_off(struct view *w)
{
	w->stale |= w->valid && !w->full;
	w->on = w->valid = false;
	w->heat = 0;
}

/* ---- mapping */

/*
 * All of a large page, where it is plain RAM; NULL: it is not.  To be written, none of its pages may be kept; the
 * kernel's may have some, which stay out of it (spare_kept): its map of all memory has code everywhere.
 */
static const uint8_t *large_page(struct vcpu *v, const struct view *w, const struct page_walk *walk, const uint8_t *host,
	uint64_t la, bool write)
{
	struct ram *ram = v->mem->ram;
	uint64_t gpa = walk->gpa & ~(LARGE - 1);
	const uint8_t *first = host - (la & (LARGE - 1));
	unsigned kept = 0;

	if (walk->page_size < LARGE || access_has_apic(v, gpa, LARGE) || !ram_contains(ram, first) ||
		!ram_contains(ram, first + LARGE - 1) || phys_host(v, gpa, false) != first ||
		(write && phys_host(v, gpa, true) != first) ||
		v->region_cache.gpa + v->region_cache.size - gpa < LARGE) /* a hole in it */
		return NULL;
	for (uint64_t n = 0; write && n < LARGE / PAGE_SIZE; n++) {
		if (v->count > 1)
			ram_note_writer(ram, first + n * PAGE_SIZE, v->index);
		kept += ram_kept(ram, first + n * PAGE_SIZE) != 0;
	}
	return kept > (w->kernel ? SPARED_MAX : 0) ? NULL : first;
}

/* The kernel's view is that of all address spaces. */
static bool is_lasting(const struct view *w, const struct page_walk *walk)
{
	return !w->kernel || walk->global;
}

/* The page beside one that is being mapped can be mapped with it. */
static bool goes_with(struct vcpu *v, const struct view *w, uint64_t la, const uint8_t *host, bool write)
{
	struct page_walk walk;

	if (find(w, la, false) || (!write && access_ram(v, la, TLB_WRITE, who(w) | ACC_SOFT, &walk)))
		return false;
	return access_ram(v, la, write ? TLB_WRITE : TLB_READ, who(w) | ACC_SOFT, &walk) == host && is_lasting(w, &walk);
}

static bool map(struct vcpu *v, struct view *w, uint64_t la, const uint8_t *host, uint64_t size, bool write)
{
	int prot = PROT_READ | (write ? PROT_WRITE : 0);
	int flags = MAP_SHARED | MAP_FIXED | (size < LARGE ? MAP_POPULATE : 0);

	w->dirty = true;
	return mmap(seen_at(w, la), size, prot, flags, v->mem->ram->fd, (off_t)ram_offset(v->mem->ram, host)) != MAP_FAILED;
}

/* Out of one view: a page, or the large page it lies in and all of that one's pages. */
static void hide(struct view *w, uint64_t la, bool large)
{
	uint64_t size = large ? LARGE : PAGE_SIZE;
	struct view_page *p;
	uint8_t *at;

	la &= ~(size - 1);
	at = seen_at(w, la);
	if (!at)
		return;
	p = find(w, la, large);
	if (!large && !p)
		return;
	if (p)
		p->key = KEY_GONE;
	for (uint64_t n = 0; large && n < LARGE; n += PAGE_SIZE) {
		p = find(w, la + n, false);
		if (p)
			p->key = KEY_GONE;
	}
	add_map(w); /* there may be one on both sides of the hole */
	if (!unmap(at, size)) { /* never again without emptying it */
		turn_off(w);
		w->stale = false;
	}
}

/* A page of a large one that is mapped: it may be written, or no longer, or was taken out of it. */
static bool map_in_large(struct vcpu *v, struct view *w, uint64_t la, const uint8_t *host, bool write)
{
	if (!find(w, la, false)) {
		if (w->used == PAGES_MAX || !has_map_left(w))
			return false;
		add_map(w);
	}
	record(w, la, host, false, write);
	return map(v, w, la, host, PAGE_SIZE, write);
}

/* Pages of a large one that may be written, but are kept. */
static bool spare_kept(struct vcpu *v, struct view *w, uint64_t la, const uint8_t *first)
{
	bool ok = true;

	for (uint64_t n = 0; ok && n < LARGE; n += PAGE_SIZE) {
		const struct view_page *p;

		if (!ram_kept(v->mem->ram, first + n))
			continue;
		p = find(w, la + n, false);
		if (!p || (p->key & KEY_WRITE) || p->host != first + n)
			ok = map_in_large(v, w, la + n, first + n, false);
	}
	return ok;
}

/* A page that is not global can be shown: it is noted how it comes to be mapped. */
static bool note_local(struct vcpu *v, struct views *s, struct view *w, uint64_t la, const uint8_t *host, bool write)
{
	struct page_walk walk;

	/* Another vCPU may have changed the tables between the walk and the note. */
	if (view_local_note(v, &s->local, la) &&
		access_ram(v, la, write ? TLB_WRITE : TLB_READ, who(w) | ACC_SOFT, &walk) == host)
		return true;
	view_local_drop(&s->local, la);
	hide(w, la, false); /* what was noted before is not any more */
	return false;
}

/*
 * The page at la, and what can be mapped along with it.  soft: nobody has accessed it yet, so A and D bits stay as
 * they are.
 */
static bool show(struct vcpu *v, struct views *s, struct view *w, uint64_t la, bool write, bool soft)
{
	unsigned by = who(w) | (soft ? ACC_SOFT : 0);
	struct page_walk walk, other;
	uint64_t low, high;
	const uint8_t *host, *first;
	const struct view_page *large;

	la &= PAGE_MASK;
	host = access_ram(v, la, write ? TLB_WRITE : TLB_READ, by, &walk);
	if (!host || (!is_lasting(w, &walk) && !note_local(v, s, w, la, host, write)))
		return false;
	if (!write && access_ram(v, la, TLB_WRITE, by | ACC_SOFT, &other) == host)
		write = true;
	large = find(w, la, true);
	if (large && large->host + (la & (LARGE - 1)) != host)
		hide(w, la, true);
	else if (large && (large->key & KEY_WRITE) && map_in_large(v, w, la, host, write))
		return true;
	else if (large && (large->key & KEY_WRITE))
		goto full;
	if (w->kernel && !seen_at(w, la) && w->windows == VIEW_WINDOWS) /* it does without that terabyte */
		return false;
	if (!seen_at(w, la) && !add_window(v, s, w, la))
		goto full;
	if (w->used + RUN_MAX_PAGES > PAGES_MAX)
		tidy(w);
	if (w->used + RUN_MAX_PAGES > PAGES_MAX || !has_map_left(w))
		goto full;
	add_map(w);
	first = large_page(v, w, &walk, host, la, write);
	if (first) {
		la &= ~(LARGE - 1);
		if (!map(v, w, la, first, LARGE, write))
			goto full;
		record(w, la, first, true, write);
		if (write && !spare_kept(v, w, la, first))
			goto full;
		s->mapped += LARGE / PAGE_SIZE;
		return true;
	}
	low = high = la;
	while (high - la < RUN_BESIDE * PAGE_SIZE && (high + PAGE_SIZE) % WINDOW &&
		goes_with(v, w, high + PAGE_SIZE, host + (high + PAGE_SIZE - la), write))
		high += PAGE_SIZE;
	while (la - low < RUN_BESIDE * PAGE_SIZE && low % WINDOW &&
		goes_with(v, w, low - PAGE_SIZE, host - (la - low + PAGE_SIZE), write))
		low -= PAGE_SIZE;
	host -= la - low;
	if (!map(v, w, low, host, high + PAGE_SIZE - low, write))
		goto full;
	for (uint64_t n = 0; n <= high - low; n += PAGE_SIZE) {
		record(w, low + n, host + n, false, write);
		s->mapped++;
	}
	return true;
full: /* no more mappings, here or on the host: not before its TLB is flushed */
	w->full = true;
	w->on = false;
	return false;
}

/* ---- what the TLB forgets */

static void forget_space(struct vcpu *v, unsigned space)
{
	struct views *s = &((struct bt *)v->engine_data)->views;

	turn_off(&s->of[space]);
}

static void forget_page(struct vcpu *v, uint64_t la, bool large)
{
	struct views *s = &((struct bt *)v->engine_data)->views;

	for (unsigned k = 0; k <= TLB_KERNEL; k++) {
		if (!s->of[k].valid || !is_for(&s->of[k], la))
			continue;
		hide(&s->of[k], la, false);
		if (s->of[k].kernel)
			view_local_drop(&s->local, la);
		if (large || find(&s->of[k], la, true))
			hide(&s->of[k], la, true);
	}
}

static void forget_writes(struct vcpu *v, const uint8_t *host_page)
{
	struct views *s = &((struct bt *)v->engine_data)->views;

	for (unsigned k = 0; k <= TLB_KERNEL; k++) {
		struct view *w = &s->of[k];

		for (unsigned n = 0; (w->valid || (w->kernel && w->dirty)) && n < w->used; n++) {
			const struct view_page *p = &w->page[n];
			bool large = p->key & KEY_LARGE;
			uint64_t offset = (uintptr_t)host_page - (uintptr_t)p->host, la = p->key & PAGE_MASK;

			if (!(p->key & KEY_WRITE) || offset >= (large ? LARGE : PAGE_SIZE))
				continue;
			/* The kernel's map of all memory stays, but for the page. */
			if (!w->kernel || !(large || find(w, la, true)) ||
				!map_in_large(v, w, la + offset, host_page, false))
				hide(w, la, large);
		}
	}
}

static void hide_local(void *opaque, uint64_t la)
{
	hide(opaque, la, false);
}

static void forget_local(struct vcpu *v)
{
	struct views *s = &((struct bt *)v->engine_data)->views;

	view_local_check(v, &s->local, hide_local, &s->of[TLB_KERNEL]);
}

static const struct tlb_watcher watcher = { forget_space, forget_page, forget_local, forget_writes };

/* ---- life */

void views_create(struct vcpu *v, struct views *s, _Atomic unsigned *maps)
{
	for (unsigned k = 0; k <= TLB_KERNEL; k++)
		s->of[k].all = maps;
	s->nothing = reserve();
	if (!s->nothing)
		return;
	for (unsigned n = 0; n < VCPU_VIEW; n++)
		v->bt.view[0][n] = v->bt.view[1][n] = delta(s->nothing, n);
	s->of[TLB_KERNEL].kernel = true;
	v->watcher = &watcher;
}

void views_destroy(struct vcpu *v, struct views *s)
{
	v->watcher = NULL;
	for (unsigned k = 0; k <= TLB_KERNEL; k++) {
		for (unsigned n = 0; n < s->of[k].windows; n++)
			release(s->of[k].window[n].base);
		free(s->of[k].page);
		free(s->of[k].index);
	}
	release(s->nothing);
}

/* What its TLB knows is what it works with. */
static void show_known(struct vcpu *v, struct views *s, struct view *w, enum tlb_kind kind)
{
	enum tlb_view view = v->s.cr4 & CR4_SMAP ? TLB_SUPER_CLOSED : TLB_SUPER_OPEN;
	const struct tlb_table *t = w->kernel ? &v->tlb->super[view][kind] : &v->tlb->space[v->tlb->current].table[kind];
	uint16_t slots[EARLY_MAX];
	unsigned count = 0;

	for (unsigned k = 0; k < t->filled_count && count < EARLY_MAX; k++) /* mapping fills it further */
		slots[count++] = t->filled[t->filled_count - 1 - k];
	for (unsigned k = 0; k < count && w->on; k++) {
		uint64_t la = t->entry[slots[k]].tag;

		if (tlb_index(la) == slots[k] && is_for(w, la) && !find(w, la, false) && !find(w, la, true))
			show(v, s, w, la, kind == TLB_WRITE, true);
	}
}

/* The kernel's code and stack are the same in all address spaces: not so while it starts. */
static bool is_ready(struct vcpu *v, const struct view *w)
{
	struct page_walk code, stack;

	return !w->kernel || (is_for(w, v->s.rip) && paging_walk(v, v->s.rip, ACC_PEEK, &code) && code.global &&
				     paging_walk(v, v->s.gpr[R_SP], ACC_PEEK, &stack) && stack.global);
}

static void begin(struct vcpu *v, struct views *s, struct view *w)
{
	if (!w->page)
		w->page = calloc(PAGES_MAX, sizeof(*w->page));
	if (!w->index)
		w->index = calloc(PLACES, sizeof(*w->index));
	if (!w->page || !w->index)
		return;
	if (w->dirty)
		empty(v, s, w);
	w->on = w->valid = true;
	w->stale = false;
	w->wanted = 0;
	w->root = v->s.cr3 & CR3_ROOT;
	w->credit = CREDIT;
	s->begun++;
	show_known(v, s, w, TLB_WRITE);
	show_known(v, s, w, TLB_READ);
}

/* Is this still what its code would reach there? */
static bool is_right(struct vcpu *v, const struct view *w, const struct view_page *p)
{
	bool large = p->key & KEY_LARGE;
	uint64_t at = p->key & PAGE_MASK;
	struct page_walk walk;
	const uint8_t *host =
		access_ram(v, at, p->key & KEY_WRITE ? TLB_WRITE : TLB_READ, who(w) | ACC_SOFT, &walk);

	return host == p->host && is_lasting(w, &walk) && (!large || large_page(v, w, &walk, p->host, at, p->key & KEY_WRITE));
}

/* The guest may have brought the page whose absence it was told of. */
static void show_wanted(struct vcpu *v, struct views *s, struct view *w)
{
	uint64_t la = w->wanted & PAGE_MASK;

	if (!find(w, la, false))
		show(v, s, w, la, w->wanted & 1, true);
	w->wanted = 0;
}

static bool take_up(struct vcpu *v, struct views *s, struct view *w)
{
	const uint64_t writable = KEY_LARGE | KEY_WRITE;
	unsigned wrong = 0, gone = 0;

	if ((!w->kernel && w->root != (v->s.cr3 & CR3_ROOT)) || v->writes) {
		w->stale = false;
		return false;
	}
	if (w->kernel ? !(v->s.cr4 & CR4_PGE) : w->credit <= 0) /* later: nothing is global now; it has cost too much */
		return false;
	w->credit -= (int)(1 + w->used / WALKS);
	if (w->kernel) /* none of them is right, as far as this goes */
		forget_locals(s);
	w->valid = true;
	w->stale = false;
	for (unsigned n = 0; n < w->used && w->valid; n++) {
		struct view_page *p = &w->page[n];

		gone += p->key == KEY_GONE;
		if (p->key == KEY_GONE || (is_right(v, w, p) && ((p->key & writable) != writable ||
								spare_kept(v, w, p->key & PAGE_MASK, p->host))))
			continue;
		hide(w, p->key & PAGE_MASK, p->key & KEY_LARGE);
		if (++wrong > WRONG_MAX && !w->kernel) { /* another program, or a fork */
			turn_off(w);
			w->stale = false;
		}
	}
	w->credit -= (int)wrong / 4;
	if (gone + wrong)
		tidy(w);
	w->on = w->valid;
	return w->on;
}

bool view_go_on(struct vcpu *v, struct views *s, struct view *w)
{
	if (w->stale && !take_up(v, s, w))
		return false;
	if (w->on && w->wanted)
		show_wanted(v, s, w);
	return w->on;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void view_heat(struct vcpu *v, struct views *s)
{
	struct view *w = view_current(v, s);
	uint64_t t, raised;
	bool calm;

	/* An engine-diff compares what two engines write; it wants to see each page before. */
	if (!s->nothing || !view_is_possible(v) || v->writes)
		return;
	t = now();
	if (t - s->ticked < TICK && !v->views_at_once)
		return;
	w->credit = MIN_OF(w->credit + (int)(MIN_OF(t - s->ticked, LONGEST) / CREDIT_NS), CREDIT_MAX);
	s->ticked = t;
	raised = atomic_load_explicit(&v->stats.exceptions, memory_order_relaxed);
	calm = raised - s->raised < BUSY || w->kernel || v->views_at_once;
	s->raised = raised;
	if (w->on || (w->full && w->valid) || w->stale || !calm)
		return;
	if (w->valid)
		w->on = w->credit >= RESUME;
	else if (v->views_at_once || ((w->heat >= HOT || ++w->heat >= HOT) && is_ready(v, w)))
		begin(v, s, w);
}

void view_install(struct vcpu *v, struct views *s)
{
	struct view *w = &s->of[v->tlb->current], *old = s->installed;

	if (w == old)
		return;
	for (unsigned n = 0; old && n < old->windows; n++)
		v->bt.view[0][old->window[n].which] = delta(s->nothing, old->window[n].which);
	for (unsigned n = 0; n < w->windows; n++)
		v->bt.view[0][w->window[n].which] = delta(w->window[n].base, w->window[n].which);
	s->installed = w;
}

/*
 * Another fault: it goes on when it has run long enough without.  Not so the kernel's: each time most of the kernel would
 * be wanted in code of the other kind.
 */
static bool view_pays(struct view *w)
{
	if (!w->kernel && w->credit-- <= 0)
		w->on = false;
	return w->on;
}

bool view_fault(struct vcpu *v, struct views *s, uintptr_t host, bool write)
{
	struct view *w = v->cpl ? s->installed : &s->of[TLB_KERNEL];

	for (unsigned n = 0; w && w->on && n < w->windows; n++) {
		uint64_t offset = host - (uintptr_t)w->window[n].base, la = terabyte_start(w->window[n].which) + offset;

		if (offset >= WINDOW)
			continue;
		if (!view_pays(w))
			return false;
		if (!show(v, s, w, la, write, false)) {
			w->wanted = w->kernel ? 0 : (la & PAGE_MASK) | write;
			return false;
		}
		s->faults++;
		return true;
	}
	return false;
}

void view_missing(struct vcpu *v, struct views *s, uintptr_t host)
{
	uint64_t offset = (host - (uintptr_t)s->nothing) & (WINDOW - 1);
	struct view *w = v->cpl ? s->installed : &s->of[TLB_KERNEL];
	struct page_walk walk;

	if (!w || host - (uintptr_t)s->nothing + GUARD >= WINDOW + 2 * GUARD)
		return;
	for (unsigned k = 0; k < 19; k++) {
		uint64_t near = k < 16 ? v->s.gpr[k] : k == 16 ? v->s.rip : v->seg_base[k == 17 ? S_FS : S_GS];
		uint64_t la = (near & ~(WINDOW - 1)) | offset;

		if (is_for(w, la) && !seen_at(w, la) && paging_walk(v, la, ACC_PEEK, &walk))
			add_window(v, s, w, la);
	}
}
