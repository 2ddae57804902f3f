/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/lookup.c - the block at an address, for translated code that its jump cache could not help.
 *
 * Built without vector registers: they are the guest's while this runs.  Raises nothing, makes nothing.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/tlb.h"

struct bt_block **bt_bucket(struct bt *b, const uint8_t *guest, unsigned mode)
{
	uint64_t h = ((uintptr_t)guest ^ (uint64_t)mode << 52) * 0x9e3779b97f4a7c15ull;

	return &b->buckets[(h >> 48) & (BT_BUCKETS - 1)];
}

struct bt_block *bt_cache_find(
	struct bt *b, const uint8_t *guest, const struct code_page *second, unsigned mode)
{
	struct bt_block *k = *bt_bucket(b, guest, mode);

	while (k && (k->guest != guest || k->mode != mode || k->second != second))
		k = k->next;
	return k;
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
	k = bt_cache_find(b, page->host + (la & (PAGE_SIZE - 1)), NULL, bt_page_mode(page, b->mode));
	return k ? (int)bt_insert_jump(v, b, la, k->host_code) : -1;
}
