/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/cpu/cpuid.c - what the guest is told of its processor: the host's, less what no engine carries.
 *
 * SDM volume 2 CPUID; AMD APM volume 3 appendix E; VMware's hypervisor leaves 0x40000000 and 0x40000010.
 */
#include "monitor/cpu/cpuid.h"

#include "base/topology.h"
#include "monitor/cpu/arch.h"
#include "monitor/cpu/fpu.h"

#include <cpuid.h>

/* Leaf 1 */
#define F1C_CARRIED                                                                                          \
	(1u << 0 | 1u << 1 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 17 | 1u << 19 | 1u << 20 | 1u << 22 |     \
		1u << 23 | 1u << 25 | 1u << 26 | 1u << 28 | 1u << 29 | 1u << 30)
#define F1C_ALWAYS                                                                                           \
	(1u << 17 | 1u << 21 | 1u << 24) /* PCID, x2APIC, TSC deadline: ours, whatever the host has */
#define F1C_MONITOR    (1u << 3)
#define F1C_OSXSAVE    (1u << 27)
#define F1C_HYPERVISOR (1u << 31)
#define F1D_CARRIED                                                                                          \
	(1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 |           \
		1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15 | 1u << 16 | 1u << 17 | 1u << 19 |      \
		1u << 23 | 1u << 24 | 1u << 25 | 1u << 26)
#define F1D_HTT (1u << 28)
/* Leaf 7 */
#define F7B_CARRIED                                                                                          \
	(1u << 3 | 1u << 5 | 1u << 8 | 1u << 9 | 1u << 13 | 1u << 18 | 1u << 19 | 1u << 23 | 1u << 24 |      \
		1u << 29)
#define F7B_ALWAYS                                                                                           \
	(1u << 0 | 1u << 1 | 1u << 7 | 1u << 10 | 1u << 20) /* FSGSBASE TSC_ADJUST SMEP INVPCID SMAP */
#define F7C_ALWAYS    (1u << 2 | 1u << 22)                  /* UMIP RDPID */
#define F7D_CARRIED   (1u << 4)
#define F7D_SPEC_CTRL (1u << 26)
#define F7D_ARCH_CAP  (1u << 29)
/* Leaf 0x80000001 */
#define FXC_CARRIED (1u << 0 | 1u << 5 | 1u << 8)
#define FXD_ALWAYS  (1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29) /* SYSCALL NX 1G RDTSCP LM */
#define FXD_SHARED  0x0183f3ffu /* AMD repeats these bits of leaf 1 */

/* IA32_ARCH_CAPABILITIES: nothing of what these announce can be reached through a software CPU. */
#define ARCH_CAP_IMMUNE                                                                                      \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 13 |    \
		1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27 | 1ull << 62)

#define PHYS_BITS 40

static bool is_amd(const uint32_t leaf0[4])
{
	return leaf0[1] == 0x68747541u; /* "Auth" */
}

static bool is_intel(const uint32_t leaf0[4])
{
	return leaf0[1] == 0x756e6547u; /* "Genu" */
}

static void host(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	uint32_t a, b, c, d;

	__cpuid_count(leaf, subleaf, a, b, c, d);
	r[0] = a;
	r[1] = b;
	r[2] = c;
	r[3] = d;
}

static void put(struct cpuid_table *t, uint32_t leaf, uint32_t subleaf, uint32_t a, uint32_t b, uint32_t c,
	uint32_t d)
{
	if (t->count < ARRAY_LEN(t->leaf))
		t->leaf[t->count++] = (struct cpuid_leaf){ leaf, subleaf, a, b, c, d };
}

/*
 * Family and model: of a processor that has never had what is held back.  Programs choose code by them, too: GCC's
 * target_clones("arch=...") looks at nothing else.  So a host with AVX-512 passes for Skylake (client) or Zen 3.
 */
