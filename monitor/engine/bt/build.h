/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/build.h - making one block: what its builders know of it.
 *
 * scan.c decodes the guest code and finds out what each instruction needs; build.c walks over the result and emits
 * host code, with access.c for memory, flow.c for the ways out, mangle.c for plain instructions.  The hot path is
 * emitted in order; what is rarely taken is remembered as `struct cold` and emitted behind it.
 */
#ifndef SERAI_MONITOR_ENGINE_BT_BUILD_H
#define SERAI_MONITOR_ENGINE_BT_BUILD_H

#include "monitor/engine/bt/bt.h"
#include "monitor/engine/bt/emit.h"
#include "monitor/engine/operands.h"

#define GROUPS_MAX 16
#define COLD_MAX   (6 * BT_BLOCK_MAX + 8)
#define STATUS     0x8d5u /* CF PF AF ZF SF OF */

enum op_kind {
	K_SITE,  /* through its semantics */
	K_LEAVE_BLOCK, /* the same, and nothing behind it belongs to the block */
	K_NOTHING,
	K_COPY,  /* the same bytes */
	K_PLAIN, /* re-encoded */
	K_LEA,
	K_PUSH,
	K_PUSHF,
	K_POPF,
	K_CLI,
	K_STI,
	K_RDTSC,
	K_SMAP, /* STAC, CLAC */
	K_SWAPGS,
	K_CLD,
	K_PAUSE,
	K_MOV_FROM, /* MOV from a segment or control register to a general one */
	K_STRING, /* REP MOVS, REP STOS */
	K_ELEMENT, /* MOVS, STOS */
	K_POP,
	K_LEAVE,
	K_JMP,     /* direct, like the next two; a followed one is K_NOTHING */
	K_CALL,
	K_JCC,
	K_LOOP, /* LOOP and JRCXZ */
	K_JMP_TO, /* indirect */
	K_CALL_TO,
	K_RET,
};

/* One memory access of an instruction. */
struct access {
	uint8_t base, index, scale, seg; /* as in struct insn */
	bool narrow;                     /* 32-bit addresses */
	bool small;                      /* through a view, and the index lies between -2^32 and 2^32 */
	uint8_t kind;                    /* enum tlb_kind */
	uint16_t size;
	int8_t group;    /* of accesses that one look-up serves; -1: by itself */
	uint16_t vid[2]; /* the values of base and index when the instruction runs */
	int64_t disp;
	uint8_t bits;  /* bit string: the register with the bit's number, and 1; 0: it is none */
	bool user;     /* the kernel's, between STAC and CLAC: its view has no user memory */
	uint8_t unit;  /* and the bytes that are looked at, as a shift */
	int64_t now; /* how far base and index have moved from those values' origins */
};

struct op {
	struct insn i;
	struct decoded d;
	const uint8_t *code;
	uint16_t offset;   /* in the page */
	uint8_t kind;
	uint8_t accesses;
	struct access access[2];
	uint16_t tested, written, killed; /* flags */
	uint16_t live_in, live_out;       /* flags somebody may read before they are written again */
	uint16_t target_live;             /* of K_JCC, K_LOOP, K_JMP: at its target */
	uint16_t gprs_used, gprs_written; /* a bit each, implicit ones too */
	int64_t target;                   /* of a direct branch: offset from the page's start */
};

/* Accesses that lie so near to each other that one look-up may serve them all. */
struct group {
	struct access key; /* of the first: registers, values, segment */
	int64_t low, high; /* range of displacements from the origin, bytes */
	uint8_t kind;
	uint8_t uses; /* that are still to come */
	bool sealed;  /* only reads, and a branch lies behind the first: nothing may make it a write any more */
	bool checked; /* code for the look-up has been emitted */
	bool stored;  /* its address is in its slot */
	bool early;   /* the look-up stands at the block's head */
};

/* Where the guest's flags are. */
enum flags_at { FLAGS_LOST, FLAGS_MEMORY, FLAGS_HOST, FLAGS_BOTH };

enum cold_kind { COLD_SITE, COLD_PAGE, COLD_QUICK, COLD_MISS, COLD_GROUP_MISS, COLD_EXIT, COLD_LOOKUP };

