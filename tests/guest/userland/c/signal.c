/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signal.c - faults and signals: their numbers, codes and addresses, and going on afterwards. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "check.h"

static sigjmp_buf back;
static volatile siginfo_t last;
static volatile int caught;

static void leave(int number, siginfo_t *info, void *context)
{
	(void)context;
	last.si_code = info->si_code;
	last.si_addr = info->si_addr;
	siglongjmp(back, number);
}

static void on(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	sigaction(number, &action, NULL);
}

/* The signal that `act` dies of, or 0. */
static int signal_of(void (*act)(void *), void *argument)
{
	int number = sigsetjmp(back, 1);
	if (!number)
		act(argument);
	return number;
}

static void load(void *at)
{
	(void)*(volatile char *)at;
}

static void store(void *at)
{
	*(volatile char *)at = 1;
}

static void divide(void *divisor)
{
	volatile int result, by = *(int *)divisor;
	result = -2147483647 - 1;
	result = result / by;
	(void)result;
}

static void illegal(void *unused)
{
	(void)unused;
	__asm__ volatile("ud2");
}

static void breakpoint(void *unused)
{
	(void)unused;
	__asm__ volatile("int3");
}

static void privileged(void *unused)
{
	(void)unused;
	__asm__ volatile("hlt");
}

static void execute(void *at)
{
	((void (*)(void))(uintptr_t)at)();
}

static void faults(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *area = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(area + page, page);
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(signal_of(load, area + page + i), SIGSEGV);
		CHECK_EQ(last.si_code, SEGV_MAPERR);
		CHECK(last.si_addr == area + page + i);
		CHECK_EQ(signal_of(store, area + i), SIGSEGV);
		CHECK_EQ(last.si_code, SEGV_ACCERR);
		CHECK(last.si_addr == area + i);
		CHECK_EQ(signal_of(load, area + i), 0);
	}
	CHECK_EQ(signal_of(execute, area), SIGSEGV);
	CHECK(last.si_addr == area);
	CHECK_EQ(signal_of(load, (void *)0x8000000000000000), SIGSEGV);
	CHECK_EQ(signal_of(divide, &(int){ 0 }), SIGFPE);
	CHECK_EQ(last.si_code, FPE_INTDIV);
	CHECK_EQ(signal_of(divide, &(int){ -1 }), SIGFPE);
	CHECK_EQ(signal_of(divide, &(int){ 3 }), 0);
	CHECK_EQ(signal_of(illegal, NULL), SIGILL);
	CHECK_EQ(signal_of(breakpoint, NULL), SIGTRAP);
	CHECK_EQ(signal_of(privileged, NULL), SIGSEGV);
	munmap(area, page);
}

/* A handler may repair what was wrong and go on with the same instruction. */
static void *repaired;

static void repair(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	caught++;
	mprotect(repaired, 4096, PROT_READ | PROT_WRITE);
}

static void going_on(void)
{
	repaired = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	on(SIGSEGV, repair, 0);
	caught = 0;
	volatile uint32_t *word = repaired;
	for (int i = 1; i <= 100; i++) {
		*word += i;
		mprotect(repaired, 4096, i & 1 ? PROT_NONE : PROT_READ);
	}
	CHECK_EQ(*word, 5050);
	CHECK_EQ(caught, 100);
	munmap(repaired, 4096);
}

/* Flags, registers and vectors must survive a signal between any two instructions. */
static void tick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	volatile double x = caught;
	x = x * 3.5 + 1;
	caught++;
}

static void timers(void)
{
	on(SIGALRM, tick, SA_RESTART);
	caught = 0;
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
	setitimer(ITIMER_REAL, &every, NULL);
	uint64_t bad = 0, rounds = 0;
	while (caught < 50) {
		uint64_t a = 0x0123456789abcdef, b = 1;
		double x = 1;
		for (int i = 0; i < 1000; i++) {
			a = a << 1 | a >> 63;
			b = b * 3 + (a > b);
			x = x * 0.5 + 1;
		}
		static uint64_t first;
		if (!rounds++)
			first = b;
		bad += a != (0x0123456789abcdefu << (1000 % 64) | 0x0123456789abcdefu >> (64 - 1000 % 64)) || b != first ||
		       x != 2;
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	CHECK_EQ(bad, 0);
}

/* Signals sent to oneself: masks, queues, another stack. */
static char *seen_stack;

static void note_stack(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	char here;
	seen_stack = &here;
	caught += info->si_value.sival_int;
}

static void queues(void)
{
	static char stack[64 << 10];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	sigaltstack(&other, NULL);
	on(SIGRTMIN, note_stack, SA_ONSTACK);
	caught = 0;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 1; i <= 10; i++)
		CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }), 0);
	CHECK_EQ(caught, 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK_EQ(caught, 55);
	CHECK(seen_stack >= stack && seen_stack < stack + sizeof(stack));
}

void test_signal(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	for (int i = 0; i < 5; i++)
		on(fatal[i], leave, SA_NODEFER);
	faults();
	going_on();
	timers();
	queues();
	for (int i = 0; i < 5; i++)
		signal(fatal[i], SIG_DFL);
}
