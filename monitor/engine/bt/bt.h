/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/bt.h - the binary translator: blocks, the cache they lie in, and the engine around them.
 *
 * A block is guest code of one page, in one mode, as host code.  Guest registers live in the host's of the same
 * name, flags in the host's flags, vector registers in the host's; memory is reached through the software TLB
 * looked up inline.  Whatever has no translation runs through the interpreter's semantics from inside the block.
 *
 * In translated code:
 *   guest RAX..R13 (RSP too) are themselves, R14 and R15 stay in memory; the host's R14 and R15 are scratch (T0,
 *   T1); GS base is the vCPU.  There is no host stack: signals run on one of their own (recover.c).
 *   At a block's head the guest's flags are in vcpu.cc, unless nobody will read them; the host's are free.
 *   vcpu.bt.vectors_out is 0 while the vector registers and MXCSR are the guest's.
 *
 * All vCPUs of a machine share what is translated (struct bt_cache); what depends on a vCPU's TLB (jump cache, which
 * links hold) is its own, reached through the GS base.
 */
#ifndef SERAI_MONITOR_ENGINE_BT_BT_H
#define SERAI_MONITOR_ENGINE_BT_BT_H

#include "monitor/engine/bt/view.h"
#include "monitor/engine/interp/interp.h"

#include <signal.h>

#define BT_BLOCK_MAX  64          /* guest instructions in a block */
#define BT_HOST_MAX   (24u << 10) /* bytes of host code a block may take */
#define BT_CACHE_SIZE (56u << 20)
#define BT_REGIONS    8 /* the cache is reused region by region */
#define BT_REGION     (BT_CACHE_SIZE / BT_REGIONS)
#define BT_HOT        (BT_REGION / 5 * 2 & ~4095u) /* of it for what runs mostly, so that it lies together; the rest is cold */
/* A linear address's place in the jump cache: the upper bits of its low half times this. */
#define BT_JUMP_FACTOR 0x9e3779b1u
#define BT_BUCKETS    131072u
#define BT_LINKS      (VCPU_LINKS / BT_REGIONS) /* jumps into other pages, in a region */
#define BT_ROM_PAGES  1024u                     /* pages of code outside RAM */

/* What a block was translated for; code in any other mode is interpreted. */
enum bt_mode { BT_NONE, BT_64, BT_32 };
#define BT_PLAIN_FS 0x04u /* BT_32: FS and GS may be used by adding their base */
#define BT_PLAIN_GS 0x08u
#define BT_SSE      0x10u /* SSE may be used now, and no SIMD exception is unmasked */
#define BT_AVX      0x20u
#define BT_SINGLE   0x40u /* every access checks for itself */
#define BT_COUNT    0x80u /* instructions are counted against the budget */
#define BT_SUPER    0x200u /* CPL 0 */
#define BT_TSC      0x400u /* RDTSC is allowed */
#define BT_SMAP     0x1000u /* CPL 0, SMAP on, no watchpoints */
#define BT_WRITABLE 0x800u /* the guest may write the page: what follows a store may not be what it was */
#define BT_PRECISE  0x100u /* flags are right wherever they can be seen, not only where they are used */
#define BT_TALLY    0x2000u /* each block counts how often it runs */
#define BT_VIEW     0x4000u /* CPL 3 or 0: memory is reached through a view (view.h) */

struct bt_block;

/* What is translated of a page of code.  It exists as long as the cache. */
struct bt_page {
	uint8_t *host;           /* the page's bytes */
	struct bt_block *blocks;
	uint64_t chunks;         /* 64-byte pieces that something was made from */
	uint32_t version;        /* how often what was made from it was dropped */
	uint8_t idle_writes;     /* writes since something was made from it */
	bool kept;               /* it is marked in ram.kept */
	_Atomic bool no_view;    /* its accesses fault too often to go through a view */
	_Atomic uint16_t view_faults; /* since then */
	_Atomic uint32_t view_since;  /* host's milliseconds, of the last tick before */
};

/*
 * A direct jump into another page.  A vCPU takes it when the page it starts from has the linear address, and the
 * context is the one, in which that vCPU found that it leads to the code at `to`: vcpu.bt.linked[id] says so.  Which
 * block has that code may change.
 */
