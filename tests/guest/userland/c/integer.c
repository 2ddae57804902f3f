/* SPDX-License-Identifier: GPL-2.0-or-later */
/* integer.c - arithmetic whose results are known by other ways: shifts, products, quotients, bits, overflow. */
#include "check.h"

/* A product by shifts and additions. */
static unsigned __int128 slow_product(uint64_t a, uint64_t b)
{
	unsigned __int128 sum = 0, shifted = a;
	for (; b; b >>= 1, shifted <<= 1)
		if (b & 1)
			sum += shifted;
	return sum;
}

static void products_and_quotients(void)
{
	uint64_t seed = 1;
	for (int i = 0; i < 2000; i++) {
		uint64_t a = next_random(&seed) >> (i % 64), b = next_random(&seed) >> (i / 7 % 64);
		unsigned __int128 product = (unsigned __int128)a * b;
		CHECK(product == slow_product(a, b));
		if (!b)
			continue;
		CHECK_EQ(a / b * b + a % b, a);
		CHECK(a % b < b);
		unsigned __int128 sum = product + b - 1;
		CHECK(sum / b == a);
		CHECK(sum % b == b - 1);
		int64_t s = (int64_t)a, t = (int64_t)(b | 1);
		if (t != -1)
			CHECK_EQ(s / t * t + s % t, s);
		CHECK_EQ((uint32_t)a * (uint32_t)b, (uint32_t)product);
		CHECK_EQ((uint16_t)((uint16_t)a * (unsigned)(uint16_t)b), (uint16_t)product);
	}
}

static void bits(void)
{
	uint64_t seed = 2;
	for (int i = 0; i < 1000; i++) {
		uint64_t a = next_random(&seed) >> (i % 64);
		int count = 0, top = 0, bottom = 64;
		uint64_t mirrored = 0;
		for (int bit = 0; bit < 64; bit++) {
			if (!(a >> bit & 1))
				continue;
			count++;
			top = bit;
			bottom = bottom < bit ? bottom : bit;
			mirrored |= 1ull << (63 - bit);
		}
		CHECK_EQ(__builtin_popcountll(a), count);
		if (a) {
			CHECK_EQ(63 - __builtin_clzll(a), top);
			CHECK_EQ(__builtin_ctzll(a), bottom);
			CHECK_EQ(63 - __builtin_ctzll(mirrored), top);
		}
		unsigned n = next_random(&seed) % 63 + 1;
		uint64_t turned = a << n | a >> (64 - n);
		CHECK_EQ(turned >> n | turned << (64 - n), a);
		CHECK_EQ(__builtin_bswap64(__builtin_bswap64(a)), a);
		CHECK_EQ(__builtin_bswap32((uint32_t)a), __builtin_bswap64(a) >> 32);
		CHECK_EQ(((int64_t)(a << 32) >> 32), (int32_t)a);
	}
}

static void overflow(void)
{
	uint64_t seed = 3;
	for (int i = 0; i < 1000; i++) {
		int64_t a = (int64_t)next_random(&seed) >> (i % 3), b = (int64_t)next_random(&seed) >> (i % 40), r;
		__int128 sum = (__int128)a + b, product = (__int128)a * b;
		CHECK_EQ(__builtin_add_overflow(a, b, &r), sum != (int64_t)sum);
		CHECK_EQ(r, sum);
		CHECK_EQ(__builtin_mul_overflow(a, b, &r), product != (int64_t)product);
		CHECK_EQ(r, product);
		int8_t c = (int8_t)a, d = (int8_t)b, e;
		CHECK_EQ(__builtin_sub_overflow(c, d, &e), c - d != (int8_t)(c - d));
		CHECK_EQ(a < b, sum - a - a > 0);
	}
}

/* The largest known facts that fit. */
static void known(void)
{
	uint64_t a = 0, b = 1, factorial = 1, steps = 0;
	for (int i = 0; i < 93; i++) {
		uint64_t c = a + b;
		a = b;
		b = c;
	}
	CHECK_EQ(a, 12200160415121876738u);
	for (uint64_t i = 2; i <= 20; i++)
		factorial *= i;
	CHECK_EQ(factorial, 2432902008176640000);
	for (uint64_t n = 837799; n != 1; steps++)
		n = n & 1 ? 3 * n + 1 : n / 2;
	CHECK_EQ(steps, 524);
	uint64_t power = 1, base = 3, modulus = 1000000007;
	for (unsigned e = 1000000006; e; e >>= 1, base = base * base % modulus)
		if (e & 1)
			power = power * base % modulus;
	CHECK_EQ(power, 1);
}

void test_integer(void)
{
	products_and_quotients();
	bits();
	overflow();
	known();
}
