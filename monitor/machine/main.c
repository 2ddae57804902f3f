/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/main.c - serai-vmx: one process, one VM.
 *
 *   serai-vmx [VM.vmx] [--set KEY=VALUE]... [--restore FILE]
 *
 * Exit statuses are documented in docs/man/serai-run.1.
 */
#include "monitor/machine/machine.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reached from signal handlers and atexit. */
static struct terminal terminal;

struct arguments {
	const char *vm, *restore;
	GPtrArray *sets;
};

static void restore_terminal(void)
{
	terminal_restore(&terminal);
}

/* A crash of ours must not leave the person with a raw terminal. */
static void fatal(int sig)
{
	terminal_restore(&terminal);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void catch_fatal(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT };

	atexit(restore_terminal);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		struct sigaction old, act = { .sa_handler = fatal };

		/* Sanitizers and engines that came first keep theirs. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL &&
			!(old.sa_flags & SA_SIGINFO))
			sigaction(signals[i], &act, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}

/* Whoever closed these must not find the guest's output in a disk image that took the number. */
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(STATUS_HOST);
}

static gboolean on_int(void *opaque)
{
	machine_quit(opaque, STATUS_SIGNAL + SIGINT);
	return G_SOURCE_CONTINUE;
}

static gboolean on_term(void *opaque)
{
	machine_quit(opaque, STATUS_SIGNAL + SIGTERM);
	return G_SOURCE_CONTINUE;
}

static gboolean on_hup(void *opaque)
{
	machine_quit(opaque, STATUS_SIGNAL + SIGHUP);
	return G_SOURCE_CONTINUE;
}

/* Somebody may have changed the terminal, or the window its size: draw everything anew. */
static gboolean on_winch(void *opaque)
{
	struct machine *m = opaque;

	m->shown.columns = 0;
	return G_SOURCE_CONTINUE;
}

static gboolean on_user1(void *opaque)
{
	struct machine *m = opaque;

	io_claim_terminal(m);
	return on_winch(opaque);
}

/* Stopped and in the foreground again: the shell has set the terminal as it likes it.  GLib watches no
 * SIGCONT. */
static void on_cont(int sig)
{
	(void)sig;
	kill(getpid(), SIGUSR1);
}

static void catch_signals(struct machine *m)
{
	struct sigaction cont = { .sa_handler = on_cont, .sa_flags = SA_RESTART };

	sigaction(SIGCONT, &cont, NULL);
	g_unix_signal_add(SIGINT, on_int, m);
	g_unix_signal_add(SIGTERM, on_term, m);
	g_unix_signal_add(SIGHUP, on_hup, m);
	g_unix_signal_add(SIGWINCH, on_winch, m);
	g_unix_signal_add(SIGUSR1, on_user1, m);
}

static bool parse(struct arguments *a, int argc, char **argv, GError **error)
{
	for (int i = 1; i < argc; i++) {
		bool set = strcmp(argv[i], "--set") == 0, restore = strcmp(argv[i], "--restore") == 0;

		if ((set || restore) && i + 1 >= argc)
			return fail(error, SERAI_ERROR_CONFIG, "%s: its value is missing", argv[i]);
		if (set)
			g_ptr_array_add(a->sets, argv[++i]);
		else if (restore)
			a->restore = argv[++i];
		else if (argv[i][0] == '-' || a->vm)
			return fail(error, SERAI_ERROR_CONFIG,
				"'%s'; usage: serai-vmx [VM.vmx] [--set KEY=VALUE]... [--restore FILE]",
				argv[i]);
		else
			a->vm = argv[i];
	}
	return true;
}

static bool read_config(struct machine *m, const struct arguments *a, GError **error)
{
	struct vmx *vmx = a->vm ? vmx_load(a->vm, error) : vmx_new("command line");
	bool ok = vmx;

	for (guint i = 0; ok && i < a->sets->len; i++)
		ok = vmx_override(vmx, a->sets->pdata[i], error);
	if (ok) {
		enum log_level level;

		/* Early, so that reading the rest already speaks at that level. */
		if (log_parse_level(vmx_get_string(vmx, "log.level", "warn"), &level))
			log_set_level(level);
		vmx_warn_mistyped(vmx);
		ok = machine_config_read(&m->config, vmx, error);
	}
	if (ok && a->vm) {
		m->config.vmx_path = g_canonicalize_filename(a->vm, NULL);
		if (!*m->config.name) {
			g_free(m->config.name);
			m->config.name = g_path_get_basename(a->vm);
		}
	}
	if (ok && !*m->config.name) {
		g_free(m->config.name);
		m->config.name = g_strdup_printf("vm-%d", (int)getpid());
	}
	vmx_free(vmx);
	return ok;
}

static int exit_status(const GError *error)
{
	if (!g_error_matches(error, SERAI_ERROR, error->code))
		return STATUS_HOST;
	switch (error->code) {
	case SERAI_ERROR_CONFIG:
	case SERAI_ERROR_FORMAT:
	case SERAI_ERROR_STATE:
	case SERAI_ERROR_RANGE:
		return STATUS_CONFIG;
	default:
		return STATUS_HOST;
	}
}

static bool bring_up(struct machine *m, const struct arguments *a, GError **error)
{
	if (!read_config(m, a, error) || !machine_create(m, &terminal, error))
		return false;
	if (!machine_reset(m, error))
		return false;
	return !a->restore || machine_load(m, a->restore, error);
}

int main(int argc, char **argv)
{
	struct machine *m = g_new0(struct machine, 1);
	g_autoptr(GError) error = NULL;
	struct arguments a = { .sets = g_ptr_array_new() };
	int status;

	fill_standard_descriptors();
	machine_init(m);
	catch_fatal();
	if (parse(&a, argc, argv, &error) && bring_up(m, &a, &error)) {
		catch_signals(m);
		status = machine_run(m);
	} else {
		terminal_restore(&terminal);
		fprintf(stderr, "serai-vmx: %s\n", error->message);
		status = exit_status(error);
	}
	machine_destroy(m);
	g_free(m);
	g_ptr_array_unref(a.sets);
	return status;
}