/* Cold code to come: a jump to it waits at `from`. */
struct cold {
	uint8_t kind;
	uint8_t *from;
	uint8_t *again; /* misses: the look-up; COLD_QUICK: where the access goes on */
	uint8_t how;    /* COLD_QUICK: the kind of its miss */
	uint16_t quick; /* and its place */
	uint8_t *back;  /* where the block goes on; NULL: nowhere */
	int sp;         /* and by how much the host's RSP differs from the guest's there */
	uint8_t t0;     /* and the guest register that T0 must be there, and 1; 0: none */
	const struct op *op;
	struct host_mem ea; /* misses: the linear address */
	const struct access *access;
	struct bt_miss miss;
	int64_t target; /* exit: offset of the next instruction from the page's start */
	uint32_t site;  /* its number; COLD_PAGE: the link's, from the block's first */
	bool saves;     /* exit: the flags are still to be saved */
	bool here;      /* site: the block goes on where the instruction ends */
	bool tagged;    /* lookup: T0 is a tag */
};

struct build {
	struct bt_cache *c;
	struct bt_page *page, *second;
	struct bt_block *block;
	struct emit e;
	uint8_t *hot;           /* where its hot code goes */
	unsigned mode, width;   /* width: 8 or 4, of the stack and of addresses */
	unsigned start;         /* offset of the first instruction in the page */
	unsigned limit;         /* instructions at most */
	/* The page's bytes, and the first of what the instruction at its end goes on in, as they were when the work began:
	 * other vCPUs may be writing there. */
	uint8_t bytes[PAGE_SIZE + 16];
	/* scan.c's */
	struct op op[BT_BLOCK_MAX];
	unsigned count;
	unsigned end;       /* offset of what comes behind the last instruction */
	bool falls_through; /* the last instruction goes on there */
	bool end_unsure;    /* what is there lies on two pages, or is no instruction */
	struct group group[GROUPS_MAX];
	unsigned groups;
	uint16_t live_at_end;
	bool loops; /* a branch leads back into the block */
	bool turns_back; /* it goes on at a lower address: a loop may close with forward jumps only */
	/* while emitting */
	enum flags_at flags;
	int sp_pending; /* the guest's RSP is the host's plus this */
	int access_sp;  /* it was that when the instruction's memory is accessed */
	bool access_flags; /* the guest's flags are in the host's then */
	int t1_group;   /* whose address is in T1; -1: nobody's */
	const uint8_t *t0_at; /* there, T0 is the guest register t0_guest */
	unsigned t0_guest;
	bool uses_vectors;
	bool ended;
	struct cold cold[COLD_MAX];
	unsigned colds;
	struct bt_point point[2 * BT_BLOCK_MAX];
	unsigned points;
	struct bt_site site[BT_BLOCK_MAX * 2];
	uint8_t *site_at[BT_BLOCK_MAX * 2]; /* displacements that lead to them */
	unsigned sites;
	struct {
		uint8_t *jump, *lea[2]; /* displacements */
		uint8_t *cold;          /* where the jump leads while the link has no target */
		int32_t offset;         /* as in struct bt_link */
	} link[BT_BLOCK_MAX + 2]; /* jumps into other pages */
	unsigned links;
};

/* Instructions of the block that come behind this one. */
static inline unsigned rest_behind(const struct build *u, const struct op *o)
{
	return u->count - 1 - (unsigned)(o - u->op);
}

#define GPR_OFFSET(n) (offsetof(struct vcpu, s.gpr) + 8 * (size_t)(n))

/* Guest registers that live in memory. */
static inline bool in_memory(unsigned n)
{
	return n == R_14 || n == R_15;
}

/* ---- scan.c */

/* Decode from u->start; false: not even the first instruction can be in a block. */
bool scan(struct build *u);
/* What was made from these bytes of the page goes when they are written. */
void scan_cover(struct build *u, unsigned from, unsigned to);
/* Of a conditional branch: on flags, not on RCX. */
bool is_jcc(ZydisMnemonic m);

/* ---- live.c */

/* What the instruction tests, writes, and writes in any case. */
void note_flags(struct op *o);
/* Flags that may be read by what starts at this offset of the page. */
uint16_t live_at(struct build *u, int64_t offset);
/* live_in and live_out of all instructions; u->live_at_end is known. */
void find_live_flags(struct build *u);

/* ---- mangle.c */

