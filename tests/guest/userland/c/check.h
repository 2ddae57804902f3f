/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - what the self-checks share: counting, telling, and a random sequence that is the same everywhere.
 *
 * These programs are compiled inside a guest, at several levels of optimisation, and by meson nowhere.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern int checks, failures;

#define CHECK(condition) check_result((condition) != 0, __FILE__, __LINE__, #condition)
#define CHECK_EQ(have, want) check_equal((uint64_t)(have), (uint64_t)(want), __FILE__, __LINE__, #have)
#define CHECK_STR(have, want) check_string(have, want, __FILE__, __LINE__, #have)

void check_result(int good, const char *file, int line, const char *what);
void check_equal(uint64_t have, uint64_t want, const char *file, int line, const char *what);
void check_string(const char *have, const char *want, const char *file, int line, const char *what);

/* xorshift64*: never zero, and the same in every build. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

/* FNV-1a over bytes, for comparing much with one number. */
static inline uint64_t digest(const void *data, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;
	for (const uint8_t *byte = data; size--; byte++)
		hash = (hash ^ *byte) * 0x100000001b3;
	return hash;
}

void test_integer(void);
void test_float(void);
void test_text(void);
void test_sort(void);
void test_hash(void);
void test_vector(void);
void test_jump(void);
void test_signal(void);
void test_memory(void);
void test_code(void);
void test_thread(void);
void test_process(void);

#endif
