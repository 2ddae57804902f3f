/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/dsdt.h - the ACPI namespace of this board.
 */
#ifndef SERAI_MONITOR_FIRMWARE_DSDT_H
#define SERAI_MONITOR_FIRMWARE_DSDT_H

#include "monitor/firmware/acpi.h"

/* The AML of the DSDT, without the table header. */
GByteArray *dsdt_build(const struct acpi_board *board);

#endif
