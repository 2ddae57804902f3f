/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/terminal_io.c - bytes between the host's terminal, files and ptys, and the guest's serial
 * ports, keyboard and screen.
 */
#include "monitor/machine/machine.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME_MS                40
#define ESC_MS                  50
#define LOW_WATER               128
#define FEED_MS                 10
#define CLAIM_MS                300
#define SCREEN_GRAPHICS_COLUMNS 40
/* One byte typed can become a modifier and a key, each pressed and released, two codes at most each. */
#define KEY_CODES_MAX 16

void io_print(struct machine *m, const char *text)
{
	size_t len = strlen(text), done = 0;

	(void)m;
	while (done < len) {
		ssize_t n = write(STDOUT_FILENO, text + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

/* ---- serial ports
 * ------------------------------------------------------------------------------------------------ */

/* The guest sent bytes: under the device lock, on its thread. */
static size_t serial_write(void *opaque, const uint8_t *bytes, size_t len)
{
	struct serial *s = opaque;

	return chardev_write(&s->dev, bytes, len);
}

static void serial_room(void *opaque)
{
	struct serial *s = opaque;

	machine_post(s->machine, EVENT_SERIAL_ROOM, false);
}

/* Offer what waits; under no lock. */
static void serial_push(struct serial *s)
{
	size_t n;

	if (!s->waiting_len || !s->uart)
		return;
	pthread_mutex_lock(&s->machine->pc.mem.lock);
	n = uart_receive(s->uart, s->waiting, s->waiting_len);
	pthread_mutex_unlock(&s->machine->pc.mem.lock);
	s->waiting_len -= n;
	memmove(s->waiting, s->waiting + n, s->waiting_len);
}

static void serial_type(struct serial *s, const uint8_t *bytes, size_t len)
{
	size_t n = MIN_OF(len, sizeof(s->waiting) - s->waiting_len);

	memcpy(s->waiting + s->waiting_len, bytes, n);
	s->waiting_len += n;
	serial_push(s);
}

static gboolean pty_readable(int fd, GIOCondition condition, void *opaque)
{
	struct serial *s = opaque;
	uint8_t buf[LOW_WATER];
	ssize_t n;

	(void)condition;
	n = read(fd, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n > 0)
		serial_type(s, buf, (size_t)n);
	if (n > 0 && s->waiting_len < LOW_WATER)
		return G_SOURCE_CONTINUE;
	s->watch = 0;
	return G_SOURCE_REMOVE;
}

/* ---- the screen
 * -------------------------------------------------------------------------------------------------- */

char *io_screen_text(struct machine *m, struct vga_text_info *info, bool *graphics)
{
	struct vga_text_info none;
	char *text;

	pthread_mutex_lock(&m->pc.mem.lock);
	text = vga_text(&m->pc.vga, info ? info : &none);
	pthread_mutex_unlock(&m->pc.mem.lock);
	*graphics = !text;
	return text ? text : g_strdup("(the screen shows a graphics mode)\n");
}

static void take_attributes(struct machine *m, struct textscreen *t)
{
	for (unsigned r = 0; r < t->rows; r++)
		for (unsigned c = 0; c < t->columns; c++)
			t->cell[r][c].attr = vga_text_attribute(&m->pc.vga, c, r);
}

static void say_graphics(struct textscreen *t)
{
	static const char text[] = "(the screen shows a graphics mode)";

	t->columns = SCREEN_GRAPHICS_COLUMNS;
	t->rows = 1;
	t->cursor_column = t->cursor_row = -1;
	for (unsigned i = 0; text[i]; i++)
		t->cell[0][i] = (struct textcell){ (uint8_t)text[i], 7 };
}

static void take_screen(struct machine *m, struct textscreen *t)
{
	struct vga_text_info info;
	g_autofree char *text = NULL;
	const char *p;

	memset(t, 0, sizeof(*t));
	pthread_mutex_lock(&m->pc.mem.lock);
	text = vga_text(&m->pc.vga, &info);
	if (!text) {
		pthread_mutex_unlock(&m->pc.mem.lock);
		say_graphics(t);
		return;
	}
	t->columns = MIN_OF(info.columns, (unsigned)SCREEN_COLUMNS);
	t->rows = MIN_OF(info.rows, (unsigned)SCREEN_ROWS);
	t->cursor_column = info.cursor_column;
	t->cursor_row = info.cursor_row;
	p = text;
	for (unsigned r = 0; r < t->rows; r++) {
		for (unsigned c = 0; *p && *p != '\n'; c++, p = g_utf8_next_char(p))
			if (c < t->columns)
				t->cell[r][c].ch = g_utf8_get_char(p);
		p += *p == '\n';
	}
	take_attributes(m, t);
	pthread_mutex_unlock(&m->pc.mem.lock);
}

static void draw_screen(struct machine *m)
{
	g_autofree struct textscreen *now = g_new(struct textscreen, 1);
	size_t len = 0;
	char *bytes;

	if (m->prompt_open || terminal_background())
		return;
	take_screen(m, now);
	bytes = textscreen_draw(&m->shown, now, &len);
	if (bytes && len) {
		m->terminal->drawn = 1;
		for (size_t done = 0; done < len;) {
			ssize_t n = write(STDOUT_FILENO, bytes + done, len - done);

			if (n <= 0 && errno != EINTR)
				break;
			done += n > 0 ? (size_t)n : 0;
		}
	}
	free(bytes);
	m->shown = *now;
}

static gboolean frame(void *opaque)
{
	draw_screen(opaque);
	return G_SOURCE_CONTINUE;
}

static void print_screen(struct machine *m)
{
	bool graphics;
	g_autofree char *text = io_screen_text(m, NULL, &graphics);

	io_print(m, "\n");
	io_print(m, text);
}

/* ---- the person's terminal
 * --------------------------------------------------------------------------------------- */

static struct serial *terminal_serial(struct machine *m)
{
	for (unsigned i = 0; i < 2; i++)
		if (m->serial[i].dev.terminal)
			return &m->serial[i];
	return NULL;
}

static void key(void *opaque, uint16_t code, bool down)
{
	struct machine *m = opaque;

	i8042_key(&m->pc.kbd, code, down);
}

static gboolean key_idle(void *opaque)
{
	struct machine *m = opaque;

	m->key_timer = 0;
	pthread_mutex_lock(&m->pc.mem.lock);
	keymap_idle(&m->keymap, key, m);
	pthread_mutex_unlock(&m->pc.mem.lock);
	return G_SOURCE_REMOVE;
}

static gboolean feed_keys(void *opaque)
{
	struct machine *m = opaque;
	size_t used = 0;

	pthread_mutex_lock(&m->pc.mem.lock);
	while (used < m->keys_len && m->pc.kbd.s.kbd.count + KEY_CODES_MAX <= I8042_QUEUE)
		keymap_feed(&m->keymap, m->keys[used++], key, m);
	pthread_mutex_unlock(&m->pc.mem.lock);
	m->keys_len -= used;
	memmove(m->keys, m->keys + used, m->keys_len);
	if (m->keymap.len && !m->keys_len && !m->key_timer)
		m->key_timer = g_timeout_add(ESC_MS, key_idle, m);
	if (m->keys_len)
		return G_SOURCE_CONTINUE;
	m->feed_timer = 0;
	return G_SOURCE_REMOVE;
}

/* The keyboard's own queue is short: pasted text waits here until the guest has read what came before. */
static void type_key(struct machine *m, uint8_t byte)
{
	if (m->keys_len < sizeof(m->keys))
		m->keys[m->keys_len++] = byte;
	if (!m->feed_timer && feed_keys(m))
		m->feed_timer = g_timeout_add(FEED_MS, feed_keys, m);
}

static void open_prompt(struct machine *m, bool open)
{
	m->prompt_open = open;
	m->edit.len = 0;
	m->shown.columns = 0;
	if (open)
		io_print(m, "\r\nSerai monitor; \"help\" lists the commands, \"exit\" goes back to the "
			    "guest\n(serai) ");
	else
		io_print(m, "\n");
}

static void command(struct machine *m, enum escape_command c)
{
	struct serial *s = terminal_serial(m);

	switch (c) {
	case ESCAPE_NONE:
		break;
	case ESCAPE_QUIT:
		machine_quit(m, STATUS_POWEROFF);
		break;
	case ESCAPE_PROMPT:
		open_prompt(m, !m->prompt_open);
		break;
	case ESCAPE_SCREEN:
		print_screen(m);
		break;
	case ESCAPE_BREAK:
		if (s && s->uart) {
			pthread_mutex_lock(&m->pc.mem.lock);
			uart_receive_break(s->uart);
			pthread_mutex_unlock(&m->pc.mem.lock);
		}
		break;
	case ESCAPE_HELP:
		io_print(m, escape_help);
		break;
	}
}

static void prompt_byte(struct machine *m, uint8_t byte)
{
	char echo[LINE_ECHO_MAX];
	enum lineedit_event e = lineedit_feed(&m->edit, byte, echo);

	io_print(m, echo);
	if (e == LINE_EOF || (e == LINE_READY && !prompt_line(m, m->edit.line)))
		open_prompt(m, false);
	else if (e == LINE_READY)
		io_print(m, "(serai) ");
}

static void typed(struct machine *m, uint8_t byte)
{
	struct serial *s = terminal_serial(m);
	uint8_t out[2] = { byte };
	unsigned n = 1;

	/* From a pipe every byte is the guest's. */
	if (m->terminal->raw) {
		enum escape_command c = escape_feed(&m->escape, byte, out, &n);

		command(m, c);
		if (m->prompt_open && c != ESCAPE_NONE && c != ESCAPE_PROMPT)
			io_print(m, "(serai) ");
	}
	if (m->prompt_open)
		for (unsigned i = 0; i < n; i++)
			prompt_byte(m, out[i]);
	else if (s)
		serial_type(s, out, n);
	else if (m->config.text_display)
		for (unsigned i = 0; i < n; i++)
			type_key(m, out[i]);
}

static void watch_stdin(struct machine *m);

static gboolean stdin_readable(int fd, GIOCondition condition, void *opaque)
{
	struct machine *m = opaque;
	struct serial *s = terminal_serial(m);
	uint8_t buf[64];
	ssize_t n;

	(void)condition;
	if (terminal_background()) {
		m->stdin_watch = 0;
		io_claim_terminal(m);
		return G_SOURCE_REMOVE;
	}
	n = read(fd, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return G_SOURCE_CONTINUE;
	if (n <= 0) {
		m->input_closed = true;
		m->stdin_watch = 0;
		return G_SOURCE_REMOVE;
	}
	for (ssize_t i = 0; i < n; i++)
		typed(m, buf[i]);
	/* A pipe can wait; a person's keys are always read, or Ctrl-A would not work while the guest hangs.
	 */
	if (s && !m->terminal->raw && s->waiting_len > LOW_WATER) {
		m->stdin_watch = 0;
		return G_SOURCE_REMOVE;
	}
	return G_SOURCE_CONTINUE;
}

static void watch_stdin(struct machine *m)
{
	if (!m->stdin_watch && !m->claim_timer && !m->input_closed)
		m->stdin_watch = g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, stdin_readable, m);
}

/* A shell does not tell a running job that it was called to the foreground. */
static gboolean claim(void *opaque)
{
	struct machine *m = opaque;

	if (terminal_background())
		return G_SOURCE_CONTINUE;
	m->claim_timer = 0;
	m->shown.columns = 0;
	terminal_enter(m->terminal);
	watch_stdin(m);
	return G_SOURCE_REMOVE;
}

void io_claim_terminal(struct machine *m)
{
	if (!m->uses_terminal || m->claim_timer || !claim(m))
		return;
	if (m->stdin_watch)
		g_source_remove(m->stdin_watch);
	m->stdin_watch = 0;
	m->claim_timer = g_timeout_add(CLAIM_MS, claim, m);
}

void io_serial_room(struct machine *m)
{
	for (unsigned i = 0; i < 2; i++) {
		struct serial *s = &m->serial[i];

		serial_push(s);
		if (s->waiting_len > LOW_WATER)
			continue;
		if (s->dev.pty_name && !s->watch)
			s->watch = g_unix_fd_add(s->dev.in, G_IO_IN, pty_readable, s);
		if (s->dev.terminal)
			watch_stdin(m);
	}
}

bool io_create(struct machine *m, const struct uart_backend *backends[2], struct uart_backend storage[2],
	GError **error)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct serial_config *c = &m->config.serial[i];
		struct serial *s = &m->serial[i];

		s->machine = m;
		if (!c->present)
			continue;
		if (!chardev_open(&s->dev, c->type, c->path, error)) {
			g_prefix_error(error, "serial%u: ", i);
			return false;
		}
		s->uart = &m->pc.com[i];
		storage[i] = (struct uart_backend){ s, serial_write, serial_room };
		backends[i] = &storage[i];
	}
	return true;
}

void io_start(struct machine *m)
{
	bool interactive = terminal_serial(m) || m->config.text_display;

	for (unsigned i = 0; i < 2; i++) {
		struct serial *s = &m->serial[i];

		if (!s->dev.pty_name)
			continue;
		fprintf(stderr, "serai: serial%u is at %s\n", i, s->dev.pty_name);
		s->watch = g_unix_fd_add(s->dev.in, G_IO_IN, pty_readable, s);
	}
	if (!interactive)
		return;
	m->uses_terminal = true;
	io_claim_terminal(m);
	if (m->config.text_display)
		m->screen_timer = g_timeout_add(FRAME_MS, frame, m);
}

void io_destroy(struct machine *m)
{
	if (m->config.text_display && m->pc.vga_made && m->screen_timer)
		draw_screen(m);
	if (m->terminal)
		terminal_restore(m->terminal);
	for (unsigned i = 0; i < 2; i++) {
		if (m->serial[i].watch)
			g_source_remove(m->serial[i].watch);
		m->serial[i].watch = 0;
	}

	if (m->stdin_watch)
		g_source_remove(m->stdin_watch);
	if (m->screen_timer)
		g_source_remove(m->screen_timer);
	if (m->key_timer)
		g_source_remove(m->key_timer);
	if (m->feed_timer)
		g_source_remove(m->feed_timer);
	if (m->claim_timer)
		g_source_remove(m->claim_timer);
	m->claim_timer = m->stdin_watch = m->screen_timer = m->key_timer = m->feed_timer = 0;
}
