/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/fw_cfg.c - the firmware configuration device.
 *
 *   0x510  w   selector (16 bits)
 *   0x511  r   next byte of the selected item; zeros behind its end
 *   0x514  rw  DMA: high half of the descriptor's address, big-endian; reads "QEMU" of the signature
 *   0x518  rw  low half; writing it starts the transfer; reads " CFG"
 *
 * DMA descriptor in guest memory, big-endian: u32 control, u32 length, u64 address.
 *   control: 31..16 key when SELECT, 4 WRITE, 3 SELECT, 2 SKIP, 1 READ, 0 ERROR; 0 afterwards: done
 *
 * Owns:    the items.  They are configuration, not state: the machine builds them anew before a load.
 */
#include "monitor/dev/fw_cfg.h"

#include "base/bits.h"

#include <endian.h>

#define PORT_SELECTOR 0x510
#define PORT_DMA      0x514

#define KEY_SIGNATURE 0x0000
#define KEY_ID        0x0001
#define KEY_DIRECTORY 0x0019
#define KEY_MASK      0xbfff /* bit 14 asked for the old write interface */

#define ID_TRADITIONAL 1u
#define ID_DMA         2u

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

/* One entry of the directory file, as the firmware reads it. */
struct directory_entry {
	uint32_t size;   /* big-endian */
	uint16_t select; /* big-endian */
	uint16_t reserved;
	char name[FW_CFG_NAME_MAX];
};

/* ---- items ------------------------------------------------------------------------------------------ */

static struct fw_cfg_item *find_key(struct fw_cfg *f, uint16_t key)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->items[i].key == key)
			return &f->items[i];
	return NULL;
}

static struct fw_cfg_item *find_name(struct fw_cfg *f, const char *name)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->items[i].name[0] && g_str_equal(f->items[i].name, name))
			return &f->items[i];
	return NULL;
}

static struct fw_cfg_item *new_item(struct fw_cfg *f, uint16_t key)
{
	struct fw_cfg_item *item;

	f->items = g_renew(struct fw_cfg_item, f->items, f->count + 1);
	item = &f->items[f->count++];
	*item = (struct fw_cfg_item){ .key = key };
	return item;
}

static void set_data(struct fw_cfg_item *item, const void *data, uint32_t len)
{
	g_free(item->data);
	item->data = len ? g_memdup2(data, len) : NULL;
	item->size = len;
}

static void put_item(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len)
{
	struct fw_cfg_item *item = find_key(f, key);

	set_data(item ? item : new_item(f, key), data, len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct directory_entry *)a)->name, ((const struct directory_entry *)b)->name);
}

/* The directory in order of names; keys stay as they were given out. */
static void build_directory(struct fw_cfg *f)
{
	struct directory_entry *dir = g_new0(struct directory_entry, FW_CFG_FILES);
	uint32_t n = 0, bytes;
	uint8_t *file;

	for (unsigned i = 0; i < f->count && n < FW_CFG_FILES; i++) {
		if (!f->items[i].name[0])
			continue;
		dir[n].size = htobe32(f->items[i].size);
		dir[n].select = htobe16(f->items[i].key);
		memcpy(dir[n].name, f->items[i].name, FW_CFG_NAME_MAX);
		n++;
	}
	qsort(dir, n, sizeof(*dir), by_name);
	bytes = (uint32_t)(4 + n * sizeof(*dir));
	file = g_malloc(bytes);
	memcpy(file, &(uint32_t){ htobe32(n) }, 4);
	memcpy(file + 4, dir, n * sizeof(*dir));
	put_item(f, KEY_DIRECTORY, file, bytes);
	g_free(file);
	g_free(dir);
	f->directory_stale = false;
}

bool fw_cfg_add_item(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len, GError **error)
{
	if (key == KEY_SIGNATURE || key == KEY_ID || key == KEY_DIRECTORY || (key & ~KEY_MASK) ||
		(key >= FW_CFG_FILE_FIRST && key < FW_CFG_FILE_FIRST + FW_CFG_FILES))
		return fail(error, SERAI_ERROR_CONFIG, "fw_cfg: key 0x%x is reserved", key);
	put_item(f, key, data, len);
	return true;
}

