/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/control.c - the server's side of the control protocol (vm/control.h).
 *
 * One line is read at a time from each connection; what a client sends is never trusted to be short, text or
 * JSON.
 */
#include "vm/control.h"

#include "monitor/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 8192

struct client {
	struct machine *machine;
	int fd;
	char line[REQUEST_MAX];
	size_t len;
};

struct request_row {
	const char *name;
	/* Adds members to the answer, or returns false with the reason. */
	bool (*run)(struct machine *m, const struct json *request, GString *answer, GError **error);
};

static bool run_status(struct machine *m, const struct json *request, GString *s, GError **error)
{
	(void)request, (void)error;
	json_add_string(s, "name", m->config.name);
	if (m->config.vmx_path)
		json_add_string(s, "config", m->config.vmx_path);
	json_add_uint(s, "pid", (uint64_t)getpid());
	json_add_string(s, "state", m->paused ? "paused" : "running");
	json_add_string(s, "engine", m->config.engine->name);
	json_add_uint(s, "cpus", m->cpus_made);
	json_add_uint(s, "memory", m->config.ram_bytes >> 20);
	return true;
}

static bool run_screen(struct machine *m, const struct json *request, GString *s, GError **error)
{
	struct vga_text_info info = { 0 };
	bool graphics;
	g_autofree char *text = io_screen_text(m, &info, &graphics);

	(void)request;
	if (graphics)
		return fail(error, SERAI_ERROR_STATE, "the screen shows a graphics mode");
	json_add_string(s, "text", text);
	json_add_uint(s, "columns", info.columns);
	json_add_uint(s, "rows", info.rows);
	if (info.cursor_column >= 0 && info.cursor_row >= 0) {
		json_add_uint(s, "cursor_column", (uint64_t)info.cursor_column);
		json_add_uint(s, "cursor_row", (uint64_t)info.cursor_row);
	}
	return true;
}

struct counters {
	GString *s, *group;
	char *name; /* of the group */
};

static void end_group(struct counters *c)
{
	if (!c->name)
		return;
	g_string_append_c(c->group, '}');
	json_add_raw(c->s, c->name, c->group->str);
	g_clear_pointer(&c->name, g_free);
}

/* Those of a group come one after the other: an object in the object. */
static void add_counter(void *opaque, const char *group, const char *name, uint64_t value)
{
	struct counters *c = opaque;

	if (g_strcmp0(group, c->name) != 0) {
		end_group(c);
		g_string_assign(c->group, "{");
		c->name = g_strdup(group);
	}
	json_add_uint(group ? c->group : c->s, name, value);
}

static bool run_measure(struct machine *m, const struct json *request, GString *s, GError **error)
{
	const char *text = json_get(request, "ms");
	guint64 ms = text ? g_ascii_strtoull(text, NULL, 10) : 1000;

	(void)s;
	if (!ms || ms > 60000)
		return fail(error, SERAI_ERROR_CONFIG, "\"ms\" must be 1 to 60000");
	if (m->paused)
		return fail(error, SERAI_ERROR_STATE, "the VM is paused");
	stats_begin_window(m, (unsigned)ms);
	return true;
}

static bool run_stats(struct machine *m, const struct json *request, GString *s, GError **error)
{
	g_autofree char *text = NULL;

	(void)request, (void)error;
	stats_end_window(m);
	text = stats_text(m);
	json_add_string(s, "text", text);
	for (unsigned i = 0; i < m->cpus_made; i++) {
		g_autoptr(GString) all = g_string_new("{"), group = g_string_new(NULL);
		struct counters counters = { all, group, NULL };
		g_autofree char *name = g_strdup_printf("cpu%u", i);

		stats_each(m, i, add_counter, &counters);
		end_group(&counters);
		g_string_append_c(all, '}');
		json_add_raw(s, name, all->str);
	}
	return true;
}

static bool run_pause(struct machine *m, const struct json *request, GString *s, GError **error)
{
	(void)request, (void)s, (void)error;
	if (!m->paused)
		machine_pause(m);
	return true;
}

static bool run_resume(struct machine *m, const struct json *request, GString *s, GError **error)
{
	(void)request, (void)s, (void)error;
	if (m->paused)
		machine_resume(m);
	return true;
}

static bool run_reset(struct machine *m, const struct json *request, GString *s, GError **error)
{
	(void)request, (void)s, (void)error;
	machine_post(m, EVENT_RESET, true);
	return true;
}

static bool run_powerbutton(struct machine *m, const struct json *request, GString *s, GError **error)
{
	(void)request, (void)s, (void)error;
	pthread_mutex_lock(&m->pc.mem.lock);
	pm_press_power_button(&m->pc.pm);
	pthread_mutex_unlock(&m->pc.mem.lock);
	return true;
}

