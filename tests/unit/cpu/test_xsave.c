/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XSAVE, XSAVEC, XRSTOR, FXSAVE, XSETBV: layout, header, subsets, refusals (SDM volume 1, 13.4 to 13.10).
 */
#include "monitor/cpu/fpu.h"
#include "tests/unit/cpu/cpu_rig.h"

#define AREA 0x20000ull

/* [rdi] forms */
#define XSAVE64(r)   EXEC(r, 0x48, 0x0f, 0xae, 0x27)
#define XRSTOR64(r)  EXEC(r, 0x48, 0x0f, 0xae, 0x2f)
#define XSAVEC64(r)  EXEC(r, 0x48, 0x0f, 0xc7, 0x27)
#define FXSAVE64(r)  EXEC(r, 0x48, 0x0f, 0xae, 0x07)
#define FXRSTOR64(r) EXEC(r, 0x48, 0x0f, 0xae, 0x0f)
#define XSETBV(r)    EXEC(r, 0x0f, 0x01, 0xd1)

static struct cpu_rig *fpu_rig(uint64_t rfbm)
{
	struct cpu_rig *r = cpu_rig_new();

	rig_long_mode(r);
	for (unsigned i = FX_ST; i < FX_SIZE - 96; i++)
		r->v.s.xsave.bytes[i] = i < FX_XMM && (i & 15) >= 10 ? 0 : (uint8_t)i;
	for (unsigned i = XS_AVX; i < XS_SIZE; i++)
		r->v.s.xsave.bytes[i] = (uint8_t)(i * 3);
	r->v.s.gpr[R_DI] = AREA;
	r->v.s.gpr[R_AX] = rfbm;
	return r;
}

static uint8_t *area(struct cpu_rig *r)
{
	return r->ram.base + AREA;
}

static void round_trip(void **state)
{
	struct cpu_rig *r = fpu_rig(7);
	struct xsave_area before = r->v.s.xsave;

	(void)state;
	assert_int_equal(XSAVE64(r), -1);
	assert_int_equal(rig_get(r, AREA + XS_HEADER, 8), 7);
	assert_int_equal(rig_get(r, AREA + XS_HEADER + 8, 8), 0);
	memset(r->v.s.xsave.bytes + FX_ST, 0, FX_SIZE - FX_ST);
	memset(r->v.s.xsave.bytes + XS_AVX, 0, XS_SIZE - XS_AVX);
	assert_int_equal(XRSTOR64(r), -1);
	assert_memory_equal(r->v.s.xsave.bytes + FX_ST, before.bytes + FX_ST, 384);
	assert_memory_equal(r->v.s.xsave.bytes + XS_AVX, before.bytes + XS_AVX, 256);
	cpu_rig_free(r);
}

/* Only what is asked for moves; the header keeps the bits of the rest. */
static void subset(void **state)
{
	struct cpu_rig *r = fpu_rig(XCR0_AVX);

	(void)state;
	memset(area(r), 0xee, XS_SIZE);
	rig_put(r, AREA + XS_HEADER, 8, 1);
	assert_int_equal(XSAVE64(r), -1);
	assert_int_equal(rig_get(r, AREA + XS_HEADER, 8), 1 | XCR0_AVX);
	assert_int_equal(area(r)[FX_XMM], 0xee);
	assert_int_equal(area(r)[FX_FCW], 0xee);
	assert_int_equal(rig_get(r, AREA + FX_MXCSR, 4), 0x1f80); /* goes with SSE or AVX */
	assert_memory_equal(area(r) + XS_AVX, r->v.s.xsave.bytes + XS_AVX, 256);
	cpu_rig_free(r);
}

static void initial_components(void **state)
{
	struct cpu_rig *r = fpu_rig(7);

	(void)state;
	le_store(r->v.s.xsave.bytes + FX_FCW, 2, 0x27f);
	memset(area(r), 0, XS_SIZE);
	rig_put(r, AREA + FX_MXCSR, 4, 0x3f80);
	rig_put(r, AREA + XS_HEADER, 8, 0);
	assert_int_equal(XRSTOR64(r), -1);
	assert_int_equal(le_load(r->v.s.xsave.bytes + FX_FCW, 2), 0x37f);
	assert_int_equal(
		le_load(r->v.s.xsave.bytes + FX_MXCSR, 4), 0x3f80); /* standard form: always from memory */
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(r->v.s.xsave.bytes[XS_AVX + i] | r->v.s.xsave.bytes[FX_XMM + i], 0);
	cpu_rig_free(r);
}

static void compacted(void **state)
{
	struct cpu_rig *r = fpu_rig(XCR0_X87 | XCR0_AVX);
	struct xsave_area before = r->v.s.xsave;

	(void)state;
	assert_int_equal(XSAVEC64(r), -1);
	assert_int_equal(rig_get(r, AREA + XS_HEADER + 8, 8), 1ull << 63 | XCR0_X87 | XCR0_AVX);
	assert_int_equal(rig_get(r, AREA + XS_HEADER, 8) & ~(XCR0_X87 | XCR0_AVX), 0);
	memset(r->v.s.xsave.bytes + XS_AVX, 0, 256);
	r->v.s.gpr[R_AX] = 7;
	assert_int_equal(XRSTOR64(r), -1);
	assert_memory_equal(r->v.s.xsave.bytes + XS_AVX, before.bytes + XS_AVX, 256);
	for (unsigned i = 0; i < 256; i++) /* not in the image: initial */
		assert_int_equal(r->v.s.xsave.bytes[FX_XMM + i], 0);
	cpu_rig_free(r);
}

