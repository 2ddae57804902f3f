/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/i8042.c - the keyboard controller: ports 0x60 and 0x64, command byte, output port, interrupts.
 *
 * Three queues want to be read through one output buffer: the controller's own answers first, then keyboard,
 * then mouse. settle moves the next byte into the buffer when it is empty, so the guest always sees one byte
 * and its interrupt.
 *
 * Not here: what keyboard and mouse say (ps2.c); the test input port.
 * Theory:  IBM PS/2 Hardware Interface Technical Reference, section "Keyboard and Auxiliary Device
 * Controller".
 */
#include "monitor/dev/ps2.h"

#define STATUS_OUTPUT  0x01
#define STATUS_SYSTEM  0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCK  0x10
#define STATUS_AUX     0x20

#define MODE_KBD_IRQ   0x01
#define MODE_AUX_IRQ   0x02
#define MODE_SYSTEM    0x04
#define MODE_KBD_OFF   0x10
#define MODE_AUX_OFF   0x20
#define MODE_TRANSLATE 0x40

#define OUT_RESET 0x01 /* low: reset */
#define OUT_A20   0x02
#define OUT_KBD   0x10 /* the two interrupt requests, as wired on a PS/2 */
#define OUT_AUX   0x20

enum from { FROM_NONE, FROM_KBD, FROM_AUX, FROM_OWN, FROM_OWN_AUX };

/* Set 2 to set 1, codes 0x00..0x84; what translates to itself stays (break prefix and above). */
static const uint8_t set2_to_set1[0x85] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
	0x59, /* 00 */
	0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03,
	0x5b, /* 10 */
	0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06,
	0x5d, /* 20 */
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09,
	0x5f, /* 30 */
	0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c,
	0x61, /* 40 */
	0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63,
	0x76, /* 50 */
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f,
	0x6f, /* 60 */
	0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46,
	0x54,                         /* 70 */
	0x80, 0x81, 0x82, 0x41, 0x54, /* 80 */
};

uint8_t ps2_set2_of(uint8_t set1)
{
	/* F7 has two set 2 codes that make 0x41; the real one is 0x83. */
	if (set1 == 0x41)
		return 0x83;
	for (uint8_t i = 1; i < 0x84; i++)
		if (set2_to_set1[i] == set1)
			return i;
	return 0;
}

static struct i8042 *to_i8042(struct device *dev)
{
	return (struct i8042 *)dev;
}

/* ---- queues ----------------------------------------------------------------------------------------- */

bool ps2_put(struct i8042_queue *q, uint8_t byte)
{
	if (q->count == I8042_QUEUE)
		return false;
	q->data[(q->head + q->count) % I8042_QUEUE] = byte;
	q->count++;
	return true;
}

static uint8_t take(struct i8042_queue *q)
{
	uint8_t byte = q->data[q->head];

	q->head = (q->head + 1) % I8042_QUEUE;
	q->count--;
	return byte;
}

static void answer(struct i8042 *k, uint8_t byte)
{
	ps2_put(&k->s.own, byte);
}

/* ---- the output buffer ------------------------------------------------------------------------------ */

/* Translation turns F0 xx into one byte with bit 7 set. */
static bool next_key_byte(struct i8042_state *s)
{
	uint8_t byte;
	bool release = false;

	do {
		if (!s->kbd.count)
			return false;
		byte = s->kbd.data[s->kbd.head];
		if ((s->mode & MODE_TRANSLATE) && byte == 0xf0) {
			/* The code that belongs to it follows at once. */
			if (s->kbd.count < 2)
				return false;
			release = true;
		}
		take(&s->kbd);
	} while (release && byte == 0xf0);
	if (s->mode & MODE_TRANSLATE)
		byte = (byte < sizeof(set2_to_set1) ? set2_to_set1[byte] : byte) | (release ? 0x80 : 0);
	s->output = byte;
	return true;
}

static void fill_output(struct i8042_state *s)
{
	if (s->output_from != FROM_NONE)
		return;
	if (s->own.count) {
		s->output = take(&s->own);
		s->output_from = FROM_OWN;
	} else if (!(s->mode & MODE_KBD_OFF) && next_key_byte(s)) {
		s->output_from = FROM_KBD;
	} else if (s->aux.count && !(s->mode & MODE_AUX_OFF)) {
		s->output = take(&s->aux);
		s->output_from = FROM_AUX;
	}
}

static bool from_aux(const struct i8042_state *s)
{
	return s->output_from == FROM_AUX || s->output_from == FROM_OWN_AUX;
}

