/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state/wire.h - the bytes of a state file, shared by writer and reader.
 *
 *   file    "SERAIST1" record* end
 *   record  u32 kind, u64 payload bytes, payload
 *   class   name class, name instance, u32 version, u32 fields;
 *           each: name, u32 width, u32 count, width * count bytes
 *   blob    name, u64 length; then runs until the payload ends:
 *           u64 offset (ascending), u64 length, bytes; the rest is zero
 *   end     u32 number of records before it
 *   name    u16 length (1..STATE_NAME_MAX), printable ASCII
 */
#ifndef SERAI_STATE_WIRE_H
#define SERAI_STATE_WIRE_H

#include "state/state.h"

#include <string.h>

#define STATE_MAGIC     "SERAIST1"
#define STATE_MAGIC_LEN 8
#define STATE_NAME_MAX  255
#define STATE_PAGE      ((size_t)4096)

enum { STATE_RECORD = 1, STATE_BLOB = 2, STATE_END = 0xe0d };

#define STATE_END_SIZE 16 /* header and payload */

static inline bool state_is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

#endif
