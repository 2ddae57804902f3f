/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/pc.c - making the board and joining its wires.
 */
#include "monitor/machine/pc.h"

#include "base/bits.h"
#include "monitor/firmware/seabios.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ISA_PIT           0
#define ISA_KBD           1
#define ISA_COM2          3
#define ISA_COM1          4
#define ISA_FLOPPY        6
#define ISA_RTC           8
#define ISA_AUX           12
#define ISA_IDE           14
#define FLOPPY_DMA        2
#define IOAPIC_EXTINT     0
#define IOAPIC_HPET_FIRST 20

static void add_device(struct pc *pc, struct device *dev)
{
	g_return_if_fail(pc->device_count < PC_DEVICES);
	pc->devices[pc->device_count++] = dev;
}

/* ---- memory
 * ------------------------------------------------------------------------------------------------------ */

static bool init_memory(struct pc *pc, GError **error)
{
	struct phys_region r = { .name = "ram" };
	uint64_t low, high;

	boot_memory_init(&pc->map, pc->config->ram_bytes);
	if (!ram_create(&pc->ram, pc->config->ram_bytes, error))
		return false;
	physmap_init(&pc->mem, &pc->ram);
	pc->lock_made = true;
	pc->mem.changed = pc->ask.map_changed;
	pc->mem.code_written = pc->ask.code_written;
	pc->mem.hook_opaque = pc->ask.opaque;
	low = pc->map.below_4g;
	high = pc->map.above_4g;
	pthread_mutex_lock(&pc->mem.lock);
	/* 0xA0000..0xBFFFF is the VGA's, 0xC0000..0xFFFFF the host bridge's to show. */
	r.size = 0xa0000;
	r.rd = r.wr = pc->ram.base;
	physmap_add(&pc->mem, &r);
	r.gpa = 0x100000;
	r.size = low - 0x100000;
	r.rd = r.wr = pc->ram.base + r.gpa;
	physmap_add(&pc->mem, &r);
	if (high) {
		r.gpa = BOOT_4G;
		r.size = high;
		r.rd = r.wr = pc->ram.base + low;
		physmap_add(&pc->mem, &r);
	}
	pthread_mutex_unlock(&pc->mem.lock);
	return true;
}

static bool init_bios(struct pc *pc, GError **error)
{
	struct phys_region r = { .name = "bios" };

	if (pc->config->kernel)
		return true;
	if (!seabios_read(pc->config->bios_path, &pc->bios, &pc->bios_size, error))
		return false;
	r.gpa = BOOT_4G - pc->bios_size;
	r.size = pc->bios_size;
	r.rd = pc->bios;
	pthread_mutex_lock(&pc->mem.lock);
	physmap_add(&pc->mem, &r);
	pthread_mutex_unlock(&pc->mem.lock);
	return true;
}

/* ---- interrupts
 * -------------------------------------------------------------------------------------------------- */

/* The 8259's INTR: LINT0 of every processor, and pin 0 of the I/O APIC. */
static void pic_intr(void *opaque, unsigned n, bool level)
{
	struct pc *pc = opaque;

	lapic_set_intr(&pc->lapics, n, level);
	ioapic_set_irq(&pc->ioapic, IOAPIC_EXTINT, level);
}

static void eoi(void *opaque, unsigned vector)
{
	ioapic_eoi(&((struct pc *)opaque)->ioapic, vector);
}

static int pic_inta(void *opaque)
{
	return pic_ack(&((struct pc *)opaque)->pic);
}

static void signal_cpu(void *opaque, unsigned cpu, uint32_t what, bool raise, uint8_t vector)
{
	struct pc *pc = opaque;

	pc->ask.signal(pc->ask.opaque, cpu, what, raise, vector);
}

static uint64_t tsc_offset(void *opaque, unsigned cpu)
{
	struct pc *pc = opaque;

	return pc->ask.tsc_offset(pc->ask.opaque, cpu);
}

