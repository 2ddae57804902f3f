/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that other processors use at the same time.
 *
 * The test is the other processor: the host's single step brings it in behind every instruction of the monitor's.  It
 * looks whether a store is there whole, writes something else as soon as it is, and that must stay; and it changes what
 * is being loaded all the time.
 */
#include "tests/unit/cpu/cpu_rig.h"

#include <signal.h>
#include <ucontext.h>

#define VA  0x20000ull
#define OLD 0x1111111111111111ull
#define NEW 0xa1a2a3a4a5a6a7a8ull
#define MINE 0x5555555555555555ull

static struct {
	volatile uint8_t *at;
	unsigned size;
	uint64_t old, new;
	bool load, seen, torn;
	unsigned steps;
} other;

static uint64_t look(void)
{
	switch (other.size) {
	case 1:
		return *other.at;
	case 2:
		return *(volatile uint16_t *)other.at;
	case 4:
		return *(volatile uint32_t *)other.at;
	default:
		return *(volatile uint64_t *)other.at;
	}
}

static void put(uint64_t value)
{
	switch (other.size) {
	case 1:
		*other.at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)other.at = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)other.at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)other.at = value;
		break;
	}
}

static void stepped(int sig)
{
	uint64_t mask = bits_mask_bytes(other.size), now = look();

	(void)sig;
	other.steps++;
	if (other.load) {
		put(other.steps & 1 ? OLD : NEW);
	} else if (now == (other.new & mask) && !other.seen) {
		other.seen = true;
		put(MINE);
	} else if (now != (other.old & mask) && now != (MINE & mask)) {
		other.torn = true;
	}
}

#define TRAP_FLAG(op, value)                                                                                           \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" op " $" value ", (%%rsp)\n\tpopfq\n\t"                \
			 "lea 128(%%rsp), %%rsp"                                                                       \
		:                                                                                                      \
		:                                                                                                      \
		: "memory", "cc")
#define STEPPED(...)                                                                                                   \
	do {                                                                                                           \
		TRAP_FLAG("orq", "0x100");                                                                             \
		__VA_ARGS__;                                                                                           \
		TRAP_FLAG("andq", "~0x100");                                                                           \
	} while (0)

static void watch(struct cpu_rig *r, uint64_t gpa, unsigned size, uint64_t new)
{
	other.at = r->ram.base + gpa;
	other.size = size;
	other.old = OLD;
	other.new = new;
	other.load = other.seen = other.torn = false;
	other.steps = 0;
	put(OLD);
}

/* It was stored whole, and once. */
static void check_stored(void)
{
	assert_true(other.steps > 1);
	assert_true(other.seen);
	assert_false(other.torn);
	assert_true(look() == (MINE & bits_mask_bytes(other.size)));
}

static struct cpu_rig *start(void)
{
	struct cpu_rig *r = cpu_rig_new();

	signal(SIGTRAP, stepped);
	rig_long_mode(r);
	return r;
}

static void stores(void **state)
{
	struct cpu_rig *r = start();

	(void)state;
	for (unsigned size = 1; size <= 8; size *= 2) {
		for (unsigned code = 0; code < 2; code++) { /* pages of code are written the slow way each time */
			r->ram.kept[VA >> PAGE_SHIFT] = code ? RAM_KEPT_SHARED : 0;
			tlb_flush_all(&r->v);
			for (unsigned again = 0; again < 2; again++) {
				watch(r, VA, size, NEW);
				STEPPED(lin_write(&r->v, VA, size, NEW, S_DS));
				check_stored();
			}
			r->ram.kept[VA >> PAGE_SHIFT] = code ? RAM_KEPT_SHARED : 0;
			watch(r, VA, size, NEW);
			STEPPED(sys_write(&r->v, VA, size, NEW));
			check_stored();
			watch(r, VA, size, NEW);
			STEPPED(phys_write_le(&r->mem, VA, size, NEW));
			check_stored();
		}
	}
	cpu_rig_free(r);
}

static void check_loaded(uint64_t value)
{
	uint64_t mask = bits_mask_bytes(other.size);

	assert_true(other.steps > 2);
	assert_true(value == (OLD & mask) || value == (NEW & mask));
}

static void loads(void **state)
{
	struct cpu_rig *r = start();
	uint64_t value;

	(void)state;
	for (unsigned size = 1; size <= 8; size *= 2) {
		watch(r, VA, size, NEW);
		other.load = true;
		tlb_flush_all(&r->v);
		for (unsigned again = 0; again < 2; again++) {
			STEPPED(value = lin_read(&r->v, VA, size, S_DS));
			check_loaded(value);
		}
		STEPPED(value = sys_read(&r->v, VA, size));
		check_loaded(value);
		STEPPED(value = phys_read_le(&r->mem, VA, size));
		check_loaded(value);
	}
	cpu_rig_free(r);
}

