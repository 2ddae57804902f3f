/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/mem/physmap.c - regions, their flat view, DMA, and vCPU accesses to memory-mapped devices.
 *
 * The flat view is rebuilt whole at each change: changes are rare, look-ups are not.  Ends are kept
 * inclusive, so that a region may reach 2^64 - 1.
 */
#include "base/bits.h"
#include "monitor/mem/physmap.h"

#include <stdlib.h>

static uint64_t last_of(const struct phys_region *r)
{
	return r->gpa + (r->size - 1);
}

void physmap_init(struct physmap *m, struct ram *ram)
{
	pthread_mutexattr_t attr;

	memset(m, 0, sizeof(*m));
	m->ram = ram;
	atomic_init(&m->a20_mask, UINT64_MAX);
	/* Error-checking, so that a device callback that comes back here is refused instead of hanging. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&m->lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

void physmap_destroy(struct physmap *m)
{
	pthread_mutex_destroy(&m->lock);
}

/* ---- the flat view ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Who answers at gpa by the registered table: highest priority, then the later handle. */
static const struct phys_region *winner(const struct physmap *m, uint64_t gpa)
{
	const struct phys_region *best = NULL;

	for (unsigned i = 0; i < PHYSMAP_REGIONS; i++) {
		const struct phys_region *r = &m->map[i];

		if (!r->size || gpa < r->gpa || gpa > last_of(r))
			continue;
		if (!best || r->priority >= best->priority)
			best = r;
	}
	return best;
}

/* The part from..last of region r; its origin stays, so a device sees the same offsets. */
static struct phys_region slice(const struct phys_region *r, uint64_t from, uint64_t last)
{
	struct phys_region part = *r;

	part.gpa = from;
	part.size = last - from + 1;
	if (part.rd)
		part.rd += from - r->gpa;
	if (part.wr)
		part.wr += from - r->gpa;
	return part;
}

static void rebuild(struct physmap *m)
{
	uint64_t edge[PHYSMAP_REGIONS * 2];
	const struct phys_region *before = NULL;
	unsigned edges = 0, n = 0;

	for (unsigned i = 0; i < PHYSMAP_REGIONS; i++) {
		const struct phys_region *r = &m->map[i];

		if (!r->size)
			continue;
		edge[edges++] = r->gpa;
		if (last_of(r) != UINT64_MAX)
			edge[edges++] = last_of(r) + 1;
	}
	qsort(edge, edges, sizeof(edge[0]), by_value);

	atomic_fetch_add_explicit(&m->seq, 1, memory_order_acq_rel);
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < edges; i++) {
		uint64_t last = i + 1 < edges ? edge[i + 1] - 1 : UINT64_MAX;
		const struct phys_region *r;

		if (i + 1 < edges && edge[i + 1] == edge[i])
			continue;
		r = winner(m, edge[i]);
		if (r && r == before)
			m->flat[n - 1].size += last - edge[i] + 1;
		else if (r)
			m->flat[n++] = slice(r, edge[i], last);
		before = r;
	}
	m->flat_count = n;
	atomic_fetch_add_explicit(&m->seq, 1, memory_order_release);
}

void physmap_set_a20(struct physmap *m, bool open)
{
	uint64_t mask = open ? UINT64_MAX : ~(1ull << 20);

	if (atomic_exchange(&m->a20_mask, mask) != mask && m->changed)
		m->changed(m->hook_opaque);
}

static void map_changed(struct physmap *m)
{
	m->stale = true;
	if (m->batch)
		return;
	m->stale = false;
	rebuild(m);
	if (m->changed)
		m->changed(m->hook_opaque);
}

void physmap_begin(struct physmap *m)
{
	m->batch++;
}

void physmap_commit(struct physmap *m)
{
	if (m->batch && --m->batch == 0 && m->stale)
		map_changed(m);
}

static bool region_ok(const struct phys_region *r)
{
	return !((r->gpa | r->size) & ~PAGE_MASK) && (r->size == 0 || r->gpa <= UINT64_MAX - (r->size - 1));
}

/* Free slots have size 0 and no name; hidden regions keep theirs. */
int physmap_add(struct physmap *m, const struct phys_region *region)
{
	if (!region_ok(region))
		return -1;
	for (int i = 0; i < PHYSMAP_REGIONS; i++) {
		if (m->map[i].size || m->map[i].name)
			continue;
		m->map[i] = *region;
		m->map[i].origin = region->gpa;
		if (!region->name)
			m->map[i].name = "";
		map_changed(m);
		return i;
	}
	return -1;
}

void physmap_update(struct physmap *m, int handle, const struct phys_region *region)
{
	if (handle < 0 || handle >= PHYSMAP_REGIONS || !region_ok(region))
		return;
	m->map[handle] = *region;
	m->map[handle].origin = region->gpa;
	if (!region->name)
		m->map[handle].name = "";
	map_changed(m);
}

void physmap_remove(struct physmap *m, int handle)
{
	if (handle < 0 || handle >= PHYSMAP_REGIONS)
		return;
	m->map[handle] = (struct phys_region){ 0 };
	map_changed(m);
}

/* ---- look-up ------------------------------------------------------------------------------------ */