static void refused_headers(void **state)
{
	struct cpu_rig *r = fpu_rig(7);
	struct xsave_area before = r->v.s.xsave;
	static const struct {
		unsigned off;
		uint64_t value;
	} bad[] = {
		{ 0, 8 },              /* a component XCR0 does not have */
		{ 8, 1 },              /* XCOMP_BV in standard form */
		{ 16, 1 },             /* reserved */
		{ 8, 1ull << 63 | 8 }, /* compacted, unknown component */
	};

	(void)state;
	memset(area(r), 0, XS_SIZE);
	rig_put(r, AREA + FX_MXCSR, 4, 0x1f80);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		memset(area(r) + XS_HEADER, 0, 64);
		rig_put(r, AREA + XS_HEADER + bad[i].off, 8, bad[i].value);
		assert_int_equal(XRSTOR64(r), EXC_GP);
	}
	memset(area(r) + XS_HEADER, 0, 64);
	rig_put(r, AREA + XS_HEADER, 8, 2); /* in use, yet not in the compacted image */
	rig_put(r, AREA + XS_HEADER + 8, 8, 1ull << 63 | 1);
	assert_int_equal(XRSTOR64(r), EXC_GP);
	memset(area(r) + XS_HEADER, 0, 64);
	rig_put(r, AREA + XS_HEADER, 8, 2);
	rig_put(r, AREA + FX_MXCSR, 4, 0x80000000);
	assert_int_equal(XRSTOR64(r), EXC_GP);
	r->v.s.gpr[R_DI] = AREA + 32;
	assert_int_equal(XRSTOR64(r), EXC_GP);
	assert_int_equal(XSAVE64(r), EXC_GP);
	assert_memory_equal(&before, &r->v.s.xsave, sizeof(before));
	cpu_rig_free(r);
}

static void gates(void **state)
{
	struct cpu_rig *r = fpu_rig(7);

	(void)state;
	r->v.s.cr4 &= ~CR4_OSXSAVE;
	vcpu_settle(&r->v);
	assert_int_equal(XSAVE64(r), EXC_UD);
	r->v.s.cr4 |= CR4_OSXSAVE;
	r->v.s.cr0 |= CR0_TS;
	vcpu_settle(&r->v);
	assert_int_equal(XSAVE64(r), EXC_NM);
	assert_int_equal(FXSAVE64(r), EXC_NM);
	cpu_rig_free(r);
}

static void xsetbv(void **state)
{
	static const struct {
		uint64_t value;
		int fault;
	} rows[] = { { 7, -1 }, { 3, -1 }, { 1, -1 }, { 0, EXC_GP }, { 2, EXC_GP }, { 5, EXC_GP },
		{ 15, EXC_GP }, { 1ull << 63 | 7, EXC_GP } };
	struct cpu_rig *r = fpu_rig(7);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		r->v.s.gpr[R_CX] = 0;
		r->v.s.gpr[R_AX] = (uint32_t)rows[i].value;
		r->v.s.gpr[R_DX] = rows[i].value >> 32;
		assert_int_equal(XSETBV(r), rows[i].fault);
		if (rows[i].fault < 0)
			assert_int_equal(r->v.s.xcr0, rows[i].value);
	}
	r->v.s.gpr[R_CX] = 1;
	r->v.s.gpr[R_AX] = 7;
	r->v.s.gpr[R_DX] = 0;
	assert_int_equal(XSETBV(r), EXC_GP);
	r->v.s.gpr[R_CX] = 0;
	rig_user(r);
	assert_int_equal(XSETBV(r), EXC_GP);
	cpu_rig_free(r);
}

static void fxsave(void **state)
{
	struct cpu_rig *r = fpu_rig(0);
	struct xsave_area before = r->v.s.xsave;

	(void)state;
	memset(area(r), 0xee, FX_SIZE);
	assert_int_equal(FXSAVE64(r), -1);
	assert_int_equal(area(r)[464], 0xee); /* software's own */
	assert_memory_equal(area(r) + FX_ST, before.bytes + FX_ST, 384);
	memset(r->v.s.xsave.bytes + FX_ST, 0, 384);
	assert_int_equal(FXRSTOR64(r), -1);
	assert_memory_equal(r->v.s.xsave.bytes + FX_ST, before.bytes + FX_ST, 384);
	assert_memory_equal(r->v.s.xsave.bytes + XS_AVX, before.bytes + XS_AVX, 256); /* upper halves stay */
	rig_put(r, AREA + FX_MXCSR, 4, 0x10000000);
	assert_int_equal(FXRSTOR64(r), EXC_GP);
	r->v.s.gpr[R_DI] = AREA + 8;
	assert_int_equal(FXSAVE64(r), EXC_GP);
	cpu_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(subset),
		cmocka_unit_test(initial_components),
		cmocka_unit_test(compacted),
		cmocka_unit_test(refused_headers),
		cmocka_unit_test(gates),
		cmocka_unit_test(xsetbv),
		cmocka_unit_test(fxsave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