static void i8042_settle(struct device *dev)
{
	struct i8042 *k = to_i8042(dev);
	struct i8042_state *s = &k->s;
	bool full, a20 = s->outport & OUT_A20;

	ps2_mouse_report(s);
	fill_output(s);
	full = s->output_from != FROM_NONE;
	s->outport &= (uint8_t) ~(OUT_KBD | OUT_AUX);
	if (full)
		s->outport |= from_aux(s) ? OUT_AUX : OUT_KBD;
	irq_set(&k->kbd_irq, full && !from_aux(s) && (s->mode & MODE_KBD_IRQ));
	irq_set(&k->aux_irq, full && from_aux(s) && (s->mode & MODE_AUX_IRQ));
	if (k->a20_driven != a20) {
		k->a20_driven = a20;
		if (k->lines.a20)
			k->lines.a20(k->lines.opaque, a20);
	}
}

/* ---- commands of the controller --------------------------------------------------------------------- */

static void write_mode(struct i8042 *k, uint8_t mode)
{
	k->s.mode = mode;
	k->s.status = (uint8_t)((k->s.status & ~STATUS_SYSTEM) | (mode & MODE_SYSTEM));
}

static void pulse_reset(struct i8042 *k)
{
	if (k->lines.reset)
		k->lines.reset(k->lines.opaque);
}

static void write_outport(struct i8042 *k, uint8_t v)
{
	k->s.outport = v;
	if (!(v & OUT_RESET)) {
		k->s.outport |= OUT_RESET;
		pulse_reset(k);
	}
}

static uint8_t read_ram(const struct i8042_state *s, unsigned n)
{
	return n ? s->ram[n] : s->mode;
}

static void controller_command(struct i8042 *k, uint8_t v)
{
	struct i8042_state *s = &k->s;

	s->command = 0;
	switch (v) {
	case 0x20 ... 0x3f:
		answer(k, read_ram(s, v & 0x1f));
		break;
	case 0x60 ... 0x7f:
	case 0xd1 ... 0xd4:
		s->command = v;
		break;
	case 0xa7:
		s->mode |= MODE_AUX_OFF;
		break;
	case 0xa8:
		s->mode &= (uint8_t)~MODE_AUX_OFF;
		break;
	case 0xa9: /* interface tests: no error */
	case 0xab:
		answer(k, 0x00);
		break;
	case 0xaa: /* self test passed; it also resets the controller */
		s->mode |= MODE_KBD_OFF | MODE_AUX_OFF;
		write_mode(k, s->mode | MODE_SYSTEM);
		answer(k, 0x55);
		break;
	case 0xad:
		s->mode |= MODE_KBD_OFF;
		break;
	case 0xae:
		s->mode &= (uint8_t)~MODE_KBD_OFF;
		break;
	case 0xc0: /* input port: key lock open, and what else boards pull up */
		answer(k, 0xb0);
		break;
	case 0xd0:
		answer(k, s->outport);
		break;
	case 0xdd: /* the AT's short forms of A20 off and on */
		s->outport &= (uint8_t)~OUT_A20;
		break;
	case 0xdf:
		s->outport |= OUT_A20;
		break;
	case 0xf0 ... 0xff: /* pulse the outputs whose bit is 0; only bit 0 is wired */
		if (!(v & 1))
			pulse_reset(k);
		break;
	default:
		break;
	}
}

/* Data byte of a controller command; D2 and D3 play keyboard and mouse. */
static void command_data(struct i8042 *k, uint8_t command, uint8_t v)
{
	struct i8042_state *s = &k->s;

	switch (command) {
	case 0x60:
		write_mode(k, v);
		break;
	case 0x61 ... 0x7f:
		s->ram[command & 0x1f] = v;
		break;
	case 0xd1:
		write_outport(k, v);
		break;
	case 0xd2:
		s->output = v;
		s->output_from = FROM_OWN;
		break;
	case 0xd3:
		s->output = v;
		s->output_from = FROM_OWN_AUX;
		break;
	default:
		ps2_mouse_write(s, v);
		s->mode &= (uint8_t)~MODE_AUX_OFF;
	}
}

/* ---- ports ------------------------------------------------------------------------------------------ */

static uint64_t data_port_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8042 *k = opaque;
	uint8_t v = k->s.output; /* an empty buffer repeats its last byte */

	(void)off, (void)size;
	k->s.output_from = FROM_NONE;
	/* Let the wire fall before the next byte raises it: the 8259 wants edges. */
	irq_set(&k->kbd_irq, false);
	irq_set(&k->aux_irq, false);
	i8042_settle(&k->dev);
	return v;
}

static void data_port_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct i8042 *k = opaque;
	uint8_t command = k->s.command;

	(void)off, (void)size;
	k->s.status &= (uint8_t)~STATUS_COMMAND;
	k->s.command = 0;
	if (command) {
		command_data(k, command, (uint8_t)v);
	} else {
		/* Writing to the keyboard switches its clock on again. */
		k->s.mode &= (uint8_t)~MODE_KBD_OFF;
		ps2_keyboard_write(k, (uint8_t)v);
	}
	i8042_settle(&k->dev);
}

