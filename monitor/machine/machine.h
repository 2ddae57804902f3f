/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/machine.h - a running VM: the board, its processors' threads, the main loop between them.
 *
 * Owns:    everything.
 * Promise: pause returns with every vCPU parked and the clock stopped.
 * Threads: the main thread runs the loop and every function here but the ones that say otherwise; a vCPU's
 * thread runs guest code and never calls GLib.
 */
#ifndef SERAI_MONITOR_MACHINE_MACHINE_H
#define SERAI_MONITOR_MACHINE_MACHINE_H

#include "console/chardev.h"
#include "console/escape.h"
#include "console/keymap.h"
#include "console/lineedit.h"
#include "console/terminal.h"
#include "console/textscreen.h"
#include "monitor/cpu/vcpu.h"
#include "monitor/engine/trace.h"
#include "monitor/machine/pc.h"

/* Exit statuses (docs/man/serai-run.1). */
enum {
	STATUS_POWEROFF = 0,
	STATUS_HOST = 1,
	STATUS_CONFIG = 2,
	STATUS_TRIPLE_FAULT = 3,
	STATUS_REBOOT = 4,
	STATUS_SIGNAL = 128,
};

/* What happened on another thread, for the main loop to act on. */
#define EVENT_RESET        0x01u
#define EVENT_POWEROFF     0x02u
#define EVENT_EXIT         0x04u /* debug.exitPort */
#define EVENT_TRIPLE_FAULT 0x08u
#define EVENT_BROKEN       0x10u /* an engine failed */
#define EVENT_COMPLETION   0x20u
#define EVENT_SERIAL_ROOM  0x40u

struct machine;

struct cpu_thread {
	struct machine *machine;
	struct vcpu *vcpu;
	pthread_t thread;
	bool started, made;
	/* under machine->park */
	bool parked;
	_Atomic uint32_t wake; /* counts raises; what a halted vCPU sleeps on */
	uint64_t budget;       /* instructions to run when resumed; UINT64_MAX: no end */
	/* stats.c: counted when the window began; per second in it */
	uint64_t window_from, window_rate;
	struct tracer tracer; /* its file is NULL: nothing is traced */
};

/* A serial port's host end. */
struct serial {
	struct machine *machine;
	struct uart *uart;
	struct chardev dev;
	guint watch;
	uint8_t waiting[256]; /* typed, but the port has no room yet */
	size_t waiting_len;
};

struct machine {
	struct machine_config config;
	struct pc pc;
	struct cpuid_table cpuid;
	uint64_t arch_capabilities;
	unsigned phys_bits;
	struct vcpu_platform platform;
	struct vcpu *vcpus; /* page-aligned array */
	struct cpu_thread *threads;
	unsigned cpus_made;
	FILE *trace; /* NULL: none */

	/* vCPU threads park here */
	pthread_mutex_t park;
	pthread_cond_t parked, resume;
	_Atomic bool stop_wanted, quit_wanted; /* park; end */
	bool powered, paused;

	/* main loop */
	GMainLoop *loop;
	int timer_fd, event_fd;
	_Atomic uint32_t events;
	_Atomic unsigned exit_code; /* debug.exitPort's */
	pthread_mutex_t completion_lock;
	struct image_request *completions;
	int status;

	/* direct boot */
	struct boot_image kernel;
	struct boot_image modules[64];
	unsigned module_count;

	/* consoles */
	struct serial serial[2];
	struct terminal *terminal;
	struct escape escape;
	struct lineedit edit;
	struct keymap keymap;
	struct textscreen shown;
	guint window_timer;   /* while engines measure themselves (stats.c) */
	int64_t window_began; /* microseconds */
	guint stdin_watch, screen_timer, key_timer, feed_timer, claim_timer;
	uint8_t keys[1024]; /* typed, not yet the keyboard's */
	size_t keys_len;
	bool prompt_open, input_closed, uses_terminal;
	int control_fd;
	guint control_watch;
	char *control_path;
};

/* ---- machine.c
 * --------------------------------------------------------------------------------------------------- */

/* A zeroed machine to one that machine_destroy can take. */
void machine_init(struct machine *m);

