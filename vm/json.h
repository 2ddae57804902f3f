/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm/json.h - the little JSON the control protocol needs: one flat object a line.
 *
 * Promise: the reader takes hostile bytes; nesting deeper than JSON_DEPTH is refused, never followed.
 * Threads: one at a time per object.
 * Theory:  RFC 8259.
 */
#ifndef SERAI_VM_JSON_H
#define SERAI_VM_JSON_H

#include "base/error.h"

#define JSON_DEPTH 16

/* ---- writing: members are appended to text that json_begin started
 * ------------------------------------------ */

void json_begin(GString *s);
void json_add_string(GString *s, const char *key, const char *value);
void json_add_uint(GString *s, const char *key, uint64_t value);
void json_add_bool(GString *s, const char *key, bool value);
/* `text` is JSON already (a nested object). */
void json_add_raw(GString *s, const char *key, const char *text);
/* Closing brace and a newline. */
void json_end(GString *s);

/* ---- reading
 * --------------------------------------------------------------------------------------------------- */

struct json; /* an object's members */

/* NULL with an error ("byte N: ...") unless the text is exactly one object. */
struct json *json_parse(const char *text, size_t len, GError **error);
void json_free(struct json *j);

/* Strings decoded, everything else as it was written ("5", "true", "{...}"); NULL when absent. */
const char *json_get(const struct json *j, const char *key);

#endif
