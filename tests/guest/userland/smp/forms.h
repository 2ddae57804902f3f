/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * forms.h - the ways in which a program stores and loads: FORM(name, bytes, stores lock) for each, and functions
 * store_NAME(address, value) and load_NAME(address).
 *
 * Values are small, so that each form carries them.  Assembly is volatile and clobbers memory: the compiler keeps
 * the order and adds no access to the tested memory.
 */
#ifndef FORMS_H
#define FORMS_H

#include <stdint.h>

#define FORMS(FORM) \
	FORM(mov8, 1, 0) \
	FORM(mov16, 2, 0) \
	FORM(mov32, 4, 0) \
	FORM(mov64, 8, 0) \
	FORM(immediate, 4, 0) \
	FORM(push, 8, 0) \
	FORM(pushm, 8, 0) \
	FORM(string, 8, 0) \
	FORM(rep, 4, 0) \
	FORM(modify, 4, 0) \
	FORM(setcc, 1, 0) \
	FORM(mmx, 8, 0) \
	FORM(x87, 8, 0) \
	FORM(sse, 8, 0) \
	FORM(sse16, 16, 0) \
	FORM(cmpxchg, 4, 0) \
	FORM(xchg, 4, 1) \
	FORM(xadd, 8, 1) \
	FORM(lcmpxchg, 8, 1) \
	FORM(cmpxchg8b, 8, 1) \
	FORM(cmpxchg16b, 16, 1)

#define PLAIN_FORM(NAME, TYPE, MOV) \
	INLINE void store_##NAME(void *p, uint64_t v) \
	{ \
		__asm__ volatile(MOV " %1, (%0)" : : "r"(p), "q"((TYPE)v) : "memory"); \
	} \
	INLINE uint64_t load_##NAME(void *p) \
	{ \
		TYPE v; \
\
		__asm__ volatile(MOV " (%1), %0" : "=q"(v) : "r"(p) : "memory"); \
		return v; \
	}

PLAIN_FORM(mov8, uint8_t, "movb")
PLAIN_FORM(mov16, uint16_t, "movw")
PLAIN_FORM(mov32, uint32_t, "movl")
PLAIN_FORM(mov64, uint64_t, "movq")

INLINE void store_immediate(void *p, uint64_t v)
{
	if (v == 1)
		__asm__ volatile("movl $1, (%0)" : : "r"(p) : "memory");
	else
		__asm__ volatile("movl %1, (%0)" : : "r"(p), "r"((uint32_t)v) : "memory");
}

/* Sign extension, and an operation that loads, by turns of the compiler's choice of address. */
INLINE uint64_t load_immediate(void *p)
{
	uint64_t v = 0;

	__asm__ volatile("addl (%1), %k0" : "+r"(v) : "r"(p) : "memory", "cc");
	return v;
}

/* The stack is put where the datum is to be, for one instruction. */
INLINE void store_push(void *p, uint64_t v)
{
	uint64_t kept;

	__asm__ volatile("mov %%rsp, %0\n\t"
			 "lea 8(%1), %%rsp\n\t"
			 "push %2\n\t"
			 "mov %0, %%rsp"
			 : "=&r"(kept)
			 : "r"(p), "r"(v)
			 : "memory");
}

INLINE uint64_t load_push(void *p)
{
	uint64_t kept, v;

	__asm__ volatile("mov %%rsp, %0\n\t"
			 "mov %2, %%rsp\n\t"
			 "pop %1\n\t"
			 "mov %0, %%rsp"
			 : "=&r"(kept), "=&r"(v)
			 : "r"(p)
			 : "memory");
	return v;
}

INLINE void store_pushm(void *p, uint64_t v)
{
	__asm__ volatile("push %1\n\tpopq (%0)" : : "r"(p), "r"(v) : "memory");
}

INLINE uint64_t load_pushm(void *p)
{
	uint64_t v;

	__asm__ volatile("pushq (%1)\n\tpop %0" : "=r"(v) : "r"(p) : "memory");
	return v;
}

INLINE void store_string(void *p, uint64_t v)
{
	__asm__ volatile("stosq" : "+D"(p) : "a"(v) : "memory");
}

INLINE uint64_t load_string(void *p)
{
	uint64_t v;

	__asm__ volatile("lodsq" : "+S"(p), "=a"(v) : : "memory");
	return v;
}

INLINE void store_rep(void *p, uint64_t v)
{
	uint64_t count = 1;

	__asm__ volatile("rep stosl" : "+D"(p), "+c"(count) : "a"(v) : "memory");
}

INLINE uint64_t load_rep(void *p)
{
	uint64_t count = 1;
	uint32_t v;
	void *to = &v;

	__asm__ volatile("rep movsl" : "+S"(p), "+D"(to), "+c"(count) : : "memory");
	return v;
}

/* Read, modify, write without LOCK; the only store to its place, whose content is 0. */
INLINE void store_modify(void *p, uint64_t v)
{
	__asm__ volatile("orl %1, (%0)" : : "r"(p), "r"((uint32_t)v) : "memory", "cc");
}

INLINE uint64_t load_modify(void *p)
{
	uint32_t v;

	__asm__ volatile("imull $1, (%1), %0" : "=r"(v) : "r"(p) : "memory", "cc");
	return v;
}

INLINE void store_setcc(void *p, uint64_t v)
{
	if (v == 1)
		__asm__ volatile("test %0, %0\n\tsetnz (%0)" : : "r"(p) : "memory", "cc");
	else
		__asm__ volatile("movb %1, (%0)" : : "r"(p), "q"((uint8_t)v) : "memory");
}

