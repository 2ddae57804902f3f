/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "console/keymap.h"

#include <string.h>

#define KEY_ESC   0x01
#define KEY_CTRL  0x1d
#define KEY_SHIFT 0x2a
#define KEY_ALT   0x38
#define SHIFTED   0x100

/* Printable ASCII from ' ' on: make code, with SHIFTED. */
static uint16_t ascii_key(uint8_t c)
{
	static const char rows[][14] = { "1234567890-=", "qwertyuiop[]", "asdfghjkl;'`", "\\zxcvbnm,./" };
	static const char upper[][14] = { "!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"~", "|ZXCVBNM<>?" };
	static const uint8_t first[] = { 0x02, 0x10, 0x1e, 0x2b };
	const char *p;

	if (c == ' ')
		return 0x39;
	for (unsigned r = 0; r < ARRAY_LEN(first); r++) {
		p = c ? strchr(rows[r], c) : NULL;
		if (p)
			return (uint16_t)(first[r] + (p - rows[r]));
		p = c ? strchr(upper[r], c) : NULL;
		if (p)
			return (uint16_t)((first[r] + (p - upper[r])) | SHIFTED);
	}
	return 0;
}

static void tap(uint16_t key, keymap_key_fn *fn, void *opaque)
{
	fn(opaque, key, true);
	fn(opaque, key, false);
}

static void tap_with(uint16_t modifier, uint16_t key, keymap_key_fn *fn, void *opaque)
{
	fn(opaque, modifier, true);
	tap(key, fn, opaque);
	fn(opaque, modifier, false);
}

static void plain(uint8_t byte, keymap_key_fn *fn, void *opaque)
{
	uint16_t key;

	switch (byte) {
	case '\r':
	case '\n':
		tap(0x1c, fn, opaque);
		return;
	case '\t':
		tap(0x0f, fn, opaque);
		return;
	case 8:
	case 127:
		tap(0x0e, fn, opaque);
		return;
	case 0:
		tap_with(KEY_CTRL, 0x39, fn, opaque);
		return;
	}
	if (byte < 32) {
		key = ascii_key((uint8_t)(byte + (byte < 27 ? 96 : 64))) & 0xff;
		tap_with(KEY_CTRL, key, fn, opaque);
		return;
	}
	key = ascii_key(byte);
	if (key & SHIFTED)
		tap_with(KEY_SHIFT, key & 0xff, fn, opaque);
	else if (key)
		tap(key, fn, opaque);
}

struct sequence {
	char text[6]; /* behind ESC */
	uint16_t key;
};

static const struct sequence sequences[] = {
	{ "[A", 0xe048 },
	{ "[B", 0xe050 },
	{ "[C", 0xe04d },
	{ "[D", 0xe04b },
	{ "OA", 0xe048 },
	{ "OB", 0xe050 },
	{ "OC", 0xe04d },
	{ "OD", 0xe04b },
	{ "[H", 0xe047 },
	{ "[F", 0xe04f },
	{ "OH", 0xe047 },
	{ "OF", 0xe04f },
	{ "[1~", 0xe047 },
	{ "[2~", 0xe052 },
	{ "[3~", 0xe053 },
	{ "[4~", 0xe04f },
	{ "[5~", 0xe049 },
	{ "[6~", 0xe051 },
	{ "[7~", 0xe047 },
	{ "[8~", 0xe04f },
	{ "OP", 0x3b },
	{ "OQ", 0x3c },
	{ "OR", 0x3d },
	{ "OS", 0x3e },
	{ "[[A", 0x3b },
	{ "[[B", 0x3c },
	{ "[[C", 0x3d },
	{ "[[D", 0x3e },
	{ "[[E", 0x3f },
	{ "[11~", 0x3b },
	{ "[12~", 0x3c },
	{ "[13~", 0x3d },
	{ "[14~", 0x3e },
	{ "[15~", 0x3f },
	{ "[17~", 0x40 },
	{ "[18~", 0x41 },
	{ "[19~", 0x42 },
	{ "[20~", 0x43 },
	{ "[21~", 0x44 },
	{ "[23~", 0x57 },
	{ "[24~", 0x58 },
};

/* 1: a key; 0: may become one; -1: never will. */
static int match(const struct keymap *k, uint16_t *key)
{
	int best = -1;

	for (unsigned i = 0; i < ARRAY_LEN(sequences); i++) {
		const char *text = sequences[i].text;

		if (k->len - 1 > strlen(text) || memcmp(text, k->sequence + 1, k->len - 1) != 0)
			continue;
		if (strlen(text) == k->len - 1) {
			*key = sequences[i].key;
			return 1;
		}
		best = 0;
	}
	return best;
}

void keymap_idle(struct keymap *k, keymap_key_fn *fn, void *opaque)
{
	if (!k->len)
		return;
	tap(KEY_ESC, fn, opaque);
	for (unsigned i = 1; i < k->len; i++)
		plain(k->sequence[i], fn, opaque);
	k->len = 0;
}

void keymap_feed(struct keymap *k, uint8_t byte, keymap_key_fn *fn, void *opaque)
{
	uint16_t key = 0;
	int found;

	if (!k->len && byte != 27) {
		plain(byte, fn, opaque);
		return;
	}
	if (k->len < sizeof(k->sequence))
		k->sequence[k->len++] = byte;
	if (k->len == 1)
		return;
	found = match(k, &key);
	if (found == 0 && k->len < sizeof(k->sequence))
		return;
	if (found == 1) {
		k->len = 0;
		tap(key, fn, opaque);
	} else if (k->len == 2 && byte != 27) {
		/* Alt and a character */
		k->len = 0;
		fn(opaque, KEY_ALT, true);
		plain(byte, fn, opaque);
		fn(opaque, KEY_ALT, false);
	} else {
		keymap_idle(k, fn, opaque);
	}
}
