/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/vcpu.h - one virtual processor: architectural state, and what joins it to the rest of the
 * machine.
 *
 * Owns:    `struct vcpu_state` is everything that travels (suspend, snapshot, migration) and nothing else;
 * the rest of `struct vcpu` is derived from it or is wiring. Threads: all of it belongs to the vCPU's thread
 * while it runs, but `pending` and `attention`, which anyone may set. Theory:  Intel SDM volume 3A; AMD APM
 * volume 2.
 */
#ifndef SERAI_MONITOR_CPU_VCPU_H
#define SERAI_MONITOR_CPU_VCPU_H

#include "base/vclock.h"
#include "monitor/mem/physmap.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdatomic.h>

enum { R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI, R_8, R_9, R_10, R_11, R_12, R_13, R_14, R_15 };
enum { S_ES, S_CS, S_SS, S_DS, S_FS, S_GS, S_LDTR, S_TR, S_COUNT };

/* Hidden part of a segment register.  attr is the descriptor's bits 40..55: type, S, DPL, P, limit 19..16
 * (unused here), AVL, L, D/B, G, as VMX lays out access rights. */
struct segment {
	uint64_t base;
	uint32_t limit; /* bytes, granularity applied, inclusive */
	uint16_t selector;
	uint16_t attr;
};

#define SEG_TYPE      0x000f
#define SEG_S         0x0010
#define SEG_DPL       0x0060
#define SEG_P         0x0080
#define SEG_L         0x2000
#define SEG_DB        0x4000
#define SEG_G         0x8000
#define SEG_DPL_SHIFT 5

/* XSAVE image in the standard format: legacy region, header, AVX at 576 (SDM volume 1, 13.4); PKRU apart. */
struct xsave_area {
	uint8_t bytes[832];
} __attribute__((aligned(64)));

enum { SHADOW_NONE, SHADOW_STI, SHADOW_MOV_SS };

/* Why a vCPU does not run; the last: masked interrupts, too, end its MWAIT. */
enum { HALT_NONE, HALT_HLT, HALT_MWAIT, HALT_MWAIT_ANY };

struct vcpu_state {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t zero;   /* always 0: gpr[17] stands for an absent base or index register, gpr[16] for RIP */
	uint64_t rflags; /* the arithmetic flags in it are stale while the vCPU lives: vcpu_get_rflags() */
	struct segment seg[S_COUNT];
	uint64_t gdt_base, idt_base;
	uint32_t gdt_limit, idt_limit;
	uint64_t cr0, cr2, cr3, cr4, xcr0;
	uint64_t dr[8]; /* 4 and 5 unused */
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_adjust, tsc_aux, pat, misc_enable, apic_base;
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
	uint64_t spec_ctrl, debugctl;
	uint64_t mcg_status, mcg_ctl, mc_bank[4 * 8];
	uint64_t tsc_offset; /* per-vCPU, added to vclock_tsc() */
	uint8_t halted;        /* HALT_*, until an interrupt */
	uint8_t wait_for_sipi; /* an application processor before its SIPI */
	uint8_t irq_shadow;    /* SHADOW_*: interrupts (after MOV SS debug traps too) wait one instruction */
	uint8_t nmi_blocked;
	uint32_t requests; /* VCPU_NMI, INIT and SIPI that were pending when the state was saved */
	uint8_t sipi;      /* and the SIPI's vector */
	uint8_t reserved[39];
	struct xsave_area xsave;
};

/* `pending`: what outsiders want of the vCPU.  Set with vcpu_raise, cleared by the vCPU's thread. */
#define VCPU_INTR  0x01u /* an interrupt controller wants to deliver; cleared by its owner with vcpu_lower */
#define VCPU_NMI   0x02u
#define VCPU_EXIT  0x04u /* leave engine_run with VCPU_RAN_KICKED */
#define VCPU_FLUSH 0x08u /* drop all TLBs, and decoded code that is not in RAM: the physical map changed */
#define VCPU_CODE  0x10u /* someone else wrote a page that code was made from */
#define VCPU_INIT  0x20u
#define VCPU_SIPI  0x40u
#define VCPU_TRACE 0x80u /* engine's own: single-step, breakpoint or shadow work at the next boundary */
#define VCPU_FORGET 0x100u /* drop all decoded code */

#define VCPU_QUICKS      16384
#define VCPU_QUICK_GROUP 16
#define VCPU_JUMP_BITS   14
#define VCPU_VIEW        256
#define VCPU_JUMPS     (1u << VCPU_JUMP_BITS)
#define VCPU_KNOWN_BITS 14
#define VCPU_KNOWN     (1u << VCPU_KNOWN_BITS)
#define VCPU_LINKS     131072

/* Kinds of access that the software TLB tells apart. */
enum tlb_kind { TLB_READ, TLB_WRITE, TLB_CODE, TLB_KINDS };

