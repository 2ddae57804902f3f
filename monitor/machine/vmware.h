/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/machine/vmware.h - what VMware's .vmx files ask for beyond what this board has.
 *
 * Promise: nothing is left out in silence; nothing that is left out keeps the VM from running.
 */
#ifndef SERAI_MONITOR_MACHINE_VMWARE_H
#define SERAI_MONITOR_MACHINE_VMWARE_H

#include "vm/vmx.h"

/* One warning for each device the file wants and this board has not. */
void vmware_warn_left_out(const struct vmx *vmx);

/* uuid.bios, "56 4d ... 00-11 ..."; false with no error when it is absent. */
bool vmware_read_uuid(const struct vmx *vmx, uint8_t uuid[16], GError **error);

/* Refuse a disk image in a format that must not be taken for raw sectors: a guest's writes would destroy it.
 * A file that cannot be read passes; opening it will tell. */
bool vmware_check_raw(const char *path, GError **error);

#endif
