/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/fuzz/fuzz_bzimage.c - any bytes as a kernel, Linux or multiboot. */
#include "base/log.h"
#include "monitor/firmware/linux.h"
#include "monitor/firmware/multiboot.h"

#include <stdlib.h>
#include <string.h>

#define RAM (48u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct guest {
	struct ram ram;
	struct physmap mem;
	struct boot_memory map;
};

/* Made at the first input and kept: creating RAM would be most of the time. */
static struct guest *guest(void)
{
	static struct guest g;

	if (!g.ram.base) {
		if (!ram_create(&g.ram, RAM, NULL))
			abort();
		physmap_init(&g.mem, &g.ram);
		pthread_mutex_lock(&g.mem.lock);
		physmap_add(&g.mem, &(struct phys_region){
					    .size = RAM, .rd = g.ram.base, .wr = g.ram.base, .name = "ram" });
		pthread_mutex_unlock(&g.mem.lock);
		boot_memory_init(&g.map, RAM);
		log_set_level(LOG_LEVEL_ERROR);
	}
	return &g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest *g = guest();
	struct boot_image kernel = { "kernel", data, size, "console=ttyS0" };
	struct boot_image module = { "module", (const uint8_t *)"abc", 3, "arguments" };
	struct boot_entry entry = { 0 };
	GError *error = NULL;
	bool ok;

	if (multiboot_probe(data, size))
		ok = multiboot_load(&g->mem, &g->map, &kernel, &module, 1, &entry, &error);
	else
		ok = linux_load(&g->mem, &g->map, &kernel, &module, 0, &entry, &error);
	if (ok == (error != NULL))
		abort();
	g_clear_error(&error);
	return 0;
}
