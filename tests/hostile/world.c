/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/hostile/world.c - build the walls, and look at them.
 */
#include "tests/hostile/world.h"

#include "monitor/cpu/arch.h"

#include <asm/prctl.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WALL (16u << 20) /* of no access, on both sides of guest RAM */

/* Nothing is mapped there, or for reading only. */
static bool forbidden(unsigned page)
{
	if (page >= PAGE_MORE && page < PAGE_FLAKY)
		return page % 4 == 3;
	return page >= PAGE_HOLE && page < PAGE_MORE;
}

/* The same on every look, different from byte to byte. */
static uint8_t pattern(size_t i)
{
	return (uint8_t)(0xa5 ^ i ^ i >> 8);
}

static void paint(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern(i);
}

static bool painted(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern(i))
			return false;
	return true;
}

/* ---- the platform: answers are noise
 * ----------------------------------------------------------------------- */

static int ack_interrupt(void *opaque, unsigned cpu)
{
	struct world *w = opaque;

	vcpu_lower(&w->v[cpu], VCPU_INTR);
	atomic_fetch_add(&w->interrupts, 1);
	return rng_percent(&w->rng[cpu], 10) ? -1 : (int)rng_below(&w->rng[cpu], 256);
}

static uint32_t apic_read(void *opaque, unsigned cpu, uint32_t off)
{
	struct world *w = opaque;

	return (void)off, (uint32_t)rng_u64(&w->rng[cpu]);
}

static void apic_write(void *opaque, unsigned cpu, uint32_t off, uint32_t value)
{
	(void)opaque, (void)cpu, (void)off, (void)value;
}

static bool apic_msr_read(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value)
{
	struct world *w = opaque;

	(void)msr;
	*value = rng_u64(&w->rng[cpu]);
	return rng_percent(&w->rng[cpu], 80);
}

static bool apic_msr_write(void *opaque, unsigned cpu, uint32_t msr, uint64_t value)
{
	struct world *w = opaque;

	return (void)msr, (void)value, rng_percent(&w->rng[cpu], 80);
}

static unsigned tpr_read(void *opaque, unsigned cpu)
{
	struct world *w = opaque;

	return rng_below(&w->rng[cpu], 16);
}

static void tpr_write(void *opaque, unsigned cpu, unsigned priority)
{
	(void)opaque, (void)cpu, (void)priority;
}

static bool backdoor(void *opaque, unsigned cpu, uint64_t gpr[16])
{
	struct world *w = opaque;

	gpr[R_AX] = (uint32_t)rng_u64(&w->rng[cpu]);
	return rng_percent(&w->rng[cpu], 50);
}

/* A device is written and read under the device lock. */
static uint64_t device_read(void *opaque, uint64_t off, unsigned size)
{
	struct world *w = opaque;

	(void)off;
	return rng_u64(&w->device_rng) >> (64 - 8 * size);
}

/* Some writes ask for something, as devices' do. */
static void device_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct world *w = opaque;

	(void)off, (void)size;
	if (value % 16 == 3)
		vcpu_raise(&w->v[value / 16 % w->cpus], VCPU_INTR);
}

static const struct io_ops device_ops = { device_read, device_write };

/* ---- the walls
 * --------------------------------------------------------------------------------------------- */

