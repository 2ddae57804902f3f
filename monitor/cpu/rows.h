/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/rows.h - the semantics that have a row (rows.c), and what they share.
 */
#ifndef SERAI_MONITOR_CPU_ROWS_H
#define SERAI_MONITOR_CPU_ROWS_H

#include "monitor/cpu/cpuid.h"
#include "monitor/cpu/insn.h"
#include "monitor/cpu/segment.h"

insn_fn insn_jo, insn_jno, insn_jb, insn_jnb, insn_jz, insn_jnz, insn_jbe, insn_jnbe, insn_js, insn_jns,
	insn_jp, insn_jnp, insn_jl, insn_jnl, insn_jle, insn_jnle, insn_jcxz, insn_loop, insn_jmp, insn_call,
	insn_ret, insn_iret, insn_int, insn_int3, insn_into, insn_int1, insn_bound, insn_syscall, insn_sysret,
	insn_sysenter, insn_sysexit;
insn_fn insn_push, insn_pop, insn_pusha, insn_popa, insn_pushf, insn_popf, insn_enter, insn_leave, insn_mov,
	insn_mov_load64, insn_mov_load32, insn_mov_store64, insn_mov_store32, insn_mov_reg64, insn_mov_reg32,
	insn_lea, insn_load_far, insn_xlat, insn_pause_r8, insn_nop;
insn_fn insn_movs, insn_stos, insn_lods, insn_cmps, insn_scas, insn_ins, insn_outs;
insn_fn insn_clc, insn_stc, insn_cmc, insn_cld, insn_std, insn_lahf, insn_sahf, insn_salc, insn_daa, insn_das,
	insn_aaa, insn_aas, insn_aam, insn_aad, insn_cli, insn_sti, insn_clac, insn_stac;
insn_fn insn_lgdt, insn_lidt, insn_sgdt, insn_sidt, insn_lldt, insn_ltr, insn_sldt, insn_str, insn_smsw,
	insn_lmsw, insn_clts, insn_lar, insn_lsl, insn_verr, insn_verw, insn_arpl, insn_mov_cr, insn_mov_dr,
	insn_invlpg, insn_invpcid, insn_wbinvd, insn_clflush, insn_fence, insn_hlt, insn_monitor, insn_mwait, insn_pause, insn_in, insn_out,
	insn_cpuid, insn_rdtsc, insn_rdpid, insn_rdpmc, insn_rdmsr, insn_wrmsr, insn_swapgs, insn_fsgsbase,
	insn_random;
insn_fn insn_ldmxcsr, insn_stmxcsr, insn_fxsave, insn_fxrstor, insn_xsave, insn_xrstor, insn_xgetbv,
	insn_xsetbv, insn_vzeroupper, insn_vmaskmov, insn_maskmov_bytes, insn_gather;

/* MOV's function for the shape of its operands. */
insn_fn *insn_mov_specialize(const struct insn *i);

/* The far pointer in memory that the instruction names: offset, then selector. */
uint16_t insn_far_pointer(struct vcpu *v, const struct insn *i, uint64_t *offset);

/* Ports with statistics and I/O breakpoints; permission already checked. */
uint32_t cpu_port_read(struct vcpu *v, uint16_t port, unsigned size);
void cpu_port_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);

#endif
