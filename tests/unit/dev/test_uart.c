/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 16550A behaviour, by the data sheet. */
#include "monitor/dev/uart.h"
#include "tests/unit/rig.h"

#define PORT 0x3f8

struct bench {
	struct rig *r;
	struct uart u;
	char sent[256];
	size_t sent_len, accept; /* the back end takes this many more */
	unsigned ready;
};

static size_t take(void *opaque, const uint8_t *bytes, size_t len)
{
	struct bench *b = opaque;
	size_t n = MIN_OF(MIN_OF(len, b->accept), sizeof(b->sent) - b->sent_len);

	memcpy(b->sent + b->sent_len, bytes, n);
	b->sent_len += n;
	b->accept -= n;
	return n;
}

static void ready(void *opaque)
{
	((struct bench *)opaque)->ready++;
}

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	b->accept = SIZE_MAX;
	uart_init(&b->u, "com1", &b->r->mem, &b->r->timers, PORT, &(struct uart_backend){ b, take, ready });
	irq_connect(&b->u.irq, rig_sink, b->r, 4);
	device_reset(&b->u.dev);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	rig_free(b->r);
	g_free(b);
	return 0;
}

/* FIFOs on with trigger 8, OUT2, these interrupts. */
static void program(struct bench *b, uint8_t ier)
{
	rig_out8(b->r, PORT + 3, 0x83);
	rig_out8(b->r, PORT, 1);
	rig_out8(b->r, PORT + 1, 0);
	rig_out8(b->r, PORT + 3, 0x03);
	rig_out8(b->r, PORT + 2, 0x87);
	rig_out8(b->r, PORT + 4, 0x0b);
	rig_out8(b->r, PORT + 1, ier);
}

static size_t receive(struct bench *b, const char *text)
{
	return uart_receive(&b->u, (const uint8_t *)text, strlen(text));
}

static void is_a_16550a(void **state)
{
	struct bench *b = *state;

	rig_out8(b->r, PORT + 2, 0x01);
	assert_int_equal(rig_in8(b->r, PORT + 2), 0xc1);
	rig_out8(b->r, PORT + 2, 0);
	assert_int_equal(rig_in8(b->r, PORT + 2), 0x01);
	rig_out8(b->r, PORT + 7, 0x5a);
	assert_int_equal(rig_in8(b->r, PORT + 7), 0x5a);
	rig_out8(b->r, PORT + 3, 0x80);
	rig_out8(b->r, PORT, 0x34);
	rig_out8(b->r, PORT + 1, 0x12);
	assert_int_equal(rig_in16(b->r, PORT), 0x1234);
	rig_out8(b->r, PORT + 3, 0x03);
	assert_int_equal(rig_in8(b->r, PORT + 1), 0);
	assert_int_equal(rig_in8(b->r, PORT + 5), 0x60);
	assert_int_equal(rig_in8(b->r, PORT + 6), 0xb0);
}

static void sends_at_once_and_asks_for_more(void **state)
{
	struct bench *b = *state;

	program(b, 0x02);
	assert_true(b->r->irq[4].level); /* enabling it with an empty transmitter raises it */
	assert_int_equal(rig_in8(b->r, PORT + 2), 0xc2);
	assert_false(b->r->irq[4].level); /* reading IIR withdraws it */
	for (const char *p = "hello"; *p; p++)
		rig_out8(b->r, PORT, (uint8_t)*p);
	assert_int_equal(b->sent_len, 5);
	assert_memory_equal(b->sent, "hello", 5);
	assert_int_equal(b->r->irq[4].rises, 6); /* an edge after each byte */
	assert_int_equal(rig_in8(b->r, PORT + 5), 0x60);
}

static void keeps_what_the_back_end_refuses(void **state)
{
	struct bench *b = *state;

	program(b, 0x00);
	b->accept = 2;
	for (const char *p = "0123456789"; *p; p++)
		rig_out8(b->r, PORT, (uint8_t)*p);
	assert_int_equal(b->sent_len, 2);
	assert_int_equal(rig_in8(b->r, PORT + 5) & 0x60, 0);
	assert_true(rig_reloads(b->r, &b->u.dev));
	b->accept = SIZE_MAX;
	rig_advance(b->r, 20000000); /* asked again by itself */
	assert_int_equal(b->sent_len, 10);
	assert_memory_equal(b->sent, "0123456789", 10);
	assert_int_equal(rig_in8(b->r, PORT + 5), 0x60);
}