static void ask_reset(void *opaque)
{
	struct pc *pc = opaque;

	pc->ask.reset(pc->ask.opaque);
}

/* The gate follows whoever moved it last; the other one's bit is kept in step. */
static void a20_by_port92(void *opaque, bool on)
{
	struct pc *pc = opaque;

	i8042_note_a20(&pc->kbd, on);
	physmap_set_a20(&pc->mem, on);
}

static void a20_by_keyboard(void *opaque, bool on)
{
	struct pc *pc = opaque;

	pc->isa.s.port92 = (uint8_t)((pc->isa.s.port92 & ~2) | (on ? 2 : 0));
	physmap_set_a20(&pc->mem, on);
}

static void init_interrupts(struct pc *pc)
{
	struct lapic_wires wires = {
		.opaque = pc, .signal = signal_cpu, .eoi = eoi, .pic_ack = pic_inta, .tsc_offset = tsc_offset
	};

	lapic_set_init(&pc->lapics, pc->config->cpus, pc->config->cores_per_socket, &pc->mem, &pc->timers);
	pc->lapics_made = true;
	pc->lapics.wires = wires;
	ioapic_init(&pc->ioapic, &pc->mem, &pc->timers);
	pc->ioapic.deliver = lapic_deliver;
	pc->ioapic.deliver_opaque = &pc->lapics;
	pic_init(&pc->pic, &pc->mem, &pc->timers);
	irq_connect(&pc->pic.intr, pic_intr, pc, 0);
	for (unsigned i = 0; i < 16; i++)
		irq_connect(&pc->isa.pic[i], pic_set_irq, &pc->pic, i);
	for (unsigned i = 1; i < IOAPIC_HPET_FIRST; i++)
		irq_connect(&pc->isa.ioapic[i], ioapic_set_irq, &pc->ioapic, i);
	for (unsigned i = 0; i < pc->lapics.count; i++)
		add_device(pc, &pc->lapics.cpu[i].dev);
	add_device(pc, &pc->ioapic.dev);
	add_device(pc, &pc->pic.dev);
}

static void connect_isa(struct pc *pc, struct irq_line *line, unsigned irq)
{
	irq_connect(line, piix4_isa_irq, &pc->isa, irq);
}

/* ---- chips
 * ------------------------------------------------------------------------------------------------------- */

static void init_bridges(struct pc *pc)
{
	pci_bus_init(&pc->pci, &pc->mem, &pc->timers);
	add_device(pc, &pc->pci.dev);
	/* SeaBIOS knows how to unlock the 440FX only; to everything else the two look alike. */
	i440bx_init(&pc->host, &pc->pci, PC_SLOT_HOST, I440FX_DEVICE_ID, pc->bios, pc->bios_size);
	add_device(pc, &pc->host.pci.dev);
	piix4_init(&pc->isa, &pc->pci, PC_SLOT_ISA, PIIX4_DEVICE_ID);
	pc->isa.reset_requested = ask_reset;
	pc->isa.a20 = a20_by_port92;
	pc->isa.opaque = pc;
	add_device(pc, &pc->isa.pci.dev);
}

static void init_timers(struct pc *pc)
{
	pit_init(&pc->pit, &pc->mem, &pc->timers);
	rtc_init(&pc->rtc, &pc->mem, &pc->timers, time(NULL));
	hpet_init(&pc->hpet, &pc->mem, &pc->timers);
	pm_init(&pc->pm, &pc->pci, PC_SLOT_PM);
	irq_connect(&pc->pit.irq, hpet_legacy_in, &pc->hpet, 0);
	irq_connect(&pc->rtc.irq, hpet_legacy_in, &pc->hpet, 1);
	connect_isa(pc, &pc->hpet.isa[0], ISA_PIT);
	connect_isa(pc, &pc->hpet.isa[1], ISA_RTC);
	for (unsigned i = IOAPIC_HPET_FIRST; i < IOAPIC_PINS; i++)
		irq_connect(&pc->hpet.pin[i], ioapic_set_irq, &pc->ioapic, i);
	connect_isa(pc, &pc->pm.sci, PM_SCI_IRQ);
	pc->pm.power_off = pc->ask.power_off;
	pc->pm.opaque = pc->ask.opaque;
	add_device(pc, &pc->pit.dev);
	add_device(pc, &pc->rtc.dev);
	add_device(pc, &pc->hpet.dev);
	add_device(pc, &pc->pm.pci.dev);
}