/* Index of the first flat region that ends at or after gpa; flat_count when none does. */
static unsigned flat_search(const struct physmap *m, uint64_t gpa)
{
	unsigned lo = 0, hi = MIN_OF(m->flat_count, (unsigned)ARRAY_LEN(m->flat));

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (last_of(&m->flat[mid]) < gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* As physmap_find; when nobody answers *out starts at the next region, or has size 0 when there is none. */
static bool find_or_next(struct physmap *m, uint64_t gpa, struct phys_region *out)
{
	for (;;) {
		uint32_t seq = atomic_load_explicit(&m->seq, memory_order_acquire);
		unsigned i = flat_search(m, gpa);

		if (i < m->flat_count && i < ARRAY_LEN(m->flat))
			*out = m->flat[i];
		else
			*out = (struct phys_region){ 0 };
		atomic_thread_fence(memory_order_acquire);
		if (likely(!(seq & 1) && atomic_load_explicit(&m->seq, memory_order_relaxed) == seq))
			return out->size && gpa >= out->gpa;
	}
}

bool physmap_find(struct physmap *m, uint64_t gpa, struct phys_region *out)
{
	return find_or_next(m, gpa, out);
}

/* ---- DMA ---------------------------------------------------------------------------------------- */

/* Bytes from gpa on that one region, or one hole, answers for: at most len. *r has no memory in a hole. */
static uint64_t dma_step(struct physmap *m, uint64_t gpa, uint64_t len, struct phys_region *r)
{
	uint64_t room; /* minus one: a hole may be 2^64 bytes */

	if (find_or_next(m, gpa, r)) {
		room = last_of(r) - gpa;
	} else {
		room = (r->size ? r->gpa - 1 : UINT64_MAX) - gpa;
		r->rd = r->wr = NULL;
	}
	return len - 1 > room ? room + 1 : len;
}

/* Naturally sized accesses are single ones, as descriptors shared with a running guest need. */
static void copy(void *to, const void *from, uint64_t n)
{
	if (n <= 8 && !(n & (n - 1)))
		ram_store(to, (unsigned)n, ram_load(from, (unsigned)n));
	else
		memcpy(to, from, n);
}

/* After the bytes are in place: tell about every page that code was made from. */
static void note_code(struct physmap *m, const uint8_t *hva, uint64_t len)
{
	uint64_t at, end;

	if (!m->ram || !ram_contains(m->ram, hva))
		return;
	/* Pairs with the engine, which sets the flag and then reads the page. */
	atomic_thread_fence(memory_order_seq_cst);
	at = ram_offset(m->ram, hva);
	end = MIN_OF(at + len, m->ram->size);
	while (at < end) {
		uint64_t stop = MIN_OF((at & PAGE_MASK) + PAGE_SIZE, end);

		if (ram_kept(m->ram, m->ram->base + at) && m->code_written)
			m->code_written(m->hook_opaque, at, stop - at);
		at = stop;
	}
}

void phys_read(struct physmap *m, uint64_t gpa, void *buf, uint64_t len)
{
	uint8_t *p = buf;

	while (len) {
		struct phys_region r;
		uint64_t n = dma_step(m, gpa, len, &r);

		if (r.rd)
			copy(p, r.rd + (gpa - r.gpa), n);
		else
			memset(p, 0xff, n);
		p += n;
		len -= n;
		gpa += n;
		if (!gpa) { /* past 2^64 - 1 lies nothing */
			memset(p, 0xff, len);
			return;
		}
	}
}

void phys_write(struct physmap *m, uint64_t gpa, const void *buf, uint64_t len)
{
	const uint8_t *p = buf;

	while (len) {
		struct phys_region r;
		uint64_t n = dma_step(m, gpa, len, &r);

		if (r.wr) {
			if (unlikely(m->dma != NULL))
				m->dma(m->dma_opaque, r.wr + (gpa - r.gpa), p, n);
			copy(r.wr + (gpa - r.gpa), p, n);
			note_code(m, r.wr + (gpa - r.gpa), n);
		}
		p += n;
		len -= n;
		gpa += n;
		if (!gpa)
			return;
	}
}

/* ---- vCPU accesses to devices ------------------------------------------------------------------- */

uint64_t phys_io_read(struct physmap *m, const struct phys_region *r, uint64_t gpa, unsigned size)
{
	uint64_t v;

	if (!r->ops || !r->ops->read || gpa < r->gpa || !range_fits(gpa - r->gpa, size, r->size))
		return bits_mask_bytes(size);
	if (pthread_mutex_lock(&m->lock) != 0)
		return bits_mask_bytes(size);
	m->in_device = true;
	v = r->ops->read(r->opaque, gpa - r->origin, size);
	m->in_device = false;
	pthread_mutex_unlock(&m->lock);
	return v & bits_mask_bytes(size);
}

void phys_io_write(
	struct physmap *m, const struct phys_region *r, uint64_t gpa, unsigned size, uint64_t value)
{
	if (!r->ops || !r->ops->write || gpa < r->gpa || !range_fits(gpa - r->gpa, size, r->size))
		return;
	if (pthread_mutex_lock(&m->lock) != 0)
		return;
	m->in_device = true;
	r->ops->write(r->opaque, gpa - r->origin, size, value & bits_mask_bytes(size));
	m->in_device = false;
	pthread_mutex_unlock(&m->lock);
}
