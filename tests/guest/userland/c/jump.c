/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jump.c - control that leaves the usual path: setjmp, contexts, computed jumps, deep recursion, pointers. */
#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include "check.h"

static jmp_buf back;

__attribute__((noinline)) static void dive(int depth)
{
	volatile char room[64];
	room[depth % 64] = (char)depth;
	if (depth < 0)
		return;
	if (!depth)
		longjmp(back, 42);
	dive(depth - 1);
	room[0]++;
}

static void long_jumps(void)
{
	volatile int rounds = 0;
	int value = setjmp(back);
	if (value)
		CHECK_EQ(value, 42);
	if (++rounds < 200)
		dive(rounds);
	CHECK_EQ(rounds, 200);
}

static ucontext_t outside, inside;
static int produced;

static void producer(void)
{
	for (int i = 1; i <= 1000; i++) {
		produced += i;
		swapcontext(&inside, &outside);
	}
}

static void contexts(void)
{
	static char stack[64 << 10];
	getcontext(&inside);
	inside.uc_stack.ss_sp = stack;
	inside.uc_stack.ss_size = sizeof(stack);
	inside.uc_link = &outside;
	makecontext(&inside, producer, 0);
	for (int i = 1; i <= 1000; i++)
		swapcontext(&outside, &inside);
	CHECK_EQ(produced, 500500);
}

static unsigned ackermann(unsigned m, unsigned n)
{
	if (!m)
		return n + 1;
	return ackermann(m - 1, n ? ackermann(m, n - 1) : 1);
}

/* A small machine by computed jumps: sum of the odd numbers below a bound. */
static uint64_t machine(uint64_t bound)
{
	static const uint8_t program[] = { 0, 1, 2, 3, 4, 5 };
	static void *const targets[] = { &&start, &&test, &&add, &&step, &&again, &&end };
	uint64_t number = 0, sum = 0;
	int at = 0;
	goto *targets[program[at]];
start:
	number = 1;
	sum = 0;
	goto *targets[program[++at]];
test:
	at = number < bound ? 2 : 5;
	goto *targets[program[at]];
add:
	sum += number;
	goto *targets[program[++at]];
step:
	number += 2;
	goto *targets[program[++at]];
again:
	at = 1;
	goto *targets[program[at]];
end:
	return sum;
}

static int plus(int a, int b)
{
	return a + b;
}

static int minus(int a, int b)
{
	return a - b;
}

static int times(int a, int b)
{
	return a * b;
}

static void calls(void)
{
	int (*const operations[])(int, int) = { plus, minus, times };
	uint64_t seed = 10;
	int value = 1, want = 1;
	for (int i = 0; i < 3000; i++) {
		int which = next_random(&seed) % 3, operand = next_random(&seed) % 9;
		value = operations[which](value, operand) % 10007;
		switch (which) {
		case 0: want = (want + operand) % 10007; break;
		case 1: want = (want - operand) % 10007; break;
		case 2: want = want * operand % 10007; break;
		}
	}
	CHECK_EQ(value, want);
}

void test_jump(void)
{
	long_jumps();
	contexts();
	CHECK_EQ(ackermann(2, 300), 603);
	CHECK_EQ(ackermann(3, 6), 509);
	CHECK_EQ(machine(100001), 2500000000);
	calls();
}
