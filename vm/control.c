/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm/control.c - the client's side of the control protocol, and where the sockets are.
 */
#include "vm/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

char *control_directory(bool create, GError **error)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	g_autofree char *dir = NULL;
	struct stat st;

	if (runtime && *runtime == '/' && access(runtime, W_OK) == 0)
		dir = g_build_filename(runtime, "serai", NULL);
	else
		dir = g_strdup_printf("/tmp/serai-%u", (unsigned)getuid());
	if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail_errno(error, SERAI_ERROR_IO, errno, "%s", dir), NULL;
	if (lstat(dir, &st) < 0)
		return fail(error, SERAI_ERROR_CONFIG, "no VM is running"), NULL;
	/* Anyone may have made a directory of this name in /tmp. */
	if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() || (st.st_mode & 077))
		return fail(error, SERAI_ERROR_IO, "%s: not a directory that only you can use; remove it",
			       dir),
		       NULL;
	return g_steal_pointer(&dir);
}

#define STATUS_SECONDS 10 /* one that hangs must not keep others from being found for longer */
#define ANSWER_SECONDS 60

static void limit_waiting(int fd, time_t seconds)
{
	struct timeval limit = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* connecting, too */
}

static int connect_path(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -1;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	limit_waiting(fd, STATUS_SECONDS);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static char *read_line(int fd, GError **error)
{
	GString *s = g_string_new(NULL);
	char buf[4096];
	ssize_t n;

	while (s->len < 16 * CONTROL_LINE_MAX) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		g_string_append_len(s, buf, n);
		if (buf[n - 1] == '\n')
			return g_string_free(s, FALSE);
	}
	g_string_free(s, TRUE);
	fail(error, SERAI_ERROR_IO, "the VM did not answer");
	return NULL;
}

bool control_ask(int fd, const char *request, struct json **answer, char **text, GError **error)
{
	g_autofree char *line = NULL;
	size_t len = strlen(request), sent = 0;
	const char *ok, *why;

	while (sent < len) {
		ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(error, SERAI_ERROR_IO, errno, "control socket");
		sent += (size_t)n;
	}
	line = read_line(fd, error);
	if (!line)
		return false;
	*answer = json_parse(line, strlen(line), error);
	if (!*answer)
		return false;
	ok = json_get(*answer, "ok");
	if (ok && strcmp(ok, "true") == 0) {
		if (text)
			*text = g_steal_pointer(&line);
		return true;
	}
	why = json_get(*answer, "error");
	fail(error, SERAI_ERROR_STATE, "%s", why ? why : "the VM refused");
	json_free(*answer);
	*answer = NULL;
	return false;
}

static bool answers_to(const struct json *status, const char *vm)
{
	const char *config = json_get(status, "config"), *name = json_get(status, "name"),
		   *pid = json_get(status, "pid");
	g_autofree char *path = g_canonicalize_filename(vm, NULL);

	return g_strcmp0(config, path) == 0 || g_strcmp0(name, vm) == 0 || g_strcmp0(pid, vm) == 0;
}

/* Visit sockets until `visit` returns true, which then owns the descriptor. */
static bool each_socket(bool (*visit)(void *opaque, int fd, const struct json *status, const char *text),
	void *opaque, GError **error)
{
	g_autofree char *dir = control_directory(false, error);
	GDir *d = dir ? g_dir_open(dir, 0, NULL) : NULL;
	const char *name;
	bool taken = false;

	if (!dir)
		return false;
	while (d && !taken && (name = g_dir_read_name(d))) {
		g_autofree char *path = g_build_filename(dir, name, NULL), *text = NULL;
		struct json *status = NULL;
		int fd;

		if (!g_str_has_suffix(name, ".sock"))
			continue;
		fd = connect_path(path);
		if (fd < 0) {
			/* Its process is gone without tidying up. */
			if (errno == ECONNREFUSED)
				unlink(path);
			continue;
		}
		if (control_ask(fd, "{\"command\":\"status\"}\n", &status, &text, NULL))
			taken = visit(opaque, fd, status, text);
		if (!taken)
			close(fd);
		json_free(status);
	}
	if (d)
		g_dir_close(d);
	return true;
}

struct search {
	const char *vm;
	int fd;
	unsigned seen, matched;
};

/* Looks at all of them, so that a name two VMs have is refused and not answered by the first. */
static bool match(void *opaque, int fd, const struct json *status, const char *text)
{
	struct search *s = opaque;

	(void)text;
	s->seen++;
	if (s->vm && !answers_to(status, s->vm))
		return false;
	if (!s->matched++)
		s->fd = dup(fd);
	return false;
}

int control_connect(const char *vm, GError **error)
{
	struct search s = { .vm = vm, .fd = -1 };

	if (!each_socket(match, &s, error))
		return -1;
	if (s.matched > 1) {
		close(s.fd);
		if (vm)
			fail(error, SERAI_ERROR_CONFIG,
				"%s: %u running VMs have that name; say which by its process number (serai "
				"list)",
				vm, s.matched);
		else
			fail(error, SERAI_ERROR_CONFIG, "%u VMs are running; say which (serai list)", s.seen);
		return -1;
	}
	if (s.fd < 0 && vm && s.seen)
		fail(error, SERAI_ERROR_CONFIG, "%s: no such VM is running (serai list)", vm);
	else if (s.fd < 0)
		fail(error, SERAI_ERROR_CONFIG, "no VM is running");
	else
		limit_waiting(s.fd, ANSWER_SECONDS);
	return s.fd;
}

struct listing {
	control_status_fn *fn;
	void *opaque;
};

static bool list_one(void *opaque, int fd, const struct json *status, const char *text)
{
	struct listing *l = opaque;

	(void)fd;
	l->fn(l->opaque, status, text);
	return false;
}

bool control_foreach(control_status_fn *fn, void *opaque, GError **error)
{
	struct listing l = { fn, opaque };

	return each_socket(list_one, &l, error);
}