/* Build the VM from its configuration (taken over); the terminal outlives it.  On failure call
 * machine_destroy. */
bool machine_create(struct machine *m, struct terminal *terminal, GError **error);
void machine_destroy(struct machine *m);

/* Run until it ends; the exit status. */
int machine_run(struct machine *m);

/* Devices, processors and firmware to their first instruction. vCPUs parked. */
bool machine_reset(struct machine *m, GError **error);

void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

/* Run one vCPU for so many instructions, then pause again; waits for it (a few seconds at most). */
void machine_step(struct machine *m, uint64_t instructions);

/* Any thread: note an event, and have every vCPU park when `stop`. */
void machine_post(struct machine *m, uint32_t events, bool stop);

/* End the main loop with this status. */
void machine_quit(struct machine *m, int status);

/* Boot images read once and kept for resets (loader.c). */
bool machine_read_images(struct machine *m, GError **error);
void machine_free_images(struct machine *m);

/* Enter the kernel directly: devices as a BIOS leaves them, image in memory, vCPU 0 at its entry. */
bool machine_boot_direct(struct machine *m, GError **error);

/* ---- vcpu_thread.c
 * ----------------------------------------------------------------------------------------------- */

bool cpus_create(struct machine *m, GError **error);
bool cpus_start(struct machine *m, GError **error);
void cpus_destroy(struct machine *m);
/* Park all, waiting; let all go. */
void cpus_park(struct machine *m);
void cpus_release(struct machine *m);
/* Any thread: a request to a vCPU, waking it from HLT. */
void cpu_request(struct machine *m, unsigned cpu, uint32_t bits);

/* ---- loop.c
 * ------------------------------------------------------------------------------------------------------ */

bool loop_create(struct machine *m, GError **error);
void loop_destroy(struct machine *m);
/* Timer queue's rearm hook; opaque is the machine. */
void loop_rearm(void *opaque, int64_t deadline);
/* Program the timer anew after the clock started. Under the device lock. */
void loop_rearm_all(struct machine *m);
/* image_deliver_fn */
void loop_deliver(void *opaque, struct image_request *r);
/* Finish what workers completed. */
void loop_finish_completions(struct machine *m);

/* ---- terminal_io.c
 * ----------------------------------------------------------------------------------------------- */

bool io_create(struct machine *m, const struct uart_backend *backends[2], struct uart_backend storage[2],
	GError **error);
/* After the board exists: start reading. */
void io_start(struct machine *m);
void io_destroy(struct machine *m);
/* Who has the terminal may have changed: raw mode again, or hands off until it is ours. */
void io_claim_terminal(struct machine *m);
/* A serial port has room again. */
void io_serial_room(struct machine *m);
/* For the prompt: text to the person. */
void io_print(struct machine *m, const char *text);
/* The text screen for a person; an explanation in graphics modes (g_free). */
char *io_screen_text(struct machine *m, struct vga_text_info *info, bool *graphics);

/* ---- prompt.c
 * ---------------------------------------------------------------------------------------------------- */

/* One line typed at the monitor prompt; false: leave the prompt. */
bool prompt_line(struct machine *m, const char *line);

/* ---- stats.c
 * ----------------------------------------------------------------------------------------------------- */

/* A vCPU's counters; those of all as text (g_free). */
void stats_each(struct machine *m, unsigned cpu, engine_tell_fn *fn, void *opaque);
char *stats_text(struct machine *m);
/* The engines measure themselves more closely for so long, from now on; or end what is left of such a window. */
void stats_begin_window(struct machine *m, unsigned ms);
void stats_end_window(struct machine *m);

/* ---- control.c
 * --------------------------------------------------------------------------------------------------- */

bool control_create(struct machine *m, GError **error);
void control_destroy(struct machine *m);

/* ---- suspend.c
 * --------------------------------------------------------------------------------------------------- */

/* The whole machine to a file; paused meanwhile. */
bool machine_save(struct machine *m, const char *path, GError **error);
/* Instead of a first reset: vCPUs not started yet. */
bool machine_load(struct machine *m, const char *path, GError **error);

#endif