static bool init_devices(struct pc *pc, const struct uart_backend *const serial[2], GError **error)
{
	static const struct {
		const char *name;
		uint16_t port;
		unsigned irq;
	} coms[] = { { "com1", 0x3f8, ISA_COM1 }, { "com2", 0x2f8, ISA_COM2 } };
	struct i8042_lines lines = { .opaque = pc, .reset = ask_reset, .a20 = a20_by_keyboard };
	struct isa_dma channel;

	dma8237_init(&pc->dma, &pc->mem, &pc->timers);
	add_device(pc, &pc->dma.dev);
	i8042_init(&pc->kbd, &pc->mem, &pc->timers, &lines);
	connect_isa(pc, &pc->kbd.kbd_irq, ISA_KBD);
	connect_isa(pc, &pc->kbd.aux_irq, ISA_AUX);
	add_device(pc, &pc->kbd.dev);
	for (unsigned i = 0; i < 2; i++) {
		if (!pc->config->serial[i].present)
			continue;
		uart_init(&pc->com[i], coms[i].name, &pc->mem, &pc->timers, coms[i].port, serial[i]);
		connect_isa(pc, &pc->com[i].irq, coms[i].irq);
		add_device(pc, &pc->com[i].dev);
	}
	ide_init(&pc->ide, &pc->pci, PC_SLOT_IDE, &pc->mem, &pc->timers);
	pc->ide_made = true;
	connect_isa(pc, &pc->ide.irq[0], ISA_IDE);
	connect_isa(pc, &pc->ide.irq[1], ISA_IDE + 1);
	add_device(pc, &pc->ide.pci.dev);
	channel = dma8237_channel(&pc->dma, FLOPPY_DMA);
	floppy_init(&pc->floppy, &pc->mem, &pc->timers, &channel);
	connect_isa(pc, &pc->floppy.irq, ISA_FLOPPY);
	add_device(pc, &pc->floppy.dev);
	if (!vga_init(&pc->vga, &pc->pci, PC_SLOT_VGA, &pc->mem, &pc->timers, error))
		return false;
	pc->vga_made = true;
	add_device(pc, &pc->vga.pci.dev);
	return true;
}

/* ---- media
 * ------------------------------------------------------------------------------------------------------- */

static struct image *open_image(struct pc *pc, const char *path, bool cdrom, GError **error)
{
	struct image_options o = { .format = cdrom ? "iso" : "raw",
		.read_only = cdrom,
		.deliver = pc->ask.deliver,
		.deliver_opaque = pc->ask.opaque };
	struct image *img;

	img = image_open(path, &o, error);
	/* The person named a file that is not there: theirs to mend, not the host's failure. */
	if (!img && error && g_error_matches(*error, SERAI_ERROR, SERAI_ERROR_IO))
		(*error)->code = SERAI_ERROR_CONFIG;
	/* The lock's refusal. */
	if (!img && error && g_error_matches(*error, SERAI_ERROR, SERAI_ERROR_STATE)) {
		g_autofree char *hint = g_strconcat(
			(*error)->message, "; end that first (serai list), or give this VM a copy", NULL);

		g_free((*error)->message);
		(*error)->message = g_steal_pointer(&hint);
	}
	return img;
}