enum cpu_code_size { CODE_16, CODE_32, CODE_64 };

/* What joins a vCPU to its machine; every function is called on the vCPU's thread without the device lock. */
struct vcpu_platform {
	void *opaque;
	/* The vector of the interrupt to deliver now (acknowledged: LAPIC first, then PIC), or -1: it went
	 * away. */
	int (*ack_interrupt)(void *opaque, unsigned cpu);
	/* Local APIC registers: by MMIO offset (0..0xff0, 32 bits), task priority as in CR8 (0..15). */
	uint32_t (*apic_read)(void *opaque, unsigned cpu, uint32_t off);
	void (*apic_write)(void *opaque, unsigned cpu, uint32_t off, uint32_t value);
	/* IA32_APIC_BASE, x2APIC registers 0x800..0x8ff, IA32_TSC_DEADLINE; false: #GP. */
	bool (*apic_msr_read)(void *opaque, unsigned cpu, uint32_t msr, uint64_t *value);
	bool (*apic_msr_write)(void *opaque, unsigned cpu, uint32_t msr, uint64_t value);
	unsigned (*tpr_read)(void *opaque, unsigned cpu);
	void (*tpr_write)(void *opaque, unsigned cpu, unsigned priority);
	/* VMware backdoor, IN EAX,DX on port 0x5658 with the magic in EAX: may read and change eax ebx ecx
	 * edx esi edi (indices R_*, 32 bits each); false: not a command it knows, an ordinary port read
	 * follows. */
	bool (*backdoor)(void *opaque, unsigned cpu, uint64_t gpr[16]);
};

/* CPUID leaves as the guest sees them (cpuid.c builds them once per machine). */
struct cpuid_leaf {
	uint32_t leaf, subleaf; /* subleaf UINT32_MAX: any */
	uint32_t eax, ebx, ecx, edx;
};

struct cpuid_table {
	struct cpuid_leaf leaf[96];
	unsigned count;
	unsigned cores_per_socket; /* APIC IDs are numbered by it: base/topology.h */
	bool mwait; /* it has MONITOR and MWAIT */
	bool intel; /* the vendor it names; any other counts as AMD where the two differ */
};

struct tlb;
struct tlb_entry;
struct vcpu;

/*
 * For an engine that keeps more of what the TLB says than its tables.  From the call on it may no longer be used:
 * everything user code sees in a space (TLB_SPACES of them), or the kernel of global pages (TLB_KERNEL); the page at la,
 * or its 2 MiB, in any space; ways to write to a page of RAM.
 */
struct tlb_watcher {
	void (*space)(struct vcpu *v, unsigned space);
	void (*page)(struct vcpu *v, uint64_t la, bool large);
	void (*local)(struct vcpu *v); /* the supervisor's that are not global */
	void (*writes)(struct vcpu *v, const uint8_t *host_page);
};
struct engine;
struct engine_options;

/* An exception or interrupt on its way into the guest. */
struct cpu_event {
	int16_t vector; /* -1: none */
	bool has_error;
	bool software;   /* INT n, INT3, INTO: DPL is checked, RIP is that of the next instruction */
	bool external;   /* interrupt or NMI; not an exception */
	bool trap;       /* an exception that comes after its instruction (single step, watchpoint) */
	uint8_t advance; /* software: the return address is RIP plus this */
	uint32_t error;
};

struct vcpu {
	struct vcpu_state s;

	/* Arithmetic flags in the form LAHF and SETO leave them: bits 15..8 = SF ZF 0 AF 0 PF 1 CF, bit 0 =
	 * OF. */
	uint16_t cc;

	_Atomic uint32_t pending; /* VCPU_*: requests */
	/* Nonzero: stop at the next instruction boundary and look at pending. */
	_Atomic uint32_t attention __attribute__((aligned(8)));
	uint32_t vectors_out; /* zero: translated code has the vector registers and MXCSR in the host's */

	unsigned index; /* also the initial APIC ID */
	unsigned count; /* vCPUs in the machine */
	struct vcpu *first; /* the first of them, the others behind it; NULL: it is alone and in no machine */

	/* Derived from `s` by vcpu_settle, segment loads and control register writes. */
	uint8_t cpl;
	uint8_t code_size;                   /* enum cpu_code_size */
	uint8_t view;                        /* enum tlb_view in use for data */
	bool cs_flat;                        /* no CS limit to check: 64-bit, or 4 GiB */
	bool protected_mode, v86, long_mode; /* CR0.PE; RFLAGS.VM under PE; EFER.LMA */
	uint64_t la_mask;                    /* linear addresses wrap here: 64 or 32 bits */
	uint64_t seg_base[6]; /* base as address arithmetic uses it: 0 for ES CS SS DS in 64-bit mode */
	uint8_t seg_plain;    /* bit per segment: adding the base is all there is to it (flat, right type) */
	uint8_t fpu_closed;   /* FPU_* classes (insn.h) that raise #UD or #NM now */
	struct tlb_entry *tlb_data[TLB_KINDS]; /* tables of the view in use */
	struct tlb_entry *tlb_super[2][2];     /* tables of TLB_SUPER_OPEN and _CLOSED, to read and to write */