static void trigger_level_and_timeout(void **state)
{
	struct bench *b = *state;

	program(b, 0x01);
	receive(b, "1234567");
	assert_false(b->r->irq[4].level);
	receive(b, "8");
	assert_true(b->r->irq[4].level);
	assert_int_equal(rig_in8(b->r, PORT + 2), 0xc4);
	assert_int_equal(rig_in8(b->r, PORT), '1');
	assert_false(b->r->irq[4].level); /* below the trigger */
	rig_advance(b->r, 100000);
	assert_false(b->r->irq[4].level);
	assert_true(rig_reloads(b->r, &b->u.dev)); /* with the timeout running */
	rig_advance(b->r, 300000);                 /* four characters at 115200 are 347 us */
	assert_true(b->r->irq[4].level);
	assert_int_equal(rig_in8(b->r, PORT + 2), 0xcc);
	for (char c = '2'; c <= '8'; c++) {
		assert_int_equal(rig_in8(b->r, PORT + 5) & 1, 1);
		assert_int_equal(rig_in8(b->r, PORT), c);
	}
	assert_false(b->r->irq[4].level);
	assert_int_equal(rig_in8(b->r, PORT + 5) & 1, 0);
}

static void takes_only_what_fits(void **state)
{
	struct bench *b = *state;

	program(b, 0x05);
	b->ready = 0;
	assert_int_equal(receive(b, "0123456789abcdefXYZ"), 16);
	assert_int_equal(uart_can_receive(&b->u), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(rig_in8(b->r, PORT), "0123456789abcdef"[i]);
	assert_int_equal(b->ready, 1);
	assert_int_equal(uart_can_receive(&b->u), 16);
	rig_out8(b->r, PORT + 2, 0); /* FIFOs off: one byte */
	assert_int_equal(receive(b, "ab"), 1);
	assert_int_equal(rig_in8(b->r, PORT), 'a');
}

static void break_is_a_line_status_interrupt(void **state)
{
	struct bench *b = *state;

	program(b, 0x04);
	uart_receive_break(&b->u);
	assert_int_equal(rig_in8(b->r, PORT + 2), 0xc6);
	assert_int_equal(rig_in8(b->r, PORT + 5), 0xf1);
	assert_false(b->r->irq[4].level);
	assert_int_equal(rig_in8(b->r, PORT), 0);
	assert_int_equal(rig_in8(b->r, PORT + 5), 0x60);
}

static void loopback(void **state)
{
	struct bench *b = *state;

	program(b, 0x08);
	rig_in8(b->r, PORT + 6);
	rig_out8(b->r, PORT + 4, 0x1a); /* loop, OUT2, RTS: DCD and CTS */
	assert_int_equal(rig_in8(b->r, PORT + 6) & 0xf0, 0x90);
	rig_out8(b->r, PORT, 'x');
	assert_int_equal(b->sent_len, 0);
	assert_int_equal(rig_in8(b->r, PORT), 'x');
	assert_int_equal(receive(b, "a"), 0);
	assert_false(b->r->irq[4].level);
}

static void out2_gates_the_wire(void **state)
{
	struct bench *b = *state;

	program(b, 0x02);
	rig_out8(b->r, PORT + 4, 0x03);
	assert_false(b->r->irq[4].level);
	rig_out8(b->r, PORT + 4, 0x0b);
	assert_true(b->r->irq[4].level);
}

static void golden(void **state)
{
	struct bench *b = *state;

	program(b, 0x0f);
	receive(b, "abc");
	assert_true(rig_reloads_golden(b->r, &b->u.dev, "uart-v1"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(is_a_16550a),
		T(sends_at_once_and_asks_for_more),
		T(keeps_what_the_back_end_refuses),
		T(trigger_level_and_timeout),
		T(takes_only_what_fits),
		T(break_is_a_line_status_interrupt),
		T(loopback),
		T(out2_gates_the_wire),
		T(golden),
	};

	return cmocka_run_group_tests_name("uart", tests, NULL, NULL);
}
