/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/sem_system.c - descriptor tables, control and debug registers, ports, time, CPUID, HLT.
 */
#include "monitor/cpu/cpuid.h"
#include "monitor/cpu/debug.h"
#include "monitor/cpu/rows.h"

#include <sched.h>

static void privileged(struct vcpu *v)
{
	if (v->cpl)
		cpu_raise_error(v, EXC_GP, 0);
}

static void protected_only(struct vcpu *v)
{
	if (!v->protected_mode || v->v86)
		cpu_raise(v, EXC_UD);
}

static void umip(struct vcpu *v)
{
	if (v->cpl && (v->s.cr4 & CR4_UMIP))
		cpu_raise_error(v, EXC_GP, 0);
}

/* ---- descriptor tables
 * ------------------------------------------------------------------------------------------------ */

static int load_table(struct vcpu *v, const struct insn *i, uint64_t *base, uint32_t *limit)
{
	unsigned width = v->code_size == CODE_64 ? 8 : 4;
	uint64_t la, b;
	uint32_t l;

	privileged(v);
	la = insn_linear(v, i, 2 + width, false);
	l = (uint32_t)lin_read(v, la, 2, i->seg);
	b = lin_read(v, (la + 2) & v->la_mask, width, i->seg);
	if (width == 8 && !is_canonical(b))
		cpu_raise_error(v, EXC_GP, 0);
	*limit = l;
	*base = width == 4 && i->opsize == 2 ? b & 0xffffff : b;
	return INSN_NEXT;
}

static int store_table(struct vcpu *v, const struct insn *i, uint64_t base, uint32_t limit)
{
	unsigned width = v->code_size == CODE_64 ? 8 : 4;
	uint8_t image[10];

	umip(v);
	le_store(image, 2, limit);
	le_store(image + 2, width, base);
	lin_write_bytes(v, insn_linear(v, i, 2 + width, true), image, 2 + width, i->seg);
	return INSN_NEXT;
}

int insn_lgdt(struct vcpu *v, const struct insn *i)
{
	return load_table(v, i, &v->s.gdt_base, &v->s.gdt_limit);
}

int insn_lidt(struct vcpu *v, const struct insn *i)
{
	return load_table(v, i, &v->s.idt_base, &v->s.idt_limit);
}

int insn_sgdt(struct vcpu *v, const struct insn *i)
{
	return store_table(v, i, v->s.gdt_base, v->s.gdt_limit);
}

int insn_sidt(struct vcpu *v, const struct insn *i)
{
	return store_table(v, i, v->s.idt_base, v->s.idt_limit);
}

int insn_lldt(struct vcpu *v, const struct insn *i)
{
	protected_only(v);
	privileged(v);
	seg_load_ldt(v, (uint16_t)op_read(v, i, 0, 2));
	return INSN_NEXT;
}

int insn_ltr(struct vcpu *v, const struct insn *i)
{
	protected_only(v);
	privileged(v);
	seg_load_tr(v, (uint16_t)op_read(v, i, 0, 2));
	return INSN_NEXT;
}

static int store_selector(struct vcpu *v, const struct insn *i, uint64_t value)
{
	op_write(v, i, 0, i->flags & INSN_MEM ? 2 : i->opsize, value);
	return INSN_NEXT;
}

int insn_sldt(struct vcpu *v, const struct insn *i)
{
	protected_only(v);
	umip(v);
	return store_selector(v, i, v->s.seg[S_LDTR].selector);
}

int insn_str(struct vcpu *v, const struct insn *i)
{
	protected_only(v);
	umip(v);
	return store_selector(v, i, v->s.seg[S_TR].selector);
}

int insn_smsw(struct vcpu *v, const struct insn *i)
{
	umip(v);
	return store_selector(v, i, v->s.cr0);
}

int insn_lmsw(struct vcpu *v, const struct insn *i)
{
	uint64_t value;

	privileged(v);
	value = op_read(v, i, 0, 2) & 0xf;
	/* LMSW can set PE but not clear it. */
	cpu_write_cr0(v, (v->s.cr0 & ~0xeull) | value);
	return INSN_NEXT;
}

int insn_clts(struct vcpu *v, const struct insn *i)
{
	(void)i;
	privileged(v);
	v->s.cr0 &= ~CR0_TS;
	cpu_update_fpu(v);
	return INSN_NEXT;
}

