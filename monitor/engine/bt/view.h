/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bt/view.h - memory through the host's MMU: windows onto guest RAM instead of look-ups.
 *
 * An address space that has run for some time gets a view: for each terabyte of linear addresses that it uses a
 * window of the host's address space, in which a page of guest RAM is mapped once user code has touched it.  Code made
 * with BT_VIEW adds what vcpu.bt.view says for the address's terabyte and accesses; what is not mapped faults and
 * comes here (recover.c).  The kernel has one view for its half of all address spaces, of what is global there.
 * Promise: a window shows only pages of guest RAM that its code may access so without telling anyone, as the TLB
 * does (cpu/tlb.h), and what the TLB forgets goes from the windows too.  Around each lie guards so
 * wide that a displacement from a register, or a 32-bit index, needs no look at where it leads.  Terabytes without a window lead to one where
 * nothing is.
 * Threads: the vCPU's own.
 */
#ifndef SERAI_MONITOR_ENGINE_BT_VIEW_H
#define SERAI_MONITOR_ENGINE_BT_VIEW_H

#include "monitor/cpu/tlb.h"
#include "monitor/engine/bt/view_local.h"

#define VIEW_SHIFT   40 /* log2 of a window's size */
#define VIEW_WINDOWS 8

struct view_page;

struct view {
	bool kernel;  /* it shows the upper half, else the lower one */
	bool on;      /* code with BT_VIEW may run */
	bool valid;   /* what is mapped is right: it is or was on, and could be so again */
	bool stale;   /* it was so until the TLB was flushed */
	bool dirty;   /* something may be mapped */
	bool full;    /* too much is */
	int heat;     /* ticks that met its user code since it was last flushed */
	int credit;   /* faults that it may cost until it has run some more */
	unsigned windows;
	struct {
		unsigned which; /* terabyte */
		uint8_t *base;
	} window[VIEW_WINDOWS];
	uint64_t wanted;        /* page that was not there when it was accessed, and 1 if to be written; 0: none */
	uint64_t root;          /* CR3 it was begun with */
	struct view_page *page; /* what is mapped */
	uint16_t *index;        /* by hash: number in it and 1 */
	unsigned used;
	unsigned maps;          /* host mappings that it has at most */
	_Atomic unsigned *all;  /* and all views of all vCPUs */
};

struct views {
	uint8_t *nothing; /* a window without pages; NULL: there are no views */
	struct view of[TLB_SPACES + 1]; /* [TLB_KERNEL]: the kernel's */
	struct view *installed; /* that vcpu.bt.view[0] shows */
	struct view_local local; /* the kernel's pages that are not global */
	uint64_t ticked;        /* host's nanoseconds: the last one */
	uint64_t raised;        /* exceptions until then */
	/* Statistics: views; faults that mapped something; those that could not; pages. */
	uint64_t begun, faults, refusals, mapped;
};

/* Host address space for a window without pages; without it there are no views. */
void views_create(struct vcpu *v, struct views *s, _Atomic unsigned *maps);
void views_destroy(struct vcpu *v, struct views *s);

/* The vCPU is running code: does it deserve a view? */
void view_heat(struct vcpu *v, struct views *s);

/* vcpu.bt.view[0] becomes that of the current space. */
void view_install(struct vcpu *v, struct views *s);

/* A host access to this address faulted: true: it is mapped now. */
bool view_fault(struct vcpu *v, struct views *s, uintptr_t host, bool write);

/* The access that led to this address may have meant a terabyte that has no window yet: registers say which. */
void view_missing(struct vcpu *v, struct views *s, uintptr_t host);

/* It was flushed or lacked a page: most of it may still be right, the page may be there now.  Returns w->on. */
bool view_go_on(struct vcpu *v, struct views *s, struct view *w);

/* That of the code which runs now. */
static inline struct view *view_current(struct vcpu *v, struct views *s)
{
	return &s->of[v->cpl ? v->tlb->current : TLB_KERNEL];
}

/* Can there be one for it? */
static inline bool view_is_possible(const struct vcpu *v)
{
	return v->code_size == CODE_64 && (v->cpl ? v->view == TLB_USER : v->view != TLB_CHECKED);
}

/* Does it run in its view? */
static inline bool view_is_on(struct vcpu *v, struct views *s)
{
	struct view *w = view_current(v, s);

	return unlikely(w->stale || w->wanted) ? view_go_on(v, s, w) : w->on;
}

#endif
