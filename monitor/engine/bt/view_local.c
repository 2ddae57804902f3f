/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/bt/view_local.h"

#include "monitor/cpu/arch.h"
#include "monitor/cpu/paging.h"

#include "base/bits.h"

#define TABLE 0x000ffffffffff000ull /* of an entry or CR3: the next table */

/* Where the entry for la lies in a table; NULL: not in RAM. */
static const uint8_t *entry_at(struct vcpu *v, uint64_t table, uint64_t la, unsigned level)
{
	const uint8_t *at = phys_host(v, (table & TABLE) + 8 * bits_get(la, 20 + 9 * level, 12 + 9 * level), false);

	return at && ram_contains(v->mem->ram, at) ? at : NULL;
}

static uint64_t read_entry(const uint8_t *at)
{
	return __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
}

/* Among those noted already or, where there is room, one more; false: otherwise than noted, or no room. */
static bool note(struct view_local_entry *list, unsigned *count, unsigned room, uintptr_t at, uint64_t value)
{
	for (unsigned n = 0; n < *count; n++) {
		if (list[n].at == at)
			return list[n].value == value;
	}
	if (*count == room)
		return false;
	list[(*count)++] = (struct view_local_entry){ at, value };
	return true;
}

bool view_local_note(struct vcpu *v, struct view_local *l, uint64_t la)
{
	uint64_t table = v->s.cr3;

	la &= PAGE_MASK;
	view_local_drop(l, la);
	if (l->pages == VIEW_LOCAL_PAGES || atomic_load_explicit(&v->mem->a20_mask, memory_order_relaxed) != UINT64_MAX)
		return false;
	for (unsigned level = 3;; level--) {
		const uint8_t *at = entry_at(v, table, la, level);
		uint64_t value = at ? read_entry(at) : 0;

		if (!(value & PTE_P) || (level && (value & PTE_PS)))
			return false;
		if (!level) {
			l->page[l->pages++] = (struct view_local_page){ la, at, value };
			return true;
		}
		if (level == 3 ? !note(l->top, &l->tops, VIEW_LOCAL_TOPS, bits_get(la, 47, 39), value)
			       : !note(l->upper, &l->uppers, VIEW_LOCAL_UPPER, (uintptr_t)at, value))
			return false;
		table = value;
	}
}

void view_local_drop(struct view_local *l, uint64_t la)
{
	for (unsigned n = 0; n < l->pages; n++) {
		if (l->page[n].la == (la & PAGE_MASK))
			l->page[n--] = l->page[--l->pages];
	}
}

/* Do the tables lead to their entries as they did? */
static bool leads_there(struct vcpu *v, const struct view_local *l)
{
	for (unsigned n = 0; n < l->tops; n++) {
		const uint8_t *at = entry_at(v, v->s.cr3, (uint64_t)l->top[n].at << 39, 3);

		if (!at || read_entry(at) != l->top[n].value)
			return false;
	}
	for (unsigned n = 0; n < l->uppers; n++) {
		if (read_entry((const uint8_t *)l->upper[n].at) != l->upper[n].value)
			return false;
	}
	return true;
}

void view_local_check(struct vcpu *v, struct view_local *l, void (*gone)(void *opaque, uint64_t la), void *opaque)
{
	bool all = l->pages && !leads_there(v, l);

	for (unsigned n = 0; n < l->pages; n++) {
		if (!all && read_entry(l->page[n].at) == l->page[n].value)
			continue;
		gone(opaque, l->page[n].la);
		l->page[n--] = l->page[--l->pages];
	}
	if (!l->pages)
		l->uppers = l->tops = 0;
}
