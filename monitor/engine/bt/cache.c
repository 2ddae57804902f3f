/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/cache.c - where translated code lies, how it is found, and how it goes.
 *
 * The cache is one piece of memory, mapped twice: written here, run there.  Blocks fill it region by region; when it is
 * full the region that was filled first is emptied and filled again.  A block that dies early (its page was written)
 * keeps its place until then, but its head leads out, because jump caches may still lead to it.  Only blocks of the same
 * page jump to each other, and they die together, so no jump is ever left that leads into reused memory.
 */
#include "monitor/engine/bt/build.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The same without a file: perf has names only for code that lies in none. */
static bool map_code_anonymous(struct bt *b, GError **error)
{
	b->rw = mmap(NULL, BT_CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->rw != MAP_FAILED) /* of shared memory the old size 0 makes a second mapping */
		b->rx = mremap(b->rw, 0, BT_CACHE_SIZE, MREMAP_MAYMOVE);
	if (b->rw == MAP_FAILED || b->rx == MAP_FAILED || mprotect(b->rx, BT_CACHE_SIZE, PROT_READ | PROT_EXEC) < 0)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "mapping translated code");
	return true;
}

static bool map_code(struct bt *b, GError **error)
{
	int fd = memfd_create("serai-bt", MFD_CLOEXEC);
	int err;

	if (fd < 0 || ftruncate(fd, BT_CACHE_SIZE) < 0) {
		err = errno;
		if (fd >= 0)
			close(fd);
		return fail_errno(error, SERAI_ERROR_HOST, err, "memory for translated code");
	}
	b->rw = mmap(NULL, BT_CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b->rx = mmap(NULL, BT_CACHE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	if (b->rw == MAP_FAILED || b->rx == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, err, "mapping translated code");
	return true;
}

bool bt_cache_create(struct bt *b, bool anonymous, GError **error)
{
	b->buckets = calloc(BT_BUCKETS, sizeof(struct bt_block *));
	b->build = calloc(1, sizeof(struct build));
	if (!b->buckets || !b->build)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for the translator");
	return anonymous ? map_code_anonymous(b, error) : map_code(b, error);
}

void bt_cache_destroy(struct bt *b)
{
	free(b->buckets);
	free(b->build);
	if (b->rw && b->rw != MAP_FAILED)
		munmap(b->rw, BT_CACHE_SIZE);
	if (b->rx && b->rx != MAP_FAILED)
		munmap(b->rx, BT_CACHE_SIZE);
}

static void forget_jumps(struct vcpu *v)
{
	memset(v->bt.jump_tag, 0, sizeof(v->bt.jump_tag));
	v->bt.link = NULL;
}

/* The code made once lies at the start of the first region. */
static uint32_t region_start(const struct bt *b, unsigned r)
{
	return r ? 0 : (uint32_t)b->fixed;
}

void bt_cache_flush(struct vcpu *v, struct bt *b)
{
	memset(b->buckets, 0, BT_BUCKETS * sizeof(struct bt_block *));
	memset(b->ahead, 0, sizeof(b->ahead));
	forget_jumps(v);
	for (unsigned r = 0; r < BT_REGIONS; r++) {
		b->used[r] = region_start(b, r);
		b->cold_used[r] = 0;
	}
	memset(b->first, 0, sizeof(b->first));
	b->region = 0;
	if (b->perf)
		bt_perf_again(v, b);
}

static uint8_t *region_base(const struct bt *b, unsigned r)
{
	return b->rw + (size_t)r * BT_REGION;
}

static uint8_t *cold_base(const struct bt *b, unsigned r)
{
	return region_base(b, r) + BT_HOT;
}

static void unlink_jump(struct bt_link *l)
{
	if (l->target) {
		*l->here = l->next;
		if (l->next)
			l->next->here = l->here;
	}
	l->where = 0;
	l->target = NULL;
}

void bt_cache_link(struct bt *b, struct bt_link *l, struct bt_block *k, uint64_t where, uint64_t page)
{
	uint8_t *jump = (uint8_t *)l + l->jump;

	unlink_jump(l);
	le_store(jump, 4, (uint64_t)(k->host_code - (b->rx + (jump - b->rw) + 4)));
	l->page = page;
	l->target = k;
	l->next = k->incoming;
	l->here = &k->incoming;
	if (l->next)
		l->next->here = &l->next;
	k->incoming = l;
	l->where = where;
}

/* Jumps that start in what is about to be overwritten. */
static void unlink_region(uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		struct bt_block *k = (struct bt_block *)at;

		for (unsigned n = 0; n < k->link_count; n++)
			unlink_jump(&k->links[n]);
		at += k->size;
	}
}

static void evict(struct vcpu *v, struct bt *b, unsigned r)
{
	uint8_t *at = cold_base(b, r), *end = at + b->cold_used[r];

	if (at == end)
		return;
	while (at < end) {
		struct bt_block *k = (struct bt_block *)at;

		if (!k->dead)
			bt_cache_kill_page(b, k->page);
		at += k->size;
	}
	unlink_region(cold_base(b, r), end);
	b->used[r] = region_start(b, r);
	b->cold_used[r] = 0;
	memset(b->first[r], 0, sizeof(b->first[r]));
	b->stats.evictions++;
	forget_jumps(v);
	if (b->perf)
		bt_perf_again(v, b);
}

void bt_cache_each(struct bt *b, void (*fn)(struct bt *b, struct bt_block *k))
{
	for (unsigned r = 0; r < BT_REGIONS; r++) {
		uint8_t *at = cold_base(b, r), *end = at + b->cold_used[r];

		while (at < end) {
			struct bt_block *k = (struct bt_block *)at;

			fn(b, k);
			at += k->size;
		}
	}
}

struct bt_block *bt_cache_room(struct vcpu *v, struct bt *b, uint8_t **hot)
{
	if (b->used[b->region] + BT_HOST_MAX > BT_HOT ||
		b->cold_used[b->region] + BT_HOST_MAX > BT_REGION - BT_HOT) {
		/* Written from now on only where jumps are linked: no need to keep it mapped twice. */
		madvise(region_base(b, b->region), BT_REGION, MADV_DONTNEED);
		b->region = (b->region + 1) % BT_REGIONS;
		evict(v, b, b->region);
	}
	*hot = region_base(b, b->region) + b->used[b->region];
	return (struct bt_block *)(cold_base(b, b->region) + b->cold_used[b->region]);
}

/* Its place in a page's list: the link to the next one. */
static struct bt_block **next_in(struct bt_block *k, const struct code_page *p)
{
	return &k->next_in_page[k->page != p];
}

void bt_cache_insert(struct bt *b, struct bt_block *k)
{
	struct bt_block **head = bt_bucket(b, k->guest, k->mode);

	k->next = *head;
	*head = k;
	k->next_in_page[0] = k->page->blocks;
	k->page->blocks = k;
	if (k->second) {
		k->next_in_page[1] = k->second->blocks;
		k->second->blocks = k;
	}
	for (uint32_t n = b->used[b->region] >> PAGE_SHIFT; n <= (b->used[b->region] + k->host_size) >> PAGE_SHIFT; n++) {
		if (!b->first[b->region][n])
			b->first[b->region][n] = b->cold_used[b->region] + 1;
	}
	b->used[b->region] += (k->host_size + 15) & ~15u;
	b->cold_used[b->region] += k->size;
}

const struct bt_block *bt_cache_owner(const struct bt *b, const uint8_t *rx)
{
	size_t off = (size_t)(rx - b->rx);
	unsigned r = (unsigned)(off / BT_REGION), hot = off % BT_REGION;
	const uint8_t *at, *end;

	if (rx < b->rx || off >= BT_CACHE_SIZE || hot >= b->used[r] || !b->first[r][hot >> PAGE_SHIFT])
		return NULL;
	at = cold_base(b, r) + b->first[r][hot >> PAGE_SHIFT] - 1;
	end = cold_base(b, r) + b->cold_used[r];
	while (at < end) {
		const struct bt_block *k = (const struct bt_block *)at;

		if (rx >= k->host_code && rx < k->host_code + k->host_size)
			return k;
		at += k->size;
	}
	return NULL;
}

static void take_out(struct bt_block **list, const struct bt_block *k, const struct code_page *p)
{
	while (*list && *list != k)
		list = p ? next_in(*list, p) : &(*list)->next;
	if (*list)
		*list = p ? *next_in(*list, p) : k->next;
}

void bt_cache_kill_page(struct bt *b, struct code_page *p)
{
	for (struct bt_block *k = p->blocks, *next; k; k = next) {
		struct code_page *other = k->page == p ? k->second : k->page;
		uint8_t *head = b->rw + (k->host_code - b->rx);

		next = *next_in(k, p);
		k->dead = true;
		while (k->incoming)
			unlink_jump(k->incoming);
		b->stats.killed++;
		head[0] = 0xe9;
		le_store(head + 1, 4, (uint64_t)(k->out - (k->host_code + BT_JMP_SIZE)));
		take_out(bt_bucket(b, k->guest, k->mode), k, NULL);
		if (other)
			take_out(&other->blocks, k, other);
	}
	p->blocks = NULL;
}
