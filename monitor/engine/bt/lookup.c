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

const uint8_t *bt_find_in_page(struct vcpu *v, struct bt *b, const struct code_page *page, unsigned offset, unsigned mode)
{
	const struct bt_page *t = bt_page_at(b->cache, page->host);
	const uint8_t *guest = page->host + offset;
	const struct bt_block *k;
	struct vcpu_known *known;

	if (!t)
		return NULL;
	mode = bt_page_mode(page, t, mode);
	known = bt_known(v, b->cache, guest, mode);
	if (known->key != bt_known_key(guest, mode)) {
		k = bt_cache_find(b->cache, guest, NULL, mode);
		if (!k)
			return NULL;
		*known = (struct vcpu_known){ bt_known_key(guest, mode), k->host_code };
	}
	return known->host;
}

int bt_lookup(struct vcpu *v, uint64_t la)
{
	struct bt *b = v->engine_data;
	const struct code_page *page = tlb_find_code(v, la);
	const uint8_t *host;

	if (!page || atomic_load_explicit(&v->attention, memory_order_relaxed))
		return -1;
	host = bt_find_in_page(v, b, page, la & (PAGE_SIZE - 1), b->mode);
	return host ? (int)bt_insert_jump(v, b, la, host) : -1;
}