static uint32_t signature(const uint32_t h0[4], const uint32_t h1[4], const uint32_t h7[4])
{
	if (!(h7[1] & 1u << 16))
		return h1[0];
	return is_amd(h0) ? 0x00a00f11 : 0x000506e3;
}

static void basic_leaves(struct cpuid_table *t, const struct cpu_options *o, const uint32_t h0[4])
{
	uint32_t h1[4], h7[4], h[4];
	unsigned cores = MAX_OF(o->cores_per_socket, 1u);
	uint32_t f7d, f1c;

	host(1, 0, h1);
	host(7, 0, h7);
	put(t, 0, UINT32_MAX, 0x16, h0[1], h0[2], h0[3]);
	f1c = (h1[2] & F1C_CARRIED) | F1C_ALWAYS | (o->hide_hypervisor ? 0 : F1C_HYPERVISOR) |
	      (o->mwait ? F1C_MONITOR : 0);
	put(t, 1, UINT32_MAX, signature(h0, h1, h7), (h1[1] & 0xff00) | (cores & 0xff) << 16, f1c,
		(h1[3] & F1D_CARRIED) | (cores > 1 ? F1D_HTT : 0));
	if (!is_amd(h0)) {
		host(2, 0, h);
		put(t, 2, UINT32_MAX, h[0], h[1], h[2], h[3]);
		for (uint32_t k = 0; k < 4; k++) {
			host(4, k, h);
			if (!(h[0] & 0x1f))
				break;
			/* Shared by one thread, or by the package for the last level; cores in the package.
			 */
			h[0] = (h[0] & 0x3fff) | (k == 3 ? (cores - 1) << 14 : 0) | (cores - 1) << 26;
			put(t, 4, k, h[0], h[1], h[2], h[3]);
		}
	}
	if (o->mwait) /* lines of 64 bytes; interrupts as break events; one kind of C1 */
		put(t, 5, UINT32_MAX, 64, 64, 3, 0x10);
	put(t, 6, UINT32_MAX, 1u << 2, 0, 0, 0); /* ARAT: the APIC timer never stops */
	f7d = (h7[3] & F7D_CARRIED) | F7D_ARCH_CAP | (is_amd(h0) ? 0 : F7D_SPEC_CTRL);
	put(t, 7, 0, 0, (h7[1] & F7B_CARRIED) | F7B_ALWAYS, F7C_ALWAYS, f7d);
	put(t, 0xb, 0, 0, 1, 1u << 8, 0);
	put(t, 0xb, 1, topology_core_bits(cores), cores, 2u << 8 | 1, 0);
	put(t, 0xb, 2, 0, 0, 2, 0);
	put(t, 0xd, 0, XCR0_ALL, XS_SIZE, XS_SIZE, 0);
	put(t, 0xd, 1, 7, XS_SIZE, 0, 0); /* XSAVEOPT, XSAVEC, XGETBV(1) */
	put(t, 0xd, 2, XS_SIZE - XS_AVX, XS_AVX, 0, 0);
	put(t, 0x15, UINT32_MAX, 0, 0, 0, 0);
	put(t, 0x16, UINT32_MAX, (uint32_t)(o->tsc_khz / 1000), (uint32_t)(o->tsc_khz / 1000), 100, 0);
}

static void hypervisor_leaves(struct cpuid_table *t, const struct cpu_options *o)
{
	if (o->hide_hypervisor)
		return;
	put(t, 0x40000000, UINT32_MAX, 0x40000010, 0x61774d56u, 0x4d566572u,
		0x65726177u); /* "VMwareVMware" */
	put(t, 0x40000010, UINT32_MAX, (uint32_t)o->tsc_khz, o->apic_bus_khz, 0, 0);
}

