/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/fuzz/fuzz_ports.c - port and MMIO accesses to every device of a whole machine, with DMA, time and
 * resets.
 *
 * An input is a run of 8-byte steps: what, size, port or place, value.  There are no vCPUs: the fuzzer plays
 * their part.  The clock stands still but for steps that move it, and each step's disk requests are waited
 * for, so that an input does the same each time.
 */
#include "base/bits.h"
#include "monitor/machine/pc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEDIUM_BYTES 1474560u /* a floppy's, and enough for disk and CD-ROM */
#define STEP_BYTES   8
#define STEPS_MAX    512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DO_IN, DO_OUT, DO_READ, DO_WRITE, DO_TIME, DO_RESET, DO_APIC, DO_DMA, DO_ACK, DO_POST, DO_COUNT };

struct rig {
	struct machine_config config;
	struct pc pc;
	bool reset_wanted;
	pthread_mutex_t lock; /* of completed */
	struct image_request *completed;
};

/* Where something answers, in stretches; half of the port accesses go here. */
static const struct {
	uint16_t first, count;
} port_ranges[] = { { 0x00, 0x10 }, { 0x20, 2 }, { 0x40, 4 }, { 0x60, 5 }, { 0x70, 4 }, { 0x80, 0x20 },
	{ 0xa0, 2 }, { 0xb0, 4 }, { 0xc0, 0x20 }, { 0xf0, 2 }, { 0x170, 8 }, { 0x1ce, 4 }, { 0x1f0, 8 },
	{ 0x2f8, 8 }, { 0x376, 2 }, { 0x3b0, 0x30 }, { 0x3f0, 8 }, { 0x3f8, 8 }, { 0x402, 1 }, { 0x4d0, 2 },
	{ 0x510, 12 }, { 0xcf8, 8 }, { 0xb000, 0x40 }, { 0xb100, 0x10 }, { 0xc000, 0x20 }, { 0xe000, 0x20 } };

static const struct {
	uint32_t first, len;
} places[] = { { 0, 0x1000 }, { 0xa0000, 0x20000 }, { 0xc0000, 0x40000 }, { 0xfec00000, 0x1000 },
	{ 0xfed00000, 0x1000 }, { 0xfee00000, 0x1000 }, { 0xfffc0000, 0x40000 }, { 0xe0000000, 0x1000000 },
	{ 0xf0000000, 0x10000 }, { 0x1fff000, 0x2000 } };

static void want_reset(void *opaque)
{
	((struct rig *)opaque)->reset_wanted = true;
}

static void ignore(void *opaque)
{
	(void)opaque;
}

static void ignore_exit(void *opaque, unsigned status)
{
	(void)opaque, (void)status;
}

static void ignore_byte(void *opaque, uint8_t byte)
{
	(void)opaque, (void)byte;
}

static void ignore_signal(void *opaque, unsigned cpu, uint32_t what, bool raise, uint8_t vector)
{
	(void)opaque, (void)cpu, (void)what, (void)raise, (void)vector;
}

static uint64_t no_offset(void *opaque, unsigned cpu)
{
	(void)opaque, (void)cpu;
	return 0;
}

static void ignore_deadline(void *opaque, int64_t deadline)
{
	(void)opaque, (void)deadline;
}

static void ignore_code(void *opaque, uint64_t ram_offset, uint64_t len)
{
	(void)opaque, (void)ram_offset, (void)len;
}

static void deliver(void *opaque, struct image_request *r)
{
	struct rig *rig = opaque;

	pthread_mutex_lock(&rig->lock);
	r->next = rig->completed;
	rig->completed = r;
	pthread_mutex_unlock(&rig->lock);
}

/* Finish what the disks were asked; finishing may ask for more. */
static void finish_requests(struct rig *rig)
{
	struct image_request *r, *next;

	for (unsigned round = 0; round < 64; round++) {
		for (size_t i = 0; i < ARRAY_LEN(rig->pc.images); i++)
			if (rig->pc.images[i])
				image_drain(rig->pc.images[i]);
		pthread_mutex_lock(&rig->lock);
		r = rig->completed;
		rig->completed = NULL;
		pthread_mutex_unlock(&rig->lock);
		if (!r)
			return;
		pthread_mutex_lock(&rig->pc.mem.lock);
		for (; r; r = next) {
			next = r->next;
			image_finish(r);
		}
		pthread_mutex_unlock(&rig->pc.mem.lock);
	}
}

/* A medium nobody else sees: the file is gone once it is open. */
static char *medium(char name[32])
{
	int fd;

	strcpy(name, "/tmp/serai-fuzz-XXXXXX");
	fd = mkstemp(name);
	if (fd < 0 || ftruncate(fd, MEDIUM_BYTES) < 0)
		abort();
	close(fd);
	return name;
}

