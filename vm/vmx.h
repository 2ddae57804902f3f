/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm/vmx.h - the .vmx file: a virtual machine's configuration, read and written as VMware does.
 *
 * One `key = "value"` a line; keys compare without regard to case; `#` starts a comment; in quoted values |XX
 * is the byte of that hexadecimal number.  Unknown keys, comments, order and the file's `.encoding` survive a
 * rewrite; in memory everything is UTF-8.
 *
 * Owns:    the parsed file.  Strings returned live until the key is changed or the object freed.
 * Promise: every refusal names the place, file:line:column, and the key.
 * Threads: one at a time per object.
 */
#ifndef SERAI_VM_VMX_H
#define SERAI_VM_VMX_H

#include "base/error.h"

#define VMX_MAX_BYTES (4u << 20)

struct vmx; /* opaque */

/* An empty configuration; `name` is used in messages and to resolve relative paths. */
struct vmx *vmx_new(const char *name);
void vmx_free(struct vmx *vmx);

/* NULL with an error on bad syntax.  A key given twice: the last one wins, with a warning in the log. */
struct vmx *vmx_parse(const char *name, const void *data, size_t len, GError **error);
struct vmx *vmx_load(const char *path, GError **error);

/* The text as it would be saved, in the file's own encoding (g_free). */
char *vmx_to_text(const struct vmx *vmx, size_t *len);

/* Written beside `path`, synced and renamed over it. */
bool vmx_save(const struct vmx *vmx, const char *path, GError **error);

/* The value or NULL when the key is absent. */
const char *vmx_get(const struct vmx *vmx, const char *key);
const char *vmx_get_string(const struct vmx *vmx, const char *key, const char *fallback);

/* TRUE/FALSE, yes/no, on/off, 1/0 in any case; `fallback` when absent or empty. */
bool vmx_get_bool(const struct vmx *vmx, const char *key, bool fallback, bool *out, GError **error);

/* Decimal or 0x hexadecimal within min..max. */
bool vmx_get_uint(const struct vmx *vmx, const char *key, uint64_t fallback, uint64_t min, uint64_t max,
	uint64_t *out, GError **error);

/* A file name made absolute: relative ones are meant relative to the .vmx file's directory, and ones given by
 * vmx_override relative to the working directory.  NULL when absent or empty (g_free). */
char *vmx_get_path(const struct vmx *vmx, const char *key);

/* Refuse the key's present value: "FILE:LINE:COL: KEY = "VALUE": what is wrong".  Always false. */
bool vmx_refuse(const struct vmx *vmx, const char *key, GError **error, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* Add the key or change its value in place.  False: the key has characters a key cannot have, or the value is
 * not UTF-8. */
bool vmx_set(struct vmx *vmx, const char *key, const char *value, GError **error);

/* False when it was not there. */
bool vmx_remove(struct vmx *vmx, const char *key);

/* Apply a command line's KEY=VALUE.  A key that is nearly a known one is refused with the suggestion. */
bool vmx_override(struct vmx *vmx, const char *assignment, GError **error);

/* A warning for each key in the file that is probably a known one, mistyped. */
void vmx_warn_mistyped(const struct vmx *vmx);

/* Keys in file order. */
void vmx_foreach(
	const struct vmx *vmx, void (*fn)(void *opaque, const char *key, const char *value), void *opaque);

/* ---- known keys (vmx_keys.c)
 * --------------------------------------------------------------------------------- */

/* True for a key Serai or VMware knows; digits match any number ("ide1:0.present"). */
bool vmx_key_known(const char *key);

/* The known key most like an unknown one, or NULL when none is near (g_free). */
char *vmx_key_suggest(const char *key);

/* The word of `words` (NULL-terminated) most like `word`, or NULL; for commands and options too. */
const char *vmx_nearest_word(const char *word, const char *const *words);

#endif