static void extended_leaves(struct cpuid_table *t, const struct cpu_options *o, const uint32_t h0[4])
{
	uint32_t h[4], h1[4];
	bool amd = is_amd(h0);
	unsigned cores = MAX_OF(o->cores_per_socket, 1u);

	host(1, 0, h1);
	put(t, 0x80000000, UINT32_MAX, amd ? 0x80000021 : 0x80000008, amd ? h0[1] : 0, amd ? h0[2] : 0,
		amd ? h0[3] : 0);
	host(0x80000001, 0, h);
	put(t, 0x80000001, UINT32_MAX, amd ? h[0] : 0, 0,
		(h[2] & FXC_CARRIED) | (amd && cores > 1 ? 1u << 1 : 0),
		FXD_ALWAYS | (amd ? h1[3] & F1D_CARRIED & FXD_SHARED : 0));
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++) {
		host(leaf, 0, h);
		put(t, leaf, UINT32_MAX, h[0], h[1], h[2], h[3]);
	}
	put(t, 0x80000007, UINT32_MAX, 0, 0, 0, 1u << 8); /* invariant TSC */
	put(t, 0x80000008, UINT32_MAX, PHYS_BITS | 48u << 8, amd && !o->mitigations ? 1u << 26 | 1u << 29 : 0,
		amd ? topology_core_bits(cores) << 12 | (cores - 1) : 0, 0);
	if (amd) /* LFENCE serializes; automatic IBRS, SRSO_NO; TSA_SQ_NO, TSA_L1_NO */
		put(t, 0x80000021, UINT32_MAX, 1u << 2 | (o->mitigations ? 0 : 1u << 8 | 1u << 29), 0,
			o->mitigations ? 0 : 1u << 1 | 1u << 2, 0);
}

void cpuid_build(struct cpuid_table *table, uint64_t *arch_capabilities, unsigned *phys_bits,
	const struct cpu_options *options)
{
	uint32_t h0[4];

	table->count = 0;
	table->cores_per_socket = MAX_OF(options->cores_per_socket, 1u);
	host(0, 0, h0);
	table->intel = is_intel(h0);
	table->mwait = options->mwait;
	basic_leaves(table, options, h0);
	hypervisor_leaves(table, options);
	extended_leaves(table, options, h0);
	*arch_capabilities = options->mitigations ? 0 : ARCH_CAP_IMMUNE;
	*phys_bits = PHYS_BITS;
}

static const struct cpuid_leaf *find(const struct cpuid_table *t, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned k = 0; k < t->count; k++) {
		const struct cpuid_leaf *l = &t->leaf[k];

		if (l->leaf == leaf && (l->subleaf == UINT32_MAX || l->subleaf == subleaf))
			return l;
	}
	return NULL;
}

void cpuid_read(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	const struct cpuid_leaf *l = find(v->cpuid, leaf, subleaf);

	memset(r, 0, 4 * sizeof(*r));
	if (l) {
		r[0] = l->eax;
		r[1] = l->ebx;
		r[2] = l->ecx;
		r[3] = l->edx;
	}
	if (leaf == 1) {
		r[1] |= topology_apic_id(v->index, v->cpuid->cores_per_socket) << 24;
		r[2] |= v->s.cr4 & CR4_OSXSAVE ? F1C_OSXSAVE : 0;
		if (!(v->s.misc_enable & MISC_ENABLE_MWAIT))
			r[2] &= ~F1C_MONITOR;
		if (!(v->s.apic_base & APIC_BASE_ENABLE))
			r[3] &= ~(1u << 9);
	} else if (leaf == 0x80000001) {
		if (!(v->s.apic_base & APIC_BASE_ENABLE))
			r[3] &= ~(1u << 9);
	} else if (leaf == 0xb) {
		r[3] = topology_apic_id(v->index, v->cpuid->cores_per_socket);
		if (!l)
			r[2] = subleaf & 0xff;
	} else if (leaf == 0xd && subleaf <= 1) {
		r[1] = v->s.xcr0 & XCR0_AVX ? XS_SIZE : XS_AVX;
	}
}
