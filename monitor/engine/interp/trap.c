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

/* Hand a signal that is not ours back to whoever it would have killed. */
static void not_ours(int sig)
{
	signal(sig, SIG_DFL);
}

static void simd_exception(struct vcpu *v, const ucontext_t *uc)
{
	le_store(v->s.xsave.bytes + FX_MXCSR, 4, uc->uc_mcontext.fpregs->mxcsr);
	cpu_raise(v, v->s.cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	struct vcpu *v = running;
	const struct interp *in = v ? v->engine_data : NULL;

	(void)info;
	if (!in || !thunk_arena_contains(&in->thunks, (uintptr_t)uc->uc_mcontext.gregs[REG_RIP])) {
		not_ours(sig);
		return;
	}
	switch (uc->uc_mcontext.gregs[REG_TRAPNO]) {
	case EXC_DE:
		cpu_raise(v, EXC_DE);
	case EXC_MF:
		cpu_raise(v, EXC_MF);
	case EXC_XM:
		simd_exception(v, uc);
		break;
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
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&sa.sa_mask);
	for (size_t k = 0; k < ARRAY_LEN(signals); k++)
		sigaction(signals[k], &sa, NULL);
}

void interp_trap_enter(struct vcpu *v)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	running = v;
}