struct bt_link {
	const uint8_t *to; /* host address of the guest code it leads to; NULL: not known yet */
	_Atomic(const uint8_t *) code; /* of the block it leads to; NULL: to its own cold code */
	struct bt_link *next;    /* of those that lead to that block */
	struct bt_link **here;   /* what points to this one among them */
	int32_t offset;          /* of where it leads, from the start of the guest's page it starts in */
	int32_t jump;            /* where the displacement of its jump is, from here */
	int16_t cold;            /* and that cold code */
	uint16_t mode;           /* of blocks it may lead to */
	uint32_t id;
};

/* A jump within a page that asks to be linked: stands behind the code that asks, known by its address. */
struct bt_exit {
	int32_t jump;    /* where its displacement is, from here */
	uint16_t block;  /* how far behind its block this is */
	uint16_t offset; /* of where it leads, in the page */
} __attribute__((packed));

/*
 * How a jump is to be linked.  Within a page it may leave out the target's look at attention when it leads forward.
 * LINK_GONE: the vCPU knows where a jump into another page leads, but the jump does not.
 */
enum bt_link_kind { LINK_ANY, LINK_FORWARD, LINK_FORWARD_VECTORS, LINK_PAGE, LINK_GONE, LINK_KINDS };

/* Lies in the cold part of its region, before its cold code, points and sites. */
struct bt_block {
	const uint8_t *host_code; /* where it runs; NULL: cannot be translated */
	const uint8_t *guest;     /* host address of its first guest byte */
	struct bt_page *page;
	struct bt_page *second;           /* page its one instruction goes on in; NULL: none */
	_Atomic(struct bt_block *) next;  /* in its bucket */
	struct bt_block *next_in_page[2]; /* [1]: in the second page's list */
	struct bt_link *incoming; /* jumps from other pages that lead here */
	uint64_t la;        /* linear address it was first translated at */
	uint32_t runs;      /* BT_TALLY: in this window */
	uint16_t size;      /* bytes of the cold part, with this */
	uint16_t host_size; /* of the code at host_code */
	uint16_t points, links; /* places behind this: struct bt_point; struct bt_link, its jumps into other pages */
	uint16_t point_count, link_count;
	uint16_t out;       /* place behind this: code that leaves for whatever is at the block's address now */
	uint16_t count;     /* guest instructions */
	uint16_t mode;
	uint16_t skip;      /* where a jump that leads forward enters: without a look at attention, if none is needed */
	bool dead;          /* its bytes changed, or it was evicted */
	bool uses_vectors;
};

/* An instruction that always runs through its semantics. */
struct bt_site {
	struct insn insn;
	uint16_t offset; /* in its page */
	uint16_t rest;   /* instructions in the block behind it */
	bool leaves;     /* nothing behind it belongs to the block */
};

/* Host code that may raise a host exception, and whose guest instruction that is. */
struct bt_point {
	uint16_t start;       /* of the code, from the block's start */
	uint8_t size;         /* of the code; where it is longer, there are several */
	uint8_t rest;         /* instructions in the block from it on */
	uint16_t offset : 12; /* of the guest instruction in its page */
	uint16_t flags : 1;   /* the guest's are in the host's */
	int16_t sp;           /* what the guest's RSP is more than the host's */
};

static inline const struct bt_point *bt_points(const struct bt_block *k)
{
	return (const struct bt_point *)(const void *)((const uint8_t *)k + k->points);
}

static inline struct bt_link *bt_links(struct bt_block *k)
{
	return (struct bt_link *)(void *)((uint8_t *)k + k->links);
}

#define BT_CONTEXT_BITS 6

struct bt_context {
	uint64_t generation, tag; /* tag 0: none */
	uint32_t mode;
};

/* Flags that may be read by the code at an address, remembered. */
struct bt_ahead {
	const uint8_t *at; /* host address */
	uint32_t version;  /* of its page */
	uint32_t mode;
	uint16_t live;
};

#define BT_TOPS 20

/* What one window of measuring found (stats.c). */
struct bt_window {
	bool on;
	bool user;           /* what ran since `left` was noted was the guest's user code */
	uint64_t left;
	uint64_t began, ns;  /* host's nanoseconds: its start, its length */
	uint64_t ran[2];     /* instructions: kernel, user */
	unsigned tops;
	struct bt_top {
		uint64_t la, runs;
		uint16_t count, mode;
	} top[BT_TOPS]; /* blocks by instructions carried out, most first */
};

