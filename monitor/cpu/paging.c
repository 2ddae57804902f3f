/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/cpu/paging.h"

#include "monitor/cpu/arch.h"

#include "base/bits.h"

uint8_t *phys_host(struct vcpu *v, uint64_t gpa, bool write)
{
	struct phys_region *c = &v->region_cache;
	uint32_t seq = atomic_load_explicit(&v->mem->seq, memory_order_acquire);
	uint8_t *host;

	if (unlikely(v->region_cache_seq != seq || gpa - c->gpa >= c->size)) {
		if (!physmap_find(v->mem, gpa, c)) {
			c->size = 0;
			return NULL;
		}
		v->region_cache_seq = seq;
	}
	host = write ? c->wr : c->rd;
	return host ? host + (gpa - c->gpa) : NULL;
}

/* One entry of 4 or 8 bytes; what lies in no memory reads as not present. */
static uint64_t entry_read(struct vcpu *v, uint64_t gpa, unsigned size)
{
	uint8_t *p = phys_host(v, gpa, false);

	if (!p)
		return 0;
	return size == 8 ? __atomic_load_n((uint64_t *)p, __ATOMIC_ACQUIRE)
			 : __atomic_load_n((uint32_t *)p, __ATOMIC_ACQUIRE);
}

/* Set bits in an entry unless it changed meanwhile; false: walk again. */
static bool entry_mark(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t old, uint64_t bits)
{
	uint8_t *p = phys_host(v, gpa, true);

	/* Writes that go elsewhere than reads (ROM over RAM) would never be seen in the entry. */
	if ((old & bits) == bits || !p || p != phys_host(v, gpa, false))
		return true;
	if (unlikely(v->writes != NULL))
		v->writes(v, p);
	if (size == 8)
		return __atomic_compare_exchange_n(
			(uint64_t *)p, &old, old | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	uint32_t old32 = (uint32_t)old;

	return __atomic_compare_exchange_n(
		(uint32_t *)p, &old32, old32 | (uint32_t)bits, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* What one paging mode looks like: levels, entry size, index bits. */
struct paging_mode {
	unsigned levels, entry, index_bits;
};

static const struct paging_mode mode_32 = { 2, 4, 10 };
static const struct paging_mode mode_pae = { 3, 8, 9 };
static const struct paging_mode mode_64 = { 4, 8, 9 };

/* Bits that must be zero in an 8-byte entry at this level (0: leaf table). */
static uint64_t reserved_bits(const struct vcpu *v, unsigned level, bool large, const struct paging_mode *m)
{
	uint64_t r = bits_put(0, 51, v->phys_bits, ~0ull);

	if (m->levels == 3) {
		r |= 0x7ff0000000000000ull;
		if (level == 2)
			return r | PTE_NX | 0x1e6;
	}
	if (!(v->s.efer & EFER_NXE))
		r |= PTE_NX;
	if (level == 3)
		r |= PTE_PS;
	if (large)
		r |= bits_put(0, 12 + 9 * level - 1, 13, ~0ull);
	return r;
}

/* PSE-36 uses bits 20..13 of a 4 MiB entry for address bits 39..32; bit 21 must be 0. */
#define PDE_PSE_RESERVED (1ull << 21)

static uint64_t large_address_32(uint64_t e)
{
	return (e & 0xffc00000u) | bits_get(e, 20, 13) << 32;
}

/* The rights collected on the way down against the access; 0 or the error code's cause bits. */
static bool access_allowed(const struct vcpu *v, unsigned access, bool user_page, bool writable, bool no_exec)
{
	if (access & ACC_PEEK)
		return true;
	if (access & ACC_USER) {
		if (!user_page || ((access & ACC_WRITE) && !writable))
			return false;
	} else {
		if ((access & ACC_WRITE) && !writable && (v->s.cr0 & CR0_WP))
			return false;
		if (user_page && (access & ACC_FETCH) && (v->s.cr4 & CR4_SMEP))
			return false;
		if (user_page && !(access & ACC_FETCH) && (v->s.cr4 & CR4_SMAP) &&
			((access & ACC_IMPLICIT) || !(v->s.rflags & FLAG_AC)))
			return false;
	}
	return !((access & ACC_FETCH) && no_exec);
}

static uint32_t error_code(const struct vcpu *v, unsigned access, uint32_t cause)
{
	uint32_t e = cause;

	if (access & ACC_WRITE)
		e |= PF_WRITE;
	if (access & ACC_USER)
		e |= PF_USER;
	if ((access & ACC_FETCH) &&
		(((v->s.cr4 & CR4_PAE) && (v->s.efer & EFER_NXE)) || (v->s.cr4 & CR4_SMEP)))
		e |= PF_FETCH;
	return e;
}

enum walk_result { WALK_DONE, WALK_FAULT, WALK_AGAIN };

static bool entry_is_large(const struct vcpu *v, const struct paging_mode *m, unsigned level, uint64_t e)
{
	if (level == 0 || !(e & PTE_PS))
		return false;
	if (m->levels == 2)
		return v->s.cr4 & CR4_PSE;
	return level == 1 || (level == 2 && m->levels == 4);
}

/* Bits that this access must set in a leaf are not there. */
static bool lacks(uint64_t e, unsigned access)
{
	uint64_t bits = PTE_A | (access & ACC_WRITE ? PTE_D : 0);

	return (e & bits) != bits;
}

static enum walk_result walk_once(
	struct vcpu *v, const struct paging_mode *m, uint64_t la, unsigned access, struct page_walk *w)
{
	uint64_t table = v->s.cr3 & (m->levels == 4          ? 0x000ffffffffff000ull
					    : m->levels == 3 ? 0xffffffe0ull
							     : 0xfffff000ull);
	bool user_page = true, writable = true, no_exec = false;

	for (unsigned level = m->levels - 1;; level--) {
		unsigned shift = 12 + m->index_bits * level;
		bool pdpte = m->levels == 3 && level == 2;
		unsigned top = pdpte ? 31 : shift + m->index_bits - 1;
		uint64_t at = table + bits_get(la, top, shift) * m->entry;
		uint64_t e = entry_read(v, at, m->entry);
		bool large;

		if (!(e & PTE_P)) {
			w->error = error_code(v, access, 0);
			return WALK_FAULT;
		}
		large = entry_is_large(v, m, level, e);
		if (m->entry == 8 ? e & reserved_bits(v, level, large, m) : large && (e & PDE_PSE_RESERVED)) {
			w->error = error_code(v, access, PF_PRESENT | PF_RSVD);
			return WALK_FAULT;
		}
		if (!pdpte) {
			user_page &= !!(e & PTE_U);
			writable &= !!(e & PTE_W);
			no_exec |= m->entry == 8 && (v->s.efer & EFER_NXE) && (e & PTE_NX);
		}
		if (level == 0 || large) {
			if (!access_allowed(v, access, user_page, writable, no_exec)) {
				w->error = error_code(v, access, PF_PRESENT);
				return WALK_FAULT;
			}
			if ((access & ACC_SOFT) && lacks(e, access))
				return WALK_FAULT;
			if (!(access & ACC_PEEK) &&
				!entry_mark(v, at, m->entry, e, PTE_A | (access & ACC_WRITE ? PTE_D : 0)))
				return WALK_AGAIN;
			w->page_size = 1ull << shift;
			w->writable = writable || (!(access & ACC_USER) && !(v->s.cr0 & CR0_WP));
			w->global = (e & PTE_G) && (v->s.cr4 & CR4_PGE);
			table = m->levels == 2 && large ? large_address_32(e) : e & 0x000ffffffffff000ull;
			w->gpa = (table & ~(w->page_size - 1)) | (la & (w->page_size - 1));
			return WALK_DONE;
		}
		if ((access & ACC_SOFT) && !pdpte && !(e & PTE_A))
			return WALK_FAULT;
		if (!pdpte && !(access & ACC_PEEK) && !entry_mark(v, at, m->entry, e, PTE_A))
			return WALK_AGAIN;
		table = e & (m->entry == 8 ? 0x000ffffffffff000ull : 0xfffff000ull);
	}
}

bool paging_walk(struct vcpu *v, uint64_t la, unsigned access, struct page_walk *w)
{
	const struct paging_mode *m = v->s.efer & EFER_LMA ? &mode_64
				      : v->s.cr4 & CR4_PAE ? &mode_pae
							   : &mode_32;
	uint64_t a20 = atomic_load_explicit(&v->mem->a20_mask, memory_order_relaxed);
	enum walk_result r;

	if (!(v->s.cr0 & CR0_PG)) {
		w->gpa = la & 0xffffffffu & a20;
		w->page_size = PAGE_SIZE;
		w->global = false;
		w->writable = true;
		return true;
	}
	do
		r = walk_once(v, m, la, access, w);
	while (r == WALK_AGAIN);
	w->gpa &= a20;
	return r == WALK_DONE;
}

bool paging_pdptes_valid(struct vcpu *v, uint64_t cr3)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t e = entry_read(v, (cr3 & 0xffffffe0u) + 8 * i, 8);

		if ((e & PTE_P) && (e & reserved_bits(v, 2, false, &mode_pae)))
			return false;
	}
	return true;
}
