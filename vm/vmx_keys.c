/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm/vmx_keys.c - the keys we know, and which of them a person may have meant.
 *
 * `#` in a row stands for any decimal number.  A key that ends in `*` knows every key with that beginning.
 */
#include "vm/vmx.h"

#include <string.h>

static const char *const known_keys[] = {
	/* Serai reads these */
	"memsize",
	"numvcpus",
	"cpuid.coresPerSocket",
	"firmware",
	"displayName",
	"bios.bootOrder",
	"bios440.filename",
	"ide#:#.present",
	"ide#:#.fileName",
	"ide#:#.deviceType",
	"ide#:#.startConnected",
	"ide#:#.mode",
	"floppy#.present",
	"floppy#.fileName",
	"floppy#.fileType",
	"floppy#.startConnected",
	"serial#.present",
	"serial#.fileType",
	"serial#.fileName",
	"kernel",
	"initrd",
	"initrd#",
	"append",
	"engine",
	"engine.perfMap",
	"engine.trace",
	"engine.traceCount",
	"engine.traceFrom",
	"display",
	"debug.exitPort",
	"debug.consolePort",
	"cpu.mitigations",
	"cpu.mwait",
	"noReboot",
	"tripleFault",
	"log.level",
	"vgabios.filename",
	/* VMware's, carried along */
	".encoding",
	"config.version",
	"virtualHW.version",
	"virtualHW.productCompatibility",
	"guestOS",
	"annotation",
	"nvram",
	"extendedConfigFile",
	"uuid.*",
	"vc.uuid",
	"guestinfo.*",
	"tools.*",
	"isolation.*",
	"sched.*",
	"monitor.*",
	"hypervisor.cpuid.v#",
	"vhv.enable",
	"cleanShutdown",
	"softPowerOff",
	"powerType.*",
	"pciBridge#.*",
	"vmci#.*",
	"hpet#.present",
	"mks.*",
	"svga.*",
	"RemoteDisplay.*",
	"sound.*",
	"usb.*",
	"ehci.*",
	"usb_xhci.*",
	"parallel#.*",
	"scsi#.*",
	"scsi#:#.*",
	"sata#.*",
	"sata#:#.*",
	"nvme#.*",
	"ethernet#.*",
	"snapshot.*",
	"checkpoint.*",
	"migrate.*",
	"replay.*",
	"toolScripts.*",
	"time.synchronize.*",
	"rtc.*",
	"keyboardAndMouseProfile",
	"gui.*",
	"workingDir",
	"logging",
	"log.*",
	"priority.*",
	"numa.*",
	"mainMem.*",
	"MemTrimRate",
	"MemAllowAutoScaleDown",
	"autostart",
	"disk.*",
	"bios.*",
	"vpmc.enable",
	"fileSearchPath",
};

/* Lower case, every run of digits one '#'. */
static char *normalise(const char *key)
{
	GString *s = g_string_new(NULL);

	for (const char *p = key; *p; p++) {
		if (!g_ascii_isdigit(*p))
			g_string_append_c(s, g_ascii_tolower(*p));
		else if (s->len == 0 || s->str[s->len - 1] != '#')
			g_string_append_c(s, '#');
	}
	return g_string_free(s, FALSE);
}

static bool row_matches(const char *row, const char *key)
{
	g_autofree char *low = g_ascii_strdown(row, -1);
	size_t n = strlen(low);

	if (n && low[n - 1] == '*')
		return strncmp(low, key, n - 1) == 0;
	return strcmp(low, key) == 0;
}

bool vmx_key_known(const char *key)
{
	g_autofree char *norm = normalise(key);
	g_autofree char *low = g_ascii_strdown(key, -1);

	for (size_t i = 0; i < ARRAY_LEN(known_keys); i++)
		if (row_matches(known_keys[i], norm) || row_matches(known_keys[i], low))
			return true;
	return false;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; words over 64 bytes count as far apart. */
static unsigned edit_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned d[65][65];

	if (la > 64 || lb > 64)
		return 64;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			unsigned cost = g_ascii_tolower(a[i - 1]) != g_ascii_tolower(b[j - 1]);
			unsigned best = MIN_OF(d[i - 1][j] + 1, d[i][j - 1] + 1);

			best = MIN_OF(best, d[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN_OF(best, d[i - 2][j - 2] + 1);
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

/* How far a word may be from what was meant: one slip in short words, more in long ones. */
static unsigned tolerance(const char *word)
{
	size_t n = strlen(word);

	return n < 4 ? 1 : n < 12 ? 2 : 3;
}

/* Put the numbers of `key` where `row` has '#', so that the suggestion can be typed as it is. */
static char *fill_numbers(const char *row, const char *key)
{
	GString *s = g_string_new(NULL);

	for (; *row; row++) {
		if (*row != '#') {
			g_string_append_c(s, *row);
			continue;
		}
		while (*key && !g_ascii_isdigit(*key))
			key++;
		if (!*key)
			g_string_append_c(s, '0');
		while (g_ascii_isdigit(*key))
			g_string_append_c(s, *key++);
	}
	return g_string_free(s, FALSE);
}

char *vmx_key_suggest(const char *key)
{
	g_autofree char *norm = normalise(key);
	unsigned best = tolerance(key) + 1;
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(known_keys); i++) {
		unsigned d;

		if (strchr(known_keys[i], '*'))
			continue;
		d = edit_distance(norm, known_keys[i]);
		if (d < best) {
			best = d;
			found = known_keys[i];
		}
	}
	return found ? fill_numbers(found, key) : NULL;
}

const char *vmx_nearest_word(const char *word, const char *const *words)
{
	unsigned best = tolerance(word) + 1;
	const char *found = NULL;

	for (; *words; words++) {
		unsigned d = edit_distance(word, *words);

		if (d < best) {
			best = d;
			found = *words;
		}
	}
	return found;
}