struct bt_region {
	_Atomic uint32_t used, cold_used; /* bytes */
	uint32_t links;
	uint64_t gone;    /* epoch in which it was evicted; 0: it is in use */
	uint64_t evicted; /* the last such */
	/* The first block with code in a page of the hot part: its place in the cold part and 1; 0: none. */
	_Atomic uint32_t first[BT_HOT / PAGE_SIZE + 1];
};

/*
 * What is translated, for all vCPUs of a machine.  It is changed under the lock; found (lookup.c, bt_cache_owner), run
 * and left without.  What is evicted is run by nobody new, but its memory is used again only when every vCPU has been
 * out of translated code since: the epoch counts evictions, and each vCPU says up to which it knows of none.
 */
struct bt_cache {
	pthread_mutex_t lock;
	struct vcpu *cpu[64]; /* that use it */
	unsigned cpus;
	bool several; /* vCPUs in the machine */
	uint8_t *rw, *rx; /* written through one mapping and run through the other */
	struct bt_region region[BT_REGIONS];
	unsigned filling; /* region */
	_Atomic uint64_t epoch;
	_Atomic(struct bt_block *) *buckets;
	uint64_t multiplier;         /* of their hash, odd, which the guest cannot know */
	_Atomic unsigned maps;       /* host mappings of all views */
	struct bt_page *page;               /* one per page of RAM */
	struct bt_page rom[BT_ROM_PAGES]; /* of other memory, by hash; an entry's host is set last */
	struct ram *ram;
	struct thunk_arena thunks; /* of sites */
	bool thunks_full;
	struct build *build;
	struct bt_ahead ahead[4096];
	unsigned quick; /* place that the last access of user code got */
	struct bt_perf *perf; /* NULL: perf is told nothing */
	struct {
		uint64_t translated, guest_instructions, evictions, links, killed;
	} stats;
	/* Code made once (fixed.c). */
	void (*enter)(const uint8_t *host_code, struct vcpu *v);
	const uint8_t *exit_lookup;  /* T0: the guest's RIP */
	const uint8_t *exit_link[LINK_PAGE]; /* T1: struct bt_exit */
	const uint8_t *exit_single;  /* the same, into the variant where every access checks for itself */
	const uint8_t *exit_head[2]; /* T1: the block, to be entered anew; [1]: as that variant */
	const uint8_t *exit_page[2]; /* T1: struct bt_link, not linked or not for here; [1]: 64-bit code */
	const uint8_t *exit_gone;    /* T1: the same, whose target is gone */
	const uint8_t *indirect;     /* T0: linear address to go on at */
	const uint8_t *site;         /* T0: the site, T1: where to go on */
	const uint8_t *miss;         /* T0: linear address, T1: struct bt_miss */
	const uint8_t *group_miss;   /* the same */
	const uint8_t *load_vectors; /* T1: where to go on */
	/* T0: a tag that the jump cache does not have.  At T1 if it has now, T1 being its slot; else behind that jump. */
	const uint8_t *lookup;
	size_t fixed;                /* end of that code */
};

#define BT_OUTSIDE UINT64_MAX

