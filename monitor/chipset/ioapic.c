/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/ioapic.c - 82093AA I/O APIC with the EOI register of version 0x20.
 *
 *   redirection entry: 63..56 destination | 16 mask | 15 level | 14 remote IRR | 13 active low | 12 pending
 *                      | 11 logical | 10..8 delivery mode | 7..0 vector
 */
#include "base/bits.h"
#include "monitor/chipset/ioapic.h"

#define VERSION 0x00170020u /* 24 entries, version 0x20 */

#define REDIR_MASKED     0x10000ull
#define REDIR_LEVEL      0x8000ull
#define REDIR_REMOTE_IRR 0x4000ull
#define REDIR_PENDING    0x1000ull
#define REDIR_LOGICAL    0x800ull
#define REDIR_WRITABLE   0xff0000000001afffull

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI    0x40

static uint8_t mode_of(uint64_t entry)
{
	return (uint8_t)bits_get(entry, 10, 8);
}

/* Only fixed and lowest-priority interrupts can be level-triggered: the others have no EOI. */
static bool is_level(uint64_t entry)
{
	return entry & REDIR_LEVEL && mode_of(entry) <= APIC_LOWEST;
}

static bool send(struct ioapic *io, uint64_t entry)
{
	struct apic_message msg = {
		.dest = (uint32_t)bits_get(entry, 63, 56),
		.logical = entry & REDIR_LOGICAL,
		.mode = mode_of(entry),
		.vector = (uint8_t)entry,
		.level = is_level(entry),
		.asserted = true,
	};

	return io->deliver && io->deliver(io->deliver_opaque, &msg);
}

/* ExtINT is a wire: pass its level on.  The withdrawal goes to everybody, the entry may have changed. */
static void pass_extint(struct ioapic *io, unsigned pin)
{
	const struct apic_message withdraw = { .dest = 0xff, .mode = APIC_EXTINT };
	uint64_t entry = io->s.redir[pin];
	uint32_t bit = 1u << (pin & 31);
	bool want = mode_of(entry) == APIC_EXTINT && !(entry & REDIR_MASKED) && io->s.lines & bit;

	if (want == !!(io->extint & bit))
		return;
	io->extint ^= bit;
	if (want)
		send(io, entry);
	else if (io->deliver)
		io->deliver(io->deliver_opaque, &withdraw);
}

static void service(struct ioapic *io, unsigned pin)
{
	uint64_t *entry = &io->s.redir[pin];
	uint32_t bit = 1u << (pin & 31);

	pass_extint(io, pin);
	if (*entry & REDIR_MASKED || mode_of(*entry) == APIC_EXTINT)
		return;
	if (is_level(*entry)) {
		if (io->s.lines & bit && !(*entry & REDIR_REMOTE_IRR) && send(io, *entry))
			*entry |= REDIR_REMOTE_IRR;
	} else if (io->s.irr & bit) {
		io->s.irr &= ~bit;
		send(io, *entry);
	}
}

static void ioapic_settle(struct device *dev)
{
	struct ioapic *io = (struct ioapic *)dev;

	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		service(io, i);
}

void ioapic_set_irq(void *opaque, unsigned n, bool level)
{
	struct ioapic *io = opaque;
	uint32_t bit;

	if (n >= IOAPIC_PINS)
		return;
	bit = 1u << n;
	if (level == !!(io->s.lines & bit))
		return;
	io->s.lines ^= bit;
	/* A masked edge is ignored, not held (82093AA 3.2.4). */
	if (level && !is_level(io->s.redir[n]) && !(io->s.redir[n] & REDIR_MASKED))
		io->s.irr |= bit;
	service(io, n);
}

void ioapic_eoi(void *opaque, unsigned vector)
{
	struct ioapic *io = opaque;

	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		uint64_t *entry = &io->s.redir[i];

		if (!(*entry & REDIR_REMOTE_IRR) || (uint8_t)*entry != vector)
			continue;
		*entry &= ~REDIR_REMOTE_IRR;
		service(io, i);
	}
}

