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
 * A tag is the page's linear address with the address space's number (ASID, 1..4095) in its low bits, so a
 * change of address space is a change of one number.  Each PCID has its ASID; flushing an address space gives
 * it a new one, and when numbers run out the tables are cleared.  Global pages are simply refilled in each
 * ASID.
 */
#ifndef SERAI_MONITOR_CPU_TLB_H
#define SERAI_MONITOR_CPU_TLB_H

#include "monitor/cpu/vcpu.h"

#define TLB_BITS  12
#define TLB_SIZE  (1u << TLB_BITS)
#define TLB_ASIDS 4096

enum tlb_kind { TLB_READ, TLB_WRITE, TLB_CODE };

/*
 * TLB_CHECKED is never filled: with it in use every access takes the slow path (alignment checks).
 * SUPER_OPEN: SMAP off or EFLAGS.AC set.
 */
enum tlb_view { TLB_SUPER_OPEN, TLB_SUPER_CLOSED, TLB_USER, TLB_CHECKED, TLB_VIEWS };

struct tlb_entry {
	uint64_t tag; /* page | asid; 0: empty */
	uintptr_t
		addend; /* host address - linear address; TLB_CODE: whatever the engine keeps for the page */
};

struct tlb {
	struct tlb_entry data[TLB_VIEWS][2][TLB_SIZE];
	struct tlb_entry code[2][TLB_SIZE]; /* [0] supervisor, [1] user */
	uint16_t pcid_asid[4096];           /* 0: none yet */
	uint16_t next_asid;
	uint64_t large_low,
		large_high; /* linear range in which entries of large pages may be; INVLPG there flushes */
};

static inline struct tlb_entry *tlb_slot(struct tlb_entry *table, uint64_t la)
{
	return &table[(la >> PAGE_SHIFT) & (TLB_SIZE - 1)];
}

static inline uint64_t tlb_tag(const struct vcpu *v, uint64_t la)
{
	return (la & PAGE_MASK) | v->asid;
}

/* Host address of size bytes at la for this kind of access, or NULL: take the slow path. */
static inline void *tlb_find(const struct vcpu *v, enum tlb_kind kind, uint64_t la, unsigned size)
{
	const struct tlb_entry *e = tlb_slot(v->tlb_data[kind], la);

	if (unlikely(e->tag != tlb_tag(v, la)) || unlikely((la & (PAGE_SIZE - 1)) + size > PAGE_SIZE))
		return NULL;
	return (void *)(uintptr_t)(la + e->addend);
}

struct tlb *tlb_new(void);

/* Everything, all address spaces. */
void tlb_flush_all(struct vcpu *v);

/* Non-global entries of one PCID (the current one: pass CR3's); we drop global ones with them. */
void tlb_flush_pcid(struct vcpu *v, unsigned pcid);

/* CR3 now selects this PCID; `keep`: its entries may live on (CR3 bit 63). */
void tlb_switch(struct vcpu *v, unsigned pcid, bool keep);

/* INVLPG. */
void tlb_flush_page(struct vcpu *v, uint64_t la);

/* Drop write entries that lead to this host page: it now holds decoded code.  True: there were some. */
bool tlb_protect_host_page(struct vcpu *v, const uint8_t *host_page);

/* Recompute v->view and v->tlb_data after CPL, CR0.AM, CR4.SMAP or RFLAGS.AC changed. */
void tlb_select_view(struct vcpu *v);

#endif