bool fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len, GError **error)
{
	struct fw_cfg_item *item = find_name(f, name);
	uint16_t key = FW_CFG_FILE_FIRST;

	if (!name[0] || strlen(name) >= FW_CFG_NAME_MAX)
		return fail(error, SERAI_ERROR_CONFIG, "fw_cfg: file name \"%s\" is empty or longer than %d",
			name, FW_CFG_NAME_MAX - 1);
	while (!item && find_key(f, key))
		key++;
	if (key >= FW_CFG_FILE_FIRST + FW_CFG_FILES)
		return fail(error, SERAI_ERROR_CONFIG,
			"fw_cfg: no room for file \"%s\": %d are there already", name, FW_CFG_FILES);
	if (!item) {
		item = new_item(f, key);
		strcpy(item->name, name);
	}
	set_data(item, data, len);
	f->directory_stale = true;
	return true;
}

void fw_cfg_add_u16(struct fw_cfg *f, uint16_t key, uint16_t v)
{
	fw_cfg_add_item(f, key, &v, sizeof(v), NULL);
}

void fw_cfg_add_u32(struct fw_cfg *f, uint16_t key, uint32_t v)
{
	fw_cfg_add_item(f, key, &v, sizeof(v), NULL);
}

void fw_cfg_add_u64(struct fw_cfg *f, uint16_t key, uint64_t v)
{
	fw_cfg_add_item(f, key, &v, sizeof(v), NULL);
}

const uint8_t *fw_cfg_file(struct fw_cfg *f, const char *name, uint32_t *len)
{
	struct fw_cfg_item *item = find_name(f, name);

	if (!item)
		return NULL;
	*len = item->size;
	return item->data;
}

bool fw_cfg_set_writable(struct fw_cfg *f, const char *name)
{
	struct fw_cfg_item *item = find_name(f, name);

	if (item)
		item->writable = true;
	return item != NULL;
}

/* ---- what the guest does ---------------------------------------------------------------------------- */

static struct fw_cfg_item *selected(struct fw_cfg *f)
{
	if (f->directory_stale)
		build_directory(f);
	return find_key(f, f->s.selector & KEY_MASK);
}

static void select_key(struct fw_cfg *f, uint16_t key)
{
	f->s.selector = key;
	f->s.offset = 0;
}

static uint8_t next_byte(struct fw_cfg *f)
{
	struct fw_cfg_item *item = selected(f);

	return item && f->s.offset < item->size ? item->data[f->s.offset++] : 0;
}

/* Bytes of the item from the current offset on, at most len. */
static uint32_t available(const struct fw_cfg *f, const struct fw_cfg_item *item, uint32_t len)
{
	return item && f->s.offset < item->size ? MIN_OF(len, item->size - f->s.offset) : 0;
}

static bool ram_behind(struct fw_cfg *f, uint64_t address)
{
	struct phys_region r;

	return physmap_find(f->dev.mem, address, &r) && r.wr;
}

/* Guest memory behind the item's end is filled with zeros, as the data port would give. */
static void dma_read(struct fw_cfg *f, struct fw_cfg_item *item, uint64_t address, uint32_t len)
{
	static const uint8_t zeros[4096];
	uint32_t n = available(f, item, len);

	if (n)
		phys_write(f->dev.mem, address, item->data + f->s.offset, n);
	f->s.offset += n;
	for (address += n, len -= n; len; len -= n, address += n) {
		n = MIN_OF(len, (uint32_t)sizeof(zeros));
		/* Beyond memory nothing listens: stop instead of clearing 4 GiB of nothing. */
		if (!ram_behind(f, address))
			return;
		phys_write(f->dev.mem, address, zeros, n);
	}
}

static bool dma_write(struct fw_cfg *f, struct fw_cfg_item *item, uint64_t address, uint32_t len)
{
	if (!item || !item->writable || available(f, item, len) != len)
		return false;
	phys_read(f->dev.mem, address, item->data + f->s.offset, len);
	f->s.offset += len;
	return true;
}

