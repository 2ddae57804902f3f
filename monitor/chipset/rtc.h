/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/chipset/rtc.h - MC146818 clock and 256 bytes of CMOS memory.
 *
 * Ports:   0x70..0x73 (the second pair reaches the upper 128 bytes).
 * Wiring:  `irq` is IRQ 8.
 * Promise: CMOS contents and time survive reset; only the interrupt enables and flags are cleared.
 * Threads: under the device lock.
 * Theory:  MC146818 data sheet; PIIX4 data sheet 4.1.9.
 */
#ifndef SERAI_MONITOR_CHIPSET_RTC_H
#define SERAI_MONITOR_CHIPSET_RTC_H

#include "monitor/bus/device.h"

struct rtc {
	struct device dev;
	struct rtc_state {
		int64_t offset; /* RTC time (ns since 1970, as the registers show it) minus virtual time */
		int64_t seen;   /* virtual ns up to which periodic, alarm and update events are accounted */
		uint8_t cmos[256]; /* time registers: valid only while the clock is held */
		uint8_t index[2];  /* ports 0x70 (bit 7: NMI masked) and 0x72 */
		uint8_t reserved[6];
	} s;
	struct irq_line irq;
	struct timer timer;
};

/* `utc` is the time the clock shows at virtual time now, seconds since 1970. */
void rtc_init(struct rtc *rtc, struct physmap *mem, struct timer_queue *timers, int64_t utc);

/* Set the clock, as after a resume from suspend. */
void rtc_set_utc(struct rtc *rtc, int64_t utc);

/* Host-side access to CMOS bytes (index 0..255), for the board's firmware hand-over. */
uint8_t rtc_cmos_get(struct rtc *rtc, unsigned index);
void rtc_cmos_set(struct rtc *rtc, unsigned index, uint8_t value);

/* Memory sizes in bytes as SeaBIOS reads them: below 4 GiB (RAM from 0 on) and above. */
void rtc_set_memory(struct rtc *rtc, uint64_t below_4g, uint64_t above_4g);

/* Number of processors (0x5f), boot order 0x38/0x3d: nibbles 1 floppy, 2 disk, 3 CD, 4 network, 0 none. */
void rtc_set_boot(struct rtc *rtc, unsigned cpus, uint8_t first, uint8_t second, uint8_t third);

/* Floppy drive types (0 none, 4 1.44 MB) and the equipment byte. */
void rtc_set_floppies(struct rtc *rtc, uint8_t a, uint8_t b);

static inline bool rtc_nmi_masked(const struct rtc *rtc)
{
	return rtc->s.index[0] & 0x80;
}

#endif
