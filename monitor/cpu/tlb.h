/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/tlb.h - the software TLB: guest-virtual page to host address, compared inline.
 *
 * Owns:    one direct-mapped table per privilege view and kind of access.
 * Promise: an entry exists only for plain memory that may be accessed so right now without telling anyone:
 * present, permitted for that view, A (and for writes D) already set, no device, no watchpoint, and for
 * writes no decoded code in the page.  Everything else misses and takes the slow path by construction.
 * Threads: the vCPU's own.
 *
 * A tag is the page's linear address and nothing else, so that `address - tag` is the offset in the page when it
 * hits and out of range when it misses.  What user code sees lies in one set of tables per address space (PCID),
 * and a change of address space is a change of pointers.  The supervisor's tables are one set: a change of
 * address space takes only the entries of pages that are not global out of them.  Tables remember which slots
 * they filled, so that a flush costs what was used.
 */
#ifndef SERAI_MONITOR_CPU_TLB_H
#define SERAI_MONITOR_CPU_TLB_H

#include "monitor/cpu/vcpu.h"

#define TLB_BITS   14
#define TLB_SIZE   (1u << TLB_BITS)
#define TLB_SPACES 8
#define TLB_KERNEL TLB_SPACES /* what all have in common: global pages of the supervisor */
#define TLB_LOCALS 512
#define TLB_LARGES 16384

/*
 * TLB_CHECKED is never filled: with it in use every access takes the slow path (alignment checks).
 * SUPER_OPEN: SMAP off or EFLAGS.AC set.
 */
enum tlb_view { TLB_SUPER_OPEN, TLB_SUPER_CLOSED, TLB_USER, TLB_CHECKED };

struct tlb_entry {
	uint64_t tag; /* page; an empty one holds a page that belongs into another slot, 0 but for the first slot */
	uintptr_t addend; /* host address - linear address; TLB_CODE: whatever the engine keeps for the page */
};

struct tlb_table {
	struct tlb_entry entry[TLB_SIZE];
	uint16_t filled[TLB_SIZE]; /* slots that are not empty, perhaps more than once; full: any may be */
	unsigned filled_count;
	uint64_t replaced[TLB_SIZE / 64]; /* code: slots whose entry took the place of another page's */
};

/* What user code of one address space sees. */
struct tlb_space {
	struct tlb_table table[TLB_KINDS];
	uint64_t code_generation; /* changes when a translation of code may have gone */
	uint64_t used;            /* when it was last current; 0: never */
	uint16_t pcid;
};

struct tlb {
	struct tlb_table super[2][2]; /* [TLB_SUPER_OPEN, CLOSED][TLB_READ, WRITE] */
	struct tlb_table super_code;
	struct tlb_entry none[TLB_SIZE]; /* of TLB_CHECKED */
	struct tlb_space space[TLB_SPACES];
	unsigned current; /* space */
	uint64_t super_generation;
	uint64_t counter; /* for generations and uses */
	/* Entries in the supervisor's tables that go with the address space. */
	struct tlb_entry *local[TLB_LOCALS];
	unsigned local_count; /* over the array's size: any may be */
	bool local_code;
	/* Regions of 2 MiB, by hash, with entries from pages of that size: INVLPG takes all of them.  Of 1 GiB,
	 * with entries from larger pages: it takes everything. */
	uint64_t large[TLB_LARGES / 64], huge[TLB_LARGES / 64];
};

static inline unsigned tlb_index(uint64_t la)
{
	return (la >> PAGE_SHIFT) & (TLB_SIZE - 1);
}

static inline bool tlb_hit(const struct tlb_entry *e, uint64_t la, unsigned size)
{
	return la - e->tag <= PAGE_SIZE - size;
}

/* Host address of size bytes at la for this kind of access, or NULL: take the slow path. */
static inline void *tlb_find(const struct vcpu *v, enum tlb_kind kind, uint64_t la, unsigned size)
{
	const struct tlb_entry *e = &v->tlb_data[kind][tlb_index(la)];

	if (unlikely(!tlb_hit(e, la, size)))
		return NULL;
	return (void *)(uintptr_t)(la + e->addend);
}

/* The engine's record of the page of code at la, NULL: not known. */
static inline void *tlb_find_code(const struct vcpu *v, uint64_t la)
{
	const struct tlb_entry *e = &v->tlb_data[TLB_CODE][tlb_index(la)];

	return likely(tlb_hit(e, la, 1)) ? (void *)e->addend : NULL;
}

/* The entry's slot for this view, whatever is in it. */
struct tlb_entry *tlb_slot(struct vcpu *v, enum tlb_view view, enum tlb_kind kind, uint64_t la);

/* Its whole table, of the supervisor or the current address space. */
struct tlb_entry *tlb_table_of(struct vcpu *v, enum tlb_view view, enum tlb_kind kind);

/* How the page came to be mapped. */
struct tlb_page {
	uint64_t size; /* bytes */
	bool global;
};

void tlb_fill(struct vcpu *v, enum tlb_view view, enum tlb_kind kind, uint64_t la, uintptr_t addend,
	struct tlb_page page);

struct tlb *tlb_new(void);
void tlb_free(struct tlb *t); /* may be NULL */

/* Everything, all address spaces. */
void tlb_flush_all(struct vcpu *v);

/* Non-global entries of one PCID (the current one: pass CR3's). */
void tlb_flush_pcid(struct vcpu *v, unsigned pcid);

/* CR3 now selects this PCID; `keep`: its entries may live on (CR3 bit 63). */
void tlb_switch(struct vcpu *v, unsigned pcid, bool keep);

/* INVLPG. */
void tlb_flush_page(struct vcpu *v, uint64_t la);

/* No page may be written without a look-up. */
void tlb_flush_writes(struct vcpu *v);

/* All records of pages of code are gone. */
void tlb_flush_code(struct vcpu *v);

/* Drop write entries that lead to this host page: it now holds decoded code.  True: there were some. */
bool tlb_protect_host_page(struct vcpu *v, const uint8_t *host_page);

/* Recompute v->view and v->tlb_data after CPL, CR0.AM, CR4.SMAP or RFLAGS.AC changed. */
void tlb_select_view(struct vcpu *v);

/* What of the code that runs now was looked up under: equal numbers, equal translations. */
static inline uint64_t tlb_code_generation(const struct vcpu *v)
{
	return v->cpl == 3 ? v->tlb->space[v->tlb->current].code_generation : v->tlb->super_generation;
}

#endif
