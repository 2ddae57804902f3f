/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/bt.h - the binary translator's parts, known to each other only.
 *
 * A block is straight guest code of one page, in one mode, as host code: most guest registers live in host
 * registers, flags in the host's flags, memory is reached through the software TLB looked up inline. Whatever
 * has no translation, and every access the TLB misses, runs through the interpreter's semantics from inside
 * the block.
 *
 * Host registers in translated code:
 *   guest RCX RDX RBX RBP RSI RDI R8..R11 are themselves; RAX is in R12, RSP in R15; R12..R15 stay in memory;
 *   RAX, R13 and R14 are scratch (R14: the address); GS base is the vCPU; RSP is the host's.
 * Flags at a block's head are in vcpu.cc and the host's are free.  MXCSR is the guest's.  Vector registers
 * are loaded by the block that uses them and stored by the time it is left.
 */
#ifndef SERAI_MONITOR_ENGINE_BT_BT_H
#define SERAI_MONITOR_ENGINE_BT_BT_H

#include "monitor/engine/interp/interp.h"
#include "monitor/engine/operands.h"

enum host_reg {
	H_AX,
	H_CX,
	H_DX,
	H_BX,
	H_SP,
	H_BP,
	H_SI,
	H_DI,
	H_8,
	H_9,
	H_10,
	H_11,
	H_12,
	H_13,
	H_14,
	H_15
};

#define BT_BLOCK_MAX  48          /* guest instructions in a block */
#define BT_HOST_MAX   (16u << 10) /* bytes of host code a block may take */
#define BT_CACHE_SIZE (32u << 20)
#define BT_SITES_MAX  (1u << 19)
#define BT_BLOCKS_MAX (1u << 17)
#define BT_BUCKETS    (1u << 16)
#define BT_JUMPS      4096

/* Modes a block is translated for; anything else is interpreted. */
enum bt_mode { BT_NONE, BT_64, BT_32 }; /* BT_32 with these: FS, GS can be used by adding their base */
#define BT_PLAIN_FS 4u
#define BT_PLAIN_GS 8u
/* With any: SSE, AVX may be used now, and no SIMD exception is unmasked. */
#define BT_SSE 16u
#define BT_AVX 32u

struct bt_block {
	const uint8_t *host_code; /* where it runs */
	const uint8_t *guest;     /* host address of its first guest byte */
	struct code_page *page;
	struct bt_block *next; /* in its bucket */
	struct bt_block *next_in_page;
	uint8_t mode;
	bool dead; /* its bytes changed */
};

/* An instruction that may be carried out by the interpreter's semantics from inside a block. */
struct bt_site {
	struct insn insn;
	uint32_t offset; /* of the instruction in its page */
};

/* One entry of the jump cache: where code at a linear address is, in one context. */
struct bt_jump {
	uint64_t tag; /* address ^ context; 0: empty */
	const uint8_t *host_code;
};

struct bt {
	struct interp in; /* first: the interpreter's functions find themselves in vcpu.engine_data */
	uint8_t *rw, *rx; /* the code cache, written through one mapping and run through the other */
	size_t used;
	struct bt_block *blocks, **buckets;
	uint32_t block_used;
	struct bt_site *sites;
	uint32_t site_used;
	struct bt_jump *jumps;
	uint64_t entered; /* vcpu.bt.left when translated code was last entered */
	uint64_t held;    /* budget kept back while the interpreter does one instruction */
	uint32_t context_count;
	uint64_t context_flushes;
	/* code made once: */
	void (*enter)(const uint8_t *host_code, struct vcpu *v);
	const uint8_t *exit_lookup; /* R14 is the guest's RIP */
	const uint8_t *exit_link;   /* so it is, and RAX is the jump to patch */
	const uint8_t *indirect;    /* R14 is the target's linear address */
	const uint8_t *slow;        /* RAX is the site, R13 where to go on */
	size_t fixed;               /* end of that code */
};

