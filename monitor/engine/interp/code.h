/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/code.h - decoded instructions, kept per page of guest memory.
 *
 * Owns:    the decoded runs, their index by host page, and this vCPU's marks of the pages they were made from.
 * Promise: a run is found only while the bytes it was made from are unchanged.
 * Threads: the vCPU's own, but code_post, which is for everybody else.
 *
 * A run is consecutive decoded instructions in an array, ended by one that jumps or by a sentinel.  A page's
 * index has an entry per byte offset, in pieces of 64 that are there where a run begins (the translator has single
 * instructions done in very many pages); a bit per 64 bytes says where decoded bytes lie, so that data beside code may
 * be written without dropping the code.
 */
#ifndef SERAI_MONITOR_ENGINE_INTERP_CODE_H
#define SERAI_MONITOR_ENGINE_INTERP_CODE_H

#include "monitor/engine/interp/thunk.h"

#include <pthread.h>

#define CODE_PIECE 64 /* bytes of a page */

struct code_page {
	uint8_t *host;           /* the page's bytes */
	uint32_t **index[3];     /* per code size, PAGE_SIZE / CODE_PIECE of them, or NULL: offset in a piece to position
				    in the instruction array; 0: not decoded */
	uint64_t chunks;         /* 64-byte pieces that decoded instructions lie in */
	uint8_t idle_writes;     /* writes since something was decoded here */
	bool writable;           /* where it was last looked up, the guest may write it */
	bool marked;             /* it is kept for this vCPU (mem/ram.h) */
	struct code_page *next;  /* in its hash bucket */
};

struct code_posted {
	uint64_t ram_offset, len;
};

struct code_cache {
	struct insn *insns;
	uint32_t insn_used;
	struct code_page *pages;
	uint32_t page_used;
	struct code_page **buckets;

	pthread_mutex_t post_lock;
	struct code_posted *posted;
	unsigned posted_count, posted_room;
	bool writes_lost, marks_lost; /* there were more than could be kept */
};

bool code_cache_create(struct code_cache *c, GError **error);
void code_cache_destroy(struct code_cache *c, struct vcpu *v);

/* Forget everything; runs being executed are gone. */
void code_cache_flush(struct code_cache *c, struct vcpu *v);

/* The physical map changed: what is not RAM may have gone. */
void code_cache_remap(struct code_cache *c, struct vcpu *v);

/* Where the instruction at this offset lies in the instruction array; 0: not decoded. */
static inline uint32_t code_page_find(const struct code_page *p, unsigned code_size, unsigned off)
{
	uint32_t *const *index = p->index[code_size];
	const uint32_t *piece = index ? index[off / CODE_PIECE] : NULL;

	return piece ? piece[off % CODE_PIECE] : 0;
}

/* Where its position is to be written, to be found from then on; NULL: no memory. */
uint32_t *code_page_place(struct code_page *p, unsigned code_size, unsigned off);

/* The page's record, made if there is none; NULL: full, flush first. */
struct code_page *code_page_get(struct code_cache *c, uint8_t *host);

/* Room for `count` more instructions and a page? */
bool code_cache_has_room(const struct code_cache *c, unsigned count);

/*
 * Writes to the page at this host address must be told to `who` (a bit of ram.kept) from now on; its bytes may be read
 * behind this.  Writes that other vCPUs do without a look-up until they know come as a write of the whole page.
 */
void code_keep(struct vcpu *v, const uint8_t *host, uint64_t who);

/* The same for this vCPU's decoded runs. */
void code_page_mark(struct vcpu *v, struct code_page *p);

/* These bytes were written by this vCPU's thread. */
void code_written(struct code_cache *c, struct vcpu *v, uint64_t ram_offset, uint64_t len);

/*
 * These bytes were written by another thread: remember, and ask for attention.  No bytes at all: another vCPU
 * began to keep code of this page, so this one's write access to it ends.
 */
void code_post(struct code_cache *c, struct vcpu *v, uint64_t ram_offset, uint64_t len);
void code_take_posted(struct code_cache *c, struct vcpu *v);

#endif