static bool attach_ide(struct pc *pc, unsigned place, GError **error)
{
	const struct drive_config *d = &pc->config->ide[place / 2][place % 2];
	g_autofree char *serial = g_strdup_printf("SERAI%03u", place);

	if (d->kind == DRIVE_NONE)
		return true;
	if (d->path) {
		pc->images[place] = open_image(pc, d->path, d->kind == DRIVE_CDROM, error);
		if (!pc->images[place])
			return false;
	}
	if (d->kind == DRIVE_DISK)
		ide_attach_disk(
			&pc->ide, place / 2, place % 2, pc->images[place], "Serai Virtual IDE Disk", serial);
	else
		ide_attach_cdrom(
			&pc->ide, place / 2, place % 2, pc->images[place], "Serai Virtual IDE CDROM", serial);
	return true;
}

static bool attach_floppy(struct pc *pc, unsigned n, GError **error)
{
	const struct drive_config *d = &pc->config->floppy[n];

	if (d->kind == DRIVE_NONE)
		return true;
	if (d->path) {
		pc->images[4 + n] = open_image(pc, d->path, false, error);
		if (!pc->images[4 + n])
			return false;
	}
	return floppy_attach(&pc->floppy, n, pc->images[4 + n], error);
}

static bool attach_media(struct pc *pc, GError **error)
{
	for (unsigned i = 0; i < 4; i++)
		if (!attach_ide(pc, i, error))
			return false;
	return attach_floppy(pc, 0, error) && attach_floppy(pc, 1, error);
}

/* ---- firmware
 * ---------------------------------------------------------------------------------------------------- */

static bool sink_item(void *opaque, uint16_t key, const void *data, uint32_t len, GError **error)
{
	return fw_cfg_add_item(opaque, key, data, len, error);
}

static bool sink_file(void *opaque, const char *name, const void *data, uint32_t len, GError **error)
{
	return fw_cfg_add_file(opaque, name, data, len, error);
}

static void describe_board(struct pc *pc)
{
	const struct acpi_board board = { .cpus = pc->config->cpus,
		.cores_per_socket = pc->config->cores_per_socket,
		.below_4g = pc->map.below_4g,
		.above_4g = pc->map.above_4g,
		.pm_base = PM_DEFAULT_BASE,
		.smi_port = 0xb2,
		.acpi_enable = PM_ACPI_ENABLE,
		.acpi_disable = PM_ACPI_DISABLE,
		.sci_irq = PM_SCI_IRQ,
		.hpet_base = HPET_BASE,
		.ioapic_base = IOAPIC_BASE,
		.com1 = pc->config->serial[0].present,
		.com2 = pc->config->serial[1].present,
		.floppy = pc->config->floppy[0].kind || pc->config->floppy[1].kind,
		.pci_memory = BOOT_LOW_RAM_MAX };

	acpi_build(&pc->acpi, &board);
	pc->smbios = (struct smbios_board){ .sockets = pc->config->cpus / pc->config->cores_per_socket,
		.cores_per_socket = pc->config->cores_per_socket,
		.ram_bytes = pc->config->ram_bytes,
		.below_4g = pc->map.below_4g,
		.mhz = (unsigned)(pc->clock.tsc_khz / 1000),
		.version = "1" };
	memcpy(pc->smbios.uuid, pc->backdoor.uuid, 16);
}

static bool init_firmware(struct pc *pc, GError **error)
{
	struct firmware_sink sink = { &pc->fw_cfg, sink_item, sink_file };
	struct seabios_config c = { .map = &pc->map,
		.acpi = &pc->acpi,
		.smbios = &pc->smbios,
		.cpus = pc->config->cpus,
		.vga_name = VGA_ROM_FILE };
	g_autofree char *vga_rom = NULL;
	g_autoptr(GError) why = NULL;
	gsize len = 0;

	describe_board(pc);
	if (pc->config->kernel)
		return true;
	fw_cfg_init(&pc->fw_cfg, &pc->mem, &pc->timers);
	pc->fw_cfg_made = true;
	add_device(pc, &pc->fw_cfg.dev);
	if (!g_file_get_contents(pc->config->vga_bios_path, &vga_rom, &len, &why))
		return fail(error, SERAI_ERROR_CONFIG, "%s (Debian's package seabios has it)", why->message);
	c.vga_rom = (const uint8_t *)vga_rom;
	c.vga_size = (uint32_t)MIN_OF(len, FIRMWARE_IMAGE_MAX);
	return seabios_configure(&sink, &c, error);
}

