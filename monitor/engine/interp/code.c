/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/interp/code.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define INSN_MAX   (1u << 20)
#define PAGE_MAX   8192u
#define BUCKETS    4096u
#define INDEX_SIZE (PAGE_SIZE * sizeof(uint32_t))

static void *reserve(size_t size)
{
	void *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool code_cache_create(struct code_cache *c, GError **error)
{
	c->insns = reserve(INSN_MAX * sizeof(*c->insns));
	c->pages = calloc(PAGE_MAX, sizeof(*c->pages));
	c->buckets = calloc(BUCKETS, sizeof(struct code_page *));
	c->insn_used = 1; /* position 0 means none */
	pthread_mutex_init(&c->post_lock, NULL);
	if (!c->insns || !c->pages || !c->buckets)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for decoded instructions");
	return true;
}

static void unmark(struct vcpu *v, struct code_page *p)
{
	struct ram *ram = v->mem->ram;

	if (v->count > 1)
		return; /* the flag is shared, and others may have decoded code there */
	if (p->marked && ram_contains(ram, p->host))
		atomic_fetch_and(
			&ram->page_flags[ram_offset(ram, p->host) >> PAGE_SHIFT], (uint8_t)~RAM_PAGE_CODE);
	p->marked = false;
}

void code_cache_flush(struct code_cache *c, struct vcpu *v)
{
	if (c->flushed)
		c->flushed(v);
	for (uint32_t k = 0; k < c->page_used; k++) {
		unmark(v, &c->pages[k]);
		for (unsigned s = 0; s < 3; s++)
			free(c->pages[k].index[s]);
		c->pages[k] = (struct code_page){ 0 };
	}
	memset(c->buckets, 0, BUCKETS * sizeof(struct code_page *));
	c->page_used = 0;
	c->insn_used = 1;
	tlb_flush_code(v);
	vcpu_count(&v->stats.code_flushes);
}

void code_cache_destroy(struct code_cache *c, struct vcpu *v)
{
	if (c->pages && c->buckets)
		code_cache_flush(c, v);
	if (c->insns)
		munmap(c->insns, INSN_MAX * sizeof(*c->insns));
	free(c->pages);
	free(c->buckets);
	pthread_mutex_destroy(&c->post_lock);
}

static unsigned bucket(const uint8_t *host)
{
	return (unsigned)((uintptr_t)host >> PAGE_SHIFT) & (BUCKETS - 1);
}

static struct code_page *find(struct code_cache *c, const uint8_t *host)
{
	struct code_page *p = c->buckets[bucket(host)];

	while (p && p->host != host)
		p = p->next;
	return p;
}

struct code_page *code_page_get(struct code_cache *c, uint8_t *host)
{
	struct code_page *p = find(c, host);

	if (p)
		return p;
	if (c->page_used == PAGE_MAX)
		return NULL;
	p = &c->pages[c->page_used++];
	*p = (struct code_page){ .host = host, .next = c->buckets[bucket(host)] };
	c->buckets[bucket(host)] = p;
	return p;
}

bool code_cache_has_room(const struct code_cache *c, unsigned count)
{
	return c->insn_used + count <= INSN_MAX;
}

void code_page_mark(struct vcpu *v, struct code_page *p)
{
	struct ram *ram = v->mem->ram;
	uint64_t at = ram_offset(ram, p->host);
	uint8_t old;

	p->marked = true;
	if (!ram_contains(ram, p->host))
		return;
	old = atomic_fetch_or(&ram->page_flags[at >> PAGE_SHIFT], RAM_PAGE_CODE);
	tlb_protect_host_page(v, p->host);
	if (v->count > 1 && !(old & RAM_PAGE_CODE) && v->mem->code_written)
		v->mem->code_written(v->mem->hook_opaque, at, 0);
	vcpu_count(&v->stats.code_pages);
}

/* A page stays marked while it is dropped and decoded in turns; after so many writes it is data. */
#define IDLE_WRITES_MAX 64

/* Drop what was decoded from a page; its record stays where TLB entries may point to it. */
static void drop(struct code_cache *c, struct vcpu *v, struct code_page *p)
{
	if (c->dropped)
		c->dropped(v, p);
	for (unsigned s = 0; s < 3; s++) {
		if (p->index[s])
			memset(p->index[s], 0, INDEX_SIZE);
	}
	p->chunks = 0;
	p->version++;
	atomic_store(&v->attention, 1); /* the run being executed may be among them */
}

void code_cache_remap(struct code_cache *c, struct vcpu *v)
{
	for (uint32_t k = 0; k < c->page_used; k++) {
		if (!ram_contains(v->mem->ram, c->pages[k].host))
			drop(c, v, &c->pages[k]);
	}
}

void code_written(struct code_cache *c, struct vcpu *v, uint64_t ram_offset, uint64_t len)
{
	uint64_t end = ram_offset + len;

	while (ram_offset < end) {
		uint64_t stop = MIN_OF(end, (ram_offset & PAGE_MASK) + PAGE_SIZE);
		struct code_page *p = find(c, v->mem->ram->base + (ram_offset & PAGE_MASK));

		if (p) {
			unsigned first = (unsigned)bits_get(ram_offset, 11, 6),
				 last = (unsigned)bits_get(stop - 1, 11, 6);

			if (p->chunks & bits_put(0, last, first, ~0ull))
				drop(c, v, p);
			else if (!p->chunks && ++p->idle_writes > IDLE_WRITES_MAX)
				unmark(v, p);
		}
		ram_offset = stop;
	}
}

void code_post(struct code_cache *c, struct vcpu *v, uint64_t ram_offset, uint64_t len)
{
	pthread_mutex_lock(&c->post_lock);
	if (c->posted_count < ARRAY_LEN(c->posted))
		c->posted[c->posted_count++] = (struct code_posted){ ram_offset, len };
	else if (len)
		c->posted_count = ARRAY_LEN(c->posted) + 1;
	else
		c->marks_lost = true;
	pthread_mutex_unlock(&c->post_lock);
	vcpu_raise(v, VCPU_CODE);
}

/* Another vCPU keeps code of this page.  What this one wrote there until now was told to nobody: tell it. */
static void take_mark(struct vcpu *v, uint64_t ram_offset)
{
	if (tlb_protect_host_page(v, v->mem->ram->base + ram_offset) && v->mem->code_written)
		v->mem->code_written(v->mem->hook_opaque, ram_offset, PAGE_SIZE);
}

void code_take_posted(struct code_cache *c, struct vcpu *v)
{
	struct code_posted taken[ARRAY_LEN(c->posted)];
	bool marks_lost;
	unsigned n;

	pthread_mutex_lock(&c->post_lock);
	n = c->posted_count;
	memcpy(taken, c->posted, sizeof(taken));
	marks_lost = c->marks_lost;
	c->posted_count = 0;
	c->marks_lost = false;
	pthread_mutex_unlock(&c->post_lock);
	if (marks_lost) { /* pages nobody knows: every vCPU forgets everything */
		tlb_flush_all(v);
		if (v->mem->changed)
			v->mem->changed(v->mem->hook_opaque);
	}
	for (unsigned k = 0; k < MIN_OF(n, ARRAY_LEN(taken)); k++) {
		if (!taken[k].len)
			take_mark(v, taken[k].ram_offset);
		else if (n <= ARRAY_LEN(taken))
			code_written(c, v, taken[k].ram_offset, taken[k].len);
	}
	if (n > ARRAY_LEN(taken))
		code_cache_flush(c, v);
}
