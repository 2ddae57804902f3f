/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base/log.h - one line per event, to standard error or the VM's log file.
 *
 * Threads: any.  Lines never mix.  Not for text a person asked for: that goes to stdout.
 */
#ifndef SERAI_BASE_LOG_H
#define SERAI_BASE_LOG_H

#include "base/compiler.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_TRACE };

/* Show lines up to and including `level`.  Default: warnings. */
void log_set_level(enum log_level level);

/* Send lines to `fd` (not owned) instead of standard error. */
void log_set_fd(int fd);

/* Parse "error", "warn", "info", "debug", "trace"; false when it is none of them. */
bool log_parse_level(const char *text, enum log_level *level);

/* True when a line of this level would be shown; for arguments that cost something. */
bool log_enabled(enum log_level level);

/* `module` is a short lower-case name: "ide", "cpu", "boot". */
void log_line(enum log_level level, const char *module, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(module, ...) log_line(LOG_LEVEL_ERROR, module, __VA_ARGS__)
#define log_warn(module, ...)  log_line(LOG_LEVEL_WARN, module, __VA_ARGS__)
#define log_info(module, ...)  log_line(LOG_LEVEL_INFO, module, __VA_ARGS__)
#define log_debug(module, ...)                                                                                         \
	do {                                                                                                           \
		if (unlikely(log_enabled(LOG_LEVEL_DEBUG)))                                                            \
			log_line(LOG_LEVEL_DEBUG, module, __VA_ARGS__);                                                \
	} while (0)
#define log_trace(module, ...)                                                                                         \
	do {                                                                                                           \
		if (unlikely(log_enabled(LOG_LEVEL_TRACE)))                                                            \
			log_line(LOG_LEVEL_TRACE, module, __VA_ARGS__);                                                \
	} while (0)

#endif
