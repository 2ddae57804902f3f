/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/dev/uart.c - a 16550A serial port.
 *
 * The line is infinitely fast towards the back end: a byte written is gone at once, so the transmitter is
 * empty again before the guest can look, unless the back end refuses it.  Towards the guest bytes come as
 * fast as it takes them; only the character timeout keeps the time of the programmed speed.
 *
 * Promise: no byte is lost that fits the FIFO; what the back end refuses stays and holds THRE low.
 * Theory:  PC16550D data sheet, sections 8.0 to 8.11.
 */
#include "monitor/dev/uart.h"

#define IER_RDA  0x01
#define IER_THRE 0x02
#define IER_LSR  0x04
#define IER_MSR  0x08

#define IIR_NONE    0x01
#define IIR_MSR     0x00
#define IIR_THRE    0x02
#define IIR_RDA     0x04
#define IIR_LSR     0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_CLEAR_TX 0x04

#define LCR_DLAB  0x80
#define LCR_BREAK 0x40

#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

#define LSR_DR     0x01
#define LSR_OE     0x02
#define LSR_BI     0x10
#define LSR_CHAR   0x1c /* errors that travel with a character: PE, FE, BI */
#define LSR_THRE   0x20
#define LSR_TEMT   0x40
#define LSR_FIFO_E 0x80

#define MSR_DELTA     0x0f
#define MSR_TERI      0x04
#define MSR_RI        0x40
#define MSR_CONNECTED 0xb0 /* DCD, DSR, CTS */

#define CLOCK_HZ      1843200
#define BITS_A_CHAR   10
#define RETRY_NS      5000000
#define TIMEOUT_CHARS 4

static struct uart *to_uart(struct device *dev)
{
	return (struct uart *)dev;
}

static bool fifo_on(const struct uart *u)
{
	return u->s.fcr & FCR_ENABLE;
}

static unsigned rx_room(const struct uart *u)
{
	return (fifo_on(u) ? UART_FIFO : 1u) - MIN_OF(u->s.rx_count, fifo_on(u) ? UART_FIFO : 1u);
}

static unsigned rx_trigger(const struct uart *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };

	return fifo_on(u) ? level[u->s.fcr >> 6] : 1;
}

/* ---- what follows from the state -------------------------------------------------------------------- */

static bool any_char_error(const struct uart_state *s)
{
	for (unsigned i = 0; i < s->rx_count; i++)
		if (s->rx_error[(s->rx_head + i) % UART_FIFO])
			return true;
	return false;
}

static uint8_t line_status(const struct uart *u)
{
	const struct uart_state *s = &u->s;
	uint8_t lsr = s->lsr & LSR_OE;

	if (s->rx_count)
		lsr |= LSR_DR | s->rx_error[s->rx_head];
	if (!s->tx_count)
		lsr |= LSR_THRE | LSR_TEMT;
	if (fifo_on(u) && any_char_error(s))
		lsr |= LSR_FIFO_E;
	return lsr;
}

/* The highest interrupt that is pending and enabled, as IIR shows it. */
static uint8_t interrupt_id(const struct uart *u)
{
	const struct uart_state *s = &u->s;

	if ((s->ier & IER_LSR) && (line_status(u) & (LSR_OE | LSR_CHAR)))
		return IIR_LSR;
	if ((s->ier & IER_RDA) && s->rx_count >= rx_trigger(u))
		return IIR_RDA;
	if ((s->ier & IER_RDA) && s->timeout_pending)
		return IIR_TIMEOUT;
	if ((s->ier & IER_THRE) && s->thr_ipending)
		return IIR_THRE;
	if ((s->ier & IER_MSR) && (s->msr & MSR_DELTA))
		return IIR_MSR;
	return IIR_NONE;
}