static uint64_t status_read(void *opaque, uint64_t off, unsigned size)
{
	struct i8042 *k = opaque;
	uint8_t v = (k->s.status & (STATUS_SYSTEM | STATUS_COMMAND)) | STATUS_UNLOCK;

	(void)off, (void)size;
	if (k->s.output_from != FROM_NONE)
		v |= STATUS_OUTPUT | (from_aux(&k->s) ? STATUS_AUX : 0);
	return v;
}

static void command_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct i8042 *k = opaque;

	(void)off, (void)size;
	k->s.status |= STATUS_COMMAND;
	controller_command(k, (uint8_t)v);
	i8042_settle(&k->dev);
}

static const struct io_ops data_ops = { data_port_read, data_port_write };
static const struct io_ops status_ops = { status_read, command_write };

/* ---- from the console ------------------------------------------------------------------------------- */

void i8042_key(struct i8042 *k, uint16_t key, bool down)
{
	ps2_keyboard_key(&k->s, key, down);
	i8042_settle(&k->dev);
}

void i8042_mouse(struct i8042 *k, int dx, int dy, int dz, unsigned buttons)
{
	ps2_mouse_move(&k->s, dx, dy, dz, buttons);
	i8042_settle(&k->dev);
}

void i8042_note_a20(struct i8042 *k, bool on)
{
	k->s.outport = (uint8_t)((k->s.outport & ~OUT_A20) | (on ? OUT_A20 : 0));
	k->a20_driven = on;
}

/* ---- the class -------------------------------------------------------------------------------------- */

static void i8042_reset(struct device *dev)
{
	struct i8042 *k = to_i8042(dev);

	k->s.mode = MODE_KBD_IRQ | MODE_AUX_IRQ | MODE_KBD_OFF | MODE_AUX_OFF;
	k->s.outport = OUT_RESET | OUT_A20 | 0xcc;
	ps2_reset(&k->s);
	k->a20_driven = -1;
}

static bool queue_check(const struct i8042_queue *q)
{
	return q->head < I8042_QUEUE && q->count <= I8042_QUEUE;
}

static bool i8042_check(const void *state, GError **error)
{
	const struct i8042_state *s = state;

	if (!queue_check(&s->kbd) || !queue_check(&s->aux) || !queue_check(&s->own) ||
		s->output_from > FROM_OWN_AUX)
		return fail(error, SERAI_ERROR_STATE, "i8042: queue index out of range");
	return true;
}

#define S        struct i8042_state
#define QUEUE(q) STATE_ARRAY(S, q.data, 1), STATE_FIELD(S, q.head, 1), STATE_FIELD(S, q.count, 1)
static const struct state_field i8042_fields[] = {
	STATE_FIELD(S, status, 1),
	STATE_FIELD(S, mode, 1),
	STATE_FIELD(S, outport, 1),
	STATE_FIELD(S, output, 1),
	STATE_FIELD(S, output_from, 1),
	STATE_FIELD(S, command, 1),
	STATE_ARRAY(S, ram, 1),
	STATE_FIELD(S, kbd_command, 1),
	STATE_FIELD(S, kbd_scanning, 1),
	STATE_FIELD(S, kbd_set, 1),
	STATE_FIELD(S, kbd_leds, 1),
	STATE_FIELD(S, kbd_rate, 1),
	STATE_FIELD(S, aux_command, 1),
	STATE_FIELD(S, aux_status, 1),
	STATE_FIELD(S, aux_resolution, 1),
	STATE_FIELD(S, aux_rate, 1),
	STATE_FIELD(S, aux_id, 1),
	STATE_FIELD(S, aux_knock, 1),
	STATE_FIELD(S, aux_wrap, 1),
	STATE_FIELD(S, aux_buttons, 1),
	STATE_FIELD(S, aux_last_buttons, 1),
	STATE_FIELD(S, aux_dx, 1),
	STATE_FIELD(S, aux_dy, 1),
	STATE_FIELD(S, aux_dz, 1),
	QUEUE(kbd),
	QUEUE(aux),
	QUEUE(own),
};
#undef S

const struct device_class i8042_class = {
	DEVICE_STATE("i8042", 1, struct i8042, i8042_fields),
	.state.check = i8042_check,
	.reset = i8042_reset,
	.settle = i8042_settle,
};

void i8042_init(
	struct i8042 *k, struct physmap *mem, struct timer_queue *timers, const struct i8042_lines *lines)
{
	memset(k, 0, sizeof(*k));
	device_init(&k->dev, &i8042_class, "0", mem, timers);
	if (lines)
		k->lines = *lines;
	port_add(mem, &(struct port_range){ 0x60, 1, &data_ops, k, "i8042 data" });
	port_add(mem, &(struct port_range){ 0x64, 1, &status_ops, k, "i8042 command" });
}
