/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk/pool.c - the threads that carry out an image's requests.
 *
 * Owns:    one or two threads and the queue between submitters and them.
 * Promise: requests start in the order they were submitted; every one is delivered exactly once.
 * Threads: `lock` guards the queue; no other lock is taken under it.
 */
#include "disk/format/format.h"

#include "base/log.h"

#include <signal.h>

#define POOL_THREADS 2

struct image_pool {
	struct image *img;
	image_deliver_fn *deliver;
	void *deliver_opaque;
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct image_request *head, **tail;
	unsigned running;
	unsigned logged; /* errors told so far */
	bool stop;
	pthread_t thread[POOL_THREADS];
	unsigned threads;
};

#define ERRORS_TOLD 20

static void pool_run(struct image_pool *pool, struct image_request *r)
{
	GError *error = NULL;

	r->error = image_execute(pool->img, r->op, r->lba, r->sectors, r->iov, r->iov_count, &error);
	if (r->error && __atomic_fetch_add(&pool->logged, 1, __ATOMIC_RELAXED) < ERRORS_TOLD)
		log_error("disk", "%s", error ? error->message : g_strerror(r->error));
	g_clear_error(&error);
	if (pool->deliver)
		pool->deliver(pool->deliver_opaque, r);
	else
		image_finish(r);
}

static void *pool_thread(void *arg)
{
	struct image_pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct image_request *r = pool->head;

		if (!r) {
			if (pool->stop)
				break;
			pthread_cond_wait(&pool->work, &pool->lock);
			continue;
		}
		pool->head = r->next;
		if (!pool->head)
			pool->tail = &pool->head;
		r->next = NULL;
		pool->running++;
		pthread_mutex_unlock(&pool->lock);
		pool_run(pool, r);
		pthread_mutex_lock(&pool->lock);
		pool->running--;
		if (!pool->head && !pool->running)
			pthread_cond_broadcast(&pool->idle);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct image_pool *image_pool_new(struct image *img, const struct image_options *options, GError **error)
{
	struct image_pool *pool = g_new0(struct image_pool, 1);
	unsigned want = options->threads ? MIN_OF(options->threads, POOL_THREADS) : 1;
	sigset_t all, old;
	int err = 0;

	pool->img = img;
	pool->deliver = options->deliver;
	pool->deliver_opaque = options->deliver_opaque;
	pool->tail = &pool->head;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->idle, NULL);
	/* Signals are the main loop's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (pool->threads < want && !err)
		if (!(err = pthread_create(&pool->thread[pool->threads], NULL, pool_thread, pool)))
			pool->threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!pool->threads) {
		fail_errno(error, SERAI_ERROR_HOST, err, "cannot start a disk thread");
		image_pool_free(pool);
		return NULL;
	}
	return pool;
}

void image_pool_free(struct image_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->threads; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->idle);
	g_free(pool);
}

void image_submit(struct image *img, struct image_request *r)
{
	struct image_pool *pool = img->pool;

	r->error = 0;
	r->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->tail = r;
	pool->tail = &r->next;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

void image_drain(struct image *img)
{
	struct image_pool *pool = img->pool;

	pthread_mutex_lock(&pool->lock);
	while (pool->head || pool->running)
		pthread_cond_wait(&pool->idle, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
}
