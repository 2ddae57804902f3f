/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/cache.c - where translated code lies, how it is found, and how it goes.
 *
 * Blocks of a page are dropped together when its bytes change; their host code stays where it is until the
 * cache is full and emptied as a whole.
 */
#include "monitor/engine/bt/bt.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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

bool bt_cache_create(struct bt *b, GError **error)
{
	b->blocks = calloc(BT_BLOCKS_MAX, sizeof(*b->blocks));
	b->buckets = calloc(BT_BUCKETS, sizeof(struct bt_block *));
	b->jumps = calloc(BT_JUMPS, sizeof(*b->jumps));
	b->sites = mmap(NULL, BT_SITES_MAX * sizeof(*b->sites), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!b->blocks || !b->buckets || !b->jumps || b->sites == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for the translator");
	return map_code(b, error);
}

void bt_cache_destroy(struct bt *b)
{
	free(b->blocks);
	free(b->buckets);
	free(b->jumps);
	if (b->sites && b->sites != MAP_FAILED)
		munmap(b->sites, BT_SITES_MAX * sizeof(*b->sites));
	if (b->rw && b->rw != MAP_FAILED)
		munmap(b->rw, BT_CACHE_SIZE);
	if (b->rx && b->rx != MAP_FAILED)
		munmap(b->rx, BT_CACHE_SIZE);
}

void bt_cache_flush(struct bt *b)
{
	memset(b->buckets, 0, BT_BUCKETS * sizeof(struct bt_block *));
	memset(b->jumps, 0, BT_JUMPS * sizeof(*b->jumps));
	b->used = b->fixed;
	b->block_used = 0;
	b->site_used = 0;
}

static unsigned bucket(const uint8_t *guest, unsigned mode)
{
	uint64_t h = ((uintptr_t)guest ^ (uint64_t)mode << 57) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> 48) & (BT_BUCKETS - 1);
}

struct bt_block *bt_cache_find(struct bt *b, const uint8_t *guest, unsigned mode)
{
	struct bt_block *k = b->buckets[bucket(guest, mode)];

	while (k && (k->guest != guest || k->mode != mode || k->dead))
		k = k->next;
	return k;
}

void bt_cache_insert(struct bt *b, struct bt_block *block)
{
	struct bt_block **head = &b->buckets[bucket(block->guest, block->mode)];

	block->next = *head;
	*head = block;
	block->next_in_page = block->page->blocks;
	block->page->blocks = block;
}
