/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/ps2.c - a PS/2 keyboard (sets 1, 2 and 3 selectable, speaks 2) and a PS/2 mouse with a wheel.
 *
 * Movement that is not yet reported adds up in the state, so a slow guest loses no distance.
 *
 * Theory:  IBM PS/2 Hardware Interface Technical Reference, "101- and 102-Key Keyboards", "Mouse"; Microsoft
 * IntelliMouse (rates 200, 100, 80 in a row unlock the wheel; 200, 200, 80 the five-button form).
 */
#include "monitor/dev/ps2.h"

#define ACK    0xfa
#define RESEND 0xfe
#define PASSED 0xaa

#define AUX_REPORTING 0x20
#define AUX_SCALING   0x10
#define AUX_REMOTE    0x40

#define ID_PLAIN 0
#define ID_WHEEL 3
#define ID_FIVE  4

#define DEFAULT_RATE       100
#define DEFAULT_RESOLUTION 2
#define DEFAULT_TYPEMATIC  0x2b /* 500 ms, 10.9 a second */
#define MOVE_LIMIT         (1 << 20)

/* ---- keyboard --------------------------------------------------------------------------------------- */

static void keyboard_defaults(struct i8042_state *s)
{
	s->kbd_set = 2;
	s->kbd_rate = DEFAULT_TYPEMATIC;
	s->kbd_command = 0;
}

static void clear(struct i8042_queue *q)
{
	q->head = q->count = 0;
}

/* Byte 2 of a two-byte command. */
static void keyboard_argument(struct i8042 *k, uint8_t command, uint8_t v)
{
	struct i8042_state *s = &k->s;

	ps2_put(&s->kbd, ACK);
	switch (command) {
	case 0xed:
		s->kbd_leds = v & 7;
		if (k->lines.leds)
			k->lines.leds(k->lines.opaque, s->kbd_leds);
		break;
	case 0xf0:
		if (v == 0)
			ps2_put(&s->kbd, s->kbd_set);
		else if (v <= 3)
			s->kbd_set = v;
		break;
	case 0xf3:
		s->kbd_rate = v;
		break;
	default:
		break;
	}
}

void ps2_keyboard_write(struct i8042 *k, uint8_t v)
{
	struct i8042_state *s = &k->s;
	uint8_t command = s->kbd_command;

	s->kbd_command = 0;
	if (command && v < 0xed) {
		keyboard_argument(k, command, v);
		return;
	}
	switch (v) {
	case 0xed:
	case 0xf0:
	case 0xf3:
	case 0xfb ... 0xfd: /* key types of set 3: an argument follows */
		s->kbd_command = v;
		ps2_put(&s->kbd, ACK);
		break;
	case 0xee: /* echo */
		ps2_put(&s->kbd, 0xee);
		break;
	case 0xf2:
		ps2_put(&s->kbd, ACK);
		ps2_put(&s->kbd, 0xab);
		ps2_put(&s->kbd, 0x83);
		break;
	case 0xf4:
		clear(&s->kbd);
		s->kbd_scanning = 1;
		ps2_put(&s->kbd, ACK);
		break;
	case 0xf5:
	case 0xf6:
		clear(&s->kbd);
		keyboard_defaults(s);
		s->kbd_scanning = v == 0xf6;
		ps2_put(&s->kbd, ACK);
		break;
	case 0xf7 ... 0xfa: /* all keys typematic, make/break, ...: only matters in set 3 */
		ps2_put(&s->kbd, ACK);
		break;
	case 0xfe: /* nothing is ever garbled: repeat what is a safe repetition */
		ps2_put(&s->kbd, ACK);
		break;
	case 0xff:
		clear(&s->kbd);
		keyboard_defaults(s);
		s->kbd_scanning = 1;
		s->kbd_leds = 0;
		ps2_put(&s->kbd, ACK);
		ps2_put(&s->kbd, PASSED);
		break;
	default:
		ps2_put(&s->kbd, RESEND);
	}
}

