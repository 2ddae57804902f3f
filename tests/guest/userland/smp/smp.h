/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smp.h - what the checks of several processors share: pinned threads, a barrier, reports, and kinds of memory.
 *
 * Each check says how often it tried and what it saw, and fails on what the architecture forbids (Intel SDM volume
 * 3A, chapter 9; AMD APM volume 2, chapter 7).  With --break a check does something wrong on purpose (a fence left
 * out, a flag set too early), and must then see what it looks for: so it is known that it can fail.
 *
 * These programs are compiled inside a guest, and by meson nowhere.
 */
#ifndef SMP_H
#define SMP_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, LINE = 64, THREADS = 4 };

extern int processors; /* that this process may use */
extern unsigned scale; /* how many times the short form */
extern bool broken;    /* --break */

/* How often to do what the short form does n times.  With --break a little is enough. */
static inline uint64_t times(uint64_t n)
{
	return broken ? n / 10 + 1 : n * scale;
}

/* A name of any length and what was seen; `bad` is how many forbidden outcomes were among `rounds`.  With --break a
 * check that is `sure` must have found some. */
void judge(const char *name, uint64_t rounds, uint64_t bad, bool sure);
/* Said, not judged. */
void mention(const char *name, uint64_t rounds, uint64_t seen, const char *what);

/* body(me, argument) on `count` threads, each on a processor of its own while there are enough. */
void together(int count, void (*body)(int me, void *argument), void *argument);

static inline void pause_here(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* In a loop that waits for another thread, which may need this one's processor. */
static inline void wait_a_little(unsigned *turns)
{
	if (++*turns % 256)
		pause_here();
	else
		sched_yield();
}

static inline void delay(unsigned turns)
{
	while (turns--)
		pause_here();
}

struct barrier {
	_Alignas(LINE) uint64_t arrived;
};

/* Until `count` threads have come here `round` times (1, 2, ...). */
static inline void meet(struct barrier *barrier, int count, uint64_t round)
{
	unsigned turns = 0;

	__atomic_fetch_add(&barrier->arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&barrier->arrived, __ATOMIC_ACQUIRE) < round * (uint64_t)count)
		wait_a_little(&turns);
}

/* Plain MOVs, in program order. */
static inline void put(void *p, uint64_t v)
{
	__asm__ volatile("movq %1, (%0)" : : "r"(p), "r"(v) : "memory");
}

static inline uint64_t get(const void *p)
{
	uint64_t v;

	__asm__ volatile("movq (%1), %0" : "=r"(v) : "r"(p) : "memory");
	return v;
}

/*
 * Memory of several pages of one memfd:
 *   plain     the pages in order
 *   again     a second mapping of the same
 *   swapped   pages 1, 0, 3, 2, ...: what is adjacent here is not adjacent there
 *   code      pages of their own that can be run; each starts with a function that returns 1
 */
struct memory {
	int file;
	size_t pages;
	uint8_t *plain, *again, *swapped, *code;
};

void memory_make(struct memory *m, size_t pages);
void memory_free(struct memory *m);
/* Run the function on a page of `code`, so that the page is one whose code is known to whoever runs this machine. */
static inline void run_code(const uint8_t *page)
{
	__asm__ volatile("call *%0" : : "r"(page) : "rax", "memory");
}

void test_shapes(void);
void test_atomic(void);
void test_store(void);
void test_lock(void);
void test_code(void);
void test_map(void);
void test_time(void);

#define INLINE static inline __attribute__((always_inline))

INLINE void cpuid(void)
{
	uint32_t a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

/* To the next instruction, by way of IRET. */
INLINE void interrupt_return(void)
{
	uint64_t kept, s;

	__asm__ volatile("mov %%rsp, %0\n\t"
			 "mov %%ss, %k1\n\t"
			 "push %1\n\t"
			 "push %0\n\t"
			 "pushfq\n\t"
			 "mov %%cs, %k1\n\t"
			 "push %1\n\t"
			 "lea 1f(%%rip), %1\n\t"
			 "push %1\n\t"
			 "iretq\n"
			 "1:"
			 : "=&r"(kept), "=&r"(s)
			 :
			 : "memory", "cc");
}

#endif