/* Would LAR, LSL, VERR or VERW see this segment from here? */
static bool visible(struct vcpu *v, uint16_t selector, struct descriptor *d, bool system_too)
{
	if (!desc_fetch(v, selector, d))
		return false;
	if (!desc_is_segment(d) && !system_too)
		return false;
	return desc_is_conforming(d) || (desc_dpl(d) >= v->cpl && desc_dpl(d) >= (selector & 3u));
}

static int set_zf(struct vcpu *v, bool zf)
{
	v->cc = (uint16_t)((v->cc & ~CC_ZF) | (zf ? CC_ZF : 0));
	return INSN_NEXT;
}

int insn_lar(struct vcpu *v, const struct insn *i)
{
	static const uint16_t legacy =
		1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12;
	static const uint16_t wide = 1u << 2 | 1u << 9 | 1u << 11 | 1u << 12;
	struct descriptor d;
	uint16_t selector;

	protected_only(v);
	selector = (uint16_t)op_read(v, i, 1, 2);
	if (!visible(v, selector, &d, true))
		return set_zf(v, false);
	if (!desc_is_segment(&d) && !((v->long_mode ? wide : legacy) & (1u << desc_type(&d))))
		return set_zf(v, false);
	gpr_write(v, i->r[0], false, i->opsize, (d.raw >> 32) & 0xffff00);
	return set_zf(v, true);
}

int insn_lsl(struct vcpu *v, const struct insn *i)
{
	static const uint16_t legacy = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11;
	static const uint16_t wide = 1u << 2 | 1u << 9 | 1u << 11;
	struct descriptor d;
	uint16_t selector;

	protected_only(v);
	selector = (uint16_t)op_read(v, i, 1, 2);
	if (!visible(v, selector, &d, true))
		return set_zf(v, false);
	if (!desc_is_segment(&d) && !((v->long_mode ? wide : legacy) & (1u << desc_type(&d))))
		return set_zf(v, false);
	gpr_write(v, i->r[0], false, i->opsize, desc_segment(&d, selector).limit);
	return set_zf(v, true);
}

int insn_verr(struct vcpu *v, const struct insn *i)
{
	struct descriptor d;

	protected_only(v);
	return set_zf(v, visible(v, (uint16_t)op_read(v, i, 0, 2), &d, false) &&
				 (!desc_is_code(&d) || (desc_type(&d) & 2)));
}

int insn_verw(struct vcpu *v, const struct insn *i)
{
	struct descriptor d;

	protected_only(v);
	return set_zf(v, visible(v, (uint16_t)op_read(v, i, 0, 2), &d, false) && !desc_is_code(&d) &&
				 (desc_type(&d) & 2));
}

int insn_arpl(struct vcpu *v, const struct insn *i)
{
	uint64_t dst, src;

	protected_only(v);
	dst = op_read(v, i, 0, 2);
	src = gpr_read(v, i->r[1], false, 2);
	if ((dst & 3) >= (src & 3))
		return set_zf(v, false);
	op_write(v, i, 0, 2, (dst & ~3ull) | (src & 3));
	return set_zf(v, true);
}

/* ---- control and debug registers
 * --------------------------------------------------------------------------------------- */

int insn_mov_cr(struct vcpu *v, const struct insn *i)
{
	bool write = i->system_operand & 1;
	unsigned n = write ? i->r[0] : i->r[1], reg = write ? i->r[1] : i->r[0];
	uint64_t value = v->s.gpr[reg];

	if (n != 0 && n != 2 && n != 3 && n != 4 && (n != 8 || v->code_size != CODE_64))
		cpu_raise(v, EXC_UD);
	privileged(v);
	if (!write) {
		const uint64_t cr[] = { v->s.cr0, 0, v->s.cr2, v->s.cr3, v->s.cr4 };

		value = n == 8 ? v->platform->tpr_read(v->platform->opaque, v->index) : cr[n];
		gpr_write(v, reg, false, v->code_size == CODE_64 ? 8 : 4, value);
		return INSN_NEXT;
	}
	if (v->code_size != CODE_64)
		value &= 0xffffffffu;
	switch (n) {
	case 0:
		cpu_write_cr0(v, value);
		break;
	case 2:
		v->s.cr2 = value;
		break;
	case 3:
		cpu_write_cr3(v, value);
		break;
	case 4:
		cpu_write_cr4(v, value);
		break;
	default:
		if (value > 15)
			cpu_raise_error(v, EXC_GP, 0);
		v->platform->tpr_write(v->platform->opaque, v->index, (unsigned)value);
		break;
	}
	/* Page tables or modes may have changed: the next instruction is looked up anew. */
	v->s.rip += i->len;
	return INSN_JUMP;
}

