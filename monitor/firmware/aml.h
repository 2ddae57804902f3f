/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/firmware/aml.h - writing ACPI machine language, term by term.
 *
 * Every function appends to the bytes; packages of known nesting are opened with aml_open and closed with
 * aml_close, which inserts the length that stands in front of the contents.
 *
 * Theory: ACPI specification 6.4, chapter 20.
 */
#ifndef SERAI_MONITOR_FIRMWARE_AML_H
#define SERAI_MONITOR_FIRMWARE_AML_H

#include "base/compiler.h"

#include <glib.h>

struct aml {
	GByteArray *b;
	guint open[16]; /* where the contents of open packages begin */
	unsigned depth;
};

void aml_byte(struct aml *a, uint8_t v);
void aml_bytes(struct aml *a, const void *data, size_t len);

/* A path such as "\\_SB" or "PCI0.ISA_"; segments of four characters. */
void aml_name(struct aml *a, const char *path);
void aml_int(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *s);

/* An EISA identification ("PNP0A03") as the integer it packs to. */
void aml_eisa(struct aml *a, const char *id);

void aml_open(struct aml *a, const char *opcode, size_t opcode_len);
void aml_close(struct aml *a);

void aml_scope(struct aml *a, const char *path);
void aml_device(struct aml *a, const char *name);
/* Serialized when told so, since it touches fields. */
void aml_method(struct aml *a, const char *name, unsigned args, bool serialized);
void aml_package(struct aml *a, unsigned elements);
/* Contents are raw bytes; closed with aml_buffer_close. */
void aml_buffer(struct aml *a, const void *data, size_t len);
void aml_processor(struct aml *a, const char *name, uint8_t id);

/* Name (NAME, ...): the object follows. */
void aml_define(struct aml *a, const char *name);
void aml_define_int(struct aml *a, const char *name, uint64_t v);
void aml_define_eisa(struct aml *a, const char *name, const char *id);

void aml_return(struct aml *a); /* the object follows */

/* Resource descriptors, to be collected in an aml of their own and then wrapped by aml_resources. */
void aml_res_io(struct aml *r, uint16_t first, uint16_t last, uint8_t align, uint8_t len);
void aml_res_irq(struct aml *r, uint16_t mask, uint8_t flags, bool with_flags);
void aml_res_dma(struct aml *r, uint8_t mask);
void aml_res_memory32(struct aml *r, uint32_t base, uint32_t len, bool writable);
void aml_res_bus(struct aml *r, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml *r, uint16_t first, uint16_t last);
void aml_res_memory_window(struct aml *r, uint32_t first, uint32_t last, bool cacheable);
void aml_res_interrupt(struct aml *r, const uint32_t *numbers, uint8_t count);

/* Buffer () { descriptors, end tag }; frees the descriptors. */
void aml_resources(struct aml *a, struct aml *r);

struct aml aml_new(void);

#endif
