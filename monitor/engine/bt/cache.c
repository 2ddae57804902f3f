/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/cache.c - where translated code lies, how it is found, and how it goes.
 *
 * The cache is one piece of memory, mapped twice: written here, run there.  Blocks fill it region by region; when it is
 * full the region that was filled first is evicted, and filled again once no vCPU can be in it any more.
 *
 * Other vCPUs run what is changed here.  So a jump changes by one store of its displacement, which lies in one cache
 * line (emit_whole), and a block's head by one of its first eight bytes; whoever is just passing goes the old way or
 * the new one, and both are right: a dead block keeps its place, only its head leads out.  Within a page jumps are made
 * once, and the page's blocks die together.
 */
#include "monitor/engine/bt/build.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define IDLE_WRITES_MAX 64 /* then a page without translated code is data */

/* ---- memory */

/* The same without a file: perf has names only for code that lies in none. */
static bool map_code_anonymous(struct bt_cache *c, GError **error)
{
	c->rw = mmap(NULL, BT_CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->rw != MAP_FAILED) /* of shared memory the old size 0 makes a second mapping */
		c->rx = mremap(c->rw, 0, BT_CACHE_SIZE, MREMAP_MAYMOVE);
	if (c->rw == MAP_FAILED || c->rx == MAP_FAILED || mprotect(c->rx, BT_CACHE_SIZE, PROT_READ | PROT_EXEC) < 0)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "mapping translated code");
	return true;
}

