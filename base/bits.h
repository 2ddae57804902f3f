/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base/bits.h - bit fields, alignment, checked arithmetic, little-endian access.
 *
 * Everything here is a pure inline function; safe from any thread.
 */
#ifndef SERAI_BASE_BITS_H
#define SERAI_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bits hi..lo of v, shifted down; hi and lo are 0..63, hi >= lo. */
static inline uint64_t bits_get(uint64_t v, unsigned hi, unsigned lo)
{
	return (v >> lo) & (~0ull >> (63 - (hi - lo)));
}

/* v with bits hi..lo replaced by the low bits of f. */
static inline uint64_t bits_put(uint64_t v, unsigned hi, unsigned lo, uint64_t f)
{
	uint64_t mask = (~0ull >> (63 - (hi - lo))) << lo;

	return (v & ~mask) | ((f << lo) & mask);
}

/* All ones in the low `bytes` bytes; bytes is 1..8. */
static inline uint64_t bits_mask_bytes(unsigned bytes)
{
	return ~0ull >> (64 - 8 * bytes);
}

/* Sign extension of the low `bytes` bytes (1..8) of v. */
static inline uint64_t bits_sext(uint64_t v, unsigned bytes)
{
	unsigned sh = 64 - 8 * bytes;

	return (uint64_t)((int64_t)(v << sh) >> sh);
}

static inline uint64_t align_down(uint64_t v, uint64_t a)
{
	return v & ~(a - 1);
}

/* a is a power of two; wraps to 0 when v is within a of 2^64. */
static inline uint64_t align_up(uint64_t v, uint64_t a)
{
	return (v + a - 1) & ~(a - 1);
}

/* True when off..off+len lies inside 0..size, with no overflow. */
static inline bool range_fits(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* Little-endian loads and stores at any alignment; size is 1, 2, 4 or 8. */
static inline uint64_t le_load(const void *p, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, p, size);
	return v;
}

static inline void le_store(void *p, unsigned size, uint64_t v)
{
	memcpy(p, &v, size);
}

#endif