/* All bytes or none, so that a full queue never leaves half a key. */
static void put_all(struct i8042_queue *q, const uint8_t *bytes, unsigned n)
{
	if (n > I8042_QUEUE - 8u - MIN_OF(q->count, I8042_QUEUE - 8u)) /* the last 8 are for answers */
		return;
	for (unsigned i = 0; i < n; i++)
		ps2_put(q, bytes[i]);
}

static void pause_key(struct i8042_state *s)
{
	static const uint8_t set2[] = { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 };
	static const uint8_t set1[] = { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 };

	if (s->kbd_set == 1)
		put_all(&s->kbd, set1, sizeof(set1));
	else
		put_all(&s->kbd, set2, sizeof(set2));
}

void ps2_keyboard_key(struct i8042_state *s, uint16_t key, bool down)
{
	uint8_t make = key & 0x7f, set2 = ps2_set2_of(make), out[4];
	unsigned n = 0;

	if (!s->kbd_scanning || (key & 0x80))
		return;
	if (key == I8042_KEY_PAUSE) {
		if (down) /* it has no break code */
			pause_key(s);
		return;
	}
	if (key >> 8 == 0xe0)
		out[n++] = 0xe0;
	else if (key >> 8)
		return;
	if (s->kbd_set == 1) {
		out[n++] = make | (down ? 0 : 0x80);
	} else if (set2) {
		if (!down)
			out[n++] = 0xf0;
		out[n++] = set2;
	} else {
		return;
	}
	put_all(&s->kbd, out, n);
}

/* ---- mouse ------------------------------------------------------------------------------------------ */

static void mouse_defaults(struct i8042_state *s)
{
	s->aux_status = 0;
	s->aux_resolution = DEFAULT_RESOLUTION;
	s->aux_rate = DEFAULT_RATE;
	s->aux_dx = s->aux_dy = s->aux_dz = 0;
	s->aux_last_buttons = s->aux_buttons;
	s->aux_command = s->aux_wrap = 0;
}

static int32_t clamp(int32_t v, int32_t low, int32_t high)
{
	return v < low ? low : v > high ? high : v;
}

/*
 * Byte 0: | y overflow | x overflow | y sign | x sign | 1 | middle | right | left |, then x, y (up positive),
 * wheel. What does not fit into one packet waits for the next.
 */
static void put_packet(struct i8042_state *s)
{
	int32_t dx = clamp(s->aux_dx, -255, 255), dy = clamp(s->aux_dy, -255, 255), dz;

	ps2_put(&s->aux, (uint8_t)(0x08 | (s->aux_buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0)));
	ps2_put(&s->aux, (uint8_t)dx);
	ps2_put(&s->aux, (uint8_t)dy);
	s->aux_dx -= dx;
	s->aux_dy -= dy;
	s->aux_last_buttons = s->aux_buttons;
	if (s->aux_id == ID_PLAIN) {
		s->aux_dz = 0;
		return;
	}
	dz = clamp(s->aux_dz, -8, 7);
	s->aux_dz -= dz;
	ps2_put(&s->aux, (uint8_t)(s->aux_id == ID_FIVE ? dz & 0x0f : dz));
}

void ps2_mouse_report(struct i8042_state *s)
{
	bool news = s->aux_dx || s->aux_dy || s->aux_dz || s->aux_buttons != s->aux_last_buttons;

	if (news && (s->aux_status & AUX_REPORTING) && !(s->aux_status & AUX_REMOTE) && !s->aux.count &&
		!s->aux_wrap)
		put_packet(s);
}