static bool run_save(struct machine *m, const struct json *request, GString *s, GError **error)
{
	const char *file = json_get(request, "file");

	(void)s;
	if (!file || *file != '/')
		return fail(error, SERAI_ERROR_CONFIG, "\"file\" must be an absolute path");
	return machine_save(m, file, error);
}

static bool run_quit(struct machine *m, const struct json *request, GString *s, GError **error)
{
	(void)request, (void)s, (void)error;
	machine_quit(m, STATUS_POWEROFF);
	return true;
}

static const struct request_row rows[] = {
	{ "status", run_status },
	{ "screen", run_screen },
	{ "stats", run_stats },
	{ "measure", run_measure },
	{ "pause", run_pause },
	{ "resume", run_resume },
	{ "reset", run_reset },
	{ "powerbutton", run_powerbutton },
	{ "save", run_save },
	{ "quit", run_quit },
};

static bool dispatch(struct machine *m, const char *line, size_t len, GString *answer, GError **error)
{
	struct json *request = json_parse(line, len, error);
	const char *command;
	bool ok = false;

	if (!request)
		return false;
	command = json_get(request, "command");
	for (size_t i = 0; command && i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, command) != 0)
			continue;
		ok = rows[i].run(m, request, answer, error);
		json_free(request);
		return ok;
	}
	json_free(request);
	return fail(error, SERAI_ERROR_CONFIG, "no such command");
}

static void send_all(int fd, const GString *s)
{
	size_t done = 0;

	while (done < s->len) {
		ssize_t n = send(fd, s->str + done, s->len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* A client that asks but does not read loses its answer. */
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

static void answer_line(struct client *c, size_t len)
{
	g_autoptr(GString) body = g_string_new("{");
	g_autoptr(GString) answer = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	bool ok = dispatch(c->machine, c->line, len, body, &error);

	json_begin(answer);
	json_add_uint(answer, "version", CONTROL_VERSION);
	json_add_bool(answer, "ok", ok);
	if (!ok)
		json_add_string(answer, "error", error ? error->message : "failed");
	else if (body->len > 1)
		g_string_append_printf(answer, ",%s", body->str + 1);
	json_end(answer);
	send_all(c->fd, answer);
}

static gboolean client_readable(int fd, GIOCondition condition, void *opaque)
{
	struct client *c = opaque;
	ssize_t n = recv(fd, c->line + c->len, sizeof(c->line) - c->len, 0);
	char *nl;

	(void)condition;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n <= 0)
		return G_SOURCE_REMOVE;
	c->len += (size_t)n;
	while ((nl = memchr(c->line, '\n', c->len))) {
		size_t used = (size_t)(nl - c->line) + 1;

		answer_line(c, used - 1);
		c->len -= used;
		memmove(c->line, c->line + used, c->len);
	}
	return c->len < sizeof(c->line) ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void client_free(void *opaque)
{
	struct client *c = opaque;

	close(c->fd);
	g_free(c);
}

static gboolean accept_client(int fd, GIOCondition condition, void *opaque)
{
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	(void)condition;
	if (s < 0)
		return G_SOURCE_CONTINUE;
	c = g_new0(struct client, 1);
	c->machine = opaque;
	c->fd = s;
	g_unix_fd_add_full(G_PRIORITY_DEFAULT, s, G_IO_IN | G_IO_HUP, client_readable, c, client_free);
	return G_SOURCE_CONTINUE;
}

bool control_create(struct machine *m, GError **error)
{
	g_autoptr(GError) why = NULL;
	g_autofree char *dir = control_directory(true, &why);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)error;
	/* A VM without its socket still runs: say so and go on. */
	if (!dir) {
		log_warn("control", "%s", why->message);
		return true;
	}
	m->control_path = g_strdup_printf("%s/%d.sock", dir, (int)getpid());
	if (strlen(m->control_path) >= sizeof(addr.sun_path)) {
		log_warn("control", "%s: too long a name for a socket", m->control_path);
		g_clear_pointer(&m->control_path, g_free);
		return true;
	}
	strcpy(addr.sun_path, m->control_path);
	unlink(m->control_path);
	m->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->control_fd < 0 || bind(m->control_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(m->control_fd, 8) < 0) {
		log_warn("control", "%s: %s", m->control_path, strerror(errno));
		return true;
	}
	m->control_watch = g_unix_fd_add(m->control_fd, G_IO_IN, accept_client, m);
	return true;
}

void control_destroy(struct machine *m)
{
	if (m->control_watch)
		g_source_remove(m->control_watch);
	if (m->control_fd >= 0)
		close(m->control_fd);
	if (m->control_path)
		unlink(m->control_path);
	g_clear_pointer(&m->control_path, g_free);
	m->control_fd = -1;
	m->control_watch = 0;
}
