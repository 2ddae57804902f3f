/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/cpu/debug.h"

#include "monitor/cpu/access.h"

enum { BP_CODE, BP_WRITE, BP_IO, BP_READ_WRITE };

static bool enabled(const struct vcpu *v, unsigned n)
{
	return bits_get(v->s.dr[7], 2 * n + 1, 2 * n) != 0;
}

static unsigned kind(const struct vcpu *v, unsigned n)
{
	return (unsigned)bits_get(v->s.dr[7], 17 + 4 * n, 16 + 4 * n);
}

static unsigned length(const struct vcpu *v, unsigned n)
{
	static const uint8_t len[] = { 1, 2, 8, 4 };

	return len[bits_get(v->s.dr[7], 19 + 4 * n, 18 + 4 * n)];
}

static bool any(const struct vcpu *v, unsigned mask)
{
	if (likely(!(v->s.dr[7] & 0xff)))
		return false;
	for (unsigned n = 0; n < 4; n++) {
		if (enabled(v, n) && (mask & (1u << kind(v, n))))
			return true;
	}
	return false;
}

bool debug_has_data(const struct vcpu *v)
{
	return any(v, 1u << BP_WRITE | 1u << BP_READ_WRITE);
}

bool debug_has_code(const struct vcpu *v)
{
	return any(v, 1u << BP_CODE);
}

bool debug_has_io(const struct vcpu *v)
{
	return (v->s.cr4 & CR4_DE) && any(v, 1u << BP_IO);
}

/* Breakpoints of the wanted kinds over addr..addr+len-1, as DR6 bits. */
static uint64_t hits(const struct vcpu *v, uint64_t addr, unsigned len, unsigned mask)
{
	uint64_t found = 0;

	for (unsigned n = 0; n < 4; n++) {
		uint64_t width = length(v, n);
		uint64_t at = v->s.dr[n] & ~(width - 1);

		if (enabled(v, n) && (mask & (1u << kind(v, n))) && addr < at + width && at < addr + len)
			found |= 1u << n;
	}
	return found;
}

void debug_check_data(struct vcpu *v, uint64_t la, unsigned len, bool write)
{
	v->debug_hits |= hits(v, la, len, 1u << BP_READ_WRITE | (write ? 1u << BP_WRITE : 0));
}

void debug_check_io(struct vcpu *v, uint16_t port, unsigned len)
{
	if (debug_has_io(v))
		v->debug_hits |= hits(v, port, len, 1u << BP_IO);
}

uint64_t debug_check_code(const struct vcpu *v, uint64_t la)
{
	uint64_t found = 0;

	for (unsigned n = 0; n < 4; n++) {
		if (enabled(v, n) && kind(v, n) == BP_CODE && v->s.dr[n] == la)
			found |= 1u << n;
	}
	return found;
}

_Noreturn void debug_raise(struct vcpu *v, uint64_t dr6)
{
	v->s.dr[6] = (v->s.dr[6] & ~0xfull) | DR6_FIXED | dr6;
	v->s.dr[7] &= ~DR7_GD;
	cpu_raise(v, EXC_DB);
}

bool debug_wants_steps(const struct vcpu *v)
{
	return (v->s.rflags & FLAG_TF) || v->s.irq_shadow || (v->s.dr[7] & 0xff);
}