static void uart_settle(struct device *dev)
{
	struct uart *u = to_uart(dev);
	bool pending = interrupt_id(u) != IIR_NONE;

	/* OUT2 gates the line on every PC; in loopback it is disconnected from its pin. */
	irq_set(&u->irq, pending && (u->s.mcr & MCR_OUT2) && !(u->s.mcr & MCR_LOOP));
	if (u->s.timeout_at)
		timer_arm(&u->timeout, (int64_t)u->s.timeout_at);
	else
		timer_cancel(&u->timeout);
	if (u->s.tx_count && !u->retry.armed)
		timer_arm(&u->retry, timer_now(dev->timers) + RETRY_NS);
}

static void start_timeout(struct uart *u)
{
	uint64_t divisor = u->s.dll | u->s.dlm << 8;

	u->s.timeout_pending = 0;
	u->s.timeout_at = 0;
	if (!fifo_on(u) || !u->s.rx_count)
		return;
	u->s.timeout_at = (uint64_t)timer_now(u->dev.timers) + TIMEOUT_CHARS * BITS_A_CHAR * 16 *
								       (divisor ? divisor : 1) *
								       1000000000ull / CLOCK_HZ;
}

static void timeout_expired(void *opaque)
{
	struct uart *u = opaque;

	u->s.timeout_at = 0;
	u->s.timeout_pending = u->s.rx_count > 0;
	uart_settle(&u->dev);
}

/* ---- receiving -------------------------------------------------------------------------------------- */

static void rx_push(struct uart *u, uint8_t byte, uint8_t errors)
{
	struct uart_state *s = &u->s;

	if (!rx_room(u)) {
		s->lsr |= LSR_OE;
		/* Without FIFO the newcomer overwrites; with it the newcomer is lost. */
		if (!fifo_on(u))
			s->rx[s->rx_head] = byte;
		return;
	}
	s->rx[(s->rx_head + s->rx_count) % UART_FIFO] = byte;
	s->rx_error[(s->rx_head + s->rx_count) % UART_FIFO] = errors;
	s->rx_count++;
	start_timeout(u);
}

static uint8_t rx_pop(struct uart *u)
{
	struct uart_state *s = &u->s;
	uint8_t byte = s->rx[s->rx_head];

	if (!s->rx_count)
		return byte; /* the register keeps what was in it */
	s->rx_error[s->rx_head] = 0;
	if (--s->rx_count)
		s->rx_head = (s->rx_head + 1) % UART_FIFO;
	start_timeout(u);
	return byte;
}

static void rx_clear(struct uart *u)
{
	u->s.rx_count = u->s.rx_head = 0;
	memset(u->s.rx_error, 0, sizeof(u->s.rx_error));
	start_timeout(u);
}

size_t uart_can_receive(const struct uart *u)
{
	return u->s.mcr & MCR_LOOP ? 0 : rx_room(u);
}

size_t uart_receive(struct uart *u, const uint8_t *bytes, size_t len)
{
	size_t n = MIN_OF(len, uart_can_receive(u));

	for (size_t i = 0; i < n; i++)
		rx_push(u, bytes[i], 0);
	if (n < len)
		u->s.starved = 1;
	uart_settle(&u->dev);
	return n;
}

void uart_receive_break(struct uart *u)
{
	if (u->s.mcr & MCR_LOOP)
		return;
	rx_push(u, 0, LSR_BI);
	uart_settle(&u->dev);
}

/* The guest made room: tell whoever had to wait.  Last in an access, since the back end may call
 * uart_receive. */
static void tell_ready(struct uart *u)
{
	if (!u->s.starved || u->s.rx_count || (u->s.mcr & MCR_LOOP))
		return;
	u->s.starved = 0;
	if (u->backend.receive_ready)
		u->backend.receive_ready(u->backend.opaque);
}

/* ---- sending ---------------------------------------------------------------------------------------- */

static void tx_drain(struct uart *u)
{
	struct uart_state *s = &u->s;
	size_t n = s->tx_count;

	if (!n)
		return;
	if (u->backend.write)
		n = MIN_OF(u->backend.write(u->backend.opaque, s->tx, n), n);
	memmove(s->tx, s->tx + n, s->tx_count - n);
	s->tx_count -= (uint8_t)n;
	if (!s->tx_count)
		s->thr_ipending = 1;
}

