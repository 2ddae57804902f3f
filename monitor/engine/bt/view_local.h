/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/view_local.h - pages of the kernel's view that are not global.
 *
 * Owns:    what the page tables said of each when it was mapped.
 * Promise: a page that is still noted after view_local_check is what the page tables of the current CR3 say.
 *
 * A translation that is not global ends with each change of CR3.  Linux has such pages all over its map of memory (what
 * was once a module's), the same in all address spaces: the entries that lead to them are compared, which costs less
 * than a hundredth of mapping them again.
 */
#ifndef SERAI_MONITOR_ENGINE_BT_VIEW_LOCAL_H
#define SERAI_MONITOR_ENGINE_BT_VIEW_LOCAL_H

#include "monitor/cpu/vcpu.h"

#define VIEW_LOCAL_PAGES 128
#define VIEW_LOCAL_UPPER 32 /* entries over theirs */
#define VIEW_LOCAL_TOPS  4  /* entries of the topmost table, which each address space has its own of */

struct view_local {
	struct view_local_page {
		uint64_t la;
		const uint8_t *at; /* its entry */
		uint64_t value;
	} page[VIEW_LOCAL_PAGES];
	struct view_local_entry {
		uintptr_t at; /* host address; top: index in the table */
		uint64_t value;
	} upper[VIEW_LOCAL_UPPER], top[VIEW_LOCAL_TOPS];
	unsigned pages, uppers, tops;
};

/* Note how the page at la comes to be mapped, by 4 KiB and in RAM; false: it is otherwise, or there is no room.  4-level
 * paging only. */
bool view_local_note(struct vcpu *v, struct view_local *l, uint64_t la);

/* No longer noted, if it was. */
void view_local_drop(struct view_local *l, uint64_t la);

/* CR3 was written: drop what is otherwise now, each by gone(). */
void view_local_check(struct vcpu *v, struct view_local *l, void (*gone)(void *opaque, uint64_t la), void *opaque);

#endif
