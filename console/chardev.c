/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define WRITE_MAX 512 /* what any pipe or terminal takes at once when poll says it takes anything */

static bool open_pty(struct chardev *c, GError **error)
{
	struct termios raw;
	char name[128];
	int master, slave;

	if (openpty(&master, &slave, name, NULL, NULL) < 0)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "no pseudo terminal");
	if (tcgetattr(slave, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(slave, TCSANOW, &raw);
	}
	fcntl(master, F_SETFD, FD_CLOEXEC);
	fcntl(slave, F_SETFD, FD_CLOEXEC);
	fcntl(master, F_SETFL, O_NONBLOCK);
	c->in = c->out = master;
	c->keep = slave;
	c->owned = true;
	c->pty_name = g_strdup(name);
	return true;
}

bool chardev_open(struct chardev *c, const char *type, const char *path, GError **error)
{
	*c = (struct chardev){ .in = -1, .out = -1, .keep = -1 };
	if (strcmp(type, "none") == 0)
		return true;
	if (strcmp(type, "pty") == 0)
		return open_pty(c, error);
	if (strcmp(type, "stdio") == 0) {
		c->in = STDIN_FILENO;
		c->out = STDOUT_FILENO;
		c->terminal = true;
		return true;
	}
	if (strcmp(type, "file") != 0)
		return fail(
			error, SERAI_ERROR_CONFIG, "'%s': one of stdio, file, pty, none was expected", type);
	if (!path || !*path)
		return fail(error, SERAI_ERROR_CONFIG, "a file name is missing");
	c->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644);
	if (c->out < 0)
		return fail_errno(error, SERAI_ERROR_CONFIG, errno, "%s", path);
	c->owned = true;
	return true;
}

void chardev_close(struct chardev *c)
{
	if (c->owned && c->out >= 0)
		close(c->out);
	if (c->keep >= 0)
		close(c->keep);
	g_free(c->pty_name);
	*c = (struct chardev){ .in = -1, .out = -1, .keep = -1 };
}

size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t len)
{
	struct pollfd p = { .fd = c->out, .events = POLLOUT };
	size_t done = 0;

	if (c->out < 0)
		return len;
	while (done < len) {
		ssize_t n;

		/* The terminal is shared with the shell, so it stays blocking: ask before each write. */
		if (poll(&p, 1, 0) <= 0)
			break;
		n = write(c->out, bytes + done, MIN_OF(len - done, (size_t)WRITE_MAX));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		/* Nobody reads any more: the guest's line is unplugged, which is no reason to stop the guest.
		 */
		if (n < 0)
			return len;
		done += (size_t)n;
	}
	/* A pty without a reader fills up; its oldest output would be lost anyway. */
	return c->pty_name ? len : done;
}
