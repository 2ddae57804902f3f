/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/perf.c - /tmp/perf-PID.map: where translated code lies and what it is, in the form that perf reads
 * (START SIZE NAME, one a line).
 *
 * Under the cache's lock, but for bt_perf_flush, which takes it.
 */
#include "monitor/engine/bt/bt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_SIZE 96

struct bt_perf {
	int fd;
	size_t used;
	char text[32u << 10];
};

static void put_out(struct bt_perf *p)
{
	size_t done = 0;

	while (done < p->used) {
		ssize_t n = write(p->fd, p->text + done, p->used - done);

		if (n <= 0) /* a full disk costs names, nothing else */
			break;
		done += (size_t)n;
	}
	p->used = 0;
}

void bt_perf_flush(struct bt_cache *c)
{
	pthread_mutex_lock(&c->lock);
	put_out(c->perf);
	pthread_mutex_unlock(&c->lock);
}

static void add(struct bt_cache *c, const uint8_t *at, size_t size, const char *name)
{
	struct bt_perf *p = c->perf;

	if (p->used + LINE_MAX_SIZE > sizeof(p->text))
		put_out(p);
	p->used += (size_t)snprintf(p->text + p->used, LINE_MAX_SIZE, "%llx %zx %s\n",
		(unsigned long long)(uintptr_t)at, size, name);
}

void bt_perf_block(void *cache, struct bt_block *k)
{
	struct bt_cache *c = cache;
	const uint8_t *cold = c->rx + ((const uint8_t *)(k + 1) - c->rw);
	char name[48];

	snprintf(name, sizeof(name), "%s%s_%llx%s", k->mode & BT_SUPER ? "kernel" : "user",
		(k->mode & 3) == BT_64 ? "64" : "32", (unsigned long long)k->la, k->mode & BT_VIEW ? "_view" : "");
	add(c, k->host_code, k->host_size, name);
	strcat(name, "_rare");
	add(c, cold, k->size - sizeof(*k), name);
}

void bt_perf_again(struct bt_cache *c)
{
	if (ftruncate(c->perf->fd, 0) == 0)
		c->perf->used = 0;
	add(c, c->rx, c->fixed, "serai_bt_shared");
	bt_cache_each(c, bt_perf_block, c);
}

bool bt_perf_wanted(const struct vcpu *v)
{
	return v->engine_options && v->engine_options->perf_map;
}

bool bt_perf_create(struct bt_cache *c, GError **error)
{
	struct bt_perf *p = calloc(1, sizeof(*p));
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	if (!p)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for %s", path);
	p->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_TRUNC, 0600);
	if (p->fd < 0) {
		fail_errno(error, SERAI_ERROR_HOST, errno, "%s", path);
		free(p);
		return false;
	}
	c->perf = p;
	add(c, c->rx, c->fixed, "serai_bt_shared");
	return true;
}

void bt_perf_destroy(struct bt_cache *c)
{
	if (!c->perf)
		return;
	put_out(c->perf);
	close(c->perf->fd);
	free(c->perf);
}
