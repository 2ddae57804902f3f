/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg by port and by DMA; the debug ports; the backdoor. */
#include "monitor/dev/backdoor.h"
#include "monitor/dev/debug_port.h"
#include "monitor/dev/fw_cfg.h"
#include "tests/unit/rig.h"

#include <endian.h>

#define DESCRIPTOR 0x1000
#define BUFFER     0x2000

struct bench {
	struct rig *r;
	struct fw_cfg f;
	unsigned status;
	GString *text;
};

static int setup(void **state)
{
	struct bench *b = g_new0(struct bench, 1);

	b->r = rig_new();
	b->text = g_string_new(NULL);
	fw_cfg_init(&b->f, &b->r->mem, &b->r->timers);
	device_reset(&b->f.dev);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	fw_cfg_destroy(&b->f);
	g_string_free(b->text, TRUE);
	rig_free(b->r);
	g_free(b);
	return 0;
}

static uint32_t dma(struct bench *b, uint32_t control, uint32_t len, uint64_t address)
{
	rig_write(b->r, DESCRIPTOR, 4, htobe32(control));
	rig_write(b->r, DESCRIPTOR + 4, 4, htobe32(len));
	rig_write(b->r, DESCRIPTOR + 8, 8, htobe64(address));
	rig_out32(b->r, 0x514, 0);
	rig_out32(b->r, 0x518, htobe32(DESCRIPTOR));
	return be32toh((uint32_t)rig_read(b->r, DESCRIPTOR, 4));
}

static void signature_and_id(void **state)
{
	struct bench *b = *state;

	rig_out16(b->r, 0x510, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_in8(b->r, 0x511), "QEMU"[i]);
	assert_int_equal(rig_in8(b->r, 0x511), 0);
	rig_out16(b->r, 0x510, 1);
	assert_int_equal(rig_in8(b->r, 0x511), 3);
	assert_int_equal(rig_in32(b->r, 0x514), 0x554d4551); /* "QEMU" as a little-endian machine reads it */
	assert_int_equal(rig_in32(b->r, 0x518), 0x47464320);
}

static void files_by_port(void **state)
{
	struct bench *b = *state;
	uint8_t entry[64];

	assert_true(fw_cfg_add_file(&b->f, "zeta", "zz", 2, NULL));
	assert_true(fw_cfg_add_file(&b->f, "bootorder", "abc", 3, NULL));
	assert_true(fw_cfg_add_file(&b->f, "zeta", "ZZZZ", 4, NULL)); /* replaces */
	rig_out16(b->r, 0x510, 0x19);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_in8(b->r, 0x511), i == 3 ? 2 : 0);
	for (unsigned i = 0; i < 64; i++)
		entry[i] = rig_in8(b->r, 0x511);
	assert_string_equal((char *)entry + 8, "bootorder");
	assert_int_equal(entry[3], 3);
	rig_out16(b->r, 0x510, (uint16_t)(entry[4] << 8 | entry[5]));
	assert_int_equal(rig_in8(b->r, 0x511), 'a');
	assert_int_equal(rig_in8(b->r, 0x511), 'b');
	assert_true(rig_reloads_golden(b->r, &b->f.dev, "fw_cfg-v1"));
	assert_int_equal(rig_in8(b->r, 0x511), 'c');
	assert_int_equal(rig_in8(b->r, 0x511), 0);
}

static void dma_reads_skips_and_pads(void **state)
{
	struct bench *b = *state;

	fw_cfg_add_item(&b->f, FW_CFG_KERNEL_DATA, "0123456789", 10, NULL);
	memset(b->r->ram.base + BUFFER, 0xee, 32);
	assert_int_equal(dma(b, FW_CFG_KERNEL_DATA << 16 | 0x08, 0, 0), 0);
	assert_int_equal(dma(b, 0x04, 4, 0), 0);
	assert_int_equal(dma(b, 0x02, 3, BUFFER), 0);
	assert_memory_equal(b->r->ram.base + BUFFER, "456\xee", 4);
	assert_int_equal(dma(b, 0x02, 8, BUFFER), 0);
	assert_memory_equal(b->r->ram.base + BUFFER, "789\0\0\0\0\0\xee", 9);
	/* Memory that is not there, and more than there is of it. */
	assert_int_equal(dma(b, FW_CFG_KERNEL_DATA << 16 | 0x0a, 0xffffffff, 0xffffffffff00), 0);
	assert_int_equal(dma(b, FW_CFG_KERNEL_DATA << 16 | 0x0a, 0xffffffff, RIG_RAM - 4096), 0);
	assert_memory_equal(b->r->ram.base + RIG_RAM - 4096, "0123456789", 11);
}

