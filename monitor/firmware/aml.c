/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/firmware/aml.h"

#include "base/bits.h"

#include <string.h>

struct aml aml_new(void)
{
	return (struct aml){ .b = g_byte_array_new() };
}

void aml_byte(struct aml *a, uint8_t v)
{
	g_byte_array_append(a->b, &v, 1);
}

void aml_bytes(struct aml *a, const void *data, size_t len)
{
	g_byte_array_append(a->b, data, (guint)len);
}

static void put(struct aml *a, uint64_t v, unsigned size)
{
	uint8_t bytes[8];

	le_store(bytes, size, v);
	aml_bytes(a, bytes, size);
}

void aml_name(struct aml *a, const char *path)
{
	unsigned segments = 1;

	if (*path == '\\') {
		aml_byte(a, '\\');
		path++;
	}
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (segments == 2) {
		aml_byte(a, 0x2e);
	} else if (segments > 2) {
		aml_byte(a, 0x2f);
		aml_byte(a, (uint8_t)segments);
	}
	while (*path) {
		char seg[4] = { '_', '_', '_', '_' };

		for (unsigned i = 0; i < 4 && *path && *path != '.'; i++)
			seg[i] = *path++;
		aml_bytes(a, seg, 4);
		if (*path == '.')
			path++;
	}
}

