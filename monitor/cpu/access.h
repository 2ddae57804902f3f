/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/access.h - guest memory as instructions see it: logical to linear to host, faults raised on the
 * way.
 *
 * Promise: a function that returns has done the whole access; one that faults has done nothing the guest can
 * see (except accesses to devices that straddle pages).  Faults leave through cpu_raise, so a caller changes
 * no architectural state before its last access. Threads: the vCPU's own.
 */
#ifndef SERAI_MONITOR_CPU_ACCESS_H
#define SERAI_MONITOR_CPU_ACCESS_H

#include "monitor/cpu/arch.h"
#include "monitor/cpu/paging.h"
#include "monitor/cpu/tlb.h"

#include "base/bits.h"

/* Raise an exception of the current instruction: back to the engine's loop. */
_Noreturn void cpu_raise(struct vcpu *v, int vector);
_Noreturn void cpu_raise_error(struct vcpu *v, int vector, uint32_t error);
_Noreturn void cpu_page_fault(struct vcpu *v, uint64_t la, uint32_t error);

/* ---- linear addresses, at the current privilege
 * ---------------------------------------------------------------- */

uint64_t lin_read_slow(struct vcpu *v, uint64_t la, unsigned size, unsigned seg);
void lin_write_slow(struct vcpu *v, uint64_t la, unsigned size, uint64_t value, unsigned seg);

/* size 1, 2, 4, 8.  seg: only to choose between #GP and #SS for a non-canonical address. */
static inline uint64_t lin_read(struct vcpu *v, uint64_t la, unsigned size, unsigned seg)
{
	const void *p = tlb_find(v, TLB_READ, la, size);

	if (unlikely(!p))
		return lin_read_slow(v, la, size, seg);
	return ram_load(p, size);
}

static inline void lin_write(struct vcpu *v, uint64_t la, unsigned size, uint64_t value, unsigned seg)
{
	void *p = tlb_find(v, TLB_WRITE, la, size);

	if (unlikely(!p))
		lin_write_slow(v, la, size, value, seg);
	else
		ram_store(p, size, value);
}

/* Any length up to a page. */
void lin_read_bytes(struct vcpu *v, uint64_t la, void *buf, unsigned len, unsigned seg);
void lin_write_bytes(struct vcpu *v, uint64_t la, const void *buf, unsigned len, unsigned seg);

/* Raise what a write of these bytes would raise, without writing. */
void lin_probe_write(struct vcpu *v, uint64_t la, unsigned len, unsigned seg);

/*
 * Host address for direct use by one host instruction (locked ones above all), or NULL: bytes straddle pages
 * or are not memory, go through lin_read_bytes and lin_write_bytes.  After a write through it call
 * lin_written.
 */
void *lin_direct(struct vcpu *v, uint64_t la, unsigned len, enum tlb_kind kind, unsigned seg);
void lin_written(struct vcpu *v, void *host, unsigned len);

/*
 * The same to write bytes that do straddle two pages of RAM, which are side by side there; NULL: they do not.  part: where
 * the two pieces of them are in RAM, for lin_written.
 */
void *lin_straddling(struct vcpu *v, uint64_t la, unsigned len, unsigned seg, void *part[2]);

/*
 * Fill the software TLB for an access of this kind at la; false: it is none that may have an entry.  Raises what the
 * access raises.
 */
bool access_fill(struct vcpu *v, uint64_t la, enum tlb_kind kind);
/* The same for an access that may never come: raises nothing, marks nothing; false also when it would have to. */
bool access_fill_softly(struct vcpu *v, uint64_t la, enum tlb_kind kind);

/* The local APIC's page lies over whatever the physical map has there: does this aligned range, a power of two, have it? */
bool access_has_apic(const struct vcpu *v, uint64_t gpa, uint64_t size);

struct page_walk;

/*
 * The RAM that an access of this kind at la reaches, by user code (ACC_USER) or by the kernel with SMAP closed
 * (ACC_IMPLICIT), and the TLB knows it from then on; NULL: it faults, or is one that must be seen.  Sets A and D as the
 * access does; with ACC_SOFT it may never come, so NULL where it would have to.
 */
uint8_t *access_ram(struct vcpu *v, uint64_t la, enum tlb_kind kind, unsigned who, struct page_walk *w);

/* ---- the processor's own accesses: supervisor, whatever the CPL
 * ------------------------------------------------ */

uint64_t sys_read(struct vcpu *v, uint64_t la, unsigned size);
void sys_write(struct vcpu *v, uint64_t la, unsigned size, uint64_t value);

/* Clear and set bits of a byte, locked, as updates of descriptors are (SDM volume 3A, 8.1.2.1); the byte as it was. */
uint8_t sys_update(struct vcpu *v, uint64_t la, uint8_t clear, uint8_t set);

/* As if at this CPL: stack pushes of a transfer that has not been committed yet. */
void lin_write_as(struct vcpu *v, unsigned cpl, uint64_t la, unsigned size, uint64_t value);
uint64_t lin_read_as(struct vcpu *v, unsigned cpl, uint64_t la, unsigned size);

/* ---- segments
 * ------------------------------------------------------------------------------------------------------ */

/* Linear address of len bytes at seg:off with limit, type and canonical checks; raises #GP, #SS. */
uint64_t seg_linear_checked(struct vcpu *v, unsigned seg, uint64_t off, unsigned len, bool write);

static inline uint64_t seg_linear(struct vcpu *v, unsigned seg, uint64_t off, unsigned len, bool write)
{
	if (likely(v->seg_plain & (1u << seg)))
		return (off + v->seg_base[seg]) & v->la_mask;
	return seg_linear_checked(v, seg, off, len, write);
}

static inline uint64_t mem_read(struct vcpu *v, unsigned seg, uint64_t off, unsigned size)
{
	return lin_read(v, seg_linear(v, seg, off, size, false), size, seg);
}

static inline void mem_write(struct vcpu *v, unsigned seg, uint64_t off, unsigned size, uint64_t value)
{
	lin_write(v, seg_linear(v, seg, off, size, true), size, value, seg);
}

static inline bool is_canonical(uint64_t la)
{
	return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

#endif