/* ---- emit.c: the bytes
 * ------------------------------------------------------------------------------------------ */

struct emit {
	uint8_t *at, *end; /* in the write mapping */
	int64_t run_delta; /* run address - write address */
	bool overflow;
};

void emit_byte(struct emit *e, unsigned b);
void emit_bytes(struct emit *e, const void *p, unsigned n);
void emit_u32(struct emit *e, uint32_t v);
void emit_u64(struct emit *e, uint64_t v);

/* reg <- gs:[offset] and back; width 4 or 8. */
void emit_load_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset);
void emit_store_vcpu(struct emit *e, unsigned width, unsigned reg, size_t offset);
/* op reg, gs:[offset] with a one-byte opcode of the r, r/m form, 64 bits wide. */
void emit_op_vcpu(struct emit *e, unsigned opcode, unsigned reg, size_t offset);
void emit_mov(struct emit *e, unsigned width, unsigned dst, unsigned src);
void emit_mov_imm(struct emit *e, unsigned reg, uint64_t value);
/* lea reg, [base + index * 2^scale + disp]; base or index H_NONE: absent; width 4 or 8. */
#define H_NONE 0xff
void emit_lea(struct emit *e, unsigned width, unsigned reg, unsigned base, unsigned index, unsigned scale,
	int32_t disp);
/* A near jump to a run address: jmp, or jcc by its condition code. */
void emit_jmp(struct emit *e, const uint8_t *target);
/* A jump whose target is not known yet; returns where its 32-bit displacement is. */
uint8_t *emit_jmp_later(struct emit *e);
uint8_t *emit_jcc_later(struct emit *e, unsigned condition);
void emit_patch(uint8_t *displacement, const uint8_t *target_write);

static inline const uint8_t *emit_run_address(const struct emit *e, const uint8_t *write_address)
{
	return write_address + e->run_delta;
}

/* Vector register n from or to vcpu: its low 16 bytes, the upper 16 (the low ones being there), or all. */
void emit_vector_low(struct emit *e, bool store, unsigned n);
void emit_vector_high(struct emit *e, bool store, unsigned n);
void emit_vzeroupper(struct emit *e);
/* ldmxcsr or stmxcsr gs:[offset]. */
void emit_mxcsr(struct emit *e, bool store, size_t offset);

/* Flags between the host's register and vcpu.cc; RAX is scratch. */
void emit_save_flags(struct emit *e);
void emit_load_flags(struct emit *e);

/* ---- mangle.c: a plain instruction over the registers of translated code
 * ---------------------------------------- */

/* Can this plain instruction be put into a block as it is?  mode: BT_SSE and BT_AVX count. */
bool mangle_possible(const struct decoded *d, const struct insn *i, unsigned mode);

/* Emit it; a memory operand is at [r14]. */
void mangle_emit(struct emit *e, const struct decoded *d, const struct insn *i, const uint8_t *code);
/* Guest register n in a host register: where it lives, or loaded into `scratch`. */
unsigned guest_reg(struct emit *e, unsigned n, unsigned scratch);
/* Is it in memory only? */
static inline bool guest_in_memory(unsigned n)
{
	return n >= 12;
}
/* The host register it lives in (not for those in memory). */
unsigned guest_home(unsigned n);

/* ---- build.c
 * ------------------------------------------------------------------------------------------------------- */

/* Translate the code at guest (host address) in this mode; NULL: no room, flush and try again. */
struct bt_block *bt_build(
	struct vcpu *v, struct bt *b, struct code_page *page, unsigned offset, unsigned mode);

/* ---- cache.c
 * ------------------------------------------------------------------------------------------------------- */

bool bt_cache_create(struct bt *b, GError **error);
void bt_cache_destroy(struct bt *b);
void bt_cache_flush(struct bt *b);
struct bt_block *bt_cache_find(struct bt *b, const uint8_t *guest, unsigned mode);
void bt_cache_insert(struct bt *b, struct bt_block *block);

#endif
