/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/machine.c - a VM's life: made, reset, run, paused, ended.
 */
#include "monitor/machine/machine.h"

#include <string.h>
#include <unistd.h>

/* ---- what the board asks of us; under the device lock, any thread
 * ----------------------------------------------- */

static void ask_reset(void *opaque)
{
	machine_post(opaque, EVENT_RESET, true);
}

static void ask_power_off(void *opaque)
{
	machine_post(opaque, EVENT_POWEROFF, true);
}

static void ask_exit(void *opaque, unsigned status)
{
	struct machine *m = opaque;

	atomic_store(&m->exit_code, status & 0xff);
	machine_post(m, EVENT_EXIT, true);
}

static void debug_byte(void *opaque, uint8_t byte)
{
	(void)opaque;
	if (write(STDERR_FILENO, &byte, 1) < 0)
		return;
}

static void signal_cpu(void *opaque, unsigned cpu, uint32_t what, bool raise, uint8_t vector)
{
	struct machine *m = opaque;

	if (cpu >= m->cpus_made)
		return;
	if (!raise) {
		vcpu_lower(&m->vcpus[cpu], what);
		return;
	}
	if (what & LAPIC_SIGNAL_SIPI)
		atomic_store(&m->vcpus[cpu].sipi_vector, vector);
	cpu_request(m, cpu, what);
}

static uint64_t tsc_offset(void *opaque, unsigned cpu)
{
	struct machine *m = opaque;

	return cpu < m->cpus_made ? m->vcpus[cpu].s.tsc_offset : 0;
}

static void map_changed(void *opaque)
{
	struct machine *m = opaque;

	for (unsigned i = 0; i < m->cpus_made; i++)
		vcpu_raise(&m->vcpus[i], VCPU_FLUSH);
}

static void code_written(void *opaque, uint64_t ram_offset, uint64_t len)
{
	struct machine *m = opaque;

	if (m->cpus_made)
		m->config.engine->invalidate(&m->vcpus[0], ram_offset, len);
}

/* vcpu_platform's one opaque is the local APICs, which are part of the board. */
static bool backdoor(void *opaque, unsigned cpu, uint64_t gpr[16])
{
	struct pc *pc = CONTAINER_OF(opaque, struct pc, lapics);

	return backdoor_call(&pc->backdoor, cpu, gpr);
}

static void init_platform(struct machine *m)
{
	m->platform = (struct vcpu_platform){ .opaque = &m->pc.lapics,
		.ack_interrupt = lapic_vcpu_ack,
		.apic_read = lapic_vcpu_read,
		.apic_write = lapic_vcpu_write,
		.apic_msr_read = lapic_vcpu_msr_read,
		.apic_msr_write = lapic_vcpu_msr_write,
		.tpr_read = lapic_vcpu_tpr_read,
		.tpr_write = lapic_vcpu_tpr_write,
		.backdoor = backdoor };
}

static bool init_cpus(struct machine *m, GError **error)
{
	struct cpu_options o = { .vcpus = m->config.cpus,
		.cores_per_socket = m->config.cores_per_socket,
		.tsc_khz = m->pc.clock.tsc_khz,
		.mitigations = m->config.mitigations,
		.mwait = m->config.mwait };

	cpuid_build(&m->cpuid, &m->arch_capabilities, &m->phys_bits, &o);
	if (m->pc.map.above_4g && BOOT_4G + m->pc.map.above_4g > 1ull << m->phys_bits)
		return fail(error, SERAI_ERROR_CONFIG,
			"memsize: more than this processor's %u address bits reach", m->phys_bits);
	init_platform(m);
	return cpus_create(m, error);
}

void machine_init(struct machine *m)
{
	m->timer_fd = m->event_fd = m->control_fd = -1;
	m->paused = true;
	m->stop_wanted = true;
	pthread_mutex_init(&m->park, NULL);
	pthread_mutex_init(&m->completion_lock, NULL);
	pthread_cond_init(&m->parked, NULL);
	pthread_cond_init(&m->resume, NULL);
	m->serial[0].dev = m->serial[1].dev = (struct chardev){ .in = -1, .out = -1, .keep = -1 };
	m->pc.ram.fd = -1;
}

