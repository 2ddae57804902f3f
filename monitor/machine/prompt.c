/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/prompt.c - the monitor prompt behind Ctrl-A C.
 *
 * A command that looks at a processor parks all of them for the moment it takes.
 */
#include "monitor/machine/machine.h"

#include "vm/vmx.h"

#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 4

struct command {
	const char *name, *arguments, *help;
	bool (*run)(struct machine *m, char **words, unsigned count);
};

static void say(struct machine *m, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void say(struct machine *m, const char *fmt, ...)
{
	va_list ap;
	g_autofree char *text = NULL;

	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	io_print(m, text);
}

/* Parked for the duration of a command, if it was running. */
static bool hold(struct machine *m)
{
	bool was_running = !m->paused;

	if (was_running)
		machine_pause(m);
	return was_running;
}

static void let_go(struct machine *m, bool was_running)
{
	if (was_running)
		machine_resume(m);
}

static uint64_t next_rip(const struct vcpu *v)
{
	return v->seg_base[S_CS] + v->s.rip;
}

/* A register's value, and the segment it is an offset in by itself. */
static bool parse_register(const struct vcpu *v, const char *name, uint64_t *out, unsigned *seg)
{
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8",
		"r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip" };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (g_ascii_strcasecmp(name, names[i]) != 0)
			continue;
		*out = i == 16 ? v->s.rip : v->s.gpr[i];
		*seg = i == 16 ? S_CS : i == 4 || i == 5 ? S_SS : S_DS;
		return true;
	}
	return false;
}

/* The base a segment register has, or in real and virtual-8086 mode a number names. */
static bool parse_segment(const struct vcpu *v, const char *text, size_t len, uint64_t *base)
{
	static const char *const names[] = { "es", "cs", "ss", "ds", "fs", "gs" };
	uint64_t number;
	char *end;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (len == 2 && g_ascii_strncasecmp(text, names[i], 2) == 0)
			return *base = v->seg_base[i], true;
	number = g_ascii_strtoull(text, &end, 16);
	*base = number << 4;
	return len && end == text + len && number <= 0xffff && (!v->protected_mode || v->v86);
}

/* [SEGMENT:]OFFSET to a linear address: a hexadecimal number, or a register, $ or % before it or not. */
static bool parse_address(const struct vcpu *v, const char *text, uint64_t *out)
{
	const char *colon = strchr(text, ':');
	uint64_t base = 0;
	unsigned own;
	char *end;

	if (colon) {
		if (!parse_segment(v, text, (size_t)(colon - text), &base))
			return false;
		text = colon + 1;
	}
	if (parse_register(v, text + (*text == '$' || *text == '%'), out, &own)) {
		*out += colon ? base : v->seg_base[own];
		return true;
	}
	*out = g_ascii_strtoull(text, &end, 16) + base;
	return end != text && !*end && *text != '-';
}

static bool parse_count(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	*out = g_ascii_strtoull(text, &end, 0);
	return end != text && !*end && *out >= 1 && *out <= max;
}

/* ---- looking
 * ----------------------------------------------------------------------------------------------------- */

static struct vcpu *pick_cpu(struct machine *m, char **words, unsigned count)
{
	uint64_t n = 0;

	if (count > 1)
		n = g_ascii_strtoull(words[1], NULL, 0);
	if (n < m->cpus_made)
		return &m->vcpus[n];
	say(m, "there are %u processors\n", m->cpus_made);
	return NULL;
}

static bool run_registers(struct machine *m, char **words, unsigned count)
{
	struct vcpu *v = pick_cpu(m, words, count);
	char text[4096];
	bool running;

	if (!v)
		return true;
	running = hold(m);
	vcpu_dump(v, text, sizeof(text));
	let_go(m, running);
	say(m, "%s", text);
	return true;
}

