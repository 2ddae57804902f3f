/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state/state.h - self-describing state records: suspend, snapshot and migration all write these.
 *
 * A class describes a plain struct: pointer-free, field by field, with the version since which each field exists.
 * A record on disk carries class, instance, version, and for each field its name, element width, element count and
 * little-endian bytes, so a loader needs no knowledge of the writer's layout:
 *   - an unknown class, an unknown field, or a field of other width or count is refused loudly;
 *   - an absent field whose `since` is newer than the record's version keeps its reset value; an absent older one
 *     is refused.
 *
 * File:   "SERAIST1", then records until an end record; all integers little-endian.
 * Trust:  the reader treats the bytes as hostile (RELIABILITY: CVE-2017-16845); values still need the class's
 *         `check` before they index anything.
 * Threads: one at a time per stream.
 */
#ifndef SERAI_STATE_STATE_H
#define SERAI_STATE_STATE_H

#include "base/compiler.h"
#include "base/error.h"

struct state_field {
	const char *name;
	uint32_t since;  /* first class version that has it */
	uint32_t offset; /* in the state struct, bytes */
	uint32_t width;  /* of one element, bytes: 1, 2, 4 or 8 */
	uint32_t count;  /* of elements */
};

struct state_class {
	const char *name;
	uint32_t version;
	uint32_t size; /* of the state struct, bytes */
	const struct state_field *fields;
	size_t field_count;
	/* Refuse values that no run of the machine could have left; may be NULL. */
	bool (*check)(const void *state, GError **error);
};

/*
 * One row of a field table: a scalar, an array of scalars, an array of arrays.  Members of nested structs are named in
 * full: STATE_FIELD(struct pit_state, channel[0].count, 1).
 */
#define STATE_FIELD(type, member, since_version)                                                                       \
	{                                                                                                              \
		#member, since_version, offsetof(type, member), sizeof(((type *)0)->member), 1                         \
	}
#define STATE_ARRAY(type, member, since_version)                                                                       \
	{                                                                                                              \
		#member, since_version, offsetof(type, member), sizeof(((type *)0)->member[0]),                        \
			sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0])                                   \
	}
#define STATE_ARRAY2(type, member, since_version)                                                                      \
	{                                                                                                              \
		#member, since_version, offsetof(type, member), sizeof(((type *)0)->member[0][0]),                     \
			sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0][0])                                \
	}

/* True when the fields cover every byte of the struct but the padding the compiler put in (tests). */
bool state_covers_every_byte(const struct state_class *cls);

/* ---- writing: into a growing buffer; RAM travels as a blob record ------------------------------------------ */

struct state_writer; /* opaque */

struct state_writer *state_writer_new(void);
void state_writer_free(struct state_writer *w);

/* Append one record.  `instance` tells apart several of a class ("0", "ide1"). */
void state_put(struct state_writer *w, const struct state_class *cls, const char *instance, const void *state);

/* Append raw bytes under a name (guest RAM pages, video memory).  Runs of zero pages are not stored. */
void state_put_blob(struct state_writer *w, const char *name, const void *data, size_t len);

/* The end record, then all of it to a file: written to a temporary, synced, renamed over `path`. */
bool state_writer_save(struct state_writer *w, const char *path, GError **error);

/* The bytes so far, with the end record; owned by the writer. */
const uint8_t *state_writer_bytes(struct state_writer *w, size_t *len);

/* ---- reading ------------------------------------------------------------------------------------------------- */

struct state_reader; /* opaque */

/* Parse a whole file or buffer (copied); checks structure only. */
struct state_reader *state_reader_open(const char *path, GError **error);
struct state_reader *state_reader_new(const void *data, size_t len, GError **error);
void state_reader_free(struct state_reader *r);

/* Fill *state (already holding reset values) from the record of this class and instance; on error it is unchanged. */
bool state_get(struct state_reader *r, const struct state_class *cls, const char *instance, void *state,
	GError **error);

/* Fill `data` from the blob `name`, whose length must be exactly `len`. */
bool state_get_blob(struct state_reader *r, const char *name, void *data, size_t len, GError **error);

/* False when some record was never asked for: a device the machine does not have.  Call last. */
bool state_reader_finish(struct state_reader *r, GError **error);

#endif
