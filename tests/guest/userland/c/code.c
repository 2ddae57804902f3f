/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code.c - code made at run time: written, run, changed, run again, moved, and run through a second mapping. */
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { PAGE = 4096 };

typedef uint32_t function(uint32_t);

static function *callable(uint8_t *code)
{
	return (function *)(uintptr_t)code;
}

/* lea eax, [rdi + constant]; ret */
static void emit_plus(uint8_t *code, uint32_t constant)
{
	code[0] = 0x8d;
	code[1] = 0x87;
	memcpy(code + 2, &constant, 4);
	code[6] = 0xc3;
}

static void same_page(uint8_t *code)
{
	uint64_t wrong = 0;
	for (uint32_t i = 0; i < 500; i++) {
		emit_plus(code, i * 3);
		wrong += callable(code)(i) != i * 4;
		code[2]++; /* within the instruction */
		wrong += callable(code)(i) != (i * 3 & ~255u) + (uint8_t)(i * 3 + 1) + i;
	}
	CHECK_EQ(wrong, 0);
}

/* Code that changes the instruction behind the changing one:  mov byte [rip + 0], dil; mov al, 0; movzx eax, al; ret */
static void own_instruction(uint8_t *code)
{
	static const uint8_t text[] = { 0x40, 0x88, 0x3d, 1, 0, 0, 0, 0xb0, 0, 0x0f, 0xb6, 0xc0, 0xc3 };
	uint64_t wrong = 0;
	memcpy(code, text, sizeof(text));
	for (uint32_t i = 0; i < 600; i++)
		wrong += callable(code)(i) != (uint8_t)i;
	CHECK_EQ(wrong, 0);
}

/* Data beside code, as compilers at run time have it. */
static void beside(uint8_t *code)
{
	uint64_t wrong = 0;
	emit_plus(code, 1);
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t *datum = (uint32_t *)(code + 64 + i % 500 * 8);
		*datum = i;
		wrong += callable(code)(*datum) != i + 1;
	}
	CHECK_EQ(wrong, 0);
}

static void across_pages(uint8_t *code)
{
	uint64_t wrong = 0;
	for (uint32_t back = 1; back < 7; back++) {
		for (uint32_t i = 0; i < 20; i++) {
			emit_plus(code + PAGE - back, i << 20 | i);
			wrong += callable(code + PAGE - back)(1) != (i << 20 | i) + 1;
		}
	}
	CHECK_EQ(wrong, 0);
}

static void second_mapping(void)
{
	int file = memfd_create("code", 0);
	CHECK_EQ(ftruncate(file, PAGE), 0);
	uint8_t *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	uint8_t *runnable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	uint64_t wrong = 0;
	uint8_t whole[7];
	for (uint32_t i = 0; i < 300; i++) {
		emit_plus(writable, i);
		wrong += callable(runnable)(1000) != 1000 + i;
		emit_plus(whole, i + 7);
		CHECK_EQ(pwrite(file, whole, sizeof(whole), 0), sizeof(whole));
		wrong += callable(runnable)(1000) != 1007 + i;
	}
	CHECK_EQ(wrong, 0);
	munmap(writable, PAGE);
	munmap(runnable, PAGE);
	close(file);
}

/* The same address, another page. */
static void remapped(uint8_t *code)
{
	uint64_t wrong = 0;
	for (uint32_t i = 0; i < 100; i++) {
		mprotect(code, PAGE, PROT_READ | PROT_WRITE);
		emit_plus(code, i);
		mprotect(code, PAGE, PROT_READ | PROT_EXEC);
		wrong += callable(code)(i) != 2 * i;
		mmap(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		emit_plus(code, ~i);
		wrong += callable(code)(i) != ~0u;
	}
	CHECK_EQ(wrong, 0);
}

void test_code(void)
{
	uint8_t *code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(code != MAP_FAILED);
	if (code == MAP_FAILED)
		return;
	same_page(code);
	own_instruction(code);
	beside(code);
	across_pages(code);
	second_mapping();
	remapped(code);
	munmap(code, 2 * PAGE);
}