void uart_writable(struct uart *u)
{
	tx_drain(u);
	uart_settle(&u->dev);
}

static void retry_expired(void *opaque)
{
	uart_writable(opaque);
}

static void tx_push(struct uart *u, uint8_t byte)
{
	struct uart_state *s = &u->s;

	/* Writing withdraws the request; let the wire show it, for the next one is an edge. */
	s->thr_ipending = 0;
	uart_settle(&u->dev);
	if (s->mcr & MCR_LOOP) {
		rx_push(u, byte, 0);
		s->thr_ipending = 1;
		return;
	}
	if (s->tx_count == (fifo_on(u) ? UART_FIFO : 1)) {
		tx_drain(u);
		if (s->tx_count == UART_FIFO)
			return; /* overrun by a guest that does not look at THRE */
	}
	s->tx[s->tx_count++] = byte;
	tx_drain(u);
}

/* ---- modem lines ------------------------------------------------------------------------------------ */

/* The upper half of MSR from the far end, or from our own outputs in loopback; changes leave delta bits. */
static void update_msr(struct uart *u)
{
	struct uart_state *s = &u->s;
	uint8_t now = u->backend.write ? MSR_CONNECTED : 0, was = s->msr & 0xf0, delta;

	if (s->mcr & MCR_LOOP) {
		now = (uint8_t)((s->mcr & 0x0c) << 4);  /* OUT1 -> RI, OUT2 -> DCD */
		now |= (uint8_t)((s->mcr & 0x02) << 3); /* RTS -> CTS */
		now |= (uint8_t)((s->mcr & 0x01) << 5); /* DTR -> DSR */
	}
	delta = (uint8_t)((now ^ was) >> 4);
	/* RI counts only when it ends. */
	if ((delta & MSR_TERI) && (now & MSR_RI))
		delta &= (uint8_t)~MSR_TERI;
	s->msr = (uint8_t)(now | (s->msr & MSR_DELTA) | delta);
}

/* ---- registers -------------------------------------------------------------------------------------- */