void aml_int(struct aml *a, uint64_t v)
{
	if (v <= 1) {
		aml_byte(a, (uint8_t)v);
	} else if (v <= 0xff) {
		aml_byte(a, 0x0a);
		put(a, v, 1);
	} else if (v <= 0xffff) {
		aml_byte(a, 0x0b);
		put(a, v, 2);
	} else if (v <= 0xffffffff) {
		aml_byte(a, 0x0c);
		put(a, v, 4);
	} else {
		aml_byte(a, 0x0e);
		put(a, v, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	aml_byte(a, 0x0d);
	aml_bytes(a, s, strlen(s) + 1);
}

void aml_eisa(struct aml *a, const char *id)
{
	uint32_t v = (uint32_t)((id[0] - '@') & 31) << 26 | (uint32_t)((id[1] - '@') & 31) << 21 |
		     (uint32_t)((id[2] - '@') & 31) << 16;

	for (unsigned i = 0; i < 4; i++)
		v |= (uint32_t)(g_ascii_xdigit_value(id[3 + i]) & 15) << (12 - 4 * i);
	aml_byte(a, 0x0c);
	put(a, GUINT32_SWAP_LE_BE(v), 4);
}

void aml_open(struct aml *a, const char *opcode, size_t opcode_len)
{
	aml_bytes(a, opcode, opcode_len);
	if (a->depth < ARRAY_LEN(a->open))
		a->open[a->depth] = a->b->len;
	a->depth++;
}

/* PkgLength counts itself: one byte to 63, else the low nibble and one to three bytes more. */
void aml_close(struct aml *a)
{
	guint start = a->open[--a->depth], len = a->b->len - start;
	unsigned extra = len + 1 <= 0x3f ? 0 : len + 2 <= 0xfff ? 1 : len + 3 <= 0xfffff ? 2 : 3;
	uint32_t total = len + 1 + extra;
	uint8_t head[4];

	head[0] = extra ? (uint8_t)(extra << 6 | (total & 0xf)) : (uint8_t)total;
	for (unsigned i = 1; i <= extra; i++)
		head[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
	g_byte_array_set_size(a->b, a->b->len + extra + 1);
	memmove(a->b->data + start + extra + 1, a->b->data + start, len);
	memcpy(a->b->data + start, head, extra + 1);
}

void aml_scope(struct aml *a, const char *path)
{
	aml_open(a, "\x10", 1);
	aml_name(a, path);
}

void aml_device(struct aml *a, const char *name)
{
	aml_open(a, "\x5b\x82", 2);
	aml_name(a, name);
}

void aml_method(struct aml *a, const char *name, unsigned args, bool serialized)
{
	aml_open(a, "\x14", 1);
	aml_name(a, name);
	aml_byte(a, (uint8_t)(args | (serialized ? 8 : 0)));
}

void aml_package(struct aml *a, unsigned elements)
{
	aml_open(a, "\x12", 1);
	aml_byte(a, (uint8_t)elements);
}

void aml_buffer(struct aml *a, const void *data, size_t len)
{
	aml_open(a, "\x11", 1);
	aml_int(a, len);
	aml_bytes(a, data, len);
	aml_close(a);
}

void aml_processor(struct aml *a, const char *name, uint8_t id)
{
	aml_open(a, "\x5b\x83", 2);
	aml_name(a, name);
	aml_byte(a, id);
	put(a, 0, 4); /* no P_BLK: HLT is the only idle state */
	put(a, 0, 1);
	aml_close(a);
}

void aml_define(struct aml *a, const char *name)
{
	aml_byte(a, 0x08);
	aml_name(a, name);
}

void aml_define_int(struct aml *a, const char *name, uint64_t v)
{
	aml_define(a, name);
	aml_int(a, v);
}

void aml_define_eisa(struct aml *a, const char *name, const char *id)
{
	aml_define(a, name);
	aml_eisa(a, id);
}

void aml_return(struct aml *a)
{
	aml_byte(a, 0xa4);
}

/* ---- resources (ACPI 6.4)
 * -------------------------------------------------------------------------------------- */

void aml_res_io(struct aml *r, uint16_t first, uint16_t last, uint8_t align, uint8_t len)
{
	aml_byte(r, 0x47);
	aml_byte(r, 1); /* decodes 16 bits */
	put(r, first, 2);
	put(r, last, 2);
	aml_byte(r, align);
	aml_byte(r, len);
}

void aml_res_irq(struct aml *r, uint16_t mask, uint8_t flags, bool with_flags)
{
	aml_byte(r, with_flags ? 0x23 : 0x22);
	put(r, mask, 2);
	if (with_flags)
		aml_byte(r, flags);
}

void aml_res_dma(struct aml *r, uint8_t mask)
{
	aml_byte(r, 0x2a);
	aml_byte(r, mask);
	aml_byte(r, 0);
}

void aml_res_memory32(struct aml *r, uint32_t base, uint32_t len, bool writable)
{
	aml_byte(r, 0x86);
	put(r, 9, 2);
	aml_byte(r, writable);
	put(r, base, 4);
	put(r, len, 4);
}

/* Word address space: type 2 bus numbers, 1 I/O; both ends fixed, producer. */
static void word_window(struct aml *r, uint8_t type, uint8_t specific, uint16_t first, uint16_t last)
{
	aml_byte(r, 0x88);
	put(r, 13, 2);
	aml_byte(r, type);
	aml_byte(r, 0x0c);
	aml_byte(r, specific);
	put(r, 0, 2);
	put(r, first, 2);
	put(r, last, 2);
	put(r, 0, 2);
	put(r, (uint64_t)last - first + 1, 2);
}

void aml_res_bus(struct aml *r, uint16_t first, uint16_t last)
{
	word_window(r, 2, 0, first, last);
}

void aml_res_io_window(struct aml *r, uint16_t first, uint16_t last)
{
	word_window(r, 1, 3, first, last);
}

void aml_res_memory_window(struct aml *r, uint32_t first, uint32_t last, bool cacheable)
{
	aml_byte(r, 0x87);
	put(r, 23, 2);
	aml_byte(r, 0);
	aml_byte(r, 0x0c);
	aml_byte(r, cacheable ? 3 : 1);
	put(r, 0, 4);
	put(r, first, 4);
	put(r, last, 4);
	put(r, 0, 4);
	put(r, (uint64_t)last - first + 1, 4);
}

/* Extended interrupt, level, high, shared, consumer. */
void aml_res_interrupt(struct aml *r, const uint32_t *numbers, uint8_t count)
{
	aml_byte(r, 0x89);
	put(r, 2 + 4u * count, 2);
	aml_byte(r, 0x09);
	aml_byte(r, count);
	for (unsigned i = 0; i < count; i++)
		put(r, numbers[i], 4);
}

void aml_resources(struct aml *a, struct aml *r)
{
	aml_byte(r, 0x79);
	aml_byte(r, 0);
	aml_buffer(a, r->b->data, r->b->len);
	g_byte_array_unref(r->b);
	r->b = NULL;
}
