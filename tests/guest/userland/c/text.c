/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.c - numbers to text and back, and the C library's string functions against plain loops. */
#include <float.h>
#include <stdlib.h>

#include "check.h"

static const char *printed(const char *format, double value)
{
	static char text[400];
	snprintf(text, sizeof(text), format, value);
	return text;
}

static void formatting(void)
{
	CHECK_STR(printed("%.17g", 0.1), "0.10000000000000001");
	CHECK_STR(printed("%.15g", 1.0 / 3), "0.333333333333333");
	CHECK_STR(printed("%.3e", 6.02214076e23), "6.022e+23");
	CHECK_STR(printed("%a", 1.0 / 3), "0x1.5555555555555p-2");
	CHECK_STR(printed("%.0f", 2.5), "2");
	CHECK_STR(printed("%.0f", 1e23), "99999999999999991611392");
	CHECK_STR(printed("%.17g", DBL_TRUE_MIN), "4.9406564584124654e-324");
	CHECK_STR(printed("%.17g", DBL_MAX), "1.7976931348623157e+308");
	CHECK_STR(printed("%+.2f", -0.0), "-0.00");
	CHECK_STR(printed("%g", strtod("inf", NULL)), "inf");
	CHECK_EQ(strlen(printed("%.0f", DBL_MAX)), 309);
	char text[100];
	snprintf(text, sizeof(text), "%d %5u|%-6x|%#o %lld %s %c", -42, 7u, 0xbeefu, 8u, -9223372036854775807ll - 1,
		"text", 'c');
	CHECK_STR(text, "-42     7|beef  |010 -9223372036854775808 text c");
	snprintf(text, sizeof(text), "%.20Lg", 3.14159265358979323846L);
	CHECK_STR(text, "3.1415926535897932385");
}

static void there_and_back(void)
{
	uint64_t seed = 5;
	for (int i = 0; i < 1000; i++) {
		uint64_t bits = next_random(&seed);
		double value, back;
		memcpy(&value, &bits, sizeof(value));
		if (value != value)
			continue;
		back = strtod(printed("%.17g", value), NULL);
		CHECK(back == value);
		back = strtod(printed("%a", value), NULL);
		CHECK(back == value);
		char text[32], *end;
		snprintf(text, sizeof(text), "%llu", (unsigned long long)bits);
		CHECK_EQ(strtoull(text, &end, 10), bits);
		CHECK(!*end);
	}
	CHECK_EQ(strtol("0x7fffffff", NULL, 0), 0x7fffffff);
	CHECK(sscanf("12 abc 3.5", "%*d %*s %lf", &(double){ 0 }) == 1);
}

/* Every alignment and length up to a few vectors. */
static void strings(void)
{
	enum { SIZE = 200 };
	char buffer[SIZE + 64], other[SIZE + 64];
	int wrong = 0;
	for (int at = 0; at < 33; at++) {
		for (int length = 0; length < SIZE - 40; length++) {
			char *s = buffer + at;
			memset(buffer, 'x', sizeof(buffer));
			for (int i = 0; i < length; i++)
				s[i] = (char)('a' + i % 20);
			s[length] = 0;
			wrong += strlen(s) != (size_t)length;
			wrong += strchr(s, 'x') != NULL;
			wrong += length && strchr(s, s[length - 1]) != s + (length - 1) % 20;
			wrong += length && strrchr(s, 'a') != s + (length - 1) / 20 * 20;
			wrong += memchr(buffer, 0, sizeof(buffer)) != s + length;
			char *t = memcpy(other + (at * 7 + length) % 32, s, length + 1);
			wrong += strcmp(s, t) != 0;
			if (length) {
				t[length - 1]++;
				wrong += strcmp(s, t) >= 0;
				wrong += memcmp(t, s, length) <= 0;
			}
			memmove(s + 3, s, length);
			wrong += length && (s[3] != 'a' || s[length + 2] != 'a' + (length - 1) % 20);
		}
	}
	CHECK_EQ(wrong, 0);
	CHECK(strstr("an old inn at the old road", "old road") != NULL);
	CHECK_EQ(strspn("aabbccdd", "abc"), 6);
}

void test_text(void)
{
	formatting();
	there_and_back();
	strings();
}
