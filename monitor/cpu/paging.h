/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/paging.h - guest page tables: the walk, with A and D bits set as it goes.
 *
 * Intel SDM volume 3A chapter 4: none, 32-bit, PAE and 4-level paging, with PSE-36, NX, WP, SMEP, SMAP.
 * Not here: 5-level paging and protection keys (not advertised).
 */
#ifndef SERAI_MONITOR_CPU_PAGING_H
#define SERAI_MONITOR_CPU_PAGING_H

#include "monitor/cpu/vcpu.h"

/* How an access is made. */
#define ACC_WRITE    0x01u
#define ACC_FETCH    0x02u
#define ACC_USER     0x04u /* at CPL 3 */
#define ACC_IMPLICIT 0x08u /* the processor's own (descriptor tables, TSS): SMAP ignores EFLAGS.AC */
#define ACC_PEEK     0x10u /* debugger: no permissions, A and D bits left alone */
#define ACC_SOFT     0x20u /* A and D bits are left alone, and the walk fails where they would have to be set */

struct page_walk {
	uint64_t gpa;       /* of the byte at la */
	uint64_t page_size; /* of the mapping; 4096 without paging */
	bool writable;      /* by whoever looked */
	bool global;        /* the mapping outlives a change of address space */
	uint32_t error;     /* #PF error code when the walk failed */
};

/* Translate la; false: page fault with w->error.  vCPU thread (ACC_PEEK: vCPU stopped). */
bool paging_walk(struct vcpu *v, uint64_t la, unsigned access, struct page_walk *w);

/* PAE: the four PDPTEs at CR3 have no reserved bits set (SDM 4.4.1). */
bool paging_pdptes_valid(struct vcpu *v, uint64_t cr3);

/* Host address of guest-physical memory within one page; NULL: not memory (or not writable). */
uint8_t *phys_host(struct vcpu *v, uint64_t gpa, bool write);

#endif