/* Of an image of many parts, each; where its length is no power of two too. */
static void images(void **state)
{
	struct cpu_rig *r = start();
	uint8_t image[28];

	(void)state;
	memset(image, 0xa5, sizeof(image));
	for (unsigned at = 0; at + 4 <= sizeof(image); at += 4) {
		memset(r->ram.base + VA, 0x11, sizeof(image));
		watch(r, VA + at, 4, 0xa5a5a5a5);
		STEPPED(lin_write_bytes(&r->v, VA, image, sizeof(image), S_DS));
		check_stored();
	}
	cpu_rig_free(r);
}

static void string(struct cpu_rig *r, unsigned size, unsigned count)
{
	r->v.s.gpr[R_CX] = count;
	r->v.s.gpr[R_AX] = NEW;
	r->v.s.gpr[R_SI] = VA + 0x800;
	r->v.s.gpr[R_DI] = VA;
	for (unsigned k = 0; k < count; k++)
		rig_put(r, VA + 0x800 + k * size, size, NEW);
}

static void strings(void **state)
{
	struct cpu_rig *r = start();

	(void)state;
	for (unsigned size = 1; size <= 8; size *= 2) {
		for (unsigned op = 0xa4; op <= 0xaa; op += 6) {
			uint8_t code[] = { 0xf3, (uint8_t)(op | (size > 1)) }, *bytes = code;
			uint8_t wide[] = { 0xf3, size == 2 ? 0x66 : 0x48, code[1] };
			struct decoded d;
			size_t len = 2;
			struct insn i;

			if (size == 2 || size == 8)
				bytes = wide, len = 3;
			assert_int_equal(insn_decode(bytes, len, CODE_64, &i, &d), DECODE_OK);
			string(r, size, 5);
			memset(r->ram.base + VA, 0x11, 5 * size);
			watch(r, VA + 2 * size, size, NEW);
			STEPPED(i.exec(&r->v, &i));
			check_stored();
			assert_int_equal(r->v.s.gpr[R_CX], 0);
			assert_true(rig_get(r, VA + 4 * size, size) == (NEW & bits_mask_bytes(size)));
			assert_true(rig_get(r, VA + 5 * size, 1) != (NEW & 0xff));
			assert_int_equal(r->v.s.gpr[R_DI], VA + 5 * size);
		}
	}
	cpu_rig_free(r);
}

/* REP MOVS onto what it reads repeats what lies before. */
static void strings_overlap(void **state)
{
	struct cpu_rig *r = start();

	(void)state;
	for (unsigned k = 0; k < 64; k++)
		rig_put(r, VA + k, 1, k);
	r->v.s.gpr[R_SI] = VA;
	r->v.s.gpr[R_DI] = VA + 3;
	r->v.s.gpr[R_CX] = 20;
	assert_int_equal(EXEC(r, 0xf3, 0xa4), -1);
	for (unsigned k = 0; k < 23; k++)
		assert_int_equal(rig_get(r, VA + k, 1), k % 3);
	assert_int_equal(rig_get(r, VA + 23, 1), 23);
	cpu_rig_free(r);
}

/* The other processor marks the task busy, too, behind the instruction of a given number; was it the first? */
static void take_busy(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig, (void)info;
	if (++other.steps == other.size) {
		other.seen = !(*other.at & 2);
		*other.at |= 2;
		uc->uc_mcontext.gregs[REG_EFL] &= ~0x100ll; /* that was all */
	}
}

/* Only one of two processors that load the same task register gets it. */
static void descriptors(void **state)
{
	static const uint8_t ltr[] = { 0x0f, 0x00, 0xd8 };
	struct cpu_rig *r = start();
	uint64_t at = RIG_GDT + 0x20;
	volatile unsigned firsts = 0, step = 0, times = 0;
	volatile int vector;
	struct decoded d;
	struct insn i;

	(void)state;
	assert_int_equal(insn_decode(ltr, sizeof(ltr), CODE_64, &i, &d), DECODE_OK);
	r->v.s.gpr[R_AX] = 0x20;
	sigaction(SIGTRAP, &(struct sigaction){ .sa_sigaction = take_busy, .sa_flags = SA_SIGINFO }, NULL);
	other.at = r->ram.base + at + 5;
	do {
		rig_put(r, at, 8, 0x0000890000000067ull);
		rig_put(r, at + 8, 8, 0);
		other.steps = 0;
		other.seen = false;
		other.size = step += 1 + step / 32; /* a signal is not for nothing */
		times++;
		STEPPED(vector = FAULT(r, i.exec(&r->v, &i)));
		assert_int_equal(rig_get(r, at + 5, 1), 0x8b);
		assert_int_equal(vector, other.seen ? EXC_GP : -1);
		firsts += other.seen;
	} while (other.steps >= step);
	assert_true(firsts > 10 && firsts < times - 1);
	cpu_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores),
		cmocka_unit_test(loads),
		cmocka_unit_test(images),
		cmocka_unit_test(strings),
		cmocka_unit_test(strings_overlap),
		cmocka_unit_test(descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