static void disassemble(struct machine *m, struct vcpu *v, uint64_t va, unsigned count)
{
	static const ZydisMachineMode modes[] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_MACHINE_MODE_LEGACY_32,
		ZYDIS_MACHINE_MODE_LONG_64 };
	static const ZydisStackWidth widths[] = { ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
		ZYDIS_STACK_WIDTH_64 };
	unsigned size = v->code_size % 3;
	ZydisDecoder decoder;
	ZydisFormatter formatter;

	ZydisDecoderInit(&decoder, modes[size], widths[size]);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	while (count--) {
		ZydisDecodedInstruction insn;
		ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
		uint8_t bytes[15];
		char text[128];
		size_t have = vcpu_debug_read(v, va, bytes, sizeof(bytes));

		if (!have) {
			say(m, "%016" PRIx64 "  (not mapped)\n", va);
			return;
		}
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, have, &insn, operands))) {
			say(m, "%016" PRIx64 "  %02x  (no instruction)\n", va, bytes[0]);
			va++;
			continue;
		}
		ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text,
			sizeof(text), va, NULL);
		say(m, "%016" PRIx64 "  %s\n", va, text);
		va += insn.length;
	}
}

static bool run_disassemble(struct machine *m, char **words, unsigned count)
{
	struct vcpu *v = &m->vcpus[0];
	bool running = hold(m);
	uint64_t va = next_rip(v), n = 10;

	if ((count > 1 && !parse_address(v, words[1], &va)) ||
		(count > 2 && !parse_count(words[2], 1000, &n)))
		say(m, "usage: disassemble [[SEGMENT:]ADDRESS [COUNT]]\n");
	else
		disassemble(m, v, va, (unsigned)n);
	let_go(m, running);
	return true;
}

static void dump(struct machine *m, struct vcpu *v, uint64_t va, uint64_t count)
{
	for (uint64_t off = 0; off < count; off += 16) {
		unsigned want = (unsigned)MIN_OF(count - off, 16u);
		uint8_t bytes[16] = { 0 };
		char text[17] = { 0 };
		size_t have = vcpu_debug_read(v, va + off, bytes, want);

		say(m, "%016" PRIx64 " ", va + off);
		for (unsigned i = 0; i < want; i++) {
			if (i < have)
				say(m, " %02x", bytes[i]);
			else
				say(m, " --");
			text[i] = i < have && bytes[i] >= 32 && bytes[i] < 127 ? (char)bytes[i] : '.';
		}
		say(m, "  %s\n", text);
	}
}

static bool run_memory(struct machine *m, char **words, unsigned count)
{
	struct vcpu *v = &m->vcpus[0];
	bool running = hold(m);
	uint64_t va, n = 64;

	if (count < 2 || !parse_address(v, words[1], &va) || (count > 2 && !parse_count(words[2], 65536, &n)))
		say(m, "usage: memory [SEGMENT:]ADDRESS [BYTES]   (hexadecimal, or rsp and the like)\n");
	else
		dump(m, v, va, n);
	let_go(m, running);
	return true;
}

static bool run_screen(struct machine *m, char **words, unsigned count)
{
	bool graphics;
	g_autofree char *text = io_screen_text(m, NULL, &graphics);

	(void)words, (void)count;
	io_print(m, text);
	return true;
}

/* ---- info
 * -------------------------------------------------------------------------------------------------------- */

static void info_mem(struct machine *m)
{
	struct physmap *map = &m->pc.mem;

	pthread_mutex_lock(&map->lock);
	for (unsigned i = 0; i < map->flat_count; i++) {
		const struct phys_region *r = &map->flat[i];

		say(m, "%012" PRIx64 "..%012" PRIx64 "  %s%s%s  %s\n", r->gpa, r->gpa + r->size - 1,
			r->rd ? "r" : "-", r->wr ? "w" : "-", r->ops ? " device" : "       ",
			r->name ? r->name : "");
	}
	pthread_mutex_unlock(&map->lock);
}

static void info_ports(struct machine *m)
{
	struct physmap *map = &m->pc.mem;

	pthread_mutex_lock(&map->lock);
	for (unsigned i = 0; i < map->port_count; i++) {
		const struct port_range *r = &map->ports[i];

		if (r->count)
			say(m, "%04x..%04x  %s\n", r->port, r->port + r->count - 1, r->name ? r->name : "");
	}
	pthread_mutex_unlock(&map->lock);
}

