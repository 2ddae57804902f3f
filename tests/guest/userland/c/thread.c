/* SPDX-License-Identifier: GPL-2.0-or-later */
/* thread.c - threads: locks, conditions, atomics, storage of their own. */
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { THREADS = 4, ROUNDS = 5000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static atomic_uint_fast64_t atomic_sum, exchanged;
static uint64_t locked_sum;
static int turn;
static __thread uint64_t own;

static void *count(void *argument)
{
	uint64_t me = (uintptr_t)argument;
	for (int i = 0; i < ROUNDS; i++) {
		own += me;
		atomic_fetch_add(&atomic_sum, me);
		uint64_t old = atomic_load(&exchanged);
		while (!atomic_compare_exchange_weak(&exchanged, &old, old * 2 % 1000003 + 1))
			;
		pthread_mutex_lock(&lock);
		locked_sum += me;
		pthread_mutex_unlock(&lock);
	}
	return (void *)(uintptr_t)own;
}

static void *take_turns(void *argument)
{
	int me = (int)(uintptr_t)argument;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&lock);
		while (turn % THREADS != me)
			pthread_cond_wait(&changed, &lock);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

void test_thread(void)
{
	pthread_t threads[THREADS];
	void *result;
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, count, (void *)(uintptr_t)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		CHECK_EQ((uintptr_t)result, (i + 1) * ROUNDS);
	}
	CHECK_EQ(locked_sum, 10 * ROUNDS);
	CHECK_EQ(atomic_sum, 10 * ROUNDS);
	uint64_t alone = 0;
	for (int i = 0; i < THREADS * ROUNDS; i++)
		alone = alone * 2 % 1000003 + 1;
	CHECK_EQ(exchanged, alone);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, take_turns, (void *)(uintptr_t)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(turn, 200 * THREADS);
}