struct bt {
	struct interp in; /* first: the interpreter's functions find themselves in vcpu.engine_data */
	struct bt_cache *cache;
	uint64_t caught;       /* epoch whose evictions it has taken notice of */
	_Atomic uint64_t seen; /* the same, for others; BT_OUTSIDE: it runs nothing */
	uint64_t entered;  /* vcpu.bt.left when translated code was last entered */
	uint64_t held;     /* budget kept back while the interpreter does one instruction */
	bool counting;
	bool coin;       /* which of two jump cache entries goes */
	uint32_t mode;   /* of the code that runs */
	int64_t least; /* what must be left of the budget to go on */
	bool unbound; /* what it counts for is a window only */
	struct views views;
	struct bt_page *faulty; /* too many of its accesses faulted */
	struct bt_context contexts[2][1u << BT_CONTEXT_BITS]; /* of user code, of the kernel: it must not lose its own to processes */
	uint32_t context_count;
	uint64_t random; /* a state to draw from */
	struct bt_stats {
		uint64_t dispatches, misses, singles, group_misses, group_failures;
	} stats;
	uint64_t semantics[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* instructions that left translated code, by mnemonic */
	struct bt_window window;
	pthread_mutex_t window_lock; /* over the window's result */
	bool stack_gone; /* a signal took it and was left by a jump */
	uint8_t signal_stack[64u << 10] __attribute__((aligned(16)));
};

/* The mode of the code in this page. */
static inline unsigned bt_page_mode(const struct code_page *p, const struct bt_page *t, unsigned mode)
{
	bool no_view = atomic_load_explicit(&t->no_view, memory_order_relaxed);

	return (mode | (p->writable ? BT_WRITABLE : 0)) & ~(no_view ? BT_VIEW : 0);
}

/* Instructions in a block at most. */
static inline unsigned bt_limit(const struct vcpu *v)
{
	return v->block_limit ? v->block_limit : BT_BLOCK_MAX;
}

/* Data in the code of a slow path, behind which a jump to the look-up again stands, and the way to what comes after. */
struct bt_miss {
	uint16_t offset; /* of the instruction in its page */
	uint16_t size;   /* bytes looked up */
	uint8_t kind;    /* enum tlb_kind */
	uint8_t len;     /* of the instruction; 0: it is a branch */
	uint8_t align;   /* the address must be a multiple of this, if not 0 */
	uint8_t rest;    /* instructions in the block behind it */
} __attribute__((packed));

#define BT_JMP_SIZE 5 /* bytes of a near jump */

/* ---- fixed.c: entry, exits and what is shared by slow paths */

bool bt_make_fixed_code(struct bt_cache *c, GError **error);

/* ---- run.c: called from translated code */

int bt_call_site(struct vcpu *v, const struct bt_site *site);
int bt_miss(struct vcpu *v, uint64_t la, const struct bt_miss *m);
int bt_group_miss(struct vcpu *v, uint64_t la, const struct bt_miss *m);

/* ---- build.c */

/*
 * Translate the code at offset of the page in this mode (second: the page it goes on in), under the lock; NULL: no room
 * now, or it cannot be translated.
 */
struct bt_block *bt_build(struct vcpu *v, struct bt *b, struct bt_page *page, struct bt_page *second,
	unsigned offset, unsigned mode);

/* ---- cache.c */

/* The machine's cache, made if v is the first to use it. */
bool bt_cache_join(struct vcpu *v, struct bt *b, GError **error);
void bt_cache_leave(struct vcpu *v, struct bt *b);

/* From here on the vCPU may run translated code, until bt_cache_exit. */
void bt_cache_enter(struct vcpu *v, struct bt *b);
void bt_cache_exit(struct bt *b);
/* It is out of translated code and knows nothing of any: it takes notice of evictions. */
void bt_cache_catch_up(struct vcpu *v, struct bt *b);

/* Everybody looks up anew what to run, soon. */
void bt_cache_attention(struct bt_cache *c);

/* These bytes of RAM were written.  Any thread. */
void bt_cache_written(struct bt_cache *c, uint64_t ram_offset, uint64_t len);

/* ---- the rest under the lock */

/* Forget everything; all: what was made from RAM too. */
void bt_cache_forget(struct vcpu *v, struct bt *b, bool all);
/* Room for one more block of any size, in the write mapping, and for its hot code; evicts what has been there for
 * longest.  NULL: not yet, others may still run what was there. */
struct bt_block *bt_cache_room(struct vcpu *v, struct bt *b, uint8_t **hot);
/* The block made there is whole: it can be found from now on. */
void bt_cache_insert(struct bt_cache *c, struct bt_block *block);
/* Every block whose place has not been used again, dead ones too. */
void bt_cache_each(struct bt_cache *c, void (*fn)(void *opaque, struct bt_block *k), void *opaque);
/* Whose code is this? NULL: nobody's.  Without the lock, by who runs it. */
const struct bt_block *bt_cache_owner(const struct bt_cache *c, const uint8_t *rx);
/* This jump within a page, at the place of its displacement in the write mapping, leads there from now on. */
void bt_cache_patch(struct bt_cache *c, uint8_t *at, const uint8_t *to);
/* This jump into another page leads to the block from now on, if it may; false: it may not. */
bool bt_cache_link(struct bt_cache *c, struct bt_link *l, struct bt_block *k);
/* Nothing made from this page will be entered again. */
void bt_cache_kill_page(struct bt_cache *c, struct bt_page *p);

/* ---- look-up, without the lock; lookup.c has it too, where no vector registers may be used */

/* The record of the page at this host address; NULL: it is not RAM, and too many such pages have code. */
static inline struct bt_page *bt_page_at(struct bt_cache *c, uint8_t *host)
{
	struct bt_page *p;

	if (ram_contains(c->ram, host))
		return &c->page[ram_offset(c->ram, host) >> PAGE_SHIFT];
	for (unsigned n = 0; n < BT_ROM_PAGES; n++) {
		uint8_t *there;

		p = &c->rom[((uintptr_t)host / PAGE_SIZE + n) % BT_ROM_PAGES];
		there = __atomic_load_n(&p->host, __ATOMIC_ACQUIRE);
		if (!there) { /* two may find it free */
			if (__atomic_compare_exchange_n(&p->host, &there, host, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
				return p;
		}
		if (there == host)
			return p;
	}
	return NULL;
}

static inline uint64_t bt_hash(const struct bt_cache *c, const uint8_t *guest, unsigned mode)
{
	return ((uintptr_t)guest ^ (uint64_t)mode << 52) * c->multiplier;
}

static inline _Atomic(struct bt_block *) *bt_bucket(struct bt_cache *c, const uint8_t *guest, unsigned mode)
{
	return &c->buckets[(bt_hash(c, guest, mode) >> 47) & (BT_BUCKETS - 1)];
}

static inline struct bt_block *bt_cache_find(
	struct bt_cache *c, const uint8_t *guest, const struct bt_page *second, unsigned mode)
{
	struct bt_block *k = atomic_load_explicit(bt_bucket(c, guest, mode), memory_order_acquire);

	while (k && (k->guest != guest || k->mode != mode || k->second != second))
		k = atomic_load_explicit(&k->next, memory_order_acquire);
	return k;
}

/* What the vCPU knows of the guest's code at this host address. */
static inline struct vcpu_known *bt_known(struct vcpu *v, const struct bt_cache *c, const uint8_t *guest, unsigned mode)
{
	return &v->bt.known[bt_hash(c, guest, mode) >> (64 - VCPU_KNOWN_BITS)];
}

static inline uint64_t bt_known_key(const uint8_t *guest, unsigned mode)
{
	return (uintptr_t)guest | (uint64_t)mode << 48;
}

/* ---- lookup.c */

/* Code for this offset of a page whose record the TLB has; NULL: not known. */
const uint8_t *bt_find_in_page(struct vcpu *v, struct bt *b, const struct code_page *page, unsigned offset, unsigned mode);

/* Where the jump cache may have it: here or in the slot beside. */
static inline unsigned bt_jump_slot(uint64_t la)
{
	return (uint32_t)la * BT_JUMP_FACTOR >> (32 - VCPU_JUMP_BITS);
}

/* From now on the jump cache has it; returns its slot. */
unsigned bt_insert_jump(struct vcpu *v, struct bt *b, uint64_t la, const uint8_t *host);
/* Called from translated code: the slot that the block at la now has, or -1: C's business. */
int bt_lookup(struct vcpu *v, uint64_t la);
/* ---- stats.c: what the engine tells of itself */

/* vtable's tell. */
void bt_tell(struct vcpu *v, engine_tell_fn *fn, void *opaque);
/* A window of measuring begins or ends, as vcpu.measure says. */
void bt_window_switch(struct vcpu *v, struct bt *b);
/* What has run since the last call was in the mode that was noted then. */
void bt_window_note(struct vcpu *v, struct bt *b);

/* ---- perf.c: /tmp/perf-PID.map */

/* Is perf to be told? */
bool bt_perf_wanted(const struct vcpu *v);
bool bt_perf_create(struct bt_cache *c, GError **error);
void bt_perf_destroy(struct bt_cache *c);
void bt_perf_block(void *cache, struct bt_block *k);
/* Blocks have gone: names of what is left. */
void bt_perf_again(struct bt_cache *c);
void bt_perf_flush(struct bt_cache *c);

/* ---- recover.c: a host exception in translated code, as struct interp's recover */
int bt_recover(struct vcpu *v, const void *ucontext, uintptr_t pc);
/* This thread's signals get a stack of their own; before (may be NULL): what they had. */
void bt_signal_stack(struct bt *b, stack_t *before);

#endif