int insn_mov_dr(struct vcpu *v, const struct insn *i)
{
	bool write = i->system_operand & 1;
	unsigned n = write ? i->r[0] : i->r[1], reg = write ? i->r[1] : i->r[0];
	uint64_t value = v->s.gpr[reg];

	if (n > 7 || ((n == 4 || n == 5) && (v->s.cr4 & CR4_DE)))
		cpu_raise(v, EXC_UD);
	privileged(v);
	if (v->s.dr[7] & DR7_GD)
		debug_raise(v, DR6_BD);
	if (n == 4 || n == 5)
		n += 2;
	if (!write) {
		gpr_write(v, reg, false, v->code_size == CODE_64 ? 8 : 4, v->s.dr[n]);
		return INSN_NEXT;
	}
	if (v->code_size != CODE_64)
		value &= 0xffffffffu;
	if (n >= 6 && value >> 32)
		cpu_raise_error(v, EXC_GP, 0);
	if (n == 6)
		value = (value & 0xe00f) | DR6_FIXED;
	if (n == 7)
		value = (value & 0xffff2bffu) | DR7_FIXED;
	v->s.dr[n] = value;
	tlb_flush_all(v);
	tlb_select_view(v);
	atomic_store(&v->attention, 1);
	return INSN_NEXT;
}

/* ---- TLB and caches
 * ------------------------------------------------------------------------------------------------------ */

int insn_invlpg(struct vcpu *v, const struct insn *i)
{
	privileged(v);
	tlb_flush_page(v, insn_offset(v, i) + v->seg_base[i->seg]);
	v->s.rip += i->len; /* the page that runs may be the one */
	return INSN_JUMP;
}

int insn_invpcid(struct vcpu *v, const struct insn *i)
{
	uint64_t la, pcid, address, type = gpr_read(v, i->r[0], false, v->code_size == CODE_64 ? 8 : 4);

	if (!v->protected_mode)
		cpu_raise(v, EXC_UD);
	privileged(v);
	la = insn_linear(v, i, 16, false);
	pcid = lin_read(v, la, 8, i->seg);
	address = lin_read(v, (la + 8) & v->la_mask, 8, i->seg);
	if (type > 3 || (type < 2 && (pcid >> 12)) || (type < 2 && !(v->s.cr4 & CR4_PCIDE) && pcid) ||
		(type == 0 && !is_canonical(address)))
		cpu_raise_error(v, EXC_GP, 0);
	if (type == 0 && pcid == (v->s.cr3 & 0xfff))
		tlb_flush_page(v, address);
	else if (type <= 1)
		tlb_flush_pcid(v, (unsigned)pcid);
	else
		tlb_flush_all(v);
	v->s.rip += i->len;
	return INSN_JUMP;
}

/* WBINVD, INVD: guest memory is coherent as it is. */
int insn_wbinvd(struct vcpu *v, const struct insn *i)
{
	(void)i;
	privileged(v);
	return INSN_NEXT;
}

/* CLFLUSH and its kin fault as a read of one byte does, and have nothing to flush. */
int insn_clflush(struct vcpu *v, const struct insn *i)
{
	lin_direct(v, insn_linear(v, i, 1, false), 1, TLB_READ, i->seg);
	return INSN_NEXT;
}

int insn_fence(struct vcpu *v, const struct insn *i)
{
	(void)v;
	(void)i;
	atomic_thread_fence(memory_order_seq_cst);
	return INSN_NEXT;
}

int insn_hlt(struct vcpu *v, const struct insn *i)
{
	(void)i;
	privileged(v);
	v->s.halted = HALT_HLT;
	atomic_store(&v->attention, 1);
	return INSN_NEXT;
}

/* MONITOR and MWAIT: there at all? */
static void check_mwait(struct vcpu *v)
{
	if (!v->cpuid->mwait || !(v->s.misc_enable & MISC_ENABLE_MWAIT) || v->cpl)
		cpu_raise(v, EXC_UD);
}

/* Extensions and hints: RCX, where that is all of it. */
static uint64_t mwait_extensions(const struct vcpu *v)
{
	return gpr_read(v, R_CX, false, v->code_size == CODE_64 ? 8 : 4);
}

