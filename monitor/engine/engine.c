/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/engine/engine.h"

#include <string.h>

static const struct engine *const engines[] = { &engine_interp, &engine_bt, &engine_diff };

const struct engine *engine_by_name(const char *name)
{
	for (size_t k = 0; k < ARRAY_LEN(engines); k++) {
		if (strcmp(engines[k]->name, name) == 0)
			return engines[k];
	}
	return NULL;
}