static bool map_code(struct bt_cache *c, GError **error)
{
	int fd = memfd_create("serai-bt", MFD_CLOEXEC);
	int err;

	if (fd < 0 || ftruncate(fd, BT_CACHE_SIZE) < 0) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return fail_errno(error, SERAI_ERROR_HOST, err, "memory for translated code");
	}
	c->rw = mmap(NULL, BT_CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	c->rx = mmap(NULL, BT_CACHE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	if (c->rw == MAP_FAILED || c->rx == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, err, "mapping translated code");
	return true;
}

static uint64_t page_records_size(const struct bt_cache *c)
{
	return (c->ram->size >> PAGE_SHIFT) * sizeof(*c->page);
}

/* The code made once lies at the start of the first region. */
static uint32_t region_start(const struct bt_cache *c, const struct bt_region *r)
{
	return r == c->region ? (uint32_t)c->fixed : 0;
}

static void destroy(struct bt_cache *c)
{
	bt_perf_destroy(c);
	thunk_arena_destroy(&c->thunks);
	free(c->buckets);
	free(c->build);
	if (c->page && c->page != MAP_FAILED)
		munmap(c->page, page_records_size(c));
	if (c->rw && c->rw != MAP_FAILED)
		munmap(c->rw, BT_CACHE_SIZE);
	if (c->rx && c->rx != MAP_FAILED)
		munmap(c->rx, BT_CACHE_SIZE);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct bt_cache *create(struct vcpu *v, GError **error)
{
	struct bt_cache *c = calloc(1, sizeof(*c));

	if (!c) {
		fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for the translator");
		return NULL;
	}
	pthread_mutex_init(&c->lock, NULL);
	c->ram = v->mem->ram;
	c->several = v->count > 1;
	if (getrandom(&c->multiplier, sizeof(c->multiplier), 0) != sizeof(c->multiplier)) {
		fail_errno(error, SERAI_ERROR_HOST, errno, "random numbers");
		free(c);
		return NULL;
	}
	c->multiplier |= 1;
	c->buckets = calloc(BT_BUCKETS, sizeof(*c->buckets));
	c->build = calloc(1, sizeof(struct build));
	c->page = mmap(NULL, page_records_size(c), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!c->buckets || !c->build || c->page == MAP_FAILED) {
		fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for the translator");
	} else if (thunk_arena_create(&c->thunks, error) &&
		   (bt_perf_wanted(v) ? map_code_anonymous(c, error) : map_code(c, error)) &&
		   bt_make_fixed_code(c, error) && (!bt_perf_wanted(v) || bt_perf_create(c, error))) {
		atomic_store(&c->epoch, 1);
		atomic_store(&c->region[0].used, region_start(c, c->region));
		for (unsigned r = 1; r < BT_REGIONS; r++)
			c->region[r].gone = 1;
		return c;
	}
	destroy(c);
	return NULL;
}

bool bt_cache_join(struct vcpu *v, struct bt *b, GError **error)
{
	const struct bt *first = v->first && v->first != v ? v->first->engine_data : NULL;

	b->cache = first ? first->cache : create(v, error);
	if (!b->cache)
		return false;
	atomic_store(&b->seen, BT_OUTSIDE);
	b->in.sites = &b->cache->thunks;
	pthread_mutex_lock(&b->cache->lock);
	b->cache->cpu[b->cache->cpus++] = v;
	pthread_mutex_unlock(&b->cache->lock);
	return true;
}

void bt_cache_leave(struct vcpu *v, struct bt *b)
{
	struct bt_cache *c = b->cache;
	bool last;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	for (unsigned n = 0; n < c->cpus; n++) {
		if (c->cpu[n] == v) {
			c->cpu[n] = c->cpu[--c->cpus];
			break;
		}
	}
	last = !c->cpus;
	pthread_mutex_unlock(&c->lock);
	if (last)
		destroy(c);
}

/* ---- epochs */

static void forget_jumps(struct vcpu *v)
{
	memset(v->bt.jump_tag, 0, sizeof(v->bt.jump_tag));
	memset(v->bt.known, 0, sizeof(v->bt.known));
	v->bt.link = NULL;
}

/* v is out of translated code. */
static void take_notice(struct vcpu *v, struct bt *b)
{
	struct bt_cache *c = b->cache;
	uint64_t epoch = atomic_load(&c->epoch);

	if (b->caught != epoch) {
		forget_jumps(v);
		for (unsigned r = 0; r < BT_REGIONS; r++) {
			if (c->region[r].evicted > b->caught)
				memset(&v->bt.linked[r * BT_LINKS], 0, BT_LINKS * sizeof(v->bt.linked[0]));
		}
		b->caught = epoch;
	}
	atomic_store(&b->seen, epoch);
}

void bt_cache_enter(struct vcpu *v, struct bt *b)
{
	pthread_mutex_lock(&b->cache->lock);
	take_notice(v, b);
	pthread_mutex_unlock(&b->cache->lock);
}

void bt_cache_catch_up(struct vcpu *v, struct bt *b)
{
	if (likely(b->caught == atomic_load_explicit(&b->cache->epoch, memory_order_relaxed)))
		return;
	bt_cache_enter(v, b);
}

void bt_cache_exit(struct bt *b)
{
	atomic_store(&b->seen, BT_OUTSIDE);
}

void bt_cache_attention(struct bt_cache *c)
{
	for (unsigned n = 0; n < c->cpus; n++)
		atomic_store(&c->cpu[n]->attention, 1);
}

/* Nobody can be in what was evicted then. */
static bool is_left(const struct bt_cache *c, uint64_t gone)
{
	for (unsigned n = 0; n < c->cpus; n++) {
		const struct bt *b = c->cpu[n]->engine_data;

		if (atomic_load(&b->seen) < gone)
			return false;
	}
	return true;
}

/* ---- jumps */

void bt_cache_patch(struct bt_cache *c, uint8_t *at, const uint8_t *to)
{
	int32_t displacement = (int32_t)(to - (c->rx + (at - c->rw) + 4));

	__atomic_store((int32_t *)(void *)at, &displacement, __ATOMIC_RELEASE);
}

/* It leads to its own cold code. */
static void unlink_jump(struct bt_cache *c, struct bt_link *l)
{
	if (!l->code)
		return;
	bt_cache_patch(c, (uint8_t *)l + l->jump, c->rx + ((uint8_t *)l + l->cold - c->rw));
	*l->here = l->next;
	if (l->next)
		l->next->here = l->here;
	l->code = NULL;
}

bool bt_cache_link(struct bt_cache *c, struct bt_link *l, struct bt_block *k)
{
	/* Whoever asks may come from what was evicted meanwhile: nobody would unlink it again. */
	if (k->dead || k->second || c->region[(size_t)((uint8_t *)l - c->rw) / BT_REGION].gone)
		return false;
	if (!l->to) {
		l->to = k->guest;
		l->mode = k->mode;
	}
	/* The page went back to look-ups, for all for whom the link holds. */
	if (l->to == k->guest && l->mode == (k->mode | BT_VIEW) && atomic_load(&k->page->no_view))
		l->mode = k->mode;
	/* Others may be behind the comparison that says it leads there. */
	if (l->to != k->guest || l->mode != k->mode)
		return false;
	if (l->code == k->host_code)
		return true;
	unlink_jump(c, l);
	bt_cache_patch(c, (uint8_t *)l + l->jump, k->host_code);
	l->code = k->host_code;
	l->next = k->incoming;
	l->here = &k->incoming;
	if (l->next)
		l->next->here = &l->next;
	k->incoming = l;
	c->stats.links++;
	return true;
}

/* ---- regions */

static uint8_t *region_base(const struct bt_cache *c, const struct bt_region *r)
{
	return c->rw + (size_t)(r - c->region) * BT_REGION;
}

static uint8_t *cold_base(const struct bt_cache *c, const struct bt_region *r)
{
	return region_base(c, r) + BT_HOT;
}

/* Jumps that start in what is about to go. */
static void unlink_region(struct bt_cache *c, const struct bt_region *r)
{
	uint8_t *at = cold_base(c, r), *end = at + r->cold_used;

	while (at < end) {
		struct bt_block *k = (struct bt_block *)at;

		for (unsigned n = 0; n < k->link_count; n++)
			unlink_jump(c, &bt_links(k)[n]);
		at += k->size;
	}
}

static void evict(struct bt_cache *c, struct bt_region *r)
{
	uint8_t *at = cold_base(c, r), *end = at + r->cold_used;

	while (at < end) {
		struct bt_block *k = (struct bt_block *)at;

		if (!k->dead)
			bt_cache_kill_page(c, k->page);
		at += k->size;
	}
	unlink_region(c, r);
	c->stats.evictions++;
	r->evicted = r->gone = atomic_load(&c->epoch) + 1;
	atomic_store(&c->epoch, r->gone);
	bt_cache_attention(c);
	if (c->perf)
		bt_perf_again(c);
}

static void evict_all(struct bt_cache *c)
{
	for (unsigned r = 0; r < BT_REGIONS; r++) {
		if (!c->region[r].gone)
			evict(c, &c->region[r]);
	}
	memset(c->ahead, 0, sizeof(c->ahead));
}

void bt_cache_forget(struct vcpu *v, struct bt *b, bool all)
{
	struct bt_cache *c = b->cache;

	for (unsigned n = 0; n < BT_ROM_PAGES; n++)
		bt_cache_kill_page(c, &c->rom[n]);
	if (all) {
		evict_all(c);
		take_notice(v, b);
	}
}

void bt_cache_each(struct bt_cache *c, void (*fn)(void *opaque, struct bt_block *k), void *opaque)
{
	for (unsigned n = 0; n < BT_REGIONS; n++) {
		const struct bt_region *r = &c->region[n];
		uint8_t *at = cold_base(c, r), *end = at + (r->gone ? 0 : r->cold_used);

		while (at < end) {
			struct bt_block *k = (struct bt_block *)at;

			fn(opaque, k);
			at += k->size;
		}
	}
}

static bool is_full(const struct bt_region *r)
{
	return r->gone || r->used + BT_HOST_MAX > BT_HOT || r->cold_used + BT_HOST_MAX > BT_REGION - BT_HOT ||
	       r->links + BT_BLOCK_MAX + 2 > BT_LINKS;
}

/* The next one is emptied while there is still room in this one. */
static bool is_nearly_full(const struct bt_region *r)
{
	return r->used > BT_HOT / 4 * 3 || r->cold_used > (BT_REGION - BT_HOT) / 4 * 3 || r->links > BT_LINKS / 4 * 3;
}

/* Thunks that nothing leads to any more; false: not yet. */
static bool renew_thunks(struct vcpu *v, struct bt *b)
{
	struct bt_cache *c = b->cache;

	if (!c->region[c->filling].gone)
		evict_all(c);
	take_notice(v, b);
	if (!is_left(c, atomic_load(&c->epoch)))
		return false;
	thunk_arena_reset(&c->thunks);
	c->thunks_full = false;
	return true;
}

struct bt_block *bt_cache_room(struct vcpu *v, struct bt *b, uint8_t **hot)
{
	struct bt_cache *c = b->cache;
	struct bt_region *r = &c->region[c->filling], *next = &c->region[(c->filling + 1) % BT_REGIONS];

	if (c->thunks_full && !renew_thunks(v, b))
		return NULL;
	if (!next->gone && (is_full(r) || (c->cpus > 1 && is_nearly_full(r)))) {
		evict(c, next);
		take_notice(v, b);
	}
	if (is_full(r)) {
		if (!is_left(c, next->gone))
			return NULL;
		/* Written from now on only where jumps are linked: no need to keep it mapped twice. */
		madvise(region_base(c, r), BT_REGION, MADV_DONTNEED);
		memset((void *)next->first, 0, sizeof(next->first));
		next->used = region_start(c, next);
		next->cold_used = next->links = 0;
		next->gone = 0;
		c->filling = (unsigned)(next - c->region);
		r = next;
	}
	*hot = region_base(c, r) + r->used;
	return (struct bt_block *)(cold_base(c, r) + r->cold_used);
}

/* Its place in a page's list: the link to the next one. */
static struct bt_block **next_in(struct bt_block *k, const struct bt_page *p)
{
	return &k->next_in_page[k->page != p];
}

void bt_cache_insert(struct bt_cache *c, struct bt_block *k)
{
	struct bt_region *r = &c->region[c->filling];
	_Atomic(struct bt_block *) *head = bt_bucket(c, k->guest, k->mode);

	k->next_in_page[0] = k->page->blocks;
	k->page->blocks = k;
	if (k->second) {
		k->next_in_page[1] = k->second->blocks;
		k->second->blocks = k;
	}
	for (uint32_t n = r->used >> PAGE_SHIFT; n <= (r->used + k->host_size) >> PAGE_SHIFT; n++) {
		if (!r->first[n])
			r->first[n] = r->cold_used + 1;
	}
	r->used += (k->host_size + 15) & ~15u;
	r->cold_used += k->size;
	r->links += k->link_count;
	k->next = *head;
	atomic_store(head, k); /* from here on others find it */
}

const struct bt_block *bt_cache_owner(const struct bt_cache *c, const uint8_t *rx)
{
	size_t off = (size_t)(rx - c->rx);
	unsigned hot = off % BT_REGION;
	const struct bt_region *r = &c->region[off / BT_REGION];
	const uint8_t *at, *end;

	if (rx < c->rx || off >= BT_CACHE_SIZE || hot >= r->used || !r->first[hot >> PAGE_SHIFT])
		return NULL;
	at = cold_base(c, r) + r->first[hot >> PAGE_SHIFT] - 1;
	end = cold_base(c, r) + r->cold_used;
	while (at < end) {
		const struct bt_block *k = (const struct bt_block *)at;

		if (rx >= k->host_code && rx < k->host_code + k->host_size)
			return k;
		at += k->size;
	}
	return NULL;
}

/* ---- the end of blocks */

static void take_out_of_page(struct bt_page *p, const struct bt_block *k)
{
	struct bt_block **list = &p->blocks;

	while (*list && *list != k)
		list = next_in(*list, p);
	if (*list)
		*list = *next_in(*list, p);
}

/* Who is looking it up just now still finds its way on from it. */
static void take_out_of_bucket(struct bt_cache *c, const struct bt_block *k)
{
	_Atomic(struct bt_block *) *list = bt_bucket(c, k->guest, k->mode);

	while (*list && *list != k)
		list = &(*list)->next;
	if (*list)
		atomic_store(list, k->next);
}

/* From its head it goes out: jmp. */
static void behead(struct bt_cache *c, const struct bt_block *k)
{
	uint64_t *head = (uint64_t *)(void *)(c->rw + (k->host_code - c->rx));
	const uint8_t *out = c->rx + ((const uint8_t *)k - c->rw) + k->out;
	uint64_t jump = 0xe9 | (uint64_t)(uint32_t)(out - (k->host_code + BT_JMP_SIZE)) << 8;

	__atomic_store_n(head, (*head & ~0xffffffffffull) | jump, __ATOMIC_RELEASE);
}

void bt_cache_kill_page(struct bt_cache *c, struct bt_page *p)
{
	for (struct bt_block *k = p->blocks, *next; k; k = next) {
		struct bt_page *other = k->page == p ? k->second : k->page;

		next = *next_in(k, p);
		k->dead = true;
		while (k->incoming)
			unlink_jump(c, k->incoming);
		c->stats.killed++;
		behead(c, k);
		take_out_of_bucket(c, k);
		if (other)
			take_out_of_page(other, k);
	}
	p->blocks = NULL;
}

/* These bytes of one page. */
static void page_written(struct bt_cache *c, uint64_t at, uint64_t stop)
{
	struct bt_page *p = &c->page[at >> PAGE_SHIFT];
	unsigned first = (unsigned)bits_get(at, 11, 6), last = (unsigned)bits_get(stop - 1, 11, 6);

	if (!p->kept)
		return;
	if (p->chunks & bits_put(0, last, first, ~0ull)) {
		bt_cache_kill_page(c, p);
		p->chunks = 0;
		p->version++;
		bt_cache_attention(c); /* what somebody runs may be among them */
	} else if (!p->chunks && ++p->idle_writes > IDLE_WRITES_MAX) {
		p->kept = false;
		atomic_fetch_and(&c->ram->kept[at >> PAGE_SHIFT], ~RAM_KEPT_SHARED);
	}
}

void bt_cache_written(struct bt_cache *c, uint64_t ram_offset, uint64_t len)
{
	uint64_t end = ram_offset + len, stop;

	pthread_mutex_lock(&c->lock);
	for (; ram_offset < end; ram_offset = stop) {
		stop = MIN_OF(end, (ram_offset & PAGE_MASK) + PAGE_SIZE);
		page_written(c, ram_offset, stop);
	}
	pthread_mutex_unlock(&c->lock);
}