int insn_monitor(struct vcpu *v, const struct insn *i)
{
	uint64_t off = v->s.gpr[R_AX] << i->addr_shift >> i->addr_shift;
	uint8_t *host;

	check_mwait(v);
	if (mwait_extensions(v))
		cpu_raise_error(v, EXC_GP, 0);
	host = lin_direct(v, seg_linear(v, i->seg, off, 1, false), 1, TLB_READ, i->seg);
	v->monitor.at = NULL;
	if (host && ram_contains(v->mem->ram, host)) { /* only memory can be waited for */
		v->monitor.at = (const uint8_t *)((uintptr_t)host & ~63ul);
		for (unsigned k = 0; k < ARRAY_LEN(v->monitor.seen); k++)
			v->monitor.seen[k] = ram_load(v->monitor.at + 8 * k, 8);
	}
	return INSN_NEXT;
}

/* Engines that repeat a run cannot repeat when another processor wrote: there it ends at once, as it may at any time. */
int insn_mwait(struct vcpu *v, const struct insn *i)
{
	(void)i;
	check_mwait(v);
	if (mwait_extensions(v) & ~1ull)
		cpu_raise_error(v, EXC_GP, 0);
	if (!v->outside && vcpu_monitor_quiet(v)) {
		v->s.halted = mwait_extensions(v) ? HALT_MWAIT_ANY : HALT_MWAIT;
		atomic_store(&v->attention, 1);
	}
	return INSN_NEXT;
}

/* ---- spinning */

#define SPIN_PAUSES 64         /* a few microseconds of them */
#define SPIN_TICKS  (1u << 17) /* of the host's TSC: in longer time they are no spin */

/*
 * Where vCPUs are more than cores, one that spins may keep the core from the one it waits for.  Yielding each time was
 * better than sleeping by an order of magnitude (ticket locks, 8 vCPUs on 2 cores).
 */
static NOINLINE void spin(struct vcpu *v)
{
	if (__builtin_ia32_rdtsc() - v->spun < SPIN_TICKS)
		sched_yield();
	v->pauses = SPIN_PAUSES;
	v->spun = __builtin_ia32_rdtsc();
}

int insn_pause(struct vcpu *v, const struct insn *i)
{
	(void)i;
	__builtin_ia32_pause();
	if (v->count > 1 && --v->pauses < 0)
		spin(v);
	return INSN_NEXT;
}

/* ---- ports
 * ------------------------------------------------------------------------------------------------------------------
 */

uint32_t cpu_port_read(struct vcpu *v, uint16_t port, unsigned size)
{
	vcpu_count(&v->stats.io);
	debug_check_io(v, port, size);
	return port_read(v->mem, port, size);
}

void cpu_port_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
	vcpu_count(&v->stats.io);
	debug_check_io(v, port, size);
	port_write(v->mem, port, size, value);
}

#define BACKDOOR_PORT  0x5658
#define BACKDOOR_MAGIC 0x564d5868u

static bool try_backdoor(struct vcpu *v, uint16_t port, unsigned size)
{
	/* VMware lets every privilege level use it, whatever IOPL says: its tools are user programs. */
	return port == BACKDOOR_PORT && size == 4 && (uint32_t)v->s.gpr[R_AX] == BACKDOOR_MAGIC &&
	       v->platform->backdoor && v->platform->backdoor(v->platform->opaque, v->index, v->s.gpr);
}

static uint16_t port_of(const struct vcpu *v, const struct insn *i, unsigned operand)
{
	return i->r[operand] == OP_NONE ? (uint16_t)(i->imm & 0xff) : (uint16_t)v->s.gpr[R_DX];
}

int insn_in(struct vcpu *v, const struct insn *i)
{
	uint16_t port = port_of(v, i, 1);
	unsigned size = i->port_size;

	if (unlikely(try_backdoor(v, port, size)))
		return INSN_NEXT;
	io_check(v, port, size);
	gpr_write(v, R_AX, false, size, cpu_port_read(v, port, size));
	return INSN_NEXT;
}

int insn_out(struct vcpu *v, const struct insn *i)
{
	uint16_t port = port_of(v, i, 0);
	unsigned size = i->port_size;

	io_check(v, port, size);
	cpu_port_write(v, port, size, (uint32_t)gpr_read(v, R_AX, false, size));
	return INSN_NEXT;
}

/* ---- identification and time
 * -------------------------------------------------------------------------------------------------- */

