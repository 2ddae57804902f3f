/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/vcpu_thread.c - one host thread per virtual processor.
 *
 * A thread is in one of three places: in the engine, asleep in HLT on its wake count, or parked.  The wake
 * count is read before the engine runs, so a request that arrives after the engine decided to halt still ends
 * the sleep.
 */
#include "monitor/machine/machine.h"

#include "base/log.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wake(struct cpu_thread *t)
{
	atomic_fetch_add(&t->wake, 1);
	syscall(SYS_futex, &t->wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void cpu_request(struct machine *m, unsigned cpu, uint32_t bits)
{
	if (cpu >= m->cpus_made)
		return;
	vcpu_raise(&m->vcpus[cpu], bits);
	wake(&m->threads[cpu]);
}

static void log_registers(struct vcpu *v, const char *what)
{
	char text[4096], *line, *rest = text;

	log_info("cpu", "vCPU %u: %s", v->index, what);
	vcpu_dump(v, text, sizeof(text));
	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_info("cpu", "%s", line);
}

static void park(struct cpu_thread *t)
{
	struct machine *m = t->machine;

	pthread_mutex_lock(&m->park);
	while (atomic_load(&m->stop_wanted) && !atomic_load(&m->quit_wanted)) {
		t->parked = true;
		pthread_cond_broadcast(&m->parked);
		pthread_cond_wait(&m->resume, &m->park);
	}
	t->parked = false;
	pthread_mutex_unlock(&m->park);
}

/* Asleep until a request newer than `seen`. */
static void sleep_halted(struct cpu_thread *t, uint32_t seen)
{
	while (atomic_load(&t->wake) == seen && !atomic_load(&t->machine->stop_wanted))
		syscall(SYS_futex, &t->wake, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

#define MWAIT_FIRST_NAP 20000   /* ns */
#define MWAIT_LAST_NAP  1280000

/*
 * As above, or until something is written to what MWAIT waits for.  Writes cannot be seen when they are made, so this looks
 * again and again, after twice the time each time; and MWAIT ends in the end, as it may, lest what was there be written
 * once more.
 */
static void sleep_monitoring(struct cpu_thread *t, uint32_t seen)
{
	struct timespec nap = { 0 };

	for (long ns = MWAIT_FIRST_NAP; ns <= MWAIT_LAST_NAP && vcpu_monitor_quiet(t->vcpu); ns *= 2) {
		if (atomic_load(&t->wake) != seen || atomic_load(&t->machine->stop_wanted))
			return; /* does it end for this?  The engine decides */
		nap.tv_nsec = ns;
		syscall(SYS_futex, &t->wake, FUTEX_WAIT_PRIVATE, seen, &nap, NULL, 0);
	}
	t->vcpu->s.halted = HALT_NONE;
}

static void run_once(struct cpu_thread *t)
{
	struct machine *m = t->machine;
	uint32_t seen = atomic_load(&t->wake);
	enum vcpu_exit why = unlikely(t->tracer.file) ? trace_run(&t->tracer, t->vcpu, t->budget)
						      : m->config.engine->run(t->vcpu, t->budget);

	switch (why) {
	case VCPU_RAN_KICKED:
		break;
	case VCPU_RAN_HALTED:
		if (t->vcpu->s.halted > HALT_HLT)
			sleep_monitoring(t, seen);
		else
			sleep_halted(t, seen);
		break;
	case VCPU_RAN_BUDGET:
		t->budget = 0;
		machine_post(m, 0, true);
		break;
	case VCPU_RAN_TRIPLE_FAULT:
		log_registers(t->vcpu, "triple fault");
		machine_post(m, EVENT_TRIPLE_FAULT, true);
		break;
	case VCPU_RAN_BROKEN:
		log_registers(t->vcpu, "the engine met a fault of its own");
		machine_post(m, EVENT_BROKEN, true);
		break;
	}
}

static void *thread_main(void *opaque)
{
	struct cpu_thread *t = opaque;
	struct machine *m = t->machine;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", t->vcpu->index);
	pthread_setname_np(pthread_self(), name); /* for top -H and the like */
	while (!atomic_load(&m->quit_wanted)) {
		if (atomic_load(&m->stop_wanted)) {
			park(t);
			continue;
		}
		run_once(t);
	}
	return NULL;
}

bool cpus_create(struct machine *m, GError **error)
{
	size_t size = sizeof(*m->vcpus) * m->config.cpus;
	void *vcpus;

	if (m->config.trace) {
		m->trace = fopen(m->config.trace, "we");
		if (!m->trace)
			return fail_errno(error, SERAI_ERROR_IO, errno, "%s", m->config.trace);
	}
	vcpus = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	m->threads = g_new0(struct cpu_thread, m->config.cpus);
	if (vcpus == MAP_FAILED)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "no memory for the processors");
	m->vcpus = vcpus;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		v->index = i;
		v->count = m->config.cpus;
		v->first = m->vcpus;
		v->mem = &m->pc.mem;
		v->clock = &m->pc.clock;
		v->cpuid = &m->cpuid;
		v->platform = &m->platform;
		v->arch_capabilities = m->arch_capabilities;
		v->phys_bits = m->phys_bits;
		v->engine = m->config.engine;
		v->engine_options = &m->config.engine_options;
		m->threads[i].machine = m;
		m->threads[i].vcpu = v;
		m->threads[i].budget = UINT64_MAX;
		m->threads[i].tracer = (struct tracer){ .file = m->trace,
			.from = m->config.trace_from,
			.count = m->config.trace_count };
		if (!vcpu_create(v, error))
			return false;
		if (!m->config.engine->create(v, error)) {
			vcpu_destroy(v);
			return false;
		}
		m->cpus_made++;
	}
	return true;
}

/* All signals go to the main thread, but the synchronous ones an engine may provoke. */
bool cpus_start(struct machine *m, GError **error)
{
	sigset_t all, old;
	int err = 0;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < m->cpus_made && !err; i++) {
		err = pthread_create(&m->threads[i].thread, NULL, thread_main, &m->threads[i]);
		m->threads[i].started = !err;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return fail_errno(error, SERAI_ERROR_HOST, err, "no thread for a processor");
	return true;
}

void cpus_park(struct machine *m)
{
	atomic_store(&m->stop_wanted, true);
	for (unsigned i = 0; i < m->cpus_made; i++)
		cpu_request(m, i, VCPU_EXIT);
	pthread_mutex_lock(&m->park);
	for (unsigned i = 0; i < m->cpus_made; i++)
		while (m->threads[i].started && !m->threads[i].parked)
			pthread_cond_wait(&m->parked, &m->park);
	pthread_mutex_unlock(&m->park);
}

void cpus_release(struct machine *m)
{
	pthread_mutex_lock(&m->park);
	for (unsigned i = 0; i < m->cpus_made; i++) {
		m->threads[i].parked = false;
		vcpu_lower(&m->vcpus[i], VCPU_EXIT);
	}
	atomic_store(&m->stop_wanted, false);
	pthread_cond_broadcast(&m->resume);
	pthread_mutex_unlock(&m->park);
}

void cpus_destroy(struct machine *m)
{
	atomic_store(&m->quit_wanted, true);
	atomic_store(&m->stop_wanted, true);
	for (unsigned i = 0; i < m->cpus_made; i++)
		cpu_request(m, i, VCPU_EXIT);
	pthread_mutex_lock(&m->park);
	pthread_cond_broadcast(&m->resume);
	pthread_mutex_unlock(&m->park);
	for (unsigned i = 0; i < m->cpus_made; i++)
		if (m->threads[i].started)
			pthread_join(m->threads[i].thread, NULL);
	for (unsigned i = 0; i < m->cpus_made; i++) {
		m->config.engine->destroy(&m->vcpus[i]);
		vcpu_destroy(&m->vcpus[i]);
	}
	m->cpus_made = 0;
	g_clear_pointer(&m->threads, g_free);
	if (m->vcpus)
		munmap(m->vcpus, sizeof(*m->vcpus) * m->config.cpus);
	m->vcpus = NULL;
	if (m->trace && fclose(m->trace) != 0)
		log_warn("machine", "%s: %s", m->config.trace, strerror(errno));
	m->trace = NULL;
}