static uint8_t read_iir(struct uart *u)
{
	uint8_t id = interrupt_id(u);

	if (id == IIR_THRE)
		u->s.thr_ipending = 0;
	return id | (fifo_on(u) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct uart *u)
{
	uint8_t lsr = line_status(u);

	u->s.lsr = 0;
	if (u->s.rx_count)
		u->s.rx_error[u->s.rx_head] = 0;
	return lsr;
}

static uint8_t read_msr(struct uart *u)
{
	uint8_t msr = u->s.msr;

	u->s.msr &= (uint8_t)~MSR_DELTA;
	return msr;
}

static uint8_t read_register(struct uart *u, unsigned off)
{
	struct uart_state *s = &u->s;

	switch (off) {
	case 0:
		return s->lcr & LCR_DLAB ? s->dll : rx_pop(u);
	case 1:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case 2:
		return read_iir(u);
	case 3:
		return s->lcr;
	case 4:
		return s->mcr;
	case 5:
		return read_lsr(u);
	case 6:
		return read_msr(u);
	default:
		return s->scr;
	}
}

static void write_ier(struct uart *u, uint8_t v)
{
	uint8_t was = u->s.ier;

	u->s.ier = v & 0x0f;
	/* Enabling the request while the transmitter is empty raises it. */
	if ((u->s.ier & IER_THRE) && !(was & IER_THRE) && !u->s.tx_count)
		u->s.thr_ipending = 1;
}

static void write_fcr(struct uart *u, uint8_t v)
{
	struct uart_state *s = &u->s;

	if ((v ^ s->fcr) & FCR_ENABLE)
		v |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (v & FCR_CLEAR_RX)
		rx_clear(u);
	if ((v & FCR_CLEAR_TX) && s->tx_count) {
		s->tx_count = 0;
		s->thr_ipending = 1;
	}
	/* The other bits are only there with the FIFOs enabled. */
	s->fcr = v & FCR_ENABLE ? v & 0xc9 : 0;
	start_timeout(u);
}

static void write_register(struct uart *u, unsigned off, uint8_t v)
{
	struct uart_state *s = &u->s;

	switch (off) {
	case 0:
		if (s->lcr & LCR_DLAB)
			s->dll = v;
		else
			tx_push(u, v);
		break;
	case 1:
		if (s->lcr & LCR_DLAB)
			s->dlm = v;
		else
			write_ier(u, v);
		break;
	case 2:
		write_fcr(u, v);
		break;
	case 3:
		s->lcr = v;
		break;
	case 4:
		s->mcr = v & 0x1f;
		update_msr(u);
		break;
	case 7:
		s->scr = v;
		break;
	default: /* LSR and MSR are for the factory's tests */
		break;
	}
}

static uint64_t uart_read(void *opaque, uint64_t off, unsigned size)
{
	struct uart *u = opaque;
	uint64_t v = 0;

	for (unsigned i = 0; i < size && off + i < 8; i++)
		v |= (uint64_t)read_register(u, (unsigned)off + i) << 8 * i;
	uart_settle(&u->dev);
	tell_ready(u);
	return v;
}

static void uart_write(void *opaque, uint64_t off, unsigned size, uint64_t v)
{
	struct uart *u = opaque;

	for (unsigned i = 0; i < size && off + i < 8; i++)
		write_register(u, (unsigned)off + i, (uint8_t)(v >> 8 * i));
	uart_settle(&u->dev);
	tell_ready(u);
}

static const struct io_ops uart_ops = { uart_read, uart_write };

/* ---- the class -------------------------------------------------------------------------------------- */

static void uart_reset(struct device *dev)
{
	struct uart *u = to_uart(dev);

	u->s.dll = 12; /* 9600: the data sheet leaves it undefined */
	u->s.thr_ipending = 0;
	u->s.msr = u->backend.write ? MSR_CONNECTED : 0;
	/* Whoever was waiting must hear of room again. */
	u->s.starved = 1;
}

static bool uart_check(const void *state, GError **error)
{
	const struct uart_state *s = state;

	if (s->rx_count > UART_FIFO || s->rx_head >= UART_FIFO || s->tx_count > UART_FIFO)
		return fail(error, SERAI_ERROR_STATE, "uart: FIFO index out of range");
	return true;
}

#define S struct uart_state
static const struct state_field uart_fields[] = {
	STATE_FIELD(S, ier, 1),
	STATE_FIELD(S, fcr, 1),
	STATE_FIELD(S, lcr, 1),
	STATE_FIELD(S, mcr, 1),
	STATE_FIELD(S, msr, 1),
	STATE_FIELD(S, lsr, 1),
	STATE_FIELD(S, scr, 1),
	STATE_FIELD(S, dll, 1),
	STATE_FIELD(S, dlm, 1),
	STATE_FIELD(S, thr_ipending, 1),
	STATE_FIELD(S, timeout_pending, 1),
	STATE_FIELD(S, starved, 1),
	STATE_FIELD(S, rx_count, 1),
	STATE_FIELD(S, rx_head, 1),
	STATE_FIELD(S, tx_count, 1),
	STATE_ARRAY(S, rx, 1),
	STATE_ARRAY(S, rx_error, 1),
	STATE_ARRAY(S, tx, 1),
	STATE_FIELD(S, timeout_at, 1),
};
#undef S

const struct device_class uart_class = {
	DEVICE_STATE("uart", 1, struct uart, uart_fields),
	.state.check = uart_check,
	.reset = uart_reset,
	.settle = uart_settle,
};

void uart_init(struct uart *u, const char *instance, struct physmap *mem, struct timer_queue *timers,
	uint16_t port, const struct uart_backend *backend)
{
	struct port_range range = { port, 8, &uart_ops, u, "uart" };

	memset(u, 0, sizeof(*u));
	device_init(&u->dev, &uart_class, instance, mem, timers);
	if (backend)
		u->backend = *backend;
	timer_init(&u->timeout, timers, timeout_expired, u);
	timer_init(&u->retry, timers, retry_expired, u);
	port_add(mem, &range);
}
