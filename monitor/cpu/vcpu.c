/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/vcpu.c - life of a vCPU: creation, reset, saved state, and its face for people.
 */
#include "monitor/cpu/vcpu.h"

#include "monitor/cpu/cpuid.h"
#include "monitor/cpu/fpu.h"
#include "monitor/cpu/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

bool vcpu_create(struct vcpu *v, GError **error)
{
	v->tlb = tlb_new();
	if (!v->tlb)
		return fail(error, SERAI_ERROR_HOST, "vCPU %u: no memory for its TLB", v->index);
	for (unsigned view = TLB_SUPER_OPEN; view <= TLB_SUPER_CLOSED; view++) {
		for (unsigned kind = TLB_READ; kind <= TLB_WRITE; kind++)
			v->tlb_super[view][kind] = tlb_table_of(v, view, kind);
	}
	v->host_mxcsr = 0x1f80;
	atomic_store(&v->pending, 0);
	vcpu_reset(v, false);
	return true;
}

void vcpu_destroy(struct vcpu *v)
{
	if (v->pair.at)
		munmap(v->pair.at, 2 * PAGE_SIZE);
	v->pair.at = NULL;
	tlb_free(v->tlb);
	v->tlb = NULL;
}

bool vcpu_has_work(const struct vcpu *v)
{
	uint32_t p = atomic_load(&v->pending);

	if (v->s.wait_for_sipi)
		p &= VCPU_SIPI | VCPU_INIT | VCPU_EXIT | VCPU_FLUSH | VCPU_FORGET;
	else if (!(v->s.rflags & FLAG_IF) && v->s.halted != HALT_MWAIT_ANY)
		p &= ~VCPU_INTR;
	if (v->s.nmi_blocked)
		p &= ~VCPU_NMI;
	return p != 0;
}

bool vcpu_monitor_quiet(const struct vcpu *v)
{
	for (unsigned k = 0; v->monitor.at && k < ARRAY_LEN(v->monitor.seen); k++) {
		if (ram_load(v->monitor.at + 8 * k, 8) != v->monitor.seen[k])
			return false;
	}
	return v->monitor.at;
}

static void reset_segments(struct vcpu *v)
{
	for (unsigned k = S_ES; k <= S_GS; k++)
		v->s.seg[k] = (struct segment){ .limit = 0xffff, .attr = 0x93 };
	v->s.seg[S_CS] =
		(struct segment){ .base = 0xffff0000u, .limit = 0xffff, .selector = 0xf000, .attr = 0x9b };
	v->s.seg[S_LDTR] = (struct segment){ .limit = 0xffff, .attr = 0x82 };
	v->s.seg[S_TR] = (struct segment){ .limit = 0xffff, .attr = 0x8b };
	v->s.gdt_base = v->s.idt_base = 0;
	v->s.gdt_limit = v->s.idt_limit = 0xffff;
}

static void reset_registers(struct vcpu *v, bool init_only)
{
	uint32_t id[4];
	uint64_t cache = v->s.cr0 & (CR0_CD | CR0_NW);

	memset(v->s.gpr, 0, sizeof(v->s.gpr));
	cpuid_read(v, 1, 0, id);
	v->s.gpr[R_DX] = id[0];
	v->s.rip = 0xfff0;
	v->s.rflags = FLAG_ONE;
	reset_segments(v);
	v->s.cr0 = CR0_ET | (init_only ? cache : CR0_CD | CR0_NW);
	v->s.cr2 = v->s.cr3 = v->s.cr4 = 0;
	v->s.efer = 0;
	memset(v->s.dr, 0, sizeof(v->s.dr));
	v->s.dr[6] = DR6_FIXED;
	v->s.dr[7] = DR7_FIXED;
	v->s.halted = 0;
	v->s.irq_shadow = 0;
	v->s.nmi_blocked = 0;
	v->s.wait_for_sipi = v->index != 0;
}

