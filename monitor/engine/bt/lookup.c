/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/lookup.c - the block at an address, for translated code that its jump cache could not help.
 *
 * Built without vector registers: they are the guest's while this runs.  Raises nothing, makes nothing, takes no lock.
 */
#include "monitor/engine/bt/bt.h"

#include "monitor/cpu/tlb.h"

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
