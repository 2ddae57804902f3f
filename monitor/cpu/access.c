/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/cpu/access.h"

#include "monitor/cpu/debug.h"

#include <sys/mman.h>

_Noreturn void cpu_raise(struct vcpu *v, int vector)
{
	v->event = (struct cpu_event){ .vector = (int16_t)vector };
	_longjmp(v->recover, 1);
}

_Noreturn void cpu_raise_error(struct vcpu *v, int vector, uint32_t error)
{
	v->event = (struct cpu_event){ .vector = (int16_t)vector, .has_error = true, .error = error };
	_longjmp(v->recover, 1);
}

_Noreturn void cpu_page_fault(struct vcpu *v, uint64_t la, uint32_t error)
{
	v->s.cr2 = la;
	cpu_raise_error(v, EXC_PF, error);
}

/* Where len bytes within one page lead. */
struct target {
	uint8_t *host; /* NULL: a device or nothing at gpa */
	uint64_t gpa;
};

bool access_has_apic(const struct vcpu *v, uint64_t gpa, uint64_t size)
{
	return (v->s.apic_base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE &&
	       (gpa & ~(size - 1)) == (v->s.apic_base & 0x000ffffffffff000ull & ~(size - 1));
}

static bool is_apic(const struct vcpu *v, uint64_t gpa)
{
	return access_has_apic(v, gpa, PAGE_SIZE);
}

static enum tlb_view view_of(const struct vcpu *v, unsigned access)
{
	if (access & ACC_USER)
		return TLB_USER;
	if (!(v->s.cr4 & CR4_SMAP))
		return TLB_SUPER_OPEN;
	return (access & ACC_IMPLICIT) || !(v->s.rflags & FLAG_AC) ? TLB_SUPER_CLOSED : TLB_SUPER_OPEN;
}

/* May it have a way to write to this page without look-ups?  If so, that is known. */
static bool may_write_freely(struct vcpu *v, const uint8_t *host)
{
	struct ram *ram = v->mem->ram;

	if (!ram_contains(ram, host))
		return true;
	if (v->count > 1)
		ram_note_writer(ram, host, v->index);
	return !ram_kept(ram, host);
}

static struct target translate(struct vcpu *v, uint64_t la, unsigned access)
{
	enum tlb_kind kind = access & ACC_WRITE ? TLB_WRITE : TLB_READ;
	enum tlb_view view = view_of(v, access);
	struct tlb_entry *e = tlb_slot(v, view, kind, la);
	struct target t;
	struct page_walk w;

	if (tlb_hit(e, la, 1))
		return (struct target){ .host = (uint8_t *)(uintptr_t)(la + e->addend) };
	vcpu_count(&v->stats.tlb_misses);
	if (!paging_walk(v, la, access, &w))
		cpu_page_fault(v, la, w.error);
	t.gpa = w.gpa;
	t.host = is_apic(v, w.gpa) ? NULL : phys_host(v, w.gpa, access & ACC_WRITE);
	if (unlikely(v->writes != NULL) && t.host && kind == TLB_WRITE)
		v->writes(v, t.host);
	if (t.host && kind == TLB_WRITE && !may_write_freely(v, t.host))
		return t;
	if (t.host)
		tlb_fill(v, view, kind, la, (uintptr_t)t.host - la, (struct tlb_page){ w.page_size, w.global });
	return t;
}

uint8_t *access_ram(struct vcpu *v, uint64_t la, enum tlb_kind kind, unsigned who, struct page_walk *w)
{
	unsigned access = who | (kind == TLB_WRITE ? ACC_WRITE : 0);
	struct ram *ram = v->mem->ram;
	uint8_t *host;

	if ((v->la_mask == UINT64_MAX && !is_canonical(la)) || !paging_walk(v, la, access, w) || is_apic(v, w->gpa))
		return NULL;
	host = phys_host(v, w->gpa, false);
	if (!host || !ram_contains(ram, host) || (kind == TLB_WRITE && phys_host(v, w->gpa, true) != host))
		return NULL; /* a device, or what is written goes elsewhere */
	if (kind == TLB_WRITE && !may_write_freely(v, host))
		return NULL;
	tlb_fill(v, view_of(v, access), kind, la, (uintptr_t)host - la, (struct tlb_page){ w->page_size, w->global });
	return host;
}

bool access_fill(struct vcpu *v, uint64_t la, enum tlb_kind kind)
{
	unsigned access = (v->cpl == 3 ? ACC_USER : 0) | (kind == TLB_WRITE ? ACC_WRITE : 0);

	if (v->la_mask == UINT64_MAX && !is_canonical(la))
		return false;
	translate(v, la, access);
	return tlb_find(v, kind, la, 1);
}

bool access_fill_softly(struct vcpu *v, uint64_t la, enum tlb_kind kind)
{
	unsigned access = (v->cpl == 3 ? ACC_USER : 0) | (kind == TLB_WRITE ? ACC_WRITE : 0);
	struct page_walk w;

	if ((v->la_mask == UINT64_MAX && !is_canonical(la)) || !paging_walk(v, la, access | ACC_SOFT, &w))
		return false;
	return access_fill(v, la, kind);
}

void lin_written(struct vcpu *v, void *host, unsigned len)
{
	struct ram *ram = v->mem->ram;

	if (!ram_contains(ram, host))
		return;
	if (v->count > 1) /* somebody may begin to keep the page just now */
		atomic_thread_fence(memory_order_seq_cst);
	if (ram_kept(ram, host) && v->code_written)
		v->code_written(v, ram_offset(ram, host), len);
}

/* ---- devices
 * ----------------------------------------------------------------------------------------------------------
 */

static uint64_t apic_access(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value, bool write)
{
	uint32_t off = gpa & 0xffc;
	unsigned shift = 8 * (gpa & 3);

	if (write) {
		if (size >= 4 && !shift)
			v->platform->apic_write(v->platform->opaque, v->index, off, (uint32_t)value);
		return 0;
	}
	return (v->platform->apic_read(v->platform->opaque, v->index, off) >> shift) & bits_mask_bytes(size);
}

static uint64_t device_access(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value, bool write)
{
	struct phys_region r;

	vcpu_count(&v->stats.mmio);
	if (is_apic(v, gpa))
		return apic_access(v, gpa, size, value, write);
	if (!physmap_find(v->mem, gpa, &r))
		return ~0ull & bits_mask_bytes(size);
	if (!write)
		return phys_io_read(v->mem, &r, gpa, size);
	phys_io_write(v->mem, &r, gpa, size, value);
	return 0;
}

/* ---- any access
 * ---------------------------------------------------------------------------------------------------------
 */

static void canonical_or_raise(struct vcpu *v, uint64_t la, unsigned seg)
{
	if (unlikely(v->la_mask == UINT64_MAX && !is_canonical(la)))
		cpu_raise_error(v, seg == S_SS ? EXC_SS : EXC_GP, 0);
}

static unsigned piece_in_page(uint64_t la, unsigned len)
{
	unsigned room = (unsigned)(PAGE_SIZE - (la & (PAGE_SIZE - 1)));

	return MIN_OF(len, room);
}

/* The page after la's: the processor's own accesses are 64 bits wide in compatibility mode too. */
static uint64_t next_page(const struct vcpu *v, uint64_t la, unsigned first)
{
	return v->long_mode && la >> 32 ? la + first : (la + first) & v->la_mask;
}

/* What the whole operand's address must satisfy before any of its pages is looked at. */
static void check_address(struct vcpu *v, uint64_t la, unsigned len, unsigned seg)
{
	if (v->la_mask == UINT64_MAX) {
		canonical_or_raise(v, la, seg);
		canonical_or_raise(v, la + len - 1, seg);
	} else if (unlikely(la + len - 1 > v->la_mask) && v->seg_base[seg] == 0 && !v->cpuid->intel) {
		/* A flat segment ends there; Intel wraps (SDM volume 3A, 5.3 allows both). */
		cpu_raise_error(v, seg == S_SS ? EXC_SS : EXC_GP, 0);
	}
}

/* What goes at once: an access of a natural size whole, even misaligned, as on the bus; others in aligned parts. */
static unsigned part_of(uint64_t la, unsigned len)
{
	unsigned n = 8;

	if (len <= 8 && !(len & (len - 1)))
		return len;
	while (n > len || (la & (n - 1)))
		n /= 2;
	return n;
}

#define OPERAND_MAX 64 /* larger ones are images, and no other processor minds how they are moved */

/* Bytes within one page. */
static void copy_piece(struct vcpu *v, const struct target *t, uint64_t la, uint8_t *buf, unsigned len, bool write)
{
	if (t->host && len > OPERAND_MAX) {
		ram_copy(write ? t->host : buf, write ? buf : t->host, len);
		if (write)
			lin_written(v, t->host, len);
		return;
	}
	for (unsigned done = 0, n; done < len; done += n) {
		uint64_t value;

		n = part_of(la + done, len - done);
		value = write ? le_load(buf + done, n) : 0;
		if (!t->host)
			value = device_access(v, t->gpa + done, n, value, write);
		else if (write)
			ram_store(t->host + done, n, value);
		else
			value = ram_load(t->host + done, n);
		if (!write)
			le_store(buf + done, n, value);
	}
	if (write && t->host)
		lin_written(v, t->host, len);
}

static void copy(struct vcpu *v, uint64_t la, uint8_t *buf, unsigned len, unsigned access)
{
	unsigned first = piece_in_page(la, len);
	struct target t[2];

	t[0] = translate(v, la, access);
	if (first < len)
		t[1] = translate(v, next_page(v, la, first), access);
	copy_piece(v, &t[0], la, buf, first, access & ACC_WRITE);
	if (first < len)
		copy_piece(v, &t[1], 0, buf + first, len - first, access & ACC_WRITE);
}

static unsigned access_now(const struct vcpu *v, bool write)
{
	return (v->cpl == 3 ? ACC_USER : 0) | (write ? ACC_WRITE : 0);
}

/* In the checked view every access comes by here: alignment and watchpoints. */
static void checked_view(struct vcpu *v, uint64_t la, unsigned len, bool write)
{
	bool align = v->cpl == 3 && (v->s.cr0 & CR0_AM) && (v->s.rflags & FLAG_AC);
	/* x87 images are aligned as their items are. */
	unsigned natural = len == 10                 ? 8
			   : len == 28 || len == 108 ? 4
			   : len == 14 || len == 94  ? 2
						     : MIN_OF(len, 16u);

	if (v->cpuid->intel && (len == 16 || len == 32)) /* no #AC for vectors (SDM volume 3A, table 6-7) */
		natural = 1;
	if (align && natural > 1 && !(natural & (natural - 1)) && (la & (natural - 1)))
		cpu_raise_error(v, EXC_AC, 0);
	debug_check_data(v, la, len, write);
}

uint64_t lin_read_slow(struct vcpu *v, uint64_t la, unsigned size, unsigned seg)
{
	uint64_t value = 0;

	lin_read_bytes(v, la, &value, size, seg);
	return value;
}

void lin_write_slow(struct vcpu *v, uint64_t la, unsigned size, uint64_t value, unsigned seg)
{
	lin_write_bytes(v, la, &value, size, seg);
}

void lin_read_bytes(struct vcpu *v, uint64_t la, void *buf, unsigned len, unsigned seg)
{
	check_address(v, la, len, seg);
	if (unlikely(v->view == TLB_CHECKED))
		checked_view(v, la, len, false);
	copy(v, la, buf, len, access_now(v, false));
}

void lin_write_bytes(struct vcpu *v, uint64_t la, const void *buf, unsigned len, unsigned seg)
{
	check_address(v, la, len, seg);
	if (unlikely(v->view == TLB_CHECKED))
		checked_view(v, la, len, true);
	copy(v, la, (uint8_t *)(uintptr_t)buf, len, access_now(v, true));
}

void lin_probe_write(struct vcpu *v, uint64_t la, unsigned len, unsigned seg)
{
	unsigned first = piece_in_page(la, len);

	check_address(v, la, len, seg);
	if (unlikely(v->view == TLB_CHECKED))
		checked_view(v, la, len, true);
	translate(v, la, access_now(v, true));
	if (first < len) {
		translate(v, (la + first) & v->la_mask, access_now(v, true));
	}
}

void *lin_direct(struct vcpu *v, uint64_t la, unsigned len, enum tlb_kind kind, unsigned seg)
{
	if (piece_in_page(la, len) < len)
		return NULL;
	check_address(v, la, len, seg);
	if (unlikely(v->view == TLB_CHECKED))
		checked_view(v, la, len, kind == TLB_WRITE);
	return translate(v, la, access_now(v, kind == TLB_WRITE)).host;
}

/* Both pages once more, one behind the other; NULL: the host has no place for them. */
static uint8_t *side_by_side(struct vcpu *v, uint8_t *const page[2])
{
	struct ram *ram = v->mem->ram;

	if (!v->pair.at) {
		uint8_t *at = mmap(NULL, 2 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (at == MAP_FAILED)
			return NULL;
		v->pair.at = at;
		v->pair.offset[0] = v->pair.offset[1] = UINT64_MAX;
	}
	for (unsigned k = 0; k < 2; k++) {
		uint64_t offset = ram_offset(ram, page[k]) & PAGE_MASK;

		if (v->pair.offset[k] == offset)
			continue;
		v->pair.offset[k] = UINT64_MAX;
		if (mmap(v->pair.at + k * PAGE_SIZE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram->fd,
			    (off_t)offset) == MAP_FAILED)
			return NULL;
		v->pair.offset[k] = offset;
	}
	return v->pair.at;
}

void *lin_straddling(struct vcpu *v, uint64_t la, unsigned len, unsigned seg, void *part[2])
{
	unsigned first = piece_in_page(la, len), access = access_now(v, true);
	struct ram *ram = v->mem->ram;
	uint8_t *host[2], *pair;

	if (first == len)
		return NULL;
	check_address(v, la, len, seg);
	if (unlikely(v->view == TLB_CHECKED))
		checked_view(v, la, len, true);
	host[0] = translate(v, la, access).host;
	host[1] = translate(v, (la + first) & v->la_mask, access).host;
	if (!host[0] || !host[1] || !ram_contains(ram, host[0]) || !ram_contains(ram, host[1]))
		return NULL;
	part[0] = host[0];
	part[1] = host[1];
	if (host[1] == host[0] + first)
		return host[0];
	pair = side_by_side(v, host);
	return pair ? pair + PAGE_SIZE - first : NULL;
}

uint64_t sys_read(struct vcpu *v, uint64_t la, unsigned size)
{
	uint64_t value = 0;

	copy(v, v->long_mode ? la : la & v->la_mask, (uint8_t *)&value, size, ACC_IMPLICIT);
	return value;
}

void sys_write(struct vcpu *v, uint64_t la, unsigned size, uint64_t value)
{
	copy(v, v->long_mode ? la : la & v->la_mask, (uint8_t *)&value, size, ACC_IMPLICIT | ACC_WRITE);
}

uint8_t sys_update(struct vcpu *v, uint64_t la, uint8_t clear, uint8_t set)
{
	struct target t = translate(v, v->long_mode ? la : la & v->la_mask, ACC_IMPLICIT | ACC_WRITE);
	uint8_t old;

	if (!t.host) {
		old = (uint8_t)sys_read(v, la, 1);
		sys_write(v, la, 1, (uint8_t)((old & ~clear) | set));
		return old;
	}
	old = __atomic_load_n(t.host, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(t.host, &old, (uint8_t)((old & ~clear) | set), false, __ATOMIC_SEQ_CST,
		__ATOMIC_RELAXED))
		;
	lin_written(v, t.host, 1);
	return old;
}

void lin_write_as(struct vcpu *v, unsigned cpl, uint64_t la, unsigned size, uint64_t value)
{
	copy(v, la, (uint8_t *)&value, size, ACC_WRITE | (cpl == 3 ? ACC_USER : 0));
}

uint64_t lin_read_as(struct vcpu *v, unsigned cpl, uint64_t la, unsigned size)
{
	uint64_t value = 0;

	copy(v, la, (uint8_t *)&value, size, cpl == 3 ? ACC_USER : 0);
	return value;
}

/* ---- segments
 * --------------------------------------------------------------------------------------------------------------
 */

uint64_t seg_linear_checked(struct vcpu *v, unsigned seg, uint64_t off, unsigned len, bool write)
{
	const struct segment *s = &v->s.seg[seg];
	int vector = seg == S_SS ? EXC_SS : EXC_GP;
	uint64_t last = off + len - 1;

	if (v->code_size == CODE_64)
		return off + v->seg_base[seg];
	if (v->protected_mode && !v->v86) {
		bool code = s->attr & 8;

		if (!(s->attr & SEG_P) || (s->selector & ~3u) == 0)
			cpu_raise_error(v, vector, 0);
		/* Code: never writable, readable by bit 1; data: writable by bit 1. */
		if (code ? write || !(s->attr & 2) : write && !(s->attr & 2))
			cpu_raise_error(v, vector, 0);
	}
	if ((s->attr & 0x1c) == 0x14 && !v->v86 && v->protected_mode) { /* expand down */
		uint64_t top = s->attr & SEG_DB ? 0xffffffffu : 0xffffu;

		if (off <= s->limit || last > top)
			cpu_raise_error(v, vector, 0);
	} else if (last > s->limit && !(s->limit == 0xffffffffu && s->base == 0 && v->cpuid->intel)) {
		cpu_raise_error(v, vector, 0); /* past a flat segment's end Intel wraps: check_address */
	}
	return (s->base + off) & 0xffffffffu;
}
