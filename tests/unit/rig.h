/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/unit/rig.h - a bench for one device: memory, ports, a clock moved by hand, a listener on wires.
 *
 *	static void raises(void **state)
 *	{
 *		struct rig *r = rig_new();
 *		struct chip chip;
 *
 *		chip_init(&chip, &r->mem, &r->timers);
 *		irq_connect(&chip.irq, rig_sink, r, 3);
 *		device_reset(&chip.dev);
 *		rig_out8(r, 0x70, 1);
 *		rig_advance(r, 1000000);
 *		assert_true(r->irq[3].level);
 *		assert_true(rig_reloads_golden(r, &chip.dev, "chip-v1"));
 *		rig_free(r);
 *	}
 *
 * The clock runs at 1 GHz, so TSC ticks are nanoseconds, and stands at 0 in the beginning.
 */
#ifndef SERAI_TESTS_UNIT_RIG_H
#define SERAI_TESTS_UNIT_RIG_H

#include "monitor/bus/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above */
#include <cmocka.h>

#define RIG_RAM   (2ull << 20)
#define RIG_WIRES 64

struct rig {
	struct ram ram;
	struct physmap mem;
	struct vclock clock;
	struct timer_queue timers;
	struct rig_wire {
		bool level;
		unsigned rises, falls;
	} irq[RIG_WIRES];
};

/* RAM of RIG_RAM bytes at 0 (priority 0). */
struct rig *rig_new(void);
void rig_free(struct rig *r);

/* irq_sink_fn; opaque is the rig, n the wire. */
void rig_sink(void *opaque, unsigned n, bool level);

/* Move the clock by ns, stopping at each deadline on the way and running what is due there. */
void rig_advance(struct rig *r, int64_t ns);

/* Move the clock by ns at once, then run what is due: a main loop that came late. */
void rig_advance_late(struct rig *r, int64_t ns);

static inline int64_t rig_now(const struct rig *r)
{
	return vclock_now(&r->clock);
}

/* Ports, as a vCPU's IN and OUT. */
static inline uint8_t rig_in8(struct rig *r, uint16_t port)
{
	return (uint8_t)port_read(&r->mem, port, 1);
}

static inline uint32_t rig_in32(struct rig *r, uint16_t port)
{
	return port_read(&r->mem, port, 4);
}

static inline uint16_t rig_in16(struct rig *r, uint16_t port)
{
	return (uint16_t)port_read(&r->mem, port, 2);
}

static inline void rig_out8(struct rig *r, uint16_t port, uint8_t v)
{
	port_write(&r->mem, port, 1, v);
}

static inline void rig_out16(struct rig *r, uint16_t port, uint16_t v)
{
	port_write(&r->mem, port, 2, v);
}

static inline void rig_out32(struct rig *r, uint16_t port, uint32_t v)
{
	port_write(&r->mem, port, 4, v);
}

/* A vCPU's access to guest-physical memory or a device; what lies nowhere reads as ones. */
uint64_t rig_read(struct rig *r, uint64_t gpa, unsigned size);
void rig_write(struct rig *r, uint64_t gpa, unsigned size, uint64_t v);

/* PCI configuration through 0xCF8/0xCFC, bus 0. */
uint32_t rig_pci_read(struct rig *r, uint8_t devfn, uint8_t off, unsigned size);
void rig_pci_write(struct rig *r, uint8_t devfn, uint8_t off, unsigned size, uint32_t v);

/* Save the device, wreck it with a reset, load, save again: both saves are the same bytes and every state
 * byte is described. */
bool rig_reloads(struct rig *r, struct device *dev);

/*
 * rig_reloads, and the state as saved now is that of tests/golden/<name>, which also loads.  With
 * SERAI_GOLDEN_WRITE in the environment the golden file is written instead.  Files of older versions must
 * only load: name them in a test of their own with rig_loads_golden.
 */
bool rig_reloads_golden(struct rig *r, struct device *dev, const char *name);
bool rig_loads_golden(struct rig *r, struct device *dev, const char *name);

/*
 * Load `rounds` damaged copies of the device's present state; after each that its check lets through, `use`
 * works with the device.  Passing means the sanitizers and the test itself found nothing.
 */
void rig_loads_hostile(struct rig *r, struct device *dev, unsigned rounds, void (*use)(void *), void *opaque);

#endif