bool machine_create(struct machine *m, struct terminal *terminal, GError **error)
{
	const struct pc_requests ask = { .opaque = m,
		.reset = ask_reset,
		.power_off = ask_power_off,
		.exit = ask_exit,
		.console = debug_byte,
		.signal = signal_cpu,
		.tsc_offset = tsc_offset,
		.rearm = loop_rearm,
		.map_changed = map_changed,
		.code_written = code_written,
		.deliver = loop_deliver };
	const struct uart_backend *backends[2] = { NULL, NULL };
	struct uart_backend storage[2];

	m->terminal = terminal;
	return machine_read_images(m, error) && loop_create(m, error) &&
	       io_create(m, backends, storage, error) && pc_init(&m->pc, &m->config, &ask, backends, error) &&
	       init_cpus(m, error) && control_create(m, error);
}

static void drain_disks(struct machine *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->pc.images); i++)
		if (m->pc.images[i])
			image_drain(m->pc.images[i]);
	if (m->pc.lock_made)
		loop_finish_completions(m);
}

void machine_destroy(struct machine *m)
{
	control_destroy(m);
	io_destroy(m);
	if (m->threads)
		cpus_destroy(m);
	/* Finishing one request may start the next of a long transfer. */
	for (unsigned i = 0; i < 64; i++) {
		drain_disks(m);
		if (!m->pc.ide_made || ide_idle(&m->pc.ide))
			break;
	}
	pc_destroy(&m->pc);
	loop_destroy(m);
	machine_free_images(m);
	machine_config_free(&m->config);
	pthread_mutex_destroy(&m->park);
	pthread_mutex_destroy(&m->completion_lock);
	pthread_cond_destroy(&m->parked);
	pthread_cond_destroy(&m->resume);
}

bool machine_reset(struct machine *m, GError **error)
{
	pthread_mutex_lock(&m->pc.mem.lock);
	pc_reset(&m->pc);
	pthread_mutex_unlock(&m->pc.mem.lock);
	for (unsigned i = 0; i < m->cpus_made; i++) {
		struct vcpu *v = &m->vcpus[i];

		atomic_fetch_and(&v->pending, ~(uint32_t)(VCPU_NMI | VCPU_INIT | VCPU_SIPI));
		vcpu_reset(v, false);
		vcpu_raise(v, VCPU_FLUSH | VCPU_FORGET);
	}
	return !m->config.kernel || machine_boot_direct(m, error);
}

void machine_pause(struct machine *m)
{
	cpus_park(m);
	pthread_mutex_lock(&m->pc.mem.lock);
	vclock_stop(&m->pc.clock);
	loop_rearm(m, INT64_MAX);
	pthread_mutex_unlock(&m->pc.mem.lock);
	m->paused = true;
}

void machine_resume(struct machine *m)
{
	pthread_mutex_lock(&m->pc.mem.lock);
	vclock_start(&m->pc.clock);
	loop_rearm_all(m);
	pthread_mutex_unlock(&m->pc.mem.lock);
	for (unsigned i = 0; i < m->cpus_made; i++)
		m->threads[i].budget = UINT64_MAX;
	m->paused = false;
	cpus_release(m);
}

void machine_step(struct machine *m, uint64_t instructions)
{
	struct timespec nap = { .tv_nsec = 1000000 };

	machine_pause(m);
	for (unsigned i = 1; i < m->cpus_made; i++)
		m->threads[i].budget = UINT64_MAX;
	m->threads[0].budget = instructions;
	pthread_mutex_lock(&m->pc.mem.lock);
	vclock_start(&m->pc.clock);
	pthread_mutex_unlock(&m->pc.mem.lock);
	cpus_release(m);
	/* A halted vCPU uses nothing up: give it a while. */
	for (unsigned i = 0; i < 2000 && !atomic_load(&m->stop_wanted); i++)
		nanosleep(&nap, NULL);
	machine_pause(m);
	m->threads[0].budget = UINT64_MAX;
}

void machine_quit(struct machine *m, int status)
{
	m->status = status;
	g_main_loop_quit(m->loop);
}

int machine_run(struct machine *m)
{
	g_autoptr(GError) error = NULL;

	if (!cpus_start(m, &error)) {
		log_error("machine", "%s", error->message);
		return STATUS_HOST;
	}
	io_start(m);
	machine_resume(m);
	g_main_loop_run(m->loop);
	machine_pause(m);
	return m->status;
}