void vcpu_reset(struct vcpu *v, bool init_only)
{
	if (!init_only) {
		struct vcpu_state zero = { 0 };

		v->s = zero;
		v->s.pat = 0x0007040600070406ull;
		v->s.misc_enable = 1 | (v->cpuid->mwait ? MISC_ENABLE_MWAIT : 0); /* fast strings */
		v->s.xcr0 = XCR0_X87;
		v->s.apic_base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (v->index == 0 ? APIC_BASE_BSP : 0);
		v->s.mcg_ctl = UINT64_MAX;
		v->s.tsc_offset = 0 - vclock_tsc(v->clock);
		fpu_reset(v);
	}
	reset_registers(v, init_only);
	vcpu_settle(v);
}

#define F(member) STATE_FIELD(struct vcpu_state, member, 1)
#define A(member) STATE_ARRAY(struct vcpu_state, member, 1)
#define SEG(n)    F(seg[n].base), F(seg[n].limit), F(seg[n].selector), F(seg[n].attr)

static const struct state_field fields[] = {
	A(gpr),
	F(rip),
	F(zero),
	F(rflags),
	SEG(0),
	SEG(1),
	SEG(2),
	SEG(3),
	SEG(4),
	SEG(5),
	SEG(6),
	SEG(7),
	F(gdt_base),
	F(idt_base),
	F(gdt_limit),
	F(idt_limit),
	F(cr0),
	F(cr2),
	F(cr3),
	F(cr4),
	F(xcr0),
	A(dr),
	F(efer),
	F(star),
	F(lstar),
	F(cstar),
	F(sfmask),
	F(kernel_gs_base),
	F(sysenter_cs),
	F(sysenter_esp),
	F(sysenter_eip),
	F(tsc_adjust),
	F(tsc_aux),
	F(pat),
	F(misc_enable),
	F(apic_base),
	F(mtrr_def_type),
	A(mtrr_fixed),
	A(mtrr_var),
	F(spec_ctrl),
	F(debugctl),
	F(mcg_status),
	F(mcg_ctl),
	A(mc_bank),
	F(tsc_offset),
	F(halted),
	F(wait_for_sipi),
	F(irq_shadow),
	F(nmi_blocked),
	F(requests),
	F(sipi),
	A(reserved),
	A(xsave.bytes),
};

/* What no run can have left: the host must never load such an image, nor an engine run such a mode. */
static bool check(const void *state, GError **error)
{
	const struct vcpu_state *s = state;

	if (s->zero)
		return fail(error, SERAI_ERROR_STATE, "vcpu: field zero is not 0");
	if ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE))
		return fail(error, SERAI_ERROR_STATE, "vcpu: cr0 0x%llx has PG without PE",
			(unsigned long long)s->cr0);
	if (!(s->xcr0 & XCR0_X87) || (s->xcr0 & ~XCR0_ALL))
		return fail(error, SERAI_ERROR_STATE, "vcpu: xcr0 0x%llx", (unsigned long long)s->xcr0);
	if ((uint32_t)le_load(s->xsave.bytes + FX_MXCSR, 4) & ~0x2ffffu)
		return fail(error, SERAI_ERROR_STATE, "vcpu: reserved MXCSR bits set");
	if (le_load(s->xsave.bytes + XS_HEADER, 8) & ~XCR0_ALL)
		return fail(error, SERAI_ERROR_STATE, "vcpu: unknown components in its XSAVE header");
	for (unsigned k = XS_HEADER + 8; k < XS_HEADER + 64; k++) {
		if (s->xsave.bytes[k])
			return fail(error, SERAI_ERROR_STATE,
				"vcpu: reserved byte %u of its XSAVE image is set", k);
	}
	return true;
}

const struct state_class vcpu_state_class = {
	.name = "vcpu",
	.version = 1,
	.size = sizeof(struct vcpu_state),
	.fields = fields,
	.field_count = ARRAY_LEN(fields),
	.check = check,
};

/* Requests that are edges: nobody would raise them again.  VCPU_INTR is a level; the local APIC tells it
 * anew. */
#define TRAVELLING (VCPU_NMI | VCPU_INIT | VCPU_SIPI)

