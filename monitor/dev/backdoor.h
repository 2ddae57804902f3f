/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/backdoor.h - VMware's backdoor: commands to the hypervisor through IN EAX,DX on port 0x5658.
 *
 * It stands behind vcpu_platform.backdoor, not in the port table, because it changes general registers.
 *
 * Threads: backdoor_call on any vCPU's thread without the device lock: what it reads never changes after
 * init. Theory:  the open-vm-tools sources' backdoor_def.h names the commands.
 */
#ifndef SERAI_MONITOR_DEV_BACKDOOR_H
#define SERAI_MONITOR_DEV_BACKDOOR_H

#include "base/vclock.h"

#define BACKDOOR_MAGIC 0x564d5868u
#define BACKDOOR_PORT  0x5658u

struct backdoor {
	const struct vclock *clock;
	uint64_t ram_bytes;
	uint64_t tsc_khz;
	uint64_t apic_hz; /* local APIC timer's input clock, 0: not told */
	unsigned vcpus;
	uint8_t uuid[16];    /* as in SMBIOS */
	bool x2apic;         /* offer x2APIC without interrupt remapping (LEGACY_X2APIC) */
	int64_t time_offset; /* ns: guest wall clock - host wall clock */
};

/*
 * Answer one command.  gpr is indexed R_AX.. as in vcpu.h, low 32 bits count.  False when EAX does not hold
 * the magic: an ordinary read of the port follows.  A command it does not know answers EAX = EBX = ~0 and
 * true.
 */
bool backdoor_call(const struct backdoor *b, unsigned cpu, uint64_t gpr[16]);

#endif
