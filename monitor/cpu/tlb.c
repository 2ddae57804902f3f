/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/cpu/tlb.h"

#include "monitor/cpu/arch.h"
#include "monitor/cpu/debug.h"

#include <stdlib.h>

struct tlb *tlb_new(void)
{
	struct tlb *t = calloc(1, sizeof(*t));

	if (t)
		t->next_asid = 1;
	return t;
}

void tlb_flush_all(struct vcpu *v)
{
	struct tlb *t = v->tlb;

	v->tlb_flushes++;
	memset(t->data, 0, sizeof(t->data));
	memset(t->code, 0, sizeof(t->code));
	memset(t->pcid_asid, 0, sizeof(t->pcid_asid));
	t->next_asid = 1;
	t->large_low = UINT64_MAX;
	t->large_high = 0;
	tlb_flush_pcid(v, v->s.cr3 & 0xfff);
}

/* A PCID only tags when CR4.PCIDE is set; otherwise everything is PCID 0. */
static unsigned effective_pcid(const struct vcpu *v, unsigned pcid)
{
	return v->s.cr4 & CR4_PCIDE ? pcid : 0;
}

void tlb_flush_pcid(struct vcpu *v, unsigned pcid)
{
	struct tlb *t = v->tlb;

	v->tlb_flushes++;
	pcid = effective_pcid(v, pcid);
	if (t->next_asid == TLB_ASIDS) {
		tlb_flush_all(v);
		return;
	}
	t->pcid_asid[pcid] = t->next_asid++;
	if (pcid == effective_pcid(v, v->s.cr3 & 0xfff))
		v->asid = t->pcid_asid[pcid];
}

void tlb_switch(struct vcpu *v, unsigned pcid, bool keep)
{
	unsigned eff = effective_pcid(v, pcid);

	if (!keep || !v->tlb->pcid_asid[eff])
		tlb_flush_pcid(v, pcid);
	else
		v->asid = v->tlb->pcid_asid[eff], v->tlb_flushes++;
}

void tlb_flush_page(struct vcpu *v, uint64_t la)
{
	struct tlb *t = v->tlb;

	v->tlb_flushes++;
	la &= v->la_mask;
	if (la >= t->large_low && la <= t->large_high) {
		tlb_flush_all(v);
		return;
	}
	for (unsigned view = 0; view < TLB_VIEWS; view++) {
		tlb_slot(t->data[view][TLB_READ], la)->tag = 0;
		tlb_slot(t->data[view][TLB_WRITE], la)->tag = 0;
	}
	tlb_slot(t->code[0], la)->tag = 0;
	tlb_slot(t->code[1], la)->tag = 0;
}

bool tlb_protect_host_page(struct vcpu *v, const uint8_t *host_page)
{
	bool found = false;

	for (unsigned view = 0; view < TLB_CHECKED; view++) {
		struct tlb_entry *e = v->tlb->data[view][TLB_WRITE];

		for (unsigned i = 0; i < TLB_SIZE; i++) {
			if (e[i].tag &&
				(uint8_t *)(uintptr_t)((e[i].tag & PAGE_MASK) + e[i].addend) == host_page) {
				e[i].tag = 0;
				found = true;
			}
		}
	}
	return found;
}

void tlb_select_view(struct vcpu *v)
{
	if (v->cpl == 3) {
		bool checked = (v->s.cr0 & CR0_AM) && (v->s.rflags & FLAG_AC);

		v->view = checked ? TLB_CHECKED : TLB_USER;
	} else {
		v->view =
			(v->s.cr4 & CR4_SMAP) && !(v->s.rflags & FLAG_AC) ? TLB_SUPER_CLOSED : TLB_SUPER_OPEN;
	}
	if (unlikely(debug_has_data(v)))
		v->view = TLB_CHECKED;
	v->tlb_data[TLB_READ] = v->tlb->data[v->view][TLB_READ];
	v->tlb_data[TLB_WRITE] = v->tlb->data[v->view][TLB_WRITE];
}
