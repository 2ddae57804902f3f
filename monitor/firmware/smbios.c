/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/firmware/smbios.h"

#include "base/bits.h"

#include <stdio.h>
#include <string.h>

struct writer {
	GByteArray *b;
	guint start;    /* of the structure being written */
	unsigned count; /* structures so far */
	guint largest;
};

static void begin(struct writer *w, uint8_t type, uint8_t length)
{
	w->start = w->b->len;
	g_byte_array_set_size(w->b, w->start + length);
	memset(w->b->data + w->start, 0, length);
	w->b->data[w->start] = type;
	w->b->data[w->start + 1] = length;
	le_store(w->b->data + w->start + 2, 2, 0x100u + w->count);
}

static void put(struct writer *w, unsigned off, unsigned size, uint64_t v)
{
	le_store(w->b->data + w->start + off, size, v);
}

/* The strings that byte fields number from 1, and the zero that ends them. */
static void end(struct writer *w, const char *const *strings)
{
	static const uint8_t zeros[2];
	bool any = strings && *strings;

	for (; any && *strings; strings++)
		g_byte_array_append(w->b, (const uint8_t *)*strings, (guint)strlen(*strings) + 1);
	g_byte_array_append(w->b, zeros, any ? 1 : 2);
	w->count++;
	w->largest = MAX_OF(w->largest, w->b->len - w->start);
}

static void add_bios(struct writer *w, const struct smbios_board *b)
{
	const char *const strings[] = { "Serai", b->version, "01/01/2024", NULL };

	begin(w, 0, 24);
	put(w, 4, 1, 1);
	put(w, 5, 1, 2);
	put(w, 6, 2, 0xe000);
	put(w, 8, 1, 3);
	put(w, 9, 1, 1);                 /* 128 KiB */
	put(w, 10, 8, 1 << 7 | 1 << 15); /* PCI, boot from CD */
	put(w, 18, 1, 1);                /* ACPI */
	put(w, 19, 1, 0x1c);             /* targeted content distribution, UEFI no, virtual machine */
	put(w, 20, 4, 0xffffffff);
	end(w, strings);
}

static void add_system(struct writer *w, const struct smbios_board *b)
{
	char serial[64] = "Serai-";
	const char *const strings[] = { "Serai", "Serai Virtual Platform", b->version, serial, NULL };
	uint8_t *p;

	for (unsigned i = 0; i < 16; i++)
		snprintf(serial + strlen(serial), sizeof(serial) - strlen(serial), "%02x", b->uuid[i]);
	begin(w, 1, 27);
	put(w, 4, 1, 1);
	put(w, 5, 1, 2);
	put(w, 6, 1, 3);
	put(w, 7, 1, 4);
	/* The first three fields of the UUID are little-endian since 2.6. */
	p = w->b->data + w->start + 8;
	memcpy(p, b->uuid, 16);
	le_store(p, 4, GUINT32_SWAP_LE_BE((uint32_t)le_load(b->uuid, 4)));
	le_store(p + 4, 2, GUINT16_SWAP_LE_BE((uint16_t)le_load(b->uuid + 4, 2)));
	le_store(p + 6, 2, GUINT16_SWAP_LE_BE((uint16_t)le_load(b->uuid + 6, 2)));
	put(w, 24, 1, 6); /* woken by the power switch */
	end(w, strings);
}

static void add_chassis(struct writer *w)
{
	static const char *const strings[] = { "Serai", NULL };

	begin(w, 3, 22);
	put(w, 4, 1, 1);
	put(w, 5, 1, 1);      /* other */
	put(w, 9, 2, 0x0303); /* boot-up, power: safe */
	put(w, 11, 1, 3);
	put(w, 12, 1, 2);
	end(w, strings);
}