/* To a place with nothing on either side. */
static bool wall_in(struct ram *ram, GError **error)
{
	uint8_t *around = mmap(
		NULL, ram->size + 2 * WALL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *at;

	if (around == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "room for guest RAM");
	at = mmap(around + WALL, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram->fd, 0);
	if (at == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "guest RAM");
	munmap(ram->base, ram->size);
	ram->base = at;
	return true;
}

static int add_pages(struct world *w, unsigned page, unsigned count, bool writable)
{
	uint8_t *at = w->ram.base + GPA(page);

	return physmap_add(&w->mem, &(struct phys_region){ .gpa = GPA(page),
					    .size = GPA(count),
					    .rd = at,
					    .wr = writable ? at : NULL,
					    .name = "ram" });
}

static void code_written(void *opaque, uint64_t ram_offset, uint64_t len)
{
	struct world *w = opaque;

	w->v[0].engine->invalidate(&w->v[0], ram_offset, len);
}

static void map_changed(void *opaque)
{
	struct world *w = opaque;

	for (unsigned n = 0; n < w->cpus; n++)
		vcpu_raise(&w->v[n], VCPU_FLUSH);
}

static void build_map(struct world *w)
{
	physmap_init(&w->mem, &w->ram);
	add_pages(w, 0, PAGE_HOLE, true);
	add_pages(w, PAGE_ROM, ROM_PAGES, false);
	for (unsigned i = PAGE_MORE; i < PAGE_FLAKY; i += 4)
		add_pages(w, i, 3, true);
	w->flaky = add_pages(w, PAGE_FLAKY, RAM_PAGES - PAGE_FLAKY, true);
	physmap_add(&w->mem, &(struct phys_region){ .gpa = DEVICE_BASE,
				     .size = DEVICE_BYTES,
				     .ops = &device_ops,
				     .opaque = w,
				     .name = "device" });
	port_add(&w->mem,
		&(struct port_range){
			.port = 0x40, .count = 0x40, .ops = &device_ops, .opaque = w, .name = "device" });
	w->mem.changed = map_changed;
	w->mem.code_written = code_written;
	w->mem.hook_opaque = w;
}

static void build_vcpus(struct world *w, const struct vclock *clock)
{
	struct cpu_options options = { .vcpus = w->cpus, .cores_per_socket = 1, .tsc_khz = clock->tsc_khz };

	w->clock = *clock;
	w->platform = (struct vcpu_platform){ .opaque = w,
		.ack_interrupt = ack_interrupt,
		.apic_read = apic_read,
		.apic_write = apic_write,
		.apic_msr_read = apic_msr_read,
		.apic_msr_write = apic_msr_write,
		.tpr_read = tpr_read,
		.tpr_write = tpr_write,
		.backdoor = backdoor };
	for (unsigned n = 0; n < w->cpus; n++) {
		struct vcpu *v = &w->v[n];

		cpuid_build(&w->cpuid, &v->arch_capabilities, &v->phys_bits, &options);
		v->mem = &w->mem;
		v->clock = &w->clock;
		v->cpuid = &w->cpuid;
		v->platform = &w->platform;
		v->index = n;
		v->count = w->cpus;
		v->first = w->v;
	}
}

struct world *world_new(
	const char *engine, unsigned cpus, const struct vclock *clock, uint64_t seed, GError **error)
{
	const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
	size_t size = (sizeof(struct world) + PAGE_SIZE - 1) & PAGE_MASK;
	uint8_t *around = mmap(NULL, size + 2 * PAGE_SIZE, PROT_NONE, anonymous, -1, 0);
	struct world *w;

	if (around == MAP_FAILED || mprotect(around + PAGE_SIZE, size, PROT_READ | PROT_WRITE) < 0) {
		fail_errno(error, SERAI_ERROR_HOST, errno, "room for the vCPUs");
		return NULL;
	}
	w = (struct world *)(void *)(around + PAGE_SIZE);
	w->cpus = cpus;
	for (unsigned n = 0; n < cpus; n++)
		w->rng[n] = rng_for(seed, 1 + n);
	w->device_rng = rng_for(seed, 1 + cpus);
	paint(w->canary0, CANARY);
	paint(w->canary1, CANARY);
	paint(w->canary2, CANARY);
	paint(w->canary3, CANARY);
	if (!ram_create(&w->ram, GPA(RAM_PAGES), error) || !wall_in(&w->ram, error))
		return NULL;
	for (unsigned i = 0; i < RAM_PAGES; i++)
		if (forbidden(i))
			paint(w->ram.base + GPA(i), PAGE_SIZE);
	build_map(w);
	build_vcpus(w, clock);
	for (unsigned n = 0; n < cpus; n++) {
		w->v[n].engine = engine_by_name(engine);
		if (!w->v[n].engine) {
			fail(error, SERAI_ERROR_CONFIG, "no engine '%s'", engine);
			return NULL;
		}
		if (!vcpu_create(&w->v[n], error) || !w->v[n].engine->create(&w->v[n], error))
			return NULL;
	}
	return w;
}

void world_free(struct world *w)
{
	uint8_t *base = w->ram.base;
	size_t size = (sizeof(struct world) + PAGE_SIZE - 1) & PAGE_MASK;

	for (unsigned n = 0; n < w->cpus; n++) {
		w->v[n].engine->destroy(&w->v[n]);
		vcpu_destroy(&w->v[n]);
	}
	physmap_destroy(&w->mem);
	ram_destroy(&w->ram);
	munmap(base - WALL, WALL);
	munmap(base + GPA(RAM_PAGES), WALL);
	munmap((uint8_t *)w - PAGE_SIZE, size + 2 * PAGE_SIZE);
}

/* What the rest of the program takes for granted when the engine comes back. */
static const char *check_host_state(void)
{
	struct {
		uint32_t control, status, tags, rest[4];
	} x87;
	unsigned long gs = 0;

	if ((__builtin_ia32_stmxcsr() & ~0x3fu) != 0x1f80)
		return "MXCSR is not the host's";
	__asm__ volatile("fnstenv %0\n\tfldenv %0" : "+m"(x87));
	if ((x87.control & 0xffff) != 0x37f)
		return "the x87 control word is not the host's";
	if ((x87.tags & 0xffff) != 0xffff)
		return "x87 registers are in use";
	if (__builtin_ia32_readeflags_u64() & (FLAG_DF | FLAG_AC | FLAG_NT))
		return "the host's flags were changed";
	if (syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) != 0 || gs)
		return "the GS base is not the host's";
	return NULL;
}

const char *world_check(const struct world *w)
{
	if (!painted(w->canary0, CANARY) || !painted(w->canary1, CANARY) || !painted(w->canary2, CANARY) ||
		!painted(w->canary3, CANARY))
		return "memory beside the vCPUs was written";
	for (unsigned i = 0; i < RAM_PAGES; i++)
		if (forbidden(i) && !painted(w->ram.base + GPA(i), PAGE_SIZE))
			return i >= PAGE_ROM && i < PAGE_MORE
				       ? "read-only memory was written"
				       : "RAM that no guest-physical address leads to was written";
	for (unsigned n = 0; n < w->cpus; n++) {
		const struct vcpu *v = &w->v[n];

		if (v->s.zero)
			return "the register that is always 0 is not";
		if (v->mem != &w->mem || v->clock != &w->clock || v->cpuid != &w->cpuid || v->platform != &w->platform ||
			v->index != n || v->count != w->cpus || v->first != w->v)
			return "a vCPU's wiring was written";
		if (v->cpl > 3 || v->code_size > CODE_64)
			return "a vCPU's mode makes no sense";
	}
	return check_host_state();
}
