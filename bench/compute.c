/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench/compute.c - see work.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/work.h"

/* Collatz lengths: shifts, additions and branches that are hard to foresee. */
uint64_t work_integer(void)
{
	uint64_t sum = 0;
	for (uint64_t start = 1; start < 2000000; start++)
		for (uint64_t n = start; n != 1; sum++)
			n = n & 1 ? n + (n >> 1) + 1 : n >> 1;
	return sum;
}

static uint32_t rotated(uint32_t value, int n)
{
	return value << n | value >> (32 - n);
}

/* ChaCha20's core over a counter: long straight integer code with rotations. */
uint64_t work_hash(void)
{
	uint64_t sum = 0;
	for (uint32_t counter = 0; counter < 1500000; counter++) {
		uint32_t s[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 1, 2, 3, 4, 5, 6, 7, 8, counter };
		for (int round = 0; round < 10; round++) {
			for (int q = 0; q < 8; q++) {
				int turn = q < 4 ? 0 : q, i = q & 3;
				uint32_t *a = &s[i], *b = &s[4 + (i + (turn ? 1 : 0)) % 4];
				uint32_t *c = &s[8 + (i + (turn ? 2 : 0)) % 4], *d = &s[12 + (i + (turn ? 3 : 0)) % 4];
				*a += *b, *d = rotated(*d ^ *a, 16);
				*c += *d, *b = rotated(*b ^ *c, 12);
				*a += *b, *d = rotated(*d ^ *a, 8);
				*c += *d, *b = rotated(*b ^ *c, 7);
			}
		}
		sum = sum * 31 + (s[0] ^ s[5] ^ s[10] ^ s[15]);
	}
	return sum;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* The C library's sort: comparisons through a pointer to a function. */
uint64_t work_sort(void)
{
	enum { COUNT = 2000000 };
	uint32_t *values = malloc(COUNT * sizeof(*values));
	uint64_t seed = 1, sum = 0;
	for (int i = 0; i < COUNT; i++)
		values[i] = (uint32_t)work_random(&seed);
	qsort(values, COUNT, sizeof(*values), by_value);
	for (int i = 0; i < COUNT; i += 1000)
		sum = sum * 31 + values[i];
	free(values);
	return sum;
}

/* An interpreter of byte codes: indirect jumps. */
uint64_t work_dispatch(void)
{
	enum { LOAD, ADD, XOR, SHIFT, SWAP, DECREMENT, LOOP, STOP };
	static const uint8_t program[] = { LOAD, ADD, SHIFT, XOR, SWAP, ADD, XOR, LOAD, SWAP, SHIFT, ADD, DECREMENT, LOOP,
		STOP };
	static const void *const targets[] = { &&load, &&add, &&xor, &&shift, &&swap, &&decrement, &&loop, &&stop };
	uint64_t a = 1, b = 0x9e3779b97f4a7c15, spare;
	uint64_t count = 25000000;
	const uint8_t *at = program;
#define NEXT goto *targets[*at++]
	NEXT;
load:
	b += count;
	NEXT;
add:
	a += b;
	NEXT;
xor:
	b ^= a;
	NEXT;
shift:
	a = a << 7 | a >> 57;
	NEXT;
swap:
	spare = a;
	a = b;
	b = spare;
	NEXT;
decrement:
	count--;
	NEXT;
loop:
	if (count)
		at = program;
	NEXT;
stop:
#undef NEXT
	return a ^ b;
}

__attribute__((noinline)) static uint64_t fibonacci(unsigned n)
{
	if (n < 2)
		return n;
	uint64_t before = fibonacci(n - 1);
	__asm__("" : "+r"(before)); /* keeps the compiler from turning calls into loops */
	return before + fibonacci(n - 2);
}

/* Calls and returns, deep. */
uint64_t work_recursion(void)
{
	return fibonacci(40);
}

/* Calls through pointers with several targets, as methods are. */
struct shape {
	double (*area)(const struct shape *shape);
	double a, b;
};

static double rectangle(const struct shape *shape)
{
	return shape->a * shape->b;
}

static double triangle(const struct shape *shape)
{
	return shape->a * shape->b / 2;
}

static double square(const struct shape *shape)
{
	return shape->a * shape->a;
}

static double nothing(const struct shape *shape)
{
	return shape->a - shape->a;
}

uint64_t work_calls(void)
{
	static double (*const areas[])(const struct shape *) = { rectangle, triangle, square, nothing };
	enum { COUNT = 1000 };
	struct shape *shapes = malloc(COUNT * sizeof(*shapes));
	uint64_t seed = 2;
	double sum = 0;
	for (int i = 0; i < COUNT; i++)
		shapes[i] = (struct shape){ areas[work_random(&seed) % 4], i % 10 + 1, i % 7 + 1 };
	for (int round = 0; round < 100000; round++)
		for (int i = 0; i < COUNT; i++)
			sum += shapes[i].area(&shapes[i]);
	free(shapes);
	return (uint64_t)sum;
}

/* A product of matrices: vectors of doubles. */
uint64_t work_matrix(void)
{
	enum { SIZE = 400 };
	double(*a)[SIZE] = malloc(sizeof(double[SIZE][SIZE])), (*b)[SIZE] = malloc(sizeof(double[SIZE][SIZE]));
	double(*c)[SIZE] = malloc(sizeof(double[SIZE][SIZE]));
	double sum = 0;
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++) {
			a[i][j] = (i * 3 + j) % 17;
			b[i][j] = (i + j * 5) % 13;
		}
	for (int round = 0; round < 15; round++) {
		memset(c, 0, sizeof(double[SIZE][SIZE]));
		for (int i = 0; i < SIZE; i++)
			for (int k = 0; k < SIZE; k++)
				for (int j = 0; j < SIZE; j++)
					c[i][j] += a[i][k] * b[k][j];
		sum += c[round][SIZE - 1 - round];
	}
	free(a);
	free(b);
	free(c);
	return (uint64_t)sum;
}

