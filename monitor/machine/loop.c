/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/loop.c - the main loop's ends: virtual timers, disk completions, events from vCPU threads.
 *
 * This is the one narrow place through which time and completions reach the devices.
 */
#include "monitor/machine/machine.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

void loop_rearm(void *opaque, int64_t deadline)
{
	struct machine *m = opaque;
	struct itimerspec when = { 0 };
	int64_t delta;

	if (m->timer_fd < 0)
		return;
	if (m->pc.clock.running && deadline != INT64_MAX) {
		delta = deadline - vclock_now(&m->pc.clock);
		/* 0 would disarm. */
		delta = MAX_OF(delta, 1);
		when.it_value.tv_sec = delta / 1000000000;
		when.it_value.tv_nsec = delta % 1000000000;
	}
	timerfd_settime(m->timer_fd, 0, &when, NULL);
}

void loop_rearm_all(struct machine *m)
{
	loop_rearm(m, m->pc.timers.head ? m->pc.timers.head->deadline : INT64_MAX);
}

static gboolean timer_fired(int fd, GIOCondition condition, void *opaque)
{
	struct machine *m = opaque;
	uint64_t count;

	(void)condition;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("loop", "timer: %s", strerror(errno));
	pthread_mutex_lock(&m->pc.mem.lock);
	if (m->pc.clock.running)
		loop_rearm(m, timer_run_due(&m->pc.timers));
	pthread_mutex_unlock(&m->pc.mem.lock);
	return G_SOURCE_CONTINUE;
}

static void kick(struct machine *m)
{
	uint64_t one = 1;

	/* Full means a wake-up is on its way. */
	if (write(m->event_fd, &one, sizeof(one)) < 0)
		return;
}

void machine_post(struct machine *m, uint32_t events, bool stop)
{
	if (stop) {
		atomic_store(&m->stop_wanted, true);
		for (unsigned i = 0; i < m->cpus_made; i++)
			cpu_request(m, i, VCPU_EXIT);
	}
	if (events) {
		atomic_fetch_or(&m->events, events);
		kick(m);
	}
}

/* ---- disk completions: a stack of requests, newest first
 * -------------------------------------------------------- */

void loop_deliver(void *opaque, struct image_request *r)
{
	struct machine *m = opaque;

	pthread_mutex_lock(&m->completion_lock);
	r->next = m->completions;
	m->completions = r;
	pthread_mutex_unlock(&m->completion_lock);
	machine_post(m, EVENT_COMPLETION, false);
}

void loop_finish_completions(struct machine *m)
{
	struct image_request *list, *next, *in_order = NULL;

	pthread_mutex_lock(&m->completion_lock);
	list = m->completions;
	m->completions = NULL;
	pthread_mutex_unlock(&m->completion_lock);
	for (; list; list = next) {
		next = list->next;
		list->next = in_order;
		in_order = list;
	}
	pthread_mutex_lock(&m->pc.mem.lock);
	for (; in_order; in_order = next) {
		next = in_order->next;
		image_finish(in_order);
	}
	pthread_mutex_unlock(&m->pc.mem.lock);
}

/* ---- events
 * ------------------------------------------------------------------------------------------------------ */

static void reboot(struct machine *m)
{
	g_autoptr(GError) error = NULL;

	if (m->config.no_reboot) {
		machine_quit(m, STATUS_REBOOT);
		return;
	}
	log_info("machine", "reset");
	machine_pause(m);
	if (!machine_reset(m, &error)) {
		log_error("machine", "%s", error->message);
		machine_quit(m, STATUS_HOST);
		return;
	}
	machine_resume(m);
}

static void handle(struct machine *m, uint32_t events)
{
	if (events & EVENT_COMPLETION)
		loop_finish_completions(m);
	if (events & EVENT_SERIAL_ROOM)
		io_serial_room(m);
	if (events & EVENT_BROKEN) {
		log_error("machine", "the engine failed; the VM cannot go on");
		machine_quit(m, STATUS_HOST);
	} else if (events & EVENT_EXIT) {
		machine_quit(m, (int)atomic_load(&m->exit_code));
	} else if (events & EVENT_POWEROFF) {
		log_info("machine", "the guest powered off");
		machine_quit(m, STATUS_POWEROFF);
	} else if (events & EVENT_TRIPLE_FAULT && !m->config.triple_fault_resets) {
		log_error("machine",
			"triple fault (registers at --log info; tripleFault = \"reset\" restarts instead)");
		machine_quit(m, STATUS_TRIPLE_FAULT);
	} else if (events & (EVENT_RESET | EVENT_TRIPLE_FAULT)) {
		reboot(m);
	}
}

static gboolean event_fired(int fd, GIOCondition condition, void *opaque)
{
	struct machine *m = opaque;
	uint64_t count;

	(void)condition;
	if (read(fd, &count, sizeof(count)) < 0)
		return G_SOURCE_CONTINUE;
	handle(m, atomic_exchange(&m->events, 0));
	return G_SOURCE_CONTINUE;
}

bool loop_create(struct machine *m, GError **error)
{
	m->loop = g_main_loop_new(NULL, FALSE);
	m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	m->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->timer_fd < 0 || m->event_fd < 0)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "no timer or event descriptor");
	g_unix_fd_add(m->timer_fd, G_IO_IN, timer_fired, m);
	g_unix_fd_add(m->event_fd, G_IO_IN, event_fired, m);
	return true;
}

void loop_destroy(struct machine *m)
{
	if (m->loop)
		g_main_loop_unref(m->loop);
	if (m->timer_fd >= 0)
		close(m->timer_fd);
	if (m->event_fd >= 0)
		close(m->event_fd);
	m->timer_fd = m->event_fd = -1;
}