/* Made at the first input and kept: RAM and firmware tables would be most of the time. */
static struct rig *rig(void)
{
	static struct rig *r;
	static const struct uart_backend *const no_serial[2];
	struct pc_requests ask = { .reset = want_reset,
		.power_off = ignore,
		.exit = ignore_exit,
		.console = ignore_byte,
		.signal = ignore_signal,
		.tsc_offset = no_offset,
		.rearm = ignore_deadline,
		.map_changed = ignore,
		.code_written = ignore_code,
		.deliver = deliver };
	const char *const settings[] = { "memsize=32", "ide0:0.present=TRUE", "ide1:0.present=TRUE",
		"ide1:0.deviceType=cdrom-image", "floppy0.present=TRUE", "serial0.present=FALSE",
		"debug.exitPort=0xf4", "debug.consolePort=0x402" };
	static char names[3][32];
	const char *const keys[] = { "ide0:0.fileName", "ide1:0.fileName", "floppy0.fileName" };
	struct vmx *vmx;
	GError *error = NULL;

	if (r)
		return r;
	log_set_level(LOG_LEVEL_ERROR);
	r = g_new0(struct rig, 1);
	pthread_mutex_init(&r->lock, NULL);
	ask.opaque = r;
	vmx = vmx_new("fuzz");
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (!vmx_override(vmx, settings[i], &error))
			goto bad;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		g_autofree char *text = g_strdup_printf("%s=%s", keys[i], medium(names[i]));

		if (!vmx_override(vmx, text, &error))
			goto bad;
	}
	if (!machine_config_read(&r->config, vmx, &error) ||
		!pc_init(&r->pc, &r->config, &ask, no_serial, &error))
		goto bad;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlink(names[i]);
	vmx_free(vmx);
	return r;
bad:
	fprintf(stderr, "fuzz_ports: %s\n", error->message);
	abort();
}

static void reset(struct rig *r)
{
	finish_requests(r);
	pthread_mutex_lock(&r->pc.mem.lock);
	pc_reset(&r->pc);
	pthread_mutex_unlock(&r->pc.mem.lock);
	r->reset_wanted = false;
}

static uint16_t port_of(uint16_t where)
{
	size_t range = where >> 8 & 0x7f;

	if (where & 0x8000)
		return where;
	range %= ARRAY_LEN(port_ranges);
	return port_ranges[range].first + (where & 0xff) % port_ranges[range].count;
}

static void memory(struct rig *r, bool write, unsigned size, uint16_t where, uint32_t value)
{
	size_t n = (where >> 12) % ARRAY_LEN(places);
	uint64_t gpa = places[n].first + (uint64_t)(where & 0xfff) * (places[n].len / 0x1000);
	struct phys_region region;

	/* A vCPU never asks across a page with one access. */
	if ((gpa & 0xfff) + size > 0x1000)
		gpa &= ~7ull;
	if (!physmap_find(&r->pc.mem, gpa, &region))
		return;
	if (write && region.wr)
		phys_write(&r->pc.mem, gpa, &value, MIN_OF(size, sizeof(value)));
	else if (write)
		phys_io_write(&r->pc.mem, &region, gpa, size, value);
	else
		(void)phys_io_read(&r->pc.mem, &region, gpa, size);
}

static void move_time(struct rig *r, uint32_t value)
{
	pthread_mutex_lock(&r->pc.mem.lock);
	vclock_set_tsc(
		&r->pc.clock, r->pc.clock.tsc_origin + ((uint64_t)(value & 0xffffff) << (value >> 28)));
	timer_run_due(&r->pc.timers);
	pthread_mutex_unlock(&r->pc.mem.lock);
}

static void step(struct rig *r, const uint8_t *s)
{
	static const unsigned sizes[4] = { 1, 2, 4, 1 };
	unsigned size = sizes[s[1] & 3];
	uint16_t where = (uint16_t)le_load(s + 2, 2);
	uint32_t value = (uint32_t)le_load(s + 4, 4);

	switch (s[0] % DO_COUNT) {
	case DO_IN:
		(void)port_read(&r->pc.mem, port_of(where), size);
		break;
	case DO_OUT:
		port_write(&r->pc.mem, port_of(where), size, value);
		break;
	case DO_READ:
	case DO_WRITE:
		memory(r, s[0] % DO_COUNT == DO_WRITE, s[1] & 4 ? 8 : size, where, value);
		break;
	case DO_TIME:
		move_time(r, value);
		break;
	case DO_RESET:
		r->reset_wanted = true;
		break;
	case DO_APIC:
		pthread_mutex_lock(&r->pc.mem.lock);
		lapic_write(&r->pc.lapics, 0, where & 0xff0, value);
		pthread_mutex_unlock(&r->pc.mem.lock);
		break;
	case DO_DMA: /* descriptors for the bus masters, where small addresses find them */
		phys_write(&r->pc.mem, (uint64_t)(where & 0x3fff) * 4, &value, 4);
		break;
	case DO_ACK:
		(void)lapic_vcpu_ack(&r->pc.lapics, 0);
		break;
	case DO_POST:
		(void)pc_post(&r->pc);
		break;
	}
	finish_requests(r);
	if (r->reset_wanted)
		reset(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *r = rig();

	reset(r);
	vclock_set_tsc(&r->pc.clock, 0);
	for (size_t i = 0; i + STEP_BYTES <= size && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES)
		step(r, data + i);
	return 0;
}
