/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/rng.h - splitmix64: one word of state, so that (seed, case number) alone gives the stream.
 */
#ifndef SERAI_TESTS_CPU_RNG_H
#define SERAI_TESTS_CPU_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t s;
};

static inline uint64_t rng_u64(struct rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline struct rng rng_for(uint64_t seed, uint64_t number)
{
	struct rng r = { seed };

	r.s = rng_u64(&r) ^ number * 0xd1342543de82ef95ull;
	r.s = rng_u64(&r);
	return r;
}

/* 0..n-1; n > 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)((rng_u64(r) >> 32) * n >> 32);
}

/* True `percent` times in 100. */
static inline bool rng_percent(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

#endif