int insn_cpuid(struct vcpu *v, const struct insn *i)
{
	uint32_t r[4];

	(void)i;
	cpuid_read(v, (uint32_t)v->s.gpr[R_AX], (uint32_t)v->s.gpr[R_CX], r);
	v->s.gpr[R_AX] = r[0];
	v->s.gpr[R_BX] = r[1];
	v->s.gpr[R_CX] = r[2];
	v->s.gpr[R_DX] = r[3];
	return INSN_NEXT;
}

static void set_pair(struct vcpu *v, uint64_t value)
{
	v->s.gpr[R_AX] = value & 0xffffffffu;
	v->s.gpr[R_DX] = value >> 32;
}

int insn_rdtsc(struct vcpu *v, const struct insn *i)
{
	if ((v->s.cr4 & CR4_TSD) && v->cpl)
		cpu_raise_error(v, EXC_GP, 0);
	set_pair(v, vcpu_outside(v, vcpu_tsc(v)));
	if (i->mnemonic == ZYDIS_MNEMONIC_RDTSCP)
		v->s.gpr[R_CX] = v->s.tsc_aux & 0xffffffffu;
	return INSN_NEXT;
}

int insn_rdpid(struct vcpu *v, const struct insn *i)
{
	v->s.gpr[i->r[0]] = v->s.tsc_aux & 0xffffffffu;
	return INSN_NEXT;
}

/* No performance counters are advertised: none exists to be read. */
int insn_rdpmc(struct vcpu *v, const struct insn *i)
{
	(void)i;
	cpu_raise_error(v, EXC_GP, 0);
}

int insn_rdmsr(struct vcpu *v, const struct insn *i)
{
	uint64_t value;

	(void)i;
	privileged(v);
	if (!msr_read(v, (uint32_t)v->s.gpr[R_CX], &value))
		cpu_raise_error(v, EXC_GP, 0);
	set_pair(v, value);
	return INSN_NEXT;
}

int insn_wrmsr(struct vcpu *v, const struct insn *i)
{
	uint64_t value = (v->s.gpr[R_DX] << 32) | (v->s.gpr[R_AX] & 0xffffffffu);

	privileged(v);
	if (!msr_write(v, (uint32_t)v->s.gpr[R_CX], value))
		cpu_raise_error(v, EXC_GP, 0);
	v->s.rip += i->len;
	return INSN_JUMP;
}

int insn_swapgs(struct vcpu *v, const struct insn *i)
{
	uint64_t base = v->s.seg[S_GS].base;

	(void)i;
	if (v->code_size != CODE_64)
		cpu_raise(v, EXC_UD);
	privileged(v);
	v->s.seg[S_GS].base = v->seg_base[S_GS] = v->s.kernel_gs_base;
	v->s.kernel_gs_base = base;
	return INSN_NEXT;
}

int insn_fsgsbase(struct vcpu *v, const struct insn *i)
{
	bool gs = i->mnemonic == ZYDIS_MNEMONIC_RDGSBASE || i->mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
	bool write = i->mnemonic == ZYDIS_MNEMONIC_WRFSBASE || i->mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
	unsigned seg = gs ? S_GS : S_FS, size = i->opsize == 8 ? 8 : 4;

	if (v->code_size != CODE_64 || !(v->s.cr4 & CR4_FSGSBASE))
		cpu_raise(v, EXC_UD);
	if (!write) {
		gpr_write(v, i->r[0], false, size, v->s.seg[seg].base);
		return INSN_NEXT;
	}
	uint64_t base = gpr_read(v, i->r[0], false, size);

	if (!is_canonical(base))
		cpu_raise_error(v, EXC_GP, 0);
	v->s.seg[seg].base = v->seg_base[seg] = base;
	return INSN_NEXT;
}

/* RDRAND and RDSEED: the one place where the host's randomness enters an instruction. */
int insn_random(struct vcpu *v, const struct insn *i)
{
	unsigned long long value = 0;
	unsigned char ok = 0;
	uint32_t id[4];

	cpuid_read(v, 1, 0, id);
	if (!(id[2] & (1u << 30))) /* nor has the host it then */
		cpu_raise(v, EXC_UD);
	for (unsigned k = 0; k < 64 && !ok; k++)
		__asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
	ok = (unsigned char)vcpu_outside(v, ok);
	value = vcpu_outside(v, value);
	gpr_write(v, i->r[0], false, i->opsize, ok ? value : 0);
	v->cc = ok ? CC_CF : 0;
	return INSN_NEXT;
}
