/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/pm.c - PIIX4 function 3: ACPI fixed hardware.
 */
#include "base/bits.h"
#include "monitor/chipset/pm.h"

#define CFG_PMBASE    0x40
#define CFG_DEVACTB   0x58
#define CFG_PMREGMISC 0x80
#define CFG_SMBBASE   0x90
#define CFG_SMBHSTCFG 0xd2

/* Register offsets from PMBASE. */
enum {
	PMSTS = 0x00,
	PMEN = 0x02,
	PMCNTRL = 0x04,
	PMTMR = 0x08,
	GPSTS = 0x0c,
	GPEN = 0x0e,
	PCNTRL = 0x10,
	GLBSTS = 0x18,
	DEVSTS = 0x1c,
	GLBEN = 0x20,
	GLBCTL = 0x28,
	DEVCTL = 0x2c,
	GPOREG = 0x34,
};

#define STS_TMROF  0x0001
#define STS_PWRBTN 0x0100
#define STS_RESUME 0x8000
#define CNT_SCI_EN 0x0001
#define CNT_SLP_EN 0x2000
#define SUS_TYP_S5 0
#define SUS_TYP(v) ((v) >> 10 & 7)

static const struct pci_ids pm_ids = {
	.vendor = 0x8086,
	.device = 0x7113,
	.class_base = 0x06,
	.class_sub = 0x80,
	.revision = 3,
	.interrupt_pin = 1,
};

static uint64_t ticks(const struct pm *pm)
{
	return timer_ns_to_ticks(timer_now(pm->pci.dev.timers), PM_TIMER_HZ);
}

/* TMROF_STS is set whenever bit 23 of the timer changes. */
static void catch_up(struct pm *pm)
{
	uint64_t now = ticks(pm);

	if (now >> 23 != pm->s.seen >> 23)
		pm->s.sts |= STS_TMROF;
	pm->s.seen = now;
}

static void map_ports(struct pm *pm)
{
	uint16_t base = (uint16_t)le_load(pm->s.config + CFG_PMBASE, 2) & 0xffc0;
	bool want = pm->s.config[CFG_PMREGMISC] & 1 && base;

	if (pm->mapped && (!want || pm->mapped_at != base)) {
		port_remove(pm->pci.dev.mem, pm->mapped_at);
		pm->mapped = false;
	}
	if (want && !pm->mapped) {
		pm->mapped = port_add(pm->pci.dev.mem,
			&(struct port_range){ base, 64, &device_reg_ops, &pm->pci.dev, "acpi pm" });
		pm->mapped_at = base;
	}
}

static void pm_settle(struct device *dev)
{
	struct pm *pm = (struct pm *)dev;
	struct pm_state *s = &pm->s;
	bool sci_en = s->cnt & CNT_SCI_EN;

	pci_function_settle(&pm->pci);
	map_ports(pm);
	catch_up(pm);
	irq_set(&pm->sci, sci_en && (s->sts & s->en || s->gpe_sts & s->gpe_en));
	if (sci_en && s->en & ~s->sts & STS_TMROF)
		timer_arm(&pm->timer, timer_ticks_to_ns(((s->seen >> 23) + 1) << 23, PM_TIMER_HZ));
	else
		timer_cancel(&pm->timer);
}

static void overflow_due(void *opaque)
{
	struct pm *pm = opaque;

	pm_settle(&pm->pci.dev);
}

static uint64_t pm_read(struct device *dev, const struct reg *r)
{
	struct pm *pm = (struct pm *)dev;

	if (r->off == PMTMR)
		return ticks(pm) & 0xffffff;
	if (r->off == PMSTS)
		catch_up(pm);
	return reg_load(dev, r);
}

static void pm_write(struct device *dev, const struct reg *r, uint64_t v)
{
	struct pm *pm = (struct pm *)dev;

	catch_up(pm);
	reg_store(dev, r, v);
	if (r->off != PMCNTRL || !(v & CNT_SLP_EN))
		return;
	if (SUS_TYP(v) == SUS_TYP_S5) {
		if (pm->power_off)
			pm->power_off(pm->opaque);
	} else {
		pm->s.sts |= STS_RESUME; /* no other sleep state is offered: it is over at once */
	}
}

static const struct reg pm_regs[] = {
	{ PMSTS, "PMSTS", REG_AT(struct pm_state, sts), 0, 0, 0x8d31 },
	{ PMEN, "PMEN", REG_AT(struct pm_state, en), 0, 0x0521, 0 },
	{ PMCNTRL, "PMCNTRL", REG_AT(struct pm_state, cnt), 0, 0x1c03, 0 },
	{ PMTMR, "PMTMR", offsetof(struct pm_state, seen), 4, 0, 0, 0 },
	{ GPSTS, "GPSTS", REG_AT(struct pm_state, gpe_sts), 0, 0, 0xffff },
	{ GPEN, "GPEN", REG_AT(struct pm_state, gpe_en), 0, 0xffff, 0 },
	{ PCNTRL, "PCNTRL", REG_AT(struct pm_state, pcntrl), 0, 0x00021e1f, 0 },
	{ GLBSTS, "GLBSTS", REG_AT(struct pm_state, glbsts), 0, 0, 0x00000d7f },
	{ DEVSTS, "DEVSTS", REG_AT(struct pm_state, devsts), 0, 0, 0x3fff000f },
	{ GLBEN, "GLBEN", REG_AT(struct pm_state, glben), 0, 0x0000ffff, 0 },
	{ GLBCTL, "GLBCTL", REG_AT(struct pm_state, glbctl), 0, 0x04ffffff, 0 },
	{ DEVCTL, "DEVCTL", REG_AT(struct pm_state, devctl), 0, 0x0fffffff, 0 },
	{ GPOREG, "GPOREG", REG_AT(struct pm_state, gpo), 0x7fffbfff, 0xffffffff, 0 },
};

