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

static bool note_top(struct view_local *l, unsigned index, uint64_t value)
{
	for (unsigned n = 0; n < l->tops; n++) {
		if (l->top[n].index == index)
			return l->top[n].value == value;
	}
	if (l->tops == VIEW_LOCAL_TOPS)
		return false;
	l->top[l->tops++] = (struct view_local_top){ index, value };
	return true;
}

static bool note_upper(struct view_local *l, const uint8_t *at, uint64_t value)
{
	for (unsigned n = 0; n < l->uppers; n++) {
		if (l->upper[n].at == at)
			return l->upper[n].value == value;
	}
	if (l->uppers == VIEW_LOCAL_UPPER)
		return false;
	l->upper[l->uppers++] = (struct view_local_upper){ at, value };
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
		if (level == 3 ? !note_top(l, (unsigned)bits_get(la, 47, 39), value) : !note_upper(l, at, value))
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
		const uint8_t *at = entry_at(v, v->s.cr3, (uint64_t)l->top[n].index << 39, 3);

		if (!at || read_entry(at) != l->top[n].value)
			return false;
	}
	for (unsigned n = 0; n < l->uppers; n++) {
		if (read_entry(l->upper[n].at) != l->upper[n].value)
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