static void info_irq(struct machine *m)
{
	struct pc *pc = &m->pc;

	pthread_mutex_lock(&pc->mem.lock);
	for (unsigned i = 0; i < 2; i++)
		say(m, "8259 %u: request %02x mask %02x service %02x lines %02x level %02x\n", i,
			pc->pic.s.irr[i], pc->pic.s.imr[i], pc->pic.s.isr[i], pc->pic.s.lines[i],
			pc->pic.s.elcr[i]);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		if (!(pc->ioapic.s.redir[i] & 0x10000))
			say(m, "I/O APIC %2u: %016" PRIx64 "%s\n", i, pc->ioapic.s.redir[i],
				pc->ioapic.s.lines >> i & 1 ? " asserted" : "");
	for (unsigned i = 0; i < pc->lapics.count; i++) {
		const struct lapic_state *s = &pc->lapics.cpu[i].s;

		say(m, "local APIC %u: base %" PRIx64 " tpr %02x timer %08x\n", i, s->base, s->tpr,
			s->lvt[LVT_TIMER]);
		for (unsigned w = 0; w < 8; w++)
			if (s->irr[w] || s->isr[w])
				say(m, "    vectors %02x..%02x: request %08x service %08x\n", w * 32,
					w * 32 + 31, s->irr[w], s->isr[w]);
	}
	pthread_mutex_unlock(&pc->mem.lock);
}

static bool run_info(struct machine *m, char **words, unsigned count)
{
	g_autofree char *stats = NULL;
	static const char *const topics[] = { "mem", "ports", "irq", "stats", "status", "registers", NULL };
	const char *what = count > 1 ? words[1] : "", *near;

	if (strcmp(what, "mem") == 0) {
		info_mem(m);
	} else if (strcmp(what, "ports") == 0) {
		info_ports(m);
	} else if (strcmp(what, "irq") == 0) {
		info_irq(m);
	} else if (strcmp(what, "stats") == 0) {
		stats = stats_text(m);
		io_print(m, stats);
	} else if (strcmp(what, "status") == 0) {
		say(m, "%s, engine %s, %u processors, %" PRIu64 " MiB, up %" PRId64 " ms\n",
			m->paused ? "paused" : "running", m->config.engine->name, m->cpus_made,
			m->config.ram_bytes >> 20, vclock_now(&m->pc.clock) / 1000000);
	} else if (g_str_has_prefix(what, "reg")) {
		return run_registers(m, words, 1);
	} else {
		near = *what ? vmx_nearest_word(what, topics) : NULL;
		if (near)
			say(m, "'info %s' is no command; did you mean 'info %s'?\n", what, near);
		else
			say(m, "usage: info mem|ports|irq|stats|status\n");
	}
	return true;
}

/* ---- steering
 * ---------------------------------------------------------------------------------------------------- */

static bool run_pause(struct machine *m, char **words, unsigned count)
{
	(void)words, (void)count;
	if (!m->paused)
		machine_pause(m);
	say(m, "paused\n");
	disassemble(m, &m->vcpus[0], next_rip(&m->vcpus[0]), 1);
	return true;
}

static bool run_continue(struct machine *m, char **words, unsigned count)
{
	(void)words, (void)count;
	if (m->paused)
		machine_resume(m);
	return true;
}

static bool run_step(struct machine *m, char **words, unsigned count)
{
	uint64_t n = 1;
	struct vcpu *v = &m->vcpus[0];

	if (count > 1 && !parse_count(words[1], 1000000000, &n)) {
		say(m, "usage: step [INSTRUCTIONS]\n");
		return true;
	}
	machine_step(m, n);
	if (v->s.halted)
		say(m, "halted; an interrupt goes on at\n");
	disassemble(m, v, next_rip(v), 1);
	return true;
}