static void add_cpu(struct writer *w, const struct smbios_board *b, unsigned n)
{
	char socket[16];
	const char *const strings[] = { socket, "Serai", NULL };

	snprintf(socket, sizeof(socket), "CPU %u", n);
	begin(w, 4, 42);
	put(w, 4, 1, 1);
	put(w, 5, 1, 3); /* central processor */
	put(w, 6, 1, 1); /* family: other */
	put(w, 7, 1, 2);
	put(w, 20, 2, b->mhz);
	put(w, 22, 2, b->mhz);
	put(w, 24, 1, 0x41); /* populated, enabled */
	put(w, 25, 1, 1);
	put(w, 26, 2, 0xffff); /* no cache handles */
	put(w, 28, 2, 0xffff);
	put(w, 30, 2, 0xffff);
	put(w, 35, 1, b->cores_per_socket); /* cores, of them enabled, threads */
	put(w, 36, 1, b->cores_per_socket);
	put(w, 37, 1, b->cores_per_socket);
	put(w, 38, 2, b->cores_per_socket > 1 ? 4 | 8 : 4); /* 64-bit capable, multi-core */
	put(w, 40, 2, 1);
	end(w, strings);
}

static void add_memory(struct writer *w, const struct smbios_board *b)
{
	static const char *const dimm[] = { "DIMM 0", NULL };
	uint64_t kib = b->ram_bytes >> 10, mib = b->ram_bytes >> 20;
	uint16_t array = (uint16_t)(0x100 + w->count);

	begin(w, 16, 23);
	put(w, 4, 1, 1);
	put(w, 5, 1, 3); /* system memory */
	put(w, 6, 1, 6);
	put(w, 7, 4, kib < 0x80000000 ? kib : 0x80000000);
	put(w, 11, 2, 0xfffe);
	put(w, 13, 2, 1);
	put(w, 15, 8, kib < 0x80000000 ? 0 : b->ram_bytes);
	end(w, NULL);

	begin(w, 17, 40);
	put(w, 4, 2, array);
	put(w, 6, 2, 0xfffe);
	put(w, 8, 2, 0xffff);
	put(w, 10, 2, 0xffff);
	put(w, 12, 2, mib < 0x7fff ? mib : 0x7fff);
	put(w, 14, 1, 9);
	put(w, 16, 1, 1);
	put(w, 18, 1, 7); /* RAM */
	put(w, 28, 4, mib < 0x7fff ? 0 : mib);
	end(w, dimm);

	begin(w, 19, 31);
	put(w, 8, 4, (b->below_4g >> 10) - 1);
	put(w, 12, 2, array);
	put(w, 14, 1, 1);
	end(w, NULL);
	if (b->ram_bytes <= b->below_4g)
		return;
	begin(w, 19, 31);
	put(w, 4, 4, 0x100000000ull >> 10);
	put(w, 8, 4, ((0x100000000ull + b->ram_bytes - b->below_4g) >> 10) - 1);
	put(w, 12, 2, array);
	put(w, 14, 1, 1);
	end(w, NULL);
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

GByteArray *smbios_build(const struct smbios_board *b, uint32_t address, uint8_t anchor[SMBIOS_ANCHOR_SIZE])
{
	struct writer w = { .b = g_byte_array_new() };

	add_bios(&w, b);
	add_system(&w, b);
	add_chassis(&w);
	for (unsigned i = 0; i < b->sockets; i++)
		add_cpu(&w, b, i);
	add_memory(&w, b);
	begin(&w, 32, 11);
	end(&w, NULL);
	begin(&w, 127, 4);
	end(&w, NULL);

	memset(anchor, 0, SMBIOS_ANCHOR_SIZE);
	memcpy(anchor, "_SM_", 4);
	anchor[5] = SMBIOS_ANCHOR_SIZE;
	anchor[6] = 2;
	anchor[7] = 8;
	le_store(anchor + 8, 2, w.largest);
	memcpy(anchor + 16, "_DMI_", 5);
	le_store(anchor + 22, 2, w.b->len);
	le_store(anchor + 24, 4, address);
	le_store(anchor + 28, 2, w.count);
	anchor[30] = 0x28;
	anchor[21] = checksum(anchor + 16, 15);
	anchor[4] = checksum(anchor, SMBIOS_ANCHOR_SIZE);
	return w.b;
}