/* APM ports.  The command is what SMM code would have seen; only the two ACPI ones mean anything here. */
static uint64_t apm_read(void *opaque, uint64_t off, unsigned size)
{
	struct pm *pm = opaque;

	(void)size;
	return off ? pm->s.apm_sts : pm->s.apm_cnt;
}

static void apm_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct pm *pm = opaque;

	if (off || size > 1)
		pm->s.apm_sts = (uint8_t)(off ? v : v >> 8);
	if (off)
		return;
	pm->s.apm_cnt = (uint8_t)v;
	if (pm->s.apm_cnt == PM_ACPI_ENABLE)
		pm->s.cnt |= CNT_SCI_EN;
	else if (pm->s.apm_cnt == PM_ACPI_DISABLE)
		pm->s.cnt &= ~CNT_SCI_EN;
	pm_settle(&pm->pci.dev);
}

static const struct io_ops apm_ops = { apm_read, apm_write };

static void pm_reset(struct device *dev)
{
	struct pm *pm = (struct pm *)dev;
	uint8_t *c = pm->s.config;

	pci_function_reset(&pm->pci, &pm_ids);
	le_store(c + PCI_STATUS, 2, 0x0280);
	c[PCI_INTERRUPT_LINE] = PM_SCI_IRQ;
	c[CFG_PMBASE] = 1;
	c[CFG_SMBBASE] = 1;
	le_store(c + CFG_DEVACTB, 4, 0x02000000); /* APMC_EN: firmware has nothing to set up for SMM */
	pm->s.seen = ticks(pm);
}

static const struct state_field pm_fields[] = {
	STATE_ARRAY(struct pm_state, config, 1),
	STATE_FIELD(struct pm_state, seen, 1),
	STATE_FIELD(struct pm_state, sts, 1),
	STATE_FIELD(struct pm_state, en, 1),
	STATE_FIELD(struct pm_state, cnt, 1),
	STATE_FIELD(struct pm_state, gpe_sts, 1),
	STATE_FIELD(struct pm_state, gpe_en, 1),
	STATE_FIELD(struct pm_state, apm_cnt, 1),
	STATE_FIELD(struct pm_state, apm_sts, 1),
	STATE_FIELD(struct pm_state, pcntrl, 1),
	STATE_FIELD(struct pm_state, glbsts, 1),
	STATE_FIELD(struct pm_state, devsts, 1),
	STATE_FIELD(struct pm_state, glben, 1),
	STATE_FIELD(struct pm_state, glbctl, 1),
	STATE_FIELD(struct pm_state, devctl, 1),
	STATE_FIELD(struct pm_state, gpo, 1),
};

static const struct device_class pm_class = {
	DEVICE_STATE("piix4-pm", 1, struct pm, pm_fields),
	DEVICE_REGS(pm_regs),
	.reset = pm_reset,
	.read = pm_read,
	.write = pm_write,
	.settle = pm_settle,
};

void pm_init(struct pm *pm, struct pci_bus *bus, uint8_t devfn)
{
	struct pci_function *f = &pm->pci;

	memset(pm, 0, sizeof(*pm));
	device_init(&f->dev, &pm_class, "0", bus->dev.mem, bus->dev.timers);
	f->config = pm->s.config;
	pci_add(bus, f, devfn, &pm_ids);
	f->writable[CFG_PMBASE] = 0xc0;
	f->writable[CFG_PMBASE + 1] = 0xff;
	memset(f->writable + 0x44, 0xff,
		CFG_PMREGMISC - 0x44); /* counters, device resources: kept, without effect */
	f->writable[CFG_PMREGMISC] = 0x01;
	f->writable[CFG_SMBBASE] = 0xf0;
	f->writable[CFG_SMBBASE + 1] = 0xff;
	memset(f->writable + CFG_SMBHSTCFG, 0xff, 5);
	timer_init(&pm->timer, bus->dev.timers, overflow_due, pm);
	port_add(bus->dev.mem, &(struct port_range){ 0xb2, 2, &apm_ops, pm, "apm" });
}

void pm_enable(struct pm *pm)
{
	le_store(pm->s.config + CFG_PMBASE, 2, PM_DEFAULT_BASE | 1);
	pm->s.config[CFG_PMREGMISC] |= 1;
	pm->s.cnt |= CNT_SCI_EN;
	pm_settle(&pm->pci.dev);
}

void pm_press_power_button(struct pm *pm)
{
	pm->s.sts |= STS_PWRBTN;
	pm_settle(&pm->pci.dev);
}

void pm_raise_gpe(struct pm *pm, unsigned bit)
{
	if (bit > 15)
		return;
	pm->s.gpe_sts |= (uint16_t)(1u << bit);
	pm_settle(&pm->pci.dev);
}