	struct phys_region
		region_cache; /* of the last phys_host(); valid while mem->seq is region_cache_seq */
	uint32_t region_cache_seq;

	/* The line that MONITOR named, and what was in it; NULL: none. */
	struct {
		const uint8_t *at;
		uint64_t seen[8];
	} monitor;

	/* PAUSEs until somebody looks whether the vCPU spins (sem_system.c), and the host's TSC when somebody last did. */
	int32_t pauses;
	uint64_t spun;

	/* Two pages of RAM side by side, for instructions that lock an operand on both (access.c). */
	struct {
		uint8_t *at; /* NULL: not made yet */
		uint64_t offset[2]; /* in RAM, of what is mapped there; UINT64_MAX: nothing */
	} pair;

	struct cpu_event event;      /* being raised (valid after the jump to `recover`) */
	int16_t delivering;          /* vector whose delivery runs, -1: none */
	jmp_buf recover;             /* where a raised exception goes: the engine's loop */
	/* The translator's own, here because its code reaches them through the GS base. */
	struct {
		uint64_t page;       /* linear address of the page of guest code that runs */
		uint64_t left;       /* instructions of the budget, where they are counted */
		uint64_t rest;       /* counted, but behind the one that may be about to raise */
		uint64_t context;    /* what a jump cache entry must be tagged with now */
		struct {
			uint64_t tag, addend;
		} quick[VCPU_QUICKS]; /* pages that accesses met last: of user code, then of the kernel's */
		uint8_t quick_used[VCPU_QUICKS / VCPU_QUICK_GROUP] __attribute__((aligned(8)));
		bool quick_middle; /* some may be of CPL 1 or 2, which sees more than CPL 3 */
		/* view.c: host address - linear address, by the address's bits 47..40: for user code, for the kernel. */
		uint64_t view[2][VCPU_VIEW];
		uint64_t slot[16];   /* host addresses that groups of accesses were looked up for */
		uint64_t temp;       /* within one instruction */
		uint64_t string[2];  /* the same, of string instructions */
		uint64_t bit_mask[4]; /* constants: bits of a number within 2, 4 and 8 bytes */
		uint64_t tsc_ahead;  /* what the guest's TSC is more than the host's */
		uint64_t host_sp;    /* C's stack while translated code runs */
		const uint8_t *resume; /* where a slow path goes on */
		struct vcpu *self;
		uint8_t *link;       /* the jump that asked to be linked (bt.h, its struct), NULL: none */
		uint32_t link_kind;  /* enum bt_link_kind */
		uint32_t relink;     /* jumps into other pages until one is linked */
		uint32_t single;     /* the block wanted is the one whose accesses all check for themselves */
		uint64_t jump_tag[VCPU_JUMPS]; /* the jump cache: linear address ^ context; 0: empty */
		const uint8_t *jump_host[VCPU_JUMPS];
		/* Host code by the host address of the guest's code and its mode, which all address spaces share; key 0: empty. */
		struct vcpu_known {
			uint64_t key;
			const uint8_t *host;
		} known[VCPU_KNOWN];
		uint64_t linked[VCPU_LINKS]; /* jumps into other pages: linear page ^ context for which each holds, or 0 */
	} bt;
	_Atomic bool measure; /* anyone, and asks for attention: the engine measures itself more closely, at a cost */
	bool precise_flags; /* bt: flags are right in every frame, not only where they will be read */
	bool views_at_once; /* bt: an address space gets its view as soon as its code runs */
	bool soft_budget;   /* bt: end before the budget does, where the next block might not fit in it */
	unsigned block_limit; /* bt: instructions in a block at most, 0: as many as there may be */
	uint64_t debug_hits;         /* DR6 bits of watchpoints met by the instruction that runs */
	uint32_t host_mxcsr;         /* what C code runs with; generated code goes back to it */
	_Atomic uint8_t sipi_vector; /* of the last VCPU_SIPI */
	uint64_t bt_index;           /* BT r/m,reg with memory: the bit offset within the operand */

	struct physmap *mem;
	struct vclock *clock;
	const struct cpuid_table *cpuid;
	const struct vcpu_platform *platform;
	uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES as the guest reads it */
	unsigned phys_bits;         /* guest-physical address width */

