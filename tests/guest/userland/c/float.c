/* SPDX-License-Identifier: GPL-2.0-or-later */
/* float.c - IEEE arithmetic: rounding modes, exceptions, limits, and the three formats against each other. */
#include <fenv.h>
#include <float.h>
#include <math.h>

#include "check.h"

static uint64_t bits_of(double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static void rounding(void)
{
	static const int modes[] = { FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO };
	static const uint64_t third[] = { 0x3fd5555555555555, 0x3fd5555555555555, 0x3fd5555555555556,
		0x3fd5555555555555 };
	static const uint64_t minus_third[] = { 0xbfd5555555555555, 0xbfd5555555555556, 0xbfd5555555555555,
		0xbfd5555555555555 };
	static const long halves[][4] = { { 2, 2, 2, 4 }, { 1, 2, 2, 3 }, { 2, 3, 3, 4 }, { 1, 2, 2, 3 } };
	volatile double one = 1, three = 3;
	volatile float one_f = 1, three_f = 3;
	volatile long double one_l = 1, three_l = 3;
	for (int i = 0; i < 4; i++) {
		fesetround(modes[i]);
		CHECK_EQ(fegetround(), modes[i]);
		double quotient = one / three, negative = -one / three;
		float single = one_f / three_f;
		long double longer = one_l / three_l;
		for (int j = 0; j < 4; j++) {
			volatile double half = j + (j < 3 ? 1.5 - (j == 2) : 0.5);
			CHECK_EQ(lrint(half), halves[i][j]);
			CHECK_EQ(lrintl(half), halves[i][j]);
		}
		fesetround(FE_TONEAREST);
		CHECK_EQ(bits_of(quotient), third[i]);
		CHECK_EQ(bits_of(negative), minus_third[i]);
		CHECK(i == 1 || i == 3 ? single < 1.0 / 3 : single > 1.0 / 3);
		CHECK(i == 1 || i == 3 ? longer * 3 < 1 || longer < 1.0L / 3 || longer == 1.0L / 3 : longer >= 1.0L / 3);
	}
}

static void exceptions(void)
{
	volatile double zero = 0, one = 1, big = DBL_MAX, small = DBL_MIN, third = 3;
	volatile double result;
	feclearexcept(FE_ALL_EXCEPT);
	result = one / zero;
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), FE_DIVBYZERO);
	CHECK(isinf(result));
	feclearexcept(FE_ALL_EXCEPT);
	result = zero / zero;
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), FE_INVALID);
	CHECK(result != result);
	feclearexcept(FE_ALL_EXCEPT);
	result = big * big;
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), FE_OVERFLOW | FE_INEXACT);
	feclearexcept(FE_ALL_EXCEPT);
	result = small / third;
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), FE_UNDERFLOW | FE_INEXACT);
	CHECK(fpclassify(result) == FP_SUBNORMAL);
	feclearexcept(FE_ALL_EXCEPT);
	result = one + one;
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), 0);
	volatile long double wide = 1, none = 0;
	wide = wide / none;
	CHECK_EQ(fetestexcept(FE_ALL_EXCEPT), FE_DIVBYZERO);
	feclearexcept(FE_ALL_EXCEPT);
}

static void exact(void)
{
	uint64_t seed = 4;
	for (int i = 0; i < 2000; i++) {
		int64_t a = (int64_t)next_random(&seed) >> (12 + i % 40), b = (int64_t)next_random(&seed) >> (38 + i % 20);
		CHECK_EQ((int64_t)(double)a, a);
		CHECK_EQ((int64_t)(long double)(a * 2 + 1), a * 2 + 1);
		double x = (double)(a >> 26), y = (double)b;
		CHECK_EQ((int64_t)(x * y), (a >> 26) * b);
		CHECK(fma(x, y, -(x * y)) == 0);
		if (b)
			CHECK(x * y / y == x);
		double root = sqrt((double)b * (double)b);
		CHECK(root == fabs((double)b));
		CHECK((float)(double)(float)x == (float)x);
		CHECK_EQ((uint32_t)(int64_t)y, (uint32_t)b);
	}
	CHECK_EQ((uint64_t)(volatile double){ 18446744073709549568.0 }, 18446744073709549568u);
	CHECK(nextafter(1, 2) - 1 == DBL_EPSILON);
	CHECK(DBL_TRUE_MIN / 2 == 0 && DBL_TRUE_MIN > 0);
}

/* Constants by their series and products, in the three formats; the x87's own functions through long double. */
static void known(void)
{
	double pi = 0, e = 1, term = 1;
	for (int i = 0; i < 11; i++)
		pi += (i & 1 ? -4.0 : 4.0) * (4 * pow(0.2, 2 * i + 1) - pow(1.0 / 239, 2 * i + 1)) / (2 * i + 1);
	for (int i = 1; i < 20; i++)
		e += term /= i;
	CHECK(fabs(pi - M_PI) < 1e-14);
	CHECK(fabs(e - M_E) < 1e-14);
	volatile double x = 0.5, y = 2;
	CHECK_EQ(bits_of(sqrt(y)), 0x3ff6a09e667f3bcd);
	CHECK_EQ(bits_of(exp(x)), 0x3ffa61298e1e069c);
	CHECK_EQ(bits_of(log(y)), 0x3fe62e42fefa39ef);
	CHECK_EQ(bits_of(sin(x)), 0x3fdeaee8744b05f0);
	CHECK_EQ(bits_of(atan2(x, y)), 0x3fcf5b75f92c80dd);
	CHECK_EQ(bits_of(fmod(1e300, 7.25)), bits_of(fmod(fmod(1e300, 14.5), 7.25)));
	volatile long double wide = 0.5L;
	CHECK(fabsl(atanl(1) * 4 - 3.14159265358979323846264338327950288L) < 1e-18L);
	CHECK(fabsl(sinl(wide) * sinl(wide) + cosl(wide) * cosl(wide) - 1) < 1e-18L);
	CHECK(fabsl(expl(logl(wide)) - wide) < 1e-18L);
	CHECK(fabsl(powl(2, wide) - sqrtl(2)) < 1e-18L);
	CHECK(fmodl(1e18L + 1, 10) == 1);
	CHECK(ldexpl(1, -16445) > 0 && ldexpl(1, -16446) == 0);
}

void test_float(void)
{
	rounding();
	exceptions();
	exact();
	known();
}