static bool run_reset(struct machine *m, char **words, unsigned count)
{
	(void)words, (void)count;
	machine_post(m, EVENT_RESET, true);
	return true;
}

static bool run_powerbutton(struct machine *m, char **words, unsigned count)
{
	(void)words, (void)count;
	pthread_mutex_lock(&m->pc.mem.lock);
	pm_press_power_button(&m->pc.pm);
	pthread_mutex_unlock(&m->pc.mem.lock);
	return true;
}

static bool run_savevm(struct machine *m, char **words, unsigned count)
{
	g_autoptr(GError) error = NULL;

	if (count < 2)
		say(m, "usage: savevm FILE\n");
	else if (!machine_save(m, words[1], &error))
		say(m, "%s\n", error->message);
	else
		say(m, "saved\n");
	return true;
}

static bool run_quit(struct machine *m, char **words, unsigned count)
{
	(void)words, (void)count;
	machine_quit(m, STATUS_POWEROFF);
	return false;
}

static bool run_exit(struct machine *m, char **words, unsigned count)
{
	(void)m, (void)words, (void)count;
	return false;
}

static bool run_help(struct machine *m, char **words, unsigned count);

static const struct command commands[] = {
	{ "registers", "[CPU]", "a processor's registers", run_registers },
	{ "disassemble", "[[SEGMENT:]ADDRESS [COUNT]]", "instructions, from RIP on", run_disassemble },
	{ "memory", "[SEGMENT:]ADDRESS [BYTES]", "guest-virtual memory, in hexadecimal (also x)",
		run_memory },
	{ "pause", "", "stop the guest and its clock", run_pause },
	{ "continue", "", "go on", run_continue },
	{ "step", "[N]", "run processor 0 for N instructions", run_step },
	{ "reset", "", "as the reset button", run_reset },
	{ "powerbutton", "", "press the power button", run_powerbutton },
	{ "info", "mem|ports|irq|stats|status", "look at the board", run_info },
	{ "screen", "", "the VGA text screen", run_screen },
	{ "savevm", "FILE", "write the machine's state", run_savevm },
	{ "exit", "", "back to the guest (also Ctrl-D)", run_exit },
	{ "quit", "", "end the VM", run_quit },
	{ "help", "", "this list", run_help },
	/* What other monitors call these; not listed. */
	{ "x", NULL, NULL, run_memory },
	{ "stop", NULL, NULL, run_pause },
	{ "cont", NULL, NULL, run_continue },
	{ "system_reset", NULL, NULL, run_reset },
	{ "system_powerdown", NULL, NULL, run_powerbutton },
};

static bool run_help(struct machine *m, char **words, unsigned count)
{
	(void)words, (void)count;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].help)
			say(m, "%-12s %-28s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
	return true;
}

/* By its name, or by a beginning that only one listed command has. NULL after telling the person. */
static const struct command *find_command(struct machine *m, const char *word)
{
	const char *names[ARRAY_LEN(commands) + 1] = { NULL }, *near;
	const struct command *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		names[i] = commands[i].name;
		if (strcmp(commands[i].name, word) == 0)
			return &commands[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!commands[i].help || !g_str_has_prefix(commands[i].name, word))
			continue;
		if (found) {
			say(m, "'%s' is both %s and %s\n", word, found->name, commands[i].name);
			return NULL;
		}
		found = &commands[i];
	}
	if (found)
		return found;
	near = vmx_nearest_word(word, names);
	if (near)
		say(m, "'%s' is no command; did you mean '%s'?\n", word, near);
	else
		say(m, "'%s' is no command; \"help\" lists them\n", word);
	return NULL;
}

bool prompt_line(struct machine *m, const char *line)
{
	g_autofree char *copy = g_strdup(line);
	char *words[WORDS_MAX], *rest = copy, *word;
	unsigned count = 0;
	const struct command *found;

	while (count < WORDS_MAX && (word = strsep(&rest, " ")))
		if (*word)
			words[count++] = word;
	if (!count)
		return true;
	found = find_command(m, words[0]);
	return !found || found->run(m, words, count);
}
