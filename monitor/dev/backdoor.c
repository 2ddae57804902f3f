/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/backdoor.c - VMware's backdoor commands that stock kernels ask for.
 *
 *   in:  EAX = magic, EBX = argument, CX = command, DX = port
 *   out: EAX, EBX, ECX, EDX (some commands ESI, EDI); the upper halves of the 64-bit registers are cleared
 *
 * Not here: GuestRPC (command 30 and the high-bandwidth port), the absolute pointer (39..41).
 */
#include "monitor/dev/backdoor.h"

#include "base/bits.h"

#include <time.h>

/* As in vcpu.h's general registers, which is not for devices. */
enum { AX = 0, CX = 1, DX = 2, BX = 3, SI = 6, DI = 7 };

#define VERSION             6
#define PRODUCT_WORKSTATION 4
#define VCPU_LEGACY_X2APIC  (1u << 3)
#define MAX_TIME_LAG_US     1000000u
#define UNSUPPORTED         0xffffffffu

static void get_mhz(const struct backdoor *b, uint64_t *r)
{
	r[AX] = (uint32_t)(b->tsc_khz / 1000);
}

static void get_version(const struct backdoor *b, uint64_t *r)
{
	(void)b;
	r[AX] = VERSION;
	r[BX] = BACKDOOR_MAGIC;
	r[CX] = PRODUCT_WORKSTATION;
}

static void get_uuid(const struct backdoor *b, uint64_t *r)
{
	r[AX] = le_load(b->uuid, 4);
	r[BX] = le_load(b->uuid + 4, 4);
	r[CX] = le_load(b->uuid + 8, 4);
	r[DX] = le_load(b->uuid + 12, 4);
}

static void get_memory(const struct backdoor *b, uint64_t *r)
{
	r[AX] = (uint32_t)(b->ram_bytes >> 20);
}

/* Wall clock of the guest in microseconds since 1970. */
static int64_t wall_us(const struct backdoor *b)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (t.tv_sec * 1000000000ll + t.tv_nsec + b->time_offset) / 1000;
}

static void get_time(const struct backdoor *b, uint64_t *r)
{
	int64_t us = wall_us(b);

	r[AX] = (uint32_t)(us / 1000000);
	r[BX] = (uint32_t)(us % 1000000);
	r[CX] = MAX_TIME_LAG_US;
	r[DX] = 0; /* minutes west of Greenwich: the clock is UTC */
}

static void get_time_full(const struct backdoor *b, uint64_t *r)
{
	int64_t us = wall_us(b);

	r[AX] = BACKDOOR_MAGIC;
	r[SI] = (uint32_t)((uint64_t)(us / 1000000) >> 32);
	r[DX] = (uint32_t)(us / 1000000);
	r[BX] = (uint32_t)(us % 1000000);
	r[CX] = MAX_TIME_LAG_US;
}

static void get_hz(const struct backdoor *b, uint64_t *r)
{
	uint64_t hz = b->tsc_khz * 1000;

	r[AX] = (uint32_t)hz;
	r[BX] = (uint32_t)(hz >> 32);
	r[CX] = (uint32_t)b->apic_hz;
}

static void get_vcpu_info(const struct backdoor *b, uint64_t *r)
{
	r[AX] = b->x2apic ? VCPU_LEGACY_X2APIC : 0;
}

static const struct {
	uint16_t command;
	void (*answer)(const struct backdoor *b, uint64_t *r);
} commands[] = {
	{ 1, get_mhz },
	{ 10, get_version },
	{ 19, get_uuid },
	{ 20, get_memory },
	{ 23, get_time },
	{ 45, get_hz },
	{ 46, get_time_full },
	{ 68, get_vcpu_info },
};

bool backdoor_call(const struct backdoor *b, unsigned cpu, uint64_t gpr[16])
{
	uint16_t command = (uint16_t)gpr[CX];

	(void)cpu;
	if ((uint32_t)gpr[AX] != BACKDOOR_MAGIC)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (commands[i].command == command) {
			commands[i].answer(b, gpr);
			return true;
		}
	}
	gpr[AX] = gpr[BX] = UNSUPPORTED;
	return true;
}