void ps2_mouse_move(struct i8042_state *s, int dx, int dy, int dz, unsigned buttons)
{
	if (!(s->aux_status & (AUX_REPORTING | AUX_REMOTE)))
		dx = dy = dz = 0;
	s->aux_dx = clamp(s->aux_dx + clamp(dx, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
	s->aux_dy = clamp(s->aux_dy - clamp(dy, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
	s->aux_dz = clamp(s->aux_dz + clamp(dz, -127, 127), -127, 127);
	s->aux_buttons = buttons & 7;
}

static void set_rate(struct i8042_state *s, uint8_t rate)
{
	/* aux_knock holds the last two rates as a small number each: 1 = 200, 2 = 100. */
	unsigned last = s->aux_knock & 3, before = s->aux_knock >> 2 & 3,
		 now = rate == 200   ? 1
		       : rate == 100 ? 2
				     : 0;

	s->aux_rate = rate;
	if (rate == 80 && before == 1 && last == 2)
		s->aux_id = ID_WHEEL;
	else if (rate == 80 && before == 1 && last == 1 && s->aux_id == ID_WHEEL)
		s->aux_id = ID_FIVE;
	s->aux_knock = (uint8_t)(last << 2 | now);
}

static void mouse_status(struct i8042_state *s)
{
	uint8_t b = s->aux_buttons;

	ps2_put(&s->aux, (uint8_t)(s->aux_status | (b & 1 ? 4 : 0) | (b & 4 ? 2 : 0) | (b & 2 ? 1 : 0)));
	ps2_put(&s->aux, s->aux_resolution);
	ps2_put(&s->aux, s->aux_rate);
}

static void mouse_command(struct i8042_state *s, uint8_t v)
{
	ps2_put(&s->aux, ACK);
	switch (v) {
	case 0xe6:
		s->aux_status &= (uint8_t)~AUX_SCALING;
		break;
	case 0xe7:
		s->aux_status |= AUX_SCALING;
		break;
	case 0xe8:
	case 0xf3:
		s->aux_command = v;
		break;
	case 0xe9:
		mouse_status(s);
		break;
	case 0xea:
		s->aux_status &= (uint8_t)~AUX_REMOTE;
		break;
	case 0xeb:
		put_packet(s);
		break;
	case 0xee:
		s->aux_wrap = 1;
		break;
	case 0xf0:
		s->aux_status |= AUX_REMOTE;
		break;
	case 0xf2:
		ps2_put(&s->aux, s->aux_id);
		break;
	case 0xf4:
		s->aux_status |= AUX_REPORTING;
		break;
	case 0xf5:
		s->aux_status &= (uint8_t)~AUX_REPORTING;
		break;
	case 0xf6:
		mouse_defaults(s);
		break;
	case 0xff:
		mouse_defaults(s);
		s->aux_id = ID_PLAIN;
		ps2_put(&s->aux, PASSED);
		ps2_put(&s->aux, ID_PLAIN);
		break;
	default:
		break;
	}
}

static bool mouse_knows(uint8_t v)
{
	return v >= 0xe6 && v != 0xec && v != 0xed && v != 0xef && v != 0xf1 && !(v >= 0xf7 && v <= 0xfe);
}

void ps2_mouse_write(struct i8042_state *s, uint8_t v)
{
	uint8_t command = s->aux_command;

	if (s->aux_wrap && v != 0xff && v != 0xec) {
		ps2_put(&s->aux, v);
		return;
	}
	/* A byte from the host cuts off what the mouse was saying. */
	clear(&s->aux);
	s->aux_command = 0;
	if (s->aux_wrap && v == 0xec) {
		s->aux_wrap = 0;
		ps2_put(&s->aux, ACK);
	} else if (command == 0xe8) {
		s->aux_resolution = v;
		ps2_put(&s->aux, ACK);
	} else if (command == 0xf3) {
		set_rate(s, v);
		ps2_put(&s->aux, ACK);
	} else if (mouse_knows(v)) {
		mouse_command(s, v);
	} else {
		ps2_put(&s->aux, RESEND);
	}
}

void ps2_reset(struct i8042_state *s)
{
	keyboard_defaults(s);
	s->kbd_scanning = 1;
	mouse_defaults(s);
	s->aux_id = ID_PLAIN;
}