static void only_writable_files_are_written(void **state)
{
	struct bench *b = *state;
	const uint8_t *data;
	uint32_t len;

	fw_cfg_add_file(&b->f, "etc/note", "....", 4, NULL);
	memcpy(b->r->ram.base + BUFFER, "WXYZ", 4);
	assert_int_equal(dma(b, FW_CFG_FILE_FIRST << 16 | 0x18, 4, BUFFER), 1);
	assert_true(fw_cfg_set_writable(&b->f, "etc/note"));
	assert_int_equal(dma(b, FW_CFG_FILE_FIRST << 16 | 0x18, 5, BUFFER), 1); /* past its end */
	assert_int_equal(dma(b, FW_CFG_FILE_FIRST << 16 | 0x18, 4, BUFFER), 0);
	data = fw_cfg_file(&b->f, "etc/note", &len);
	assert_int_equal(len, 4);
	assert_memory_equal(data, "WXYZ", 4);
}

static void refuses_what_does_not_fit(void **state)
{
	struct bench *b = *state;
	g_autofree char *name = g_strnfill(56, 'x');
	g_autoptr(GError) error = NULL;

	assert_false(fw_cfg_add_file(&b->f, name, "", 0, &error));
	assert_non_null(error);
	assert_false(fw_cfg_add_item(&b->f, 0x19, "", 0, NULL));
	for (unsigned i = 0; i < FW_CFG_FILES; i++) {
		g_autofree char *n = g_strdup_printf("f%u", i);

		assert_true(fw_cfg_add_file(&b->f, n, "", 0, NULL));
	}
	assert_false(fw_cfg_add_file(&b->f, "one more", "", 0, NULL));
}

static void on_exit_port(void *opaque, unsigned status)
{
	((struct bench *)opaque)->status = status;
}

static void on_text(void *opaque, uint8_t byte)
{
	g_string_append_c(((struct bench *)opaque)->text, (char)byte);
}

static void debug_ports(void **state)
{
	struct bench *b = *state;
	struct debug_console console;
	struct debug_exit ending;

	assert_true(debug_console_init(&console, &b->r->mem, 0x402, on_text, b));
	assert_true(debug_exit_init(&ending, &b->r->mem, 0xf4, on_exit_port, b));
	assert_int_equal(rig_in8(b->r, 0x402), 0xe9);
	rig_out8(b->r, 0x402, 'h');
	rig_out8(b->r, 0x402, 'i');
	assert_string_equal(b->text->str, "hi");
	rig_out32(b->r, 0xf4, 0x10);
	assert_int_equal(b->status, 0x21);
}

static void backdoor(void **state)
{
	struct backdoor d = { .ram_bytes = 512ull << 20,
		.tsc_khz = 2500000,
		.apic_hz = 66000000,
		.vcpus = 1,
		.uuid = { 1, 2, 3, 4 },
		.x2apic = true };
	uint64_t r[16] = { 0 };

	(void)state;
	r[1] = 10;
	r[2] = BACKDOOR_PORT;
	assert_false(backdoor_call(&d, 0, r));
	r[0] = BACKDOOR_MAGIC;
	assert_true(backdoor_call(&d, 0, r));
	assert_int_equal(r[0], 6);
	assert_int_equal(r[3], BACKDOOR_MAGIC);
	r[0] = BACKDOOR_MAGIC, r[1] = 45;
	assert_true(backdoor_call(&d, 0, r));
	assert_int_equal(r[0] | r[3] << 32, 2500000000ull);
	assert_int_equal(r[1], 66000000);
	r[0] = BACKDOOR_MAGIC, r[1] = 68;
	assert_true(backdoor_call(&d, 0, r));
	assert_int_equal(r[0], 8);
	r[0] = BACKDOOR_MAGIC, r[1] = 20;
	assert_true(backdoor_call(&d, 0, r));
	assert_int_equal(r[0], 512);
	r[0] = BACKDOOR_MAGIC, r[1] = 19;
	assert_true(backdoor_call(&d, 0, r));
	assert_int_equal(r[0], 0x04030201);
	r[0] = BACKDOOR_MAGIC, r[1] = 46;
	assert_true(backdoor_call(&d, 0, r));
	assert_true(r[2] > 1600000000 && r[6] == 0 && r[3] < 1000000);
	r[0] = BACKDOOR_MAGIC, r[1] = 0x7777;
	assert_true(backdoor_call(&d, 0, r));
	assert_int_equal(r[0], 0xffffffff);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(signature_and_id),
		T(files_by_port),
		T(dma_reads_skips_and_pads),
		T(only_writable_files_are_written),
		T(refuses_what_does_not_fit),
		T(debug_ports),
		T(backdoor),
	};

	return cmocka_run_group_tests_name("fw_cfg", tests, NULL, NULL);
}
