/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * interp/trap.c - host signals raised by thunks, as guest exceptions.
 *
 * A thunk that faults has stored nothing, so the guest's state is that before the instruction: the handler
 * only says which exception it was and leaves for the engine's loop.  The kernel resets the FPU on the way
 * into a handler, so the loop runs with the host's default MXCSR and x87 state.
 */
#include "monitor/cpu/fpu.h"
#include "monitor/engine/interp/interp.h"

#include <signal.h>
#include <ucontext.h>

static _Thread_local struct vcpu *running;

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
static struct sigaction previous[ARRAY_LEN(signals)]; /* set once, before the handler can run */

/* Not raised by a thunk: to whoever had the signal before us, or to the default action. */
static void not_ours(int sig, siginfo_t *info, void *context)
{
	for (size_t k = 0; k < ARRAY_LEN(signals); k++) {
		const struct sigaction *p = &previous[k];

		if (signals[k] != sig)
			continue;
		if (p->sa_flags & SA_SIGINFO)
			p->sa_sigaction(sig, info, context);
		else if (p->sa_handler != SIG_DFL && p->sa_handler != SIG_IGN)
			p->sa_handler(sig);
		else
			signal(sig, SIG_DFL);
	}
}

static void simd_exception(struct vcpu *v, const ucontext_t *uc)
{
	le_store(v->s.xsave.bytes + FX_MXCSR, 4, uc->uc_mcontext.fpregs->mxcsr);
	cpu_raise(v, v->s.cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

static bool in_thunk(const struct interp *in, uintptr_t pc)
{
	return thunk_arena_contains(&in->thunks, pc) || (in->sites && thunk_arena_contains(in->sites, pc));
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct vcpu *v = running;
	const struct interp *in = v ? v->engine_data : NULL;
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];

	int again = in && in->recover ? in->recover(v, uc, pc) : 0;

	if (!in || !(again || in_thunk(in, pc))) {
		not_ours(sig, info, context);
		return;
	}
	if (again == INTERP_RETRY)
		return;
	/* We leave by a jump: the mask the kernel would restore on return is restored here. */
	pthread_sigmask(SIG_SETMASK, &uc->uc_sigmask, NULL);
	if (again)
		_longjmp(v->recover, again);
	switch (uc->uc_mcontext.gregs[REG_TRAPNO]) {
	case EXC_DE:
		cpu_raise(v, EXC_DE);
	case EXC_MF:
		cpu_raise(v, EXC_MF);
	case EXC_XM:
		simd_exception(v, uc);
		break;
	case EXC_AC: /* a host that refuses split locks, as the guest's processor then does */
		cpu_raise_error(v, EXC_AC, 0);
	case EXC_GP: /* an aligned vector access that is not */
		cpu_raise_error(v, EXC_GP, 0);
	case EXC_UD:
		cpu_raise(v, EXC_UD);
	default: /* guest RAM that the host cannot provide */
		_longjmp(v->recover, INTERP_BROKEN);
	}
}

static void install(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };

	sigemptyset(&sa.sa_mask);
	for (size_t k = 0; k < ARRAY_LEN(signals); k++)
		sigaction(signals[k], &sa, &previous[k]);
}

void interp_trap_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

void interp_trap_enter(struct vcpu *v)
{
	running = v;
}