static bool init_debug_ports(struct pc *pc, GError **error)
{
	uint16_t e = pc->config->exit_port, c = pc->config->console_port;

	if (e && !debug_exit_init(&pc->debug_exit, &pc->mem, e, pc->ask.exit, pc->ask.opaque))
		return fail(error, SERAI_ERROR_CONFIG, "debug.exitPort: port 0x%x belongs to a device", e);
	if (c && !debug_console_init(&pc->debug_console, &pc->mem, c, pc->ask.console, pc->ask.opaque))
		return fail(error, SERAI_ERROR_CONFIG, "debug.consolePort: port 0x%x belongs to a device", c);
	return true;
}

static void init_backdoor(struct pc *pc)
{
	pc->backdoor = (struct backdoor){ .clock = &pc->clock,
		.ram_bytes = pc->config->ram_bytes,
		.tsc_khz = pc->clock.tsc_khz,
		.apic_hz = LAPIC_BUS_HZ,
		.vcpus = pc->config->cpus,
		.x2apic = true };
	memcpy(pc->backdoor.uuid, pc->config->uuid, 16);
}

bool pc_init(struct pc *pc, const struct machine_config *config, const struct pc_requests *ask,
	const struct uart_backend *const serial[2], GError **error)
{
	*pc = (struct pc){ .config = config, .ask = *ask, .ram.fd = -1 };
	vclock_init(&pc->clock);
	timer_queue_init(&pc->timers, &pc->clock);
	pc->timers.rearm = ask->rearm;
	pc->timers.opaque = ask->opaque;
	init_backdoor(pc);
	if (!init_memory(pc, error) || !init_bios(pc, error))
		return false;
	pthread_mutex_lock(&pc->mem.lock);
	init_bridges(pc);
	init_interrupts(pc);
	init_timers(pc);
	if (!init_devices(pc, serial, error) || !init_debug_ports(pc, error) || !init_firmware(pc, error) ||
		!attach_media(pc, error)) {
		pthread_mutex_unlock(&pc->mem.lock);
		return false;
	}
	pthread_mutex_unlock(&pc->mem.lock);
	return true;
}

void pc_destroy(struct pc *pc)
{
	if (pc->ide_made)
		ide_destroy(&pc->ide);
	for (size_t i = 0; i < ARRAY_LEN(pc->images); i++)
		if (!image_close(pc->images[i]) && pc->images[i])
			log_error("disk", "%s", "the last writes to a disk image could not be made durable");
	if (pc->vga_made)
		vga_destroy(&pc->vga);
	if (pc->fw_cfg_made)
		fw_cfg_destroy(&pc->fw_cfg);
	if (pc->lapics_made)
		lapic_set_destroy(&pc->lapics);
	if (pc->acpi.tables)
		acpi_free(&pc->acpi);
	if (pc->lock_made)
		physmap_destroy(&pc->mem);
	ram_destroy(&pc->ram);
	free(pc->bios);
}

void pc_reset(struct pc *pc)
{
	const uint8_t *order = pc->config->boot_order;

	for (unsigned i = 0; i < pc->device_count; i++)
		device_reset(pc->devices[i]);
	rtc_set_memory(&pc->rtc, pc->map.below_4g, pc->map.above_4g);
	rtc_set_boot(&pc->rtc, pc->config->cpus, order[0], order[1], order[2]);
	rtc_set_floppies(&pc->rtc, floppy_cmos_type(&pc->floppy, 0), floppy_cmos_type(&pc->floppy, 1));
}
