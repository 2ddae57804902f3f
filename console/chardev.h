/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * console/chardev.h - where a character device's bytes go and come from on the host.
 *
 * Owns:    the descriptors it opened.
 * Threads: writing from any one thread at a time; never blocks on a slow reader.
 */
#ifndef SERAI_CONSOLE_CHARDEV_H
#define SERAI_CONSOLE_CHARDEV_H

#include "base/error.h"

struct chardev {
	int in, out;    /* -1: none */
	bool owned;     /* close them */
	bool terminal;  /* standard input and output: escapes apply when it is a terminal */
	char *pty_name; /* what to connect to; NULL: not a pty */
	int keep;       /* slave side held open so that the master does not hang up, -1 */
};

/* `type` is "stdio", "file" (with a path; truncated), "pty" or "none". */
bool chardev_open(struct chardev *c, const char *type, const char *path, GError **error);
void chardev_close(struct chardev *c);

/* How many of the bytes were taken; without a descriptor all of them, into nowhere. */
size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t len);

#endif