static uint32_t window_read(const struct ioapic *io)
{
	unsigned index = io->s.index;

	if (index == 0 || index == 2)
		return io->s.id;
	if (index == 1)
		return VERSION;
	if (index < 0x10 || index >= 0x10 + 2 * IOAPIC_PINS)
		return 0;
	index -= 0x10;
	return (uint32_t)(io->s.redir[index / 2] >> (index & 1 ? 32 : 0));
}

static void redir_write(struct ioapic *io, unsigned pin, bool high, uint32_t v)
{
	uint64_t *entry = &io->s.redir[pin];
	uint64_t half = high ? 0xffffffff00000000ull : 0xffffffffull, mask = REDIR_WRITABLE & half;

	*entry = (*entry & ~mask) | ((high ? (uint64_t)v << 32 : v) & mask);
	/* Edge mode has no remote IRR: turning an entry to edge and back is how it is cleared without an EOI.
	 */
	if (!is_level(*entry))
		*entry &= ~REDIR_REMOTE_IRR;
	if (is_level(*entry) || *entry & REDIR_MASKED)
		io->s.irr &= ~(1u << pin);
	service(io, pin);
}

static void window_write(struct ioapic *io, uint32_t v)
{
	unsigned index = io->s.index;

	if (index == 0)
		io->s.id = v & 0x0f000000;
	else if (index >= 0x10 && index < 0x10 + 2 * IOAPIC_PINS)
		redir_write(io, (index - 0x10) / 2, index & 1, v);
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
	struct ioapic *io = opaque;

	(void)size;
	switch (off & 0xff) {
	case REG_SELECT:
		return io->s.index;
	case REG_WINDOW:
		return window_read(io);
	default:
		return 0;
	}
}

static void mmio_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct ioapic *io = opaque;

	(void)size;
	switch (off & 0xff) {
	case REG_SELECT:
		io->s.index = (uint8_t)v;
		break;
	case REG_WINDOW:
		window_write(io, (uint32_t)v);
		break;
	case REG_EOI:
		ioapic_eoi(io, (uint8_t)v);
		break;
	}
}

static const struct io_ops mmio_ops = { mmio_read, mmio_write };

/* The input wires have not moved; everything else starts masked. */
static void ioapic_reset(struct device *dev)
{
	struct ioapic_state *s = &((struct ioapic *)dev)->s;

	*s = (struct ioapic_state){ .lines = s->lines };
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		s->redir[i] = REDIR_MASKED;
}

static bool ioapic_check(const void *state, GError **error)
{
	const struct ioapic_state *s = state;

	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		if (s->redir[i] & ~(REDIR_WRITABLE | REDIR_REMOTE_IRR | REDIR_PENDING))
			return fail(error, SERAI_ERROR_STATE, "redirection entry %u has reserved bits", i);
	}
	return true;
}

static const struct state_field ioapic_fields[] = {
	STATE_ARRAY(struct ioapic_state, redir, 1),
	STATE_FIELD(struct ioapic_state, irr, 1),
	STATE_FIELD(struct ioapic_state, lines, 1),
	STATE_FIELD(struct ioapic_state, id, 1),
	STATE_FIELD(struct ioapic_state, index, 1),
	STATE_ARRAY(struct ioapic_state, reserved, 1),
};

static const struct device_class ioapic_class = {
	DEVICE_STATE("ioapic", 1, struct ioapic, ioapic_fields),
	.state.check = ioapic_check,
	.reset = ioapic_reset,
	.settle = ioapic_settle,
	.keeps_state = true,
};

void ioapic_init(struct ioapic *io, struct physmap *mem, struct timer_queue *timers)
{
	const struct phys_region region = {
		.gpa = IOAPIC_BASE,
		.size = PAGE_SIZE,
		.ops = &mmio_ops,
		.opaque = io,
		.priority = 10,
		.name = "ioapic",
	};

	memset(io, 0, sizeof(*io));
	device_init(&io->dev, &ioapic_class, "0", mem, timers);
	io->region = physmap_add(mem, &region);
}
