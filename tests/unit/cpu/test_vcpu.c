/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's life: reset values, control registers' checks, and its saved state.
 */
#include "monitor/cpu/fpu.h"
#include "tests/unit/cpu/cpu_rig.h"

static void every_byte_is_described(void **state)
{
	(void)state;
	assert_true(state_covers_every_byte(&vcpu_state_class));
}

static void reset_values(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	assert_int_equal(r->v.s.rip, 0xfff0);
	assert_int_equal(r->v.s.seg[S_CS].selector, 0xf000);
	assert_int_equal(r->v.s.seg[S_CS].base, 0xffff0000);
	assert_int_equal(vcpu_get_rflags(&r->v), 2);
	assert_int_equal(r->v.s.cr0, CR0_ET | CR0_CD | CR0_NW);
	assert_int_equal(r->v.s.dr[6], DR6_FIXED);
	assert_int_equal(r->v.s.dr[7], DR7_FIXED);
	assert_int_equal(fpu_mxcsr(&r->v), 0x1f80);
	assert_int_equal(r->v.cpl, 0);
	/* INIT keeps MSRs and the FPU. */
	assert_true(msr_write(&r->v, 0xc0000082, 0x1234));
	le_store(r->v.s.xsave.bytes + FX_MXCSR, 4, 0x3f80);
	r->v.s.gpr[R_BX] = 1;
	vcpu_reset(&r->v, true);
	assert_int_equal(r->v.s.lstar, 0x1234);
	assert_int_equal(fpu_mxcsr(&r->v), 0x3f80);
	assert_int_equal(r->v.s.gpr[R_BX], 0);
	cpu_rig_free(r);
}

static void flags(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	for (unsigned i = 0; i < 0x1000; i++) {
		uint64_t f = (i & 0x8d5) | FLAG_ONE | FLAG_IF;

		vcpu_set_rflags(&r->v, f);
		assert_int_equal(vcpu_get_rflags(&r->v), f);
		/* SF:ZF:0:AF:0:PF:1:CF above, OF in bit 0. */
		assert_int_equal(r->v.cc >> 8 & 0xd5, f & 0xd5);
		assert_int_equal(r->v.cc & 1, f >> 11 & 1);
	}
	cpu_rig_free(r);
}

static void save_and_load(void **state)
{
	struct cpu_rig *a = cpu_rig_new(), *b = cpu_rig_new();
	struct state_writer *w = state_writer_new();
	struct state_reader *in;
	const uint8_t *bytes;
	size_t len;

	(void)state;
	rig_long_mode(a);
	for (unsigned i = 0; i < 16; i++)
		a->v.s.gpr[i] = 0x0101010101010101 * i;
	for (unsigned i = 160; i < 416; i++)
		a->v.s.xsave.bytes[i] = (uint8_t)i;
	vcpu_set_rflags(&a->v, 0xad7);
	rig_user(a);
	vcpu_set_rflags(&a->v, 0xad7);
	vcpu_save(&a->v, w);
	bytes = state_writer_bytes(w, &len);
	in = state_reader_new(bytes, len, NULL);
	assert_non_null(in);
	assert_true(vcpu_load(&b->v, in, NULL));
	assert_memory_equal(&a->v.s, &b->v.s, sizeof(a->v.s));
	assert_int_equal(vcpu_get_rflags(&b->v), 0xad7);
	assert_int_equal(b->v.cpl, 3);
	assert_int_equal(b->v.code_size, CODE_64);
	state_reader_free(in);
	state_writer_free(w);
	cpu_rig_free(a);
	cpu_rig_free(b);
}

/* What would make the host fault, or the engine run a mode that does not exist, is refused with a reason. */
static void refused_states(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	struct vcpu_state good, s;

	(void)state;
	rig_long_mode(r);
	good = r->v.s;
	assert_true(vcpu_state_class.check(&good, NULL));
#define REFUSED(change)                                                                                      \
	do {                                                                                                 \
		GError *e = NULL;                                                                            \
		s = good;                                                                                    \
		change;                                                                                      \
		assert_false(vcpu_state_class.check(&s, &e));                                                \
		assert_non_null(e);                                                                          \
		g_error_free(e);                                                                             \
	} while (0)
	REFUSED(s.cr0 &= ~CR0_PE);
	REFUSED(s.xcr0 = 0);
	REFUSED(s.xcr0 |= 0xe0);
	REFUSED(le_store(s.xsave.bytes + FX_MXCSR, 4, 0x10000000));
	REFUSED(s.xsave.bytes[XS_HEADER] = 0xff);
	REFUSED(s.xsave.bytes[XS_HEADER + 8] = 1);
	REFUSED(s.xsave.bytes[XS_HEADER + 20] = 1);
	cpu_rig_free(r);
}

static void control_registers(void **state)
{
	struct cpu_rig *r = cpu_rig_new();

	(void)state;
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, CR0_PG)), EXC_GP);
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, CR0_NW)), EXC_GP);
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, 1ull << 32)), EXC_GP);
	rig_long_mode(r);
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, r->v.s.cr0 & ~CR0_PG)), EXC_GP); /* in 64-bit code */
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 & ~CR4_PAE)), EXC_GP);
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | 1ull << 12)), EXC_GP); /* LA57 */
	assert_int_equal(FAULT(r, cpu_write_cr4(&r->v, r->v.s.cr4 | 1ull << 40)), EXC_GP);
	assert_int_equal(FAULT(r, cpu_write_cr3(&r->v, 1ull << r->v.phys_bits)), EXC_GP);
	assert_int_equal(FAULT(r, cpu_write_cr0(&r->v, r->v.s.cr0 | 0x1ffaffc0)),
		-1); /* reserved bits of the low half: dropped */
	cpu_rig_free(r);
}

static void dump_fits(void **state)
{
	struct cpu_rig *r = cpu_rig_new();
	char buf[4096];

	(void)state;
	assert_true(vcpu_dump(&r->v, buf, sizeof(buf)) > 500);
	assert_non_null(strstr(buf, "rip"));
	assert_true(vcpu_dump(&r->v, buf, 64) <= 64);
	cpu_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_described),
		cmocka_unit_test(reset_values),
		cmocka_unit_test(flags),
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(refused_states),
		cmocka_unit_test(control_registers),
		cmocka_unit_test(dump_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
