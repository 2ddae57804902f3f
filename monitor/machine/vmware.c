/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/machine/vmware.h"

#include "base/log.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct left_out {
	const char *prefix;
	unsigned count; /* PREFIX0 to PREFIX(count - 1); 0: just PREFIX */
	unsigned units; /* of a controller for drives: PREFIX0:0 and on */
	const char *what;
};

static const struct left_out devices[] = {
	{ "scsi", 4, 16, "SCSI controllers" },
	{ "sata", 4, 30, "SATA controllers" },
	{ "nvme", 4, 15, "NVMe controllers" },
	{ "ethernet", 10, 0, "network adapters" },
	{ "parallel", 3, 0, "parallel ports" },
	{ "serial", 4, 0, "serial ports beyond the second" },
	{ "sound", 0, 0, "sound cards" },
	{ "usb", 0, 0, "USB controllers" },
	{ "ehci", 0, 0, "USB 2 controllers" },
	{ "usb_xhci", 0, 0, "USB 3 controllers" },
};

static bool wanted(const struct vmx *vmx, const char *device)
{
	g_autofree char *key = g_strdup_printf("%s.present", device);
	bool present;

	return vmx_get_bool(vmx, key, false, &present, NULL) && present;
}

/* "; without it: scsi0:0 (disk.vmdk), ..." */
static char *list_drives(const struct vmx *vmx, const char *controller, unsigned units)
{
	GString *s = g_string_new(NULL);

	for (unsigned i = 0; i < units; i++) {
		g_autofree char *drive = g_strdup_printf("%s:%u", controller, i);
		g_autofree char *file = g_strdup_printf("%s.fileName", drive);

		if (wanted(vmx, drive))
			g_string_append_printf(s, "%s%s (%s)", s->len ? ", " : ", and with it ", drive,
				vmx_get_string(vmx, file, "empty"));
	}
	return g_string_free(s, FALSE);
}

static void warn_device(const struct vmx *vmx, const char *device, const struct left_out *d)
{
	g_autofree char *drives = NULL;

	if (!wanted(vmx, device))
		return;
	drives = list_drives(vmx, device, d->units);
	log_warn("boot", "%s is left out%s: there are no %s yet", device, drives, d->what);
}

void vmware_warn_left_out(const struct vmx *vmx)
{
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		const struct left_out *d = &devices[i];
		unsigned first = strcmp(d->prefix, "serial") == 0 ? 2 : 0;

		if (!d->count)
			warn_device(vmx, d->prefix, d);
		for (unsigned n = first; n < d->count; n++) {
			g_autofree char *device = g_strdup_printf("%s%u", d->prefix, n);

			warn_device(vmx, device, d);
		}
	}
}

bool vmware_read_uuid(const struct vmx *vmx, uint8_t uuid[16], GError **error)
{
	const char *text = vmx_get_string(vmx, "uuid.bios", NULL), *p = text;

	if (!text)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		while (*p == ' ' || *p == '-')
			p++;
		if (!g_ascii_isxdigit(p[0]) || !g_ascii_isxdigit(p[1]))
			return vmx_refuse(vmx, "uuid.bios", error, "16 bytes in hexadecimal were expected");
		uuid[i] = (uint8_t)(g_ascii_xdigit_value(p[0]) << 4 | g_ascii_xdigit_value(p[1]));
		p += 2;
	}
	return !*p || vmx_refuse(vmx, "uuid.bios", error, "16 bytes in hexadecimal were expected");
}

bool vmware_check_raw(const char *path, GError **error)
{
	static const struct {
		const char *magic, *name;
	} formats[] = {
		{ "KDMV", "VMDK" },
		{ "COWD", "VMDK" },
		{ "# Disk DescriptorFile", "VMDK" },
		{ "QFI\xfb", "QCOW2" },
		{ "vhdxfile", "VHDX" },
		{ "conectix", "VHD" },
		{ "<<< ", "VDI" },
	};
	char start[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return true;
	if (read(fd, start, sizeof(start)) < 0)
		start[0] = 0;
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (memcmp(start, formats[i].magic, strlen(formats[i].magic)) == 0)
			return fail(error, SERAI_ERROR_FORMAT,
				"%s: a %s image; only raw ones can be used so far (qemu-img convert -O raw)",
				path, formats[i].name);
	return true;
}