static void run_dma(struct fw_cfg *f, uint64_t descriptor)
{
	uint32_t control = be32toh((uint32_t)phys_read_le(f->dev.mem, descriptor, 4));
	uint32_t len = be32toh((uint32_t)phys_read_le(f->dev.mem, descriptor + 4, 4));
	uint64_t address = be64toh(phys_read_le(f->dev.mem, descriptor + 8, 8));
	struct fw_cfg_item *item;
	bool ok = true;

	if (control & DMA_SELECT)
		select_key(f, (uint16_t)(control >> 16));
	item = selected(f);
	if (control & DMA_READ)
		dma_read(f, item, address, len);
	else if (control & DMA_WRITE)
		ok = dma_write(f, item, address, len);
	else if (control & DMA_SKIP)
		f->s.offset += available(f, item, len);
	phys_write_le(f->dev.mem, descriptor, 4, ok ? 0 : htobe32(DMA_ERROR));
}

/* ---- ports ------------------------------------------------------------------------------------------ */

static uint64_t selector_read(void *opaque, uint64_t off, unsigned size)
{
	struct fw_cfg *f = opaque;
	uint64_t v = 0;

	/* The selector reads as nothing; a wide read of the data port gives that many bytes. */
	if (off == 0)
		return bits_mask_bytes(size);
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)next_byte(f) << 8 * i;
	return v;
}

static void selector_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	/* Byte writes of the selector's halves and writes of data are no part of the interface. */
	if (off == 0 && size == 2)
		select_key(opaque, (uint16_t)v);
}

static uint64_t dma_port_read(void *opaque, uint64_t off, unsigned size)
{
	uint64_t v = htobe64(DMA_SIGNATURE);

	(void)opaque;
	return off + size <= 8 ? (v >> 8 * off) & bits_mask_bytes(size) : bits_mask_bytes(size);
}

static void dma_port_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct fw_cfg *f = opaque;
	uint64_t address;

	if (size != 4 || (off != 0 && off != 4))
		return;
	if (off == 0) {
		f->s.dma_address = (uint64_t)be32toh((uint32_t)v) << 32;
		return;
	}
	address = f->s.dma_address | be32toh((uint32_t)v);
	f->s.dma_address = 0;
	run_dma(f, address);
}

static const struct io_ops selector_ops = { selector_read, selector_write };
static const struct io_ops dma_ops = { dma_port_read, dma_port_write };

/* ---- the class -------------------------------------------------------------------------------------- */

static const struct state_field fw_cfg_fields[] = {
	STATE_FIELD(struct fw_cfg_state, dma_address, 1),
	STATE_FIELD(struct fw_cfg_state, offset, 1),
	STATE_FIELD(struct fw_cfg_state, selector, 1),
	STATE_ARRAY(struct fw_cfg_state, pad, 1),
};

const struct device_class fw_cfg_class = {
	DEVICE_STATE("fw_cfg", 1, struct fw_cfg, fw_cfg_fields),
};

void fw_cfg_init(struct fw_cfg *f, struct physmap *mem, struct timer_queue *timers)
{
	struct port_range selector = { PORT_SELECTOR, 2, &selector_ops, f, "fw_cfg" };
	struct port_range dma = { PORT_DMA, 8, &dma_ops, f, "fw_cfg dma" };

	memset(f, 0, sizeof(*f));
	device_init(&f->dev, &fw_cfg_class, "0", mem, timers);
	put_item(f, KEY_SIGNATURE, "QEMU", 4);
	put_item(f, KEY_ID, &(uint32_t){ htole32(ID_TRADITIONAL | ID_DMA) }, 4);
	f->directory_stale = true;
	port_add(mem, &selector);
	port_add(mem, &dma);
}

void fw_cfg_destroy(struct fw_cfg *f)
{
	for (unsigned i = 0; i < f->count; i++)
		g_free(f->items[i].data);
	g_free(f->items);
	f->items = NULL;
	f->count = 0;
}