/* Five bodies under gravity: scalar doubles, divisions, roots. */
uint64_t work_nbody(void)
{
	enum { BODIES = 5 };
	double p[BODIES][3], v[BODIES][3], mass[BODIES];
	uint64_t seed = 3, bits;
	for (int i = 0; i < BODIES; i++) {
		mass[i] = i ? 1.0 / (i + 1) : 40;
		for (int k = 0; k < 3; k++) {
			p[i][k] = (double)(work_random(&seed) >> 40) / (1 << 20) + i * 10;
			v[i][k] = (double)(work_random(&seed) >> 40) / (1 << 24) - 0.5;
		}
	}
	for (int step = 0; step < 4000000; step++) {
		for (int i = 0; i < BODIES; i++) {
			for (int j = i + 1; j < BODIES; j++) {
				double d[3], square = 0.01;
				for (int k = 0; k < 3; k++) {
					d[k] = p[i][k] - p[j][k];
					square += d[k] * d[k];
				}
				double force = 0.001 / (square * sqrt(square));
				for (int k = 0; k < 3; k++) {
					v[i][k] -= d[k] * mass[j] * force;
					v[j][k] += d[k] * mass[i] * force;
				}
			}
		}
		for (int i = 0; i < BODIES; i++)
			for (int k = 0; k < 3; k++)
				p[i][k] += 0.001 * v[i][k];
	}
	memcpy(&bits, &p[0][0], sizeof(bits));
	return bits;
}

/* Greatest common divisors: 64-bit divisions. */
uint64_t work_division(void)
{
	uint64_t seed = 4, sum = 0;
	for (int i = 0; i < 1200000; i++) {
		uint64_t a = work_random(&seed), b = work_random(&seed) | 1;
		while (b) {
			uint64_t rest = a % b;
			a = b;
			b = rest;
		}
		sum += a;
	}
	return sum;
}
