/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vector.c - loops that a compiler turns into vector code, each against the same loop kept scalar.
 *
 * Element types and operations come in pairs by macro: one twin sees its operands through volatile.
 */
#include "check.h"

enum { COUNT = 517 }; /* no multiple of any vector */

#define LOOP(name, type, expression)                                                                              \
	__attribute__((noinline)) static void name##_vector(type *restrict r, const type *a, const type *b)       \
	{                                                                                                         \
		for (int i = 0; i < COUNT; i++) {                                                                 \
			type x = a[i], y = b[i];                                                                  \
			r[i] = (type)(expression);                                                                \
		}                                                                                                 \
	}                                                                                                         \
	static void name##_scalar(type *r, const volatile type *a, const volatile type *b)                        \
	{                                                                                                         \
		for (int i = 0; i < COUNT; i++) {                                                                 \
			volatile type x = a[i], y = b[i];                                                         \
			r[i] = (type)(expression);                                                                \
		}                                                                                                 \
	}                                                                                                         \
	static void name(void)                                                                                    \
	{                                                                                                         \
		static type a[COUNT], b[COUNT], have[COUNT], want[COUNT];                                         \
		uint64_t seed = sizeof(type);                                                                     \
		for (int i = 0; i < COUNT; i++) {                                                                 \
			a[i] = (type)((int64_t)next_random(&seed) >> (i % 50));                                   \
			b[i] = (type)((int64_t)next_random(&seed) >> (i % 23));                                   \
		}                                                                                                 \
		name##_vector(have, a, b);                                                                        \
		name##_scalar(want, a, b);                                                                        \
		check_result(!memcmp(have, want, sizeof(have)), __FILE__, __LINE__, #name);                       \
	}

LOOP(add8, uint8_t, x + y)
LOOP(saturate8, uint8_t, x + y > 255 ? 255 : x + y)
LOOP(mean8, uint8_t, (x + y + 1) >> 1)
LOOP(largest8, int8_t, x > y ? x : y)
LOOP(distance8, uint8_t, x > y ? x - y : y - x)
LOOP(product16, int16_t, x * y)
LOOP(high16, int16_t, x * y >> 16)
LOOP(clamp16, int16_t, x - y < -32768 ? -32768 : x - y > 32767 ? 32767 : x - y)
LOOP(swap16, uint16_t, x << 8 | x >> 8 | (y & 1))
LOOP(product32, uint32_t, x * y + 3)
LOOP(shift32, uint32_t, x >> (y & 31) ^ x << 7)
LOOP(signed32, int32_t, (x >> (y & 31)) + (x < y))
LOOP(select32, int32_t, x < y ? x ^ 0x55 : y & x)
LOOP(absolute32, int32_t, x < 0 ? 0u - (uint32_t)x : (uint32_t)x + ((uint32_t)y >> 31))
LOOP(product64, uint64_t, x * y)
LOOP(mixed64, int64_t, (x > y) + (int64_t)((uint64_t)x << (y & 63)))
LOOP(single, float, x * y - x / (y * y + 1))
LOOP(larger, float, x < y ? y : x)
LOOP(twice, double, x / (y * y + 1) + x)
LOOP(whole, double, (double)(int32_t)(x / 1e12) + (double)(int32_t)(y / 1e12))
LOOP(negated, double, x < 0 ? -x : -y)

/* Sums, which change their order: whole numbers only. */
static void sums(void)
{
	static int8_t bytes[4099];
	static uint16_t words[4099];
	uint64_t seed = 9;
	int64_t want = 0, products = 0;
	int sum = 0, product = 0, most = -1000, equal = 0, equal_want = 0;
	for (int i = 0; i < 4099; i++) {
		bytes[i] = (int8_t)next_random(&seed);
		words[i] = (uint16_t)(next_random(&seed) >> 50);
		volatile int64_t byte = bytes[i], word = words[i];
		want += byte;
		products += byte * word;
		equal_want += byte == 77;
	}
	for (int i = 0; i < 4099; i++) {
		sum += bytes[i];
		product += bytes[i] * words[i];
		most = bytes[i] > most ? bytes[i] : most;
		equal += bytes[i] == 77;
	}
	CHECK_EQ(sum, want);
	CHECK_EQ(product, products);
	CHECK_EQ(most, 127);
	CHECK_EQ(equal, equal_want);
}

/* The compiler's own vector type, with shuffles the loops above do not give. */
static void shuffles(void)
{
	typedef uint8_t bytes __attribute__((vector_size(32)));
	typedef int32_t words __attribute__((vector_size(32)));
	bytes v, order, reversed;
	words w, mask;
	for (int i = 0; i < 32; i++) {
		v[i] = (uint8_t)(i * 7);
		order[i] = (uint8_t)(31 - i);
	}
	reversed = __builtin_shuffle(v, order);
	for (int i = 0; i < 32; i++)
		CHECK_EQ(reversed[i], (uint8_t)((31 - i) * 7));
	for (int i = 0; i < 8; i++)
		w[i] = i * i - 20;
	mask = w < 0;
	w = (w & mask) + (w << 2 & ~mask);
	for (int i = 0; i < 8; i++)
		CHECK_EQ((uint32_t)w[i], (uint32_t)(i * i < 20 ? i * i - 20 : (i * i - 20) * 4));
}

void test_vector(void)
{
	add8(), saturate8(), mean8(), largest8(), distance8();
	product16(), high16(), clamp16(), swap16();
	product32(), shift32(), signed32(), select32(), absolute32();
	product64(), mixed64();
	single(), larger(), twice(), whole(), negated();
	sums();
	shuffles();
}
