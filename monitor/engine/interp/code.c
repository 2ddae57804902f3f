/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/interp/interp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define INSN_MAX   (1u << 20)
#define PAGE_MAX   8192u
#define BUCKETS    4096u
#define POSTED_MAX 65536u
#define FEW_MARKS  64 /* for more it is cheaper to forget all ways to write */
#define PIECES     (PAGE_SIZE / CODE_PIECE)

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

	if (p->marked && ram_contains(ram, p->host))
		atomic_fetch_and(&ram->kept[ram_offset(ram, p->host) >> PAGE_SHIFT], ~(1ull << v->index));
	p->marked = false;
}

static void free_index(struct code_page *p)
{
	for (unsigned s = 0; s < ARRAY_LEN(p->index); s++) {
		for (unsigned n = 0; p->index[s] && n < PIECES; n++)
			free(p->index[s][n]);
		free((void *)p->index[s]);
		p->index[s] = NULL;
	}
}

uint32_t *code_page_place(struct code_page *p, unsigned code_size, unsigned off)
{
	uint32_t **piece;

	if (!p->index[code_size])
		p->index[code_size] = (uint32_t **)calloc(PIECES, sizeof(uint32_t *));
	if (!p->index[code_size])
		return NULL;
	piece = &p->index[code_size][off / CODE_PIECE];
	if (!*piece)
		*piece = calloc(CODE_PIECE, sizeof(uint32_t));
	return *piece ? *piece + off % CODE_PIECE : NULL;
}

void code_cache_flush(struct code_cache *c, struct vcpu *v)
{
	for (uint32_t k = 0; k < c->page_used; k++) {
		unmark(v, &c->pages[k]);
		free_index(&c->pages[k]);
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
	free(c->posted);
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

void code_keep(struct vcpu *v, const uint8_t *host, uint64_t who)
{
	struct ram *ram = v->mem->ram;
	uint64_t at = ram_offset(ram, host);
	uint64_t others;
	uint32_t writers;

	if (!ram_contains(ram, host))
		return;
	vcpu_count(&v->stats.code_pages);
	others = atomic_fetch_or(&ram->kept[at >> PAGE_SHIFT], who);
	writers = atomic_load(&ram->writers[at >> PAGE_SHIFT]);
	if (!others || (writers & 1u << v->index))
		tlb_protect_host_page(v, host);
	if (others || !v->first) /* the others have been asked to give up their ways to write */
		return;
	for (unsigned n = 0; n < v->count; n++) {
		struct vcpu *other = &v->first[n];

		if (other != v && (writers & 1u << n) && other->engine_data)
			code_post(&((struct interp *)other->engine_data)->code, other, at, 0);
	}
}

void code_page_mark(struct vcpu *v, struct code_page *p)
{
	p->marked = true;
	code_keep(v, p->host, 1ull << v->index);
}

/* A page stays marked while it is dropped and decoded in turns; after so many writes it is data. */
#define IDLE_WRITES_MAX 64

/* Drop what was decoded from a page; its record stays where TLB entries may point to it. */
static void drop(struct vcpu *v, struct code_page *p)
{
	free_index(p);
	p->chunks = 0;
	atomic_store(&v->attention, 1); /* the run being executed may be among them */
}

void code_cache_remap(struct code_cache *c, struct vcpu *v)
{
	for (uint32_t k = 0; k < c->page_used; k++) {
		if (!ram_contains(v->mem->ram, c->pages[k].host))
			drop(v, &c->pages[k]);
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
				drop(v, p);
			else if (!p->chunks && ++p->idle_writes > IDLE_WRITES_MAX)
				unmark(v, p);
		}
		ram_offset = stop;
	}
}

/* Room for one more; false: too many, or no memory. */
static bool has_room(struct code_cache *c)
{
	unsigned room = c->posted_room ? 2 * c->posted_room : 64;
	struct code_posted *more;

	if (c->posted_count < c->posted_room)
		return true;
	more = room <= POSTED_MAX ? realloc(c->posted, room * sizeof(*more)) : NULL;
	if (!more)
		return false;
	c->posted = more;
	c->posted_room = room;
	return true;
}

void code_post(struct code_cache *c, struct vcpu *v, uint64_t ram_offset, uint64_t len)
{
	pthread_mutex_lock(&c->post_lock);
	if (has_room(c))
		c->posted[c->posted_count++] = (struct code_posted){ ram_offset, len };
	else if (len)
		c->writes_lost = true;
	else
		c->marks_lost = true;
	pthread_mutex_unlock(&c->post_lock);
	vcpu_raise(v, VCPU_CODE);
}

/* Somebody began to keep this page.  What this vCPU wrote there until now was told to nobody: tell it. */
static void take_mark(struct vcpu *v, uint64_t ram_offset, bool by_itself)
{
	if (by_itself)
		tlb_protect_host_page(v, v->mem->ram->base + ram_offset);
	atomic_fetch_and(&v->mem->ram->writers[ram_offset >> PAGE_SHIFT], ~(1u << v->index));
	v->code_written(v, ram_offset, PAGE_SIZE);
}

/* Marks of pages nobody knows any more: what was made from any page may be wrong. */
static void forget_everywhere(struct vcpu *v)
{
	tlb_flush_all(v);
	for (unsigned n = 0; v->first && n < v->count; n++)
		vcpu_raise(&v->first[n], VCPU_FORGET);
	vcpu_raise(v, VCPU_FORGET);
}

void code_take_posted(struct code_cache *c, struct vcpu *v)
{
	struct code_cache took;

	pthread_mutex_lock(&c->post_lock);
	took = *c;
	c->posted = NULL;
	c->posted_count = c->posted_room = 0;
	c->marks_lost = c->writes_lost = false;
	pthread_mutex_unlock(&c->post_lock);
	if (took.marks_lost)
		forget_everywhere(v);
	if (took.writes_lost)
		code_cache_flush(c, v);
	if (took.posted_count > FEW_MARKS)
		tlb_flush_writes(v);
	for (unsigned k = 0; k < took.posted_count; k++) {
		if (!took.posted[k].len)
			take_mark(v, took.posted[k].ram_offset, took.posted_count <= FEW_MARKS);
		else
			code_written(c, v, took.posted[k].ram_offset, took.posted[k].len);
	}
	free(took.posted);
}