	struct tlb *tlb;
	const struct tlb_watcher *watcher; /* NULL: nobody */
	const struct engine *engine;
	const struct engine_options *engine_options; /* NULL: none is set */
	void *engine_data;
	/* The engine's: bytes of RAM were written in a page that somebody keeps (mem/ram.h). */
	void (*code_written)(struct vcpu *v, uint64_t ram_offset, uint64_t len);
	/* For engines that repeat or compare runs; both may be NULL.  A value that no state determines (time,
	 * randomness) was found: what to use.  The page of RAM at this host address is about to be written: once, or
	 * until tlb_flush_writes any number of times. */
	uint64_t (*outside)(struct vcpu *v, uint64_t value);
	void (*writes)(struct vcpu *v, const uint8_t *host);

	struct vcpu_stats {
		_Atomic uint64_t instructions;
		_Atomic uint64_t tlb_misses, exceptions, interrupts, io, mmio, code_pages, code_flushes;
	} stats;
};

/* One more; only the vCPU's thread counts, others read.  (A locked addition would wait for all stores before it.) */
static inline void vcpu_count(_Atomic uint64_t *statistic)
{
	uint64_t n = atomic_load_explicit(statistic, memory_order_relaxed);

	atomic_store_explicit(statistic, n + 1, memory_order_relaxed);
}

/* Ask for attention; any thread.  `bits` of VCPU_*. */
static inline void vcpu_raise(struct vcpu *v, uint32_t bits)
{
	atomic_fetch_or(&v->pending, bits);
	atomic_store(&v->attention, 1);
}

/*
 * Does a halted vCPU have a reason to run?  Not for an interrupt it has masked.  Its own thread, or while it
 * is parked.
 */
bool vcpu_has_work(const struct vcpu *v);

/* In MWAIT: has nothing been written yet to what it waits for?  Not seen: what was there, written once more. */
bool vcpu_monitor_quiet(const struct vcpu *v);

/* Withdraw a level request (VCPU_INTR); any thread. */
static inline void vcpu_lower(struct vcpu *v, uint32_t bits)
{
	atomic_fetch_and(&v->pending, ~bits);
}

/* Everything wired to it must be set first (mem, clock, cpuid, platform, index); allocates the TLB; state is
 * reset. */
bool vcpu_create(struct vcpu *v, GError **error);
void vcpu_destroy(struct vcpu *v);

/* Power-on or INIT state (SDM volume 3A, table 9-1); INIT keeps what it must: x87/SSE state, MSRs, CR0.CD/NW,
 * TSC. */
void vcpu_reset(struct vcpu *v, bool init_only);

/* Recompute everything derived (mode, CPL, TLB view, pending traps) after `s` was changed from outside. */
void vcpu_settle(struct vcpu *v);

/* Guest TSC of this vCPU now. */
static inline uint64_t vcpu_tsc(const struct vcpu *v)
{
	return vclock_tsc(v->clock) + v->s.tsc_offset;
}

/* A value from outside, as it is to be used. */
static inline uint64_t vcpu_outside(struct vcpu *v, uint64_t value)
{
	return unlikely(v->outside != NULL) ? v->outside(v, value) : value;
}

/* RFLAGS with the arithmetic flags filled in from cc, and the other way round. */
uint64_t vcpu_get_rflags(const struct vcpu *v);
void vcpu_set_rflags(struct vcpu *v, uint64_t rflags);

extern const struct state_class vcpu_state_class;

/* Save wants synced flags; load ends with vcpu_settle. */
void vcpu_save(struct vcpu *v, struct state_writer *w);
bool vcpu_load(struct vcpu *v, struct state_reader *r, GError **error);

/* Read guest-virtual memory for a debugger, without faults or side effects; bytes read (0: not mapped). */
size_t vcpu_debug_read(struct vcpu *v, uint64_t va, void *buf, size_t len);

/* Registers in a form for people, about 20 lines, into buf; returns its length. */
size_t vcpu_dump(struct vcpu *v, char *buf, size_t size);

/* ---- CPUID
 * ------------------------------------------------------------------------------------------------------ */

struct cpu_options {
	unsigned vcpus, cores_per_socket;
	uint64_t tsc_khz;
	uint32_t apic_bus_khz; /* what the local APIC's timer counts before its divider */
	bool mitigations;      /* do not claim immunity in IA32_ARCH_CAPABILITIES (.vmx: cpu.mitigations) */
	bool mwait;            /* MONITOR and MWAIT (.vmx: cpu.mwait) */
	bool hide_hypervisor;
};

/* The table for one machine and its IA32_ARCH_CAPABILITIES; per-vCPU fields (APIC ID, OSXSAVE) are filled at
 * use. */
void cpuid_build(struct cpuid_table *table, uint64_t *arch_capabilities, unsigned *phys_bits,
	const struct cpu_options *options);

#endif
