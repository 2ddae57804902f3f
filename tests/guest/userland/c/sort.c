/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sort.c - four ways to sort must agree: heap, quick, radix and the C library's. */
#include <stdlib.h>

#include "check.h"

enum { COUNT = 20000 };

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t t = *a;
	*a = *b;
	*b = t;
}

static void sink(uint32_t *v, size_t root, size_t count)
{
	for (size_t child; (child = 2 * root + 1) < count; root = child) {
		if (child + 1 < count && v[child] < v[child + 1])
			child++;
		if (v[root] >= v[child])
			return;
		swap(&v[root], &v[child]);
	}
}

static void heap_sort(uint32_t *v, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sink(v, i, count);
	while (count-- > 1) {
		swap(&v[0], &v[count]);
		sink(v, 0, count);
	}
}

static void quick_sort(uint32_t *v, long low, long high)
{
	if (low >= high)
		return;
	uint32_t pivot = v[(low + high) / 2];
	long i = low, j = high;
	while (i <= j) {
		while (v[i] < pivot)
			i++;
		while (v[j] > pivot)
			j--;
		if (i <= j)
			swap(&v[i++], &v[j--]);
	}
	quick_sort(v, low, j);
	quick_sort(v, i, high);
}

static void radix_sort(uint32_t *v, uint32_t *spare, size_t count)
{
	for (int shift = 0; shift < 32; shift += 8) {
		size_t starts[257] = { 0 };
		for (size_t i = 0; i < count; i++)
			starts[(v[i] >> shift & 255) + 1]++;
		for (int i = 0; i < 256; i++)
			starts[i + 1] += starts[i];
		for (size_t i = 0; i < count; i++)
			spare[starts[v[i] >> shift & 255]++] = v[i];
		memcpy(v, spare, count * sizeof(*v));
	}
}

void test_sort(void)
{
	static uint32_t given[COUNT], one[COUNT], two[COUNT], three[COUNT], four[COUNT], spare[COUNT];
	for (int kind = 0; kind < 4; kind++) {
		uint64_t seed = 6 + kind, sum = 0, sorted_sum = 0;
		for (uint32_t i = 0; i < COUNT; i++) {
			given[i] = kind == 0 ? next_random(&seed) >> 32 : kind == 1 ? i : kind == 2 ? COUNT - i : i % 17;
			sum += given[i];
		}
		memcpy(one, given, sizeof(given));
		memcpy(two, given, sizeof(given));
		memcpy(three, given, sizeof(given));
		memcpy(four, given, sizeof(given));
		heap_sort(one, COUNT);
		quick_sort(two, 0, COUNT - 1);
		radix_sort(three, spare, COUNT);
		qsort(four, COUNT, sizeof(*four), by_value);
		int falls = 0;
		for (int i = 1; i < COUNT; i++)
			falls += one[i - 1] > one[i];
		for (int i = 0; i < COUNT; i++)
			sorted_sum += one[i];
		CHECK_EQ(falls, 0);
		CHECK_EQ(sorted_sum, sum);
		CHECK(!memcmp(one, two, sizeof(one)));
		CHECK(!memcmp(one, three, sizeof(one)));
		CHECK(!memcmp(one, four, sizeof(one)));
		uint32_t *found = bsearch(&given[COUNT / 3], one, COUNT, sizeof(*one), by_value);
		CHECK(found && *found == given[COUNT / 3]);
	}
}