INLINE uint64_t load_setcc(void *p)
{
	uint32_t v;

	__asm__ volatile("movzbl (%1), %0" : "=r"(v) : "r"(p) : "memory");
	return v;
}

INLINE void store_mmx(void *p, uint64_t v)
{
	__asm__ volatile("movq %1, %%mm0\n\tmovq %%mm0, (%0)\n\temms" : : "r"(p), "r"(v) : "memory", "mm0");
}

INLINE uint64_t load_mmx(void *p)
{
	uint64_t v;

	__asm__ volatile("movq (%1), %%mm0\n\tmovq %%mm0, %0\n\temms" : "=r"(v) : "r"(p) : "memory", "mm0");
	return v;
}

INLINE void store_x87(void *p, uint64_t v)
{
	__asm__ volatile("fildll %1\n\tfistpll (%0)" : : "r"(p), "m"(v) : "memory");
}

INLINE uint64_t load_x87(void *p)
{
	uint64_t v;

	__asm__ volatile("fildll (%1)\n\tfistpll %0" : "=m"(v) : "r"(p) : "memory");
	return v;
}

INLINE void store_sse(void *p, uint64_t v)
{
	__asm__ volatile("movq %1, %%xmm0\n\tmovq %%xmm0, (%0)" : : "r"(p), "r"(v) : "memory", "xmm0");
}

INLINE uint64_t load_sse(void *p)
{
	uint64_t v;

	__asm__ volatile("movq (%1), %%xmm0\n\tmovq %%xmm0, %0" : "=r"(v) : "r"(p) : "memory", "xmm0");
	return v;
}

INLINE void store_sse16(void *p, uint64_t v)
{
	__asm__ volatile("movq %1, %%xmm0\n\tpunpcklqdq %%xmm0, %%xmm0\n\tmovdqa %%xmm0, (%0)"
			 :
			 : "r"(p), "r"(v)
			 : "memory", "xmm0");
}

INLINE uint64_t load_sse16(void *p)
{
	uint64_t v;

	__asm__ volatile("movdqa (%1), %%xmm0\n\tmovq %%xmm0, %0" : "=r"(v) : "r"(p) : "memory", "xmm0");
	return v;
}

/* Without LOCK; a store that is not made because the comparison fails writes what was there (SDM 2A, CMPXCHG). */
INLINE void store_cmpxchg(void *p, uint64_t v)
{
	uint32_t old = 0;

	__asm__ volatile("cmpxchgl %2, (%1)" : "+a"(old) : "r"(p), "r"((uint32_t)v) : "memory", "cc");
}

INLINE uint64_t load_cmpxchg(void *p)
{
	uint32_t v;

	__asm__ volatile("xorl %0, %0\n\tcmpl (%1), %0\n\tsetne %b0" : "=&q"(v) : "r"(p) : "memory", "cc");
	return v;
}

INLINE void store_xchg(void *p, uint64_t v)
{
	uint32_t old = (uint32_t)v;

	__asm__ volatile("xchgl %0, (%1)" : "+r"(old) : "r"(p) : "memory");
}

INLINE uint64_t load_xchg(void *p)
{
	return load_mov32(p);
}

INLINE void store_xadd(void *p, uint64_t v)
{
	__asm__ volatile("lock xaddq %0, (%1)" : "+r"(v) : "r"(p) : "memory", "cc");
}

INLINE uint64_t load_xadd(void *p)
{
	uint64_t v = 0;

	__asm__ volatile("lock xaddq %0, (%1)" : "+r"(v) : "r"(p) : "memory", "cc");
	return v;
}

INLINE void store_lcmpxchg(void *p, uint64_t v)
{
	uint64_t old = 0;
	uint8_t done;

	do {
		__asm__ volatile("lock cmpxchgq %3, (%2)\n\tsetz %1"
				 : "+a"(old), "=q"(done)
				 : "r"(p), "r"(v)
				 : "memory", "cc");
	} while (!done);
}

INLINE uint64_t load_lcmpxchg(void *p)
{
	return load_mov64(p);
}

INLINE void store_cmpxchg8b(void *p, uint64_t v)
{
	uint32_t low = 0, high = 0;
	uint8_t done;

	do {
		__asm__ volatile("lock cmpxchg8b (%3)\n\tsetz %2"
				 : "+a"(low), "+d"(high), "=q"(done)
				 : "r"(p), "b"((uint32_t)v), "c"((uint32_t)(v >> 32))
				 : "memory", "cc");
	} while (!done);
}

INLINE uint64_t load_cmpxchg8b(void *p)
{
	uint32_t low = 0, high = 0;

	__asm__ volatile("lock cmpxchg8b (%2)"
			 : "+a"(low), "+d"(high)
			 : "r"(p), "b"(0), "c"(0)
			 : "memory", "cc");
	return (uint64_t)high << 32 | low;
}

INLINE void store_cmpxchg16b(void *p, uint64_t v)
{
	uint64_t low = 0, high = 0;
	uint8_t done;

	do {
		__asm__ volatile("lock cmpxchg16b (%3)\n\tsetz %2"
				 : "+a"(low), "+d"(high), "=q"(done)
				 : "r"(p), "b"(v), "c"(0ull)
				 : "memory", "cc");
	} while (!done);
}

INLINE uint64_t load_cmpxchg16b(void *p)
{
	uint64_t low = 0, high = 0;

	__asm__ volatile("lock cmpxchg16b (%2)"
			 : "+a"(low), "+d"(high)
			 : "r"(p), "b"(0ull), "c"(0ull)
			 : "memory", "cc");
	return low;
}

#endif
