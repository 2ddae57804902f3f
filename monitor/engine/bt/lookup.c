/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/lookup.c - the block at an address, for translated code that its jump cache could not help.
 *
 * Built without vector registers: they are the guest's while this runs.  Raises nothing, makes nothing, takes no lock.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/tlb.h"

struct bt_page *bt_page_at(struct bt_cache *c, uint8_t *host)
{
	struct bt_page *p;

	if (ram_contains(c->ram, host))
		return &c->page[ram_offset(c->ram, host) >> PAGE_SHIFT];
	for (unsigned n = 0; n < BT_ROM_PAGES; n++) {
		uint8_t *there;

		p = &c->rom[((uintptr_t)host / PAGE_SIZE + n) % BT_ROM_PAGES];
		there = __atomic_load_n(&p->host, __ATOMIC_ACQUIRE);
		if (!there) { /* two may find it free */
			if (__atomic_compare_exchange_n(&p->host, &there, host, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
				return p;
		}
		if (there == host)
			return p;
	}
	return NULL;
}

_Atomic(struct bt_block *) *bt_bucket(struct bt_cache *c, const uint8_t *guest, unsigned mode)
{
	uint64_t h = ((uintptr_t)guest ^ (uint64_t)mode << 52) * 0x9e3779b97f4a7c15ull;

	return &c->buckets[(h >> 48) & (BT_BUCKETS - 1)];
}

struct bt_block *bt_cache_find(
	struct bt_cache *c, const uint8_t *guest, const struct bt_page *second, unsigned mode)
{
	struct bt_block *k = atomic_load_explicit(bt_bucket(c, guest, mode), memory_order_acquire);

	while (k && (k->guest != guest || k->mode != mode || k->second != second))
		k = atomic_load_explicit(&k->next, memory_order_acquire);
	return k;
}

struct bt_block *bt_find_in_page(struct bt_cache *c, const struct code_page *page, unsigned offset, unsigned mode)
{
	const struct bt_page *t = bt_page_at(c, page->host);

	return t ? bt_cache_find(c, page->host + offset, NULL, bt_page_mode(page, t, mode)) : NULL;
}

/* An address may be in its slot or in the one beside it; both full: either goes. */
unsigned bt_insert_jump(struct vcpu *v, struct bt *b, uint64_t la, const uint8_t *host)
{
	unsigned n = bt_jump_slot(la);
	uint64_t tag = la ^ v->bt.context;

	b->coin = !b->coin;
	if (v->bt.jump_tag[n ^ 1] == tag ||
		(v->bt.jump_tag[n] && v->bt.jump_tag[n] != tag && (!v->bt.jump_tag[n ^ 1] || b->coin)))
		n ^= 1;
	v->bt.jump_tag[n] = tag;
	v->bt.jump_host[n] = host;
	return n;
}

int bt_lookup(struct vcpu *v, uint64_t la)
{
	struct bt *b = v->engine_data;
	const struct code_page *page = tlb_find_code(v, la);
	const struct bt_block *k;

	if (!page || atomic_load_explicit(&v->attention, memory_order_relaxed))
		return -1;
	k = bt_find_in_page(b->cache, page, la & (PAGE_SIZE - 1), b->mode);
	return k ? (int)bt_insert_jump(v, b, la, k->host_code) : -1;
}