void vcpu_save(struct vcpu *v, struct state_writer *w)
{
	char instance[16];

	snprintf(instance, sizeof(instance), "%u", v->index);
	v->s.rflags = vcpu_get_rflags(v);
	v->s.requests = atomic_load(&v->pending) & TRAVELLING;
	v->s.sipi = atomic_load(&v->sipi_vector);
	state_put(w, &vcpu_state_class, instance, &v->s);
}

bool vcpu_load(struct vcpu *v, struct state_reader *r, GError **error)
{
	char instance[16];
	uint32_t mask = (uint32_t)le_load(v->s.xsave.bytes + FX_MXCSR_MASK, 4);

	snprintf(instance, sizeof(instance), "%u", v->index);
	if (!state_get(r, &vcpu_state_class, instance, &v->s, error))
		return false;
	if (fpu_mxcsr(v) & ~mask)
		return fail(error, SERAI_ERROR_STATE,
			"vcpu %u: MXCSR 0x%x has bits this host's processor lacks", v->index, fpu_mxcsr(v));
	le_store(v->s.xsave.bytes + FX_MXCSR_MASK, 4, mask);
	atomic_store(&v->sipi_vector, v->s.sipi);
	vcpu_lower(v, TRAVELLING);
	vcpu_raise(v, v->s.requests & TRAVELLING);
	vcpu_settle(v);
	return true;
}

size_t vcpu_debug_read(struct vcpu *v, uint64_t va, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint64_t la = (va + done) & v->la_mask;
		size_t n = MIN_OF(len - done, (size_t)(PAGE_SIZE - (la & (PAGE_SIZE - 1))));
		struct page_walk w;
		const uint8_t *p;

		if (v->la_mask == UINT64_MAX && !is_canonical(la))
			break;
		if (!paging_walk(v, la, ACC_PEEK, &w) || !(p = phys_host(v, w.gpa, false)))
			break;
		memcpy((uint8_t *)buf + done, p, n);
		done += n;
	}
	return done;
}

static const char *mode_name(const struct vcpu *v)
{
	static const char *const sizes[] = { "16-bit", "32-bit", "64-bit" };

	return !v->protected_mode ? "real" : v->v86 ? "virtual-8086" : sizes[v->code_size];
}

size_t vcpu_dump(struct vcpu *v, char *buf, size_t size)
{
	static const char *const gpr[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8 ",
		"r9 ", "r10", "r11", "r12", "r13", "r14", "r15" };
	static const char *const seg[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldt", "tr" };
	const struct vcpu_state *s = &v->s;
	FILE *f = fmemopen(buf, size, "w");
	long n;

	if (!f)
		return 0;
	fprintf(f, "vCPU %u, %s mode, CPL %u%s%s\n", v->index, mode_name(v), v->cpl,
		s->halted ? ", halted" : "", s->wait_for_sipi ? ", waits for SIPI" : "");
	for (unsigned k = 0; k < 16; k++)
		fprintf(f, "%s %016llx%s", gpr[k], (unsigned long long)s->gpr[k], k % 4 == 3 ? "\n" : "  ");
	fprintf(f, "rip %016llx  rflags %08llx\n", (unsigned long long)s->rip,
		(unsigned long long)vcpu_get_rflags(v));
	for (unsigned k = 0; k < S_COUNT; k++)
		fprintf(f, "%-3s %04x base %016llx limit %08x attr %04x\n", seg[k], s->seg[k].selector,
			(unsigned long long)s->seg[k].base, s->seg[k].limit, s->seg[k].attr);
	fprintf(f, "gdt %016llx+%04x  idt %016llx+%04x\n", (unsigned long long)s->gdt_base, s->gdt_limit,
		(unsigned long long)s->idt_base, s->idt_limit);
	fprintf(f, "cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx  efer %04llx\n",
		(unsigned long long)s->cr0, (unsigned long long)s->cr2, (unsigned long long)s->cr3,
		(unsigned long long)s->cr4, (unsigned long long)s->efer);
	fprintf(f, "dr6 %08llx  dr7 %08llx  pending %x\n", (unsigned long long)s->dr[6],
		(unsigned long long)s->dr[7], atomic_load(&v->pending));
	n = ftell(f);
	fclose(f);
	return n > 0 && size ? MIN_OF((size_t)n, size - 1) : 0;
}
