/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/perf.c - /tmp/perf-PID.map: where translated code lies and what it is, in the form that perf reads
 * (START SIZE NAME, one a line).
 *
 * All vCPUs of a process write to one file, each whole lines at a time.
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

void bt_perf_flush(struct bt *b)
{
	struct bt_perf *p = b->perf;
	size_t done = 0;

	while (done < p->used) {
		ssize_t n = write(p->fd, p->text + done, p->used - done);

		if (n <= 0) /* a full disk costs names, nothing else */
			break;
		done += (size_t)n;
	}
	p->used = 0;
}

static void add(struct bt *b, const uint8_t *at, size_t size, const char *name)
{
	struct bt_perf *p = b->perf;

	if (p->used + LINE_MAX_SIZE > sizeof(p->text))
		bt_perf_flush(b);
	p->used += (size_t)snprintf(p->text + p->used, LINE_MAX_SIZE, "%llx %zx %s\n",
		(unsigned long long)(uintptr_t)at, size, name);
}

void bt_perf_block(struct bt *b, struct bt_block *k)
{
	const uint8_t *cold = b->rx + ((const uint8_t *)(k + 1) - b->rw);
	char name[48];

	snprintf(name, sizeof(name), "%s%s_%llx", k->mode & BT_SUPER ? "kernel" : "user",
		(k->mode & 3) == BT_64 ? "64" : "32", (unsigned long long)k->la);
	add(b, k->host_code, k->host_size, name);
	strcat(name, "_rare");
	add(b, cold, k->size - sizeof(*k), name);
}

void bt_perf_again(struct vcpu *v, struct bt *b)
{
	if (v->count == 1 && ftruncate(b->perf->fd, 0) == 0)
		b->perf->used = 0;
	add(b, b->rx, b->fixed, "serai_bt_shared");
	bt_cache_each(b, bt_perf_block);
}

bool bt_perf_wanted(const struct vcpu *v)
{
	return v->engine_options && v->engine_options->perf_map;
}

bool bt_perf_create(struct vcpu *v, struct bt *b, GError **error)
{
	char path[64];
	int err;

	if (!bt_perf_wanted(v))
		return true;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	b->perf = calloc(1, sizeof(*b->perf));
	if (!b->perf)
		return fail_errno(error, SERAI_ERROR_HOST, ENOMEM, "memory for %s", path);
	b->perf->fd = open(path,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (v->index ? 0 : O_TRUNC), 0600);
	err = errno;
	if (b->perf->fd < 0) {
		free(b->perf);
		b->perf = NULL;
		return fail_errno(error, SERAI_ERROR_HOST, err, "%s", path);
	}
	return true;
}

void bt_perf_destroy(struct bt *b)
{
	if (!b->perf)
		return;
	bt_perf_flush(b);
	close(b->perf->fd);
	free(b->perf);
}