/* Can this plain instruction be re-encoded?  memory: its operand will be at T1. */
bool mangle_possible(const struct op *o, unsigned mode);
/* Emit it; m: its memory operand, or NULL. T0 and T1 may be lost. */
void mangle(struct build *u, const struct op *o, struct host_mem *m);

/* ---- access.c */

/* Code for access k of the instruction: returns where it is. T0 is free behind it but for an index. */
struct host_mem access_emit(struct build *u, const struct op *o, unsigned k);
/* T1 is about to be used for something else. */
void t1_lost(struct build *u);
/* Look-ups that stand at the head. */
void access_emit_early(struct build *u);
/* Can the address be made inline? */
bool access_possible(const struct build *u, const struct access *a, int64_t disp);
/* The operand of LEA. */
void access_emit_lea(struct build *u, const struct op *o);
/* A guest register in a host register: where it lives, or loaded into `scratch`. */
unsigned guest_reg(struct build *u, unsigned n, unsigned scratch);
/* One that lives in memory to and from a scratch register. */
void load_guest(struct build *u, unsigned n, unsigned scratch);
void store_guest(struct build *u, unsigned n, unsigned scratch);
/* Slow paths that come back to where the block goes on bring T0 as it must be there. */
void emit_t0_back(struct build *u, const struct cold *c);
/* T0 <- the linear address that an offset from the page's start has now. */
void emit_here(struct build *u, unsigned reg, int64_t offset);
/* The cold half of a miss. */
void access_emit_cold(struct build *u, const struct cold *c);

/* Look-ups of a string instruction: T0 is the offset in the page, T1 its addend. */
void access_emit_string(struct build *u, const struct op *o, unsigned k);

/* ---- system.c, string.c */

void system_pushf(struct build *u, const struct op *o);
void system_popf(struct build *u, const struct op *o);
void system_cli(struct build *u, const struct op *o);
void system_sti(struct build *u, const struct op *o);
void system_rdtsc(struct build *u, const struct op *o);
void system_smap(struct build *u, const struct op *o);
void system_pause(struct build *u, const struct op *o);
void system_swapgs(struct build *u, const struct op *o);
void system_cld(struct build *u, const struct op *o);
void system_mov_from(struct build *u, const struct op *o);
void string_rep(struct build *u, const struct op *o);
void string_element(struct build *u, const struct op *o);

/* ---- jump.c: the jump cache's code */

/* T0: linear address.  Then T0 is its tag, T1 its slot; "equal": it is there. */
void emit_jump_compare(struct emit *e);
/* The same for the slot beside it. */
void emit_jump_other(struct emit *e);
/* There it goes: T0 the tag, T1 the slot. */
void emit_jump_hit(struct emit *e);

/* ---- flow.c */

/* These instructions were counted at the head and are not carried out. */
void emit_uncount(struct build *u, unsigned n);
void flow_exit(struct build *u, int64_t target);
void flow_jcc(struct build *u, const struct op *o);
void flow_loop(struct build *u, const struct op *o);
void flow_call(struct build *u, const struct op *o);
void flow_ret(struct build *u, const struct op *o);
void flow_indirect(struct build *u, const struct op *o);
void flow_emit_cold(struct build *u, const struct cold *c);
uint32_t link_id(const struct build *u, unsigned n);
/* A jump that will be patched while others run it; returns where its displacement is. */
uint8_t *emit_jump_whole(struct build *u);
/* Out by this exit to an offset in the page, asking for the jump (where its displacement is) to be linked. */
void emit_link_request(struct build *u, uint8_t *jump, unsigned offset, const uint8_t *exit);

/* ---- build.c */

struct cold *add_cold(struct build *u, enum cold_kind kind, uint8_t *from, const struct op *o);
/* A site for this instruction; returns its number. */
uint32_t add_site(struct build *u, const struct op *o);
/* Jump there if the condition holds: the instruction is carried out by its semantics instead. */
struct cold *site_if(struct build *u, unsigned condition, const struct op *o);
/* The host's RSP is the guest's. */
void flush_sp(struct build *u);
/* The host's flags are about to be lost; live: those that must not be. */
void flags_clobbered(struct build *u, uint16_t live);
/* vcpu.cc has those that are live. */
void flags_to_memory(struct build *u, uint16_t live);
void flags_to_host(struct build *u);

#endif
