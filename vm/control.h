/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm/control.h - the control protocol between serai-vmx and whoever steers it: one JSON object a line, both
 * ways.
 *
 * Request:  {"command":"status"}           commands: CONTROL_COMMANDS; "save" takes "file"
 * Answer:   {"version":1,"ok":true, ...}   or {"version":1,"ok":false,"error":"..."}
 *   status:  "name", "config", "pid", "state" ("running", "paused", "off"), "engine", "cpus", "memory" (MiB)
 *   screen:  "text" (lines), "columns", "rows", "cursor_column", "cursor_row"; an error in graphics modes
 *   stats:   "text" (a counter a line), "cpuN" objects of counters, with objects of counters of one kind in them
 *   measure: (takes "ms") engines look at themselves more closely from now on, until then or the next stats
 * A request on a connection is answered before the next is read.
 *
 * Sockets live in one directory a person owns alone (mode 0700), named by process: PID.sock.
 */
#ifndef SERAI_VM_CONTROL_H
#define SERAI_VM_CONTROL_H

#include "vm/json.h"

#define CONTROL_VERSION  1
#define CONTROL_LINE_MAX 65536

/* $XDG_RUNTIME_DIR/serai, else /tmp/serai-UID; created when `create`.  Refused when it belongs to someone
 * else. NULL on error (g_free). */
char *control_directory(bool create, GError **error);

/*
 * Connect to the running VM that `vm` names: its .vmx file, its display name, its process number, or NULL
 * when only one runs.  Returns a connected descriptor or -1.
 */
int control_connect(const char *vm, GError **error);

/* Send one request (a whole object, as json_end leaves it) and read its answer; false also when it says ok:
 * false.  `text`, unless NULL, receives the answer as it came, one line (g_free). */
bool control_ask(int fd, const char *request, struct json **answer, char **text, GError **error);

/* Call fn with each running VM's answer to "status", read and as it came. */
typedef void control_status_fn(void *opaque, const struct json *status, const char *text);
bool control_foreach(control_status_fn *fn, void *opaque, GError **error);

#endif
