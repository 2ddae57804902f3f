/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/pic.h - a PC's two 8259A interrupt controllers, cascaded, with edge/level registers.
 *
 * Ports:   0x20/0x21, 0xA0/0xA1, ELCR 0x4D0/0x4D1.
 * Wiring:  inputs by pic_set_irq (irq_sink_fn, n = 0..15, 2 is the cascade and ignored); output `intr`.
 *          Connect `intr`, then device_reset.  As on the chip, an edge input must stay high until it is
 *          acknowledged: a pulse (irq_pulse) is withdrawn again and lost.
 * Threads: under the device lock.
 * Theory:  Intel 8259A data sheet (231468); PIIX4 data sheet 4.1.6 for ELCR.
 */
#ifndef SERAI_MONITOR_CHIPSET_PIC_H
#define SERAI_MONITOR_CHIPSET_PIC_H

#include "monitor/bus/device.h"

struct pic {
	struct device dev;
	/* [0] master, [1] slave */
	struct pic_state {
		uint8_t lines[2]; /* input levels */
		uint8_t irr[2];   /* edge latches; level inputs follow `lines` */
		uint8_t imr[2], isr[2];
		uint8_t elcr[2]; /* 1: level */
		uint8_t base[2]; /* ICW2 */
		uint8_t icw3[2], icw4[2];
		uint8_t icw1[2];
		uint8_t init_step[2]; /* next of ICW2..4, 0: operational */
		uint8_t lowest[2];    /* input with lowest priority, 7 after initialisation */
		uint8_t read_isr[2];  /* OCW3 RIS */
		uint8_t poll[2];      /* OCW3 P: the next read acknowledges */
		uint8_t special_mask[2];
		uint8_t rotate_aeoi[2];
	} s;
	struct irq_line intr;
};

void pic_init(struct pic *pic, struct physmap *mem, struct timer_queue *timers);

/* irq_sink_fn; opaque is the struct pic. */
void pic_set_irq(void *opaque, unsigned n, bool level);

/* The CPU's INTA cycle: vector of the highest request, now in service; 7 or 15 when it went away. */
int pic_ack(struct pic *pic);

#endif
