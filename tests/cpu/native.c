/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/cpu/native.c - the host CPU's side of a case.
 *
 * The state is loaded whole, the code entered by iretq; normally it comes back by itself through EXIT_BASE
 * without any system call.  A fault arrives as a signal whose frame holds the state; the handler copies it
 * and resumes the harness behind native_enter.  A timer ends loops.
 */
#include "tests/cpu/native.h"
#include "tests/cpu/xstate.h"

#include <errno.h>
#include <immintrin.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

struct native_ctx {
	uint64_t gpr[16];
	uint64_t rip, unused0[4], host_rsp, fs_base, gs_base, host_fs_base, host_gs_base, rflags, exit_ptr;
	uint32_t wide, pad;
	uint32_t inside; /* between native_enter and its return */
	uint32_t host_mxcsr;
	uint16_t sel[5];
	uint8_t stack[0x180 - 0xfa];
	uint8_t unused[0x80];
	uint8_t xsave_in[0x400];
	uint8_t xsave_out[0x400];
	/* What the handler found. */
	uint32_t vector, error_code, ticks;
	uint64_t cr2;
	uint32_t code_writable;
};

_Static_assert(offsetof(struct native_ctx, exit_ptr) == CTX_EXIT_PTR - CTX_BASE, "layout");
_Static_assert(offsetof(struct native_ctx, inside) == CTX_INSIDE - CTX_BASE, "layout");
_Static_assert(offsetof(struct native_ctx, xsave_in) == CTX_XSAVE_IN - CTX_BASE, "layout");
_Static_assert(offsetof(struct native_ctx, xsave_out) == CTX_XSAVE_OUT - CTX_BASE, "layout");

struct iret_frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

#define CTX ((struct native_ctx *)CTX_BASE)

/* The mappings again, writable: code, then the memory image's pages. */
#define ALIAS     ((uint8_t *)0x153000000000) /* out of 32-bit code's reach, as is the signal stack */
#define OLD       ((struct sigaction *)(CTX_BASE + 0x2000))
#define SIG_STACK ((void *)0x153000100000)
#define SIG_BYTES 0x10000
#define PAGES     (CODE_PAGES + MEM_PAGES)

#define RF_TRAP 0x100

bool native_enter(void);
void native_exit(void);
void native_resume(void);
extern const uint8_t native_exit_page[], native_exit_page_end[];

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGALRM };

static const uint8_t greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

/* A signal that is none of ours goes to whoever was there before. */
static void pass_on(int sig, siginfo_t *info, void *uc)
{
	sigset_t tick;

	/* The engine's handler may leave by a long jump, which restores no signal mask. */
	sigemptyset(&tick);
	sigaddset(&tick, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &tick, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(fault_signals); i++) {
		const struct sigaction *old = &OLD[i];

		if (fault_signals[i] != sig)
			continue;
		if (old->sa_flags & SA_SIGINFO && old->sa_sigaction) {
			old->sa_sigaction(sig, info, uc);
			return;
		}
		if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
			old->sa_handler(sig);
			return;
		}
	}
	if (sig != SIGALRM)
		signal(sig, SIG_DFL);
}

/*
 * The tested code may have left any FS base, so until it is put back nothing here may touch thread-local
 * storage; hence no instrumentation, no library calls but copies.
 */
__attribute__((no_sanitize("address", "undefined"), target("fsgsbase"))) static void on_signal(
	int sig, siginfo_t *info, void *opaque)
{
	ucontext_t *uc = opaque;
	greg_t *g = uc->uc_mcontext.gregs;
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint64_t rip = (uint64_t)g[REG_RIP];

	if (!CTX->inside)
		return pass_on(sig, info, opaque);
	if (sig == SIGALRM && rip >= (uint64_t)native_enter && rip < (uint64_t)native_resume + 128)
		return;
	if (sig == SIGALRM && ++CTX->ticks < 2)
		return;
	CTX->fs_base = _readfsbase_u64();
	CTX->gs_base = _readgsbase_u64();
	_writefsbase_u64(CTX->host_fs_base);
	_writegsbase_u64(CTX->host_gs_base);
	for (unsigned i = 0; i < 16; i++)
		CTX->gpr[i] = (uint64_t)g[greg_of[i]];
	CTX->rip = rip;
	CTX->rflags = (uint64_t)g[REG_EFL];
	CTX->vector = sig == SIGALRM ? VECTOR_HUNG : (uint32_t)g[REG_TRAPNO];
	if (rip >= (uint64_t)native_enter && rip < (uint64_t)native_resume + 128)
		CTX->vector = VECTOR_LOST; /* the harness itself faulted: a state that cannot be loaded */
	CTX->error_code = (uint32_t)g[REG_ERR];
	CTX->cr2 = (uint64_t)g[REG_CR2];
	for (unsigned i = 0; i < XSAVE_BYTES; i++)
		CTX->xsave_out[i] = fp[i];

	__asm__("mov %%ds, %0" : "=m"(CTX->sel[SEL_I_DS]));
	__asm__("mov %%es, %0" : "=m"(CTX->sel[SEL_I_ES]));
	__asm__("mov %%fs, %0" : "=m"(CTX->sel[SEL_I_FS]));
	__asm__("mov %%gs, %0" : "=m"(CTX->sel[SEL_I_GS]));
	CTX->sel[SEL_I_SS] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);

	g[REG_RIP] = (greg_t)(uintptr_t)native_resume;
	g[REG_RSP] = (greg_t)CTX->host_rsp;
	g[REG_RAX] = 1;
	g[REG_EFL] = 0x202;
	/* CS, GS, FS, SS, 16 bits each */
	g[REG_CSGSFS] = (greg_t)(SEL_CS64 | (uint64_t)SEL_DS << 48);
}

static bool map_fixed(uint64_t va, size_t size, int prot, int flags, int fd, off_t off, GError **error)
{
	void *p = mmap((void *)va, size, prot, flags | MAP_FIXED_NOREPLACE, fd, off);

	if (p != (void *)va)
		return fail_errno(
			error, SERAI_ERROR_HOST, errno, "mapping the sandbox at %#jx", (uintmax_t)va);
	return true;
}

static bool map_sandbox(GError **error)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS, rw = PROT_READ | PROT_WRITE;
	const size_t page = CASE_PAGE;
	int fd = memfd_create("check-cpu", MFD_CLOEXEC);
	bool ok;

	if (fd < 0 || ftruncate(fd, PAGES * CASE_PAGE) < 0)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "memory for the sandbox");
	ok = map_fixed(CODE_BASE, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0, error) &&
	     map_fixed(DATA_BASE, 2 * page, rw, MAP_SHARED, fd, CODE_BYTES, error) &&
	     map_fixed(DATA_BASE + 2 * page, page, PROT_READ, MAP_SHARED, fd, CODE_BYTES + 2 * page, error) &&
	     map_fixed(STACK_BASE, STACK_PAGES * page, rw, MAP_SHARED, fd, CODE_BYTES + DATA_PAGES * page,
		     error) &&
	     map_fixed((uint64_t)ALIAS, PAGES * page, rw, MAP_SHARED, fd, 0, error) &&
	     map_fixed(EXIT_BASE, page, rw, anon, -1, 0, error) &&
	     map_fixed(IRET_FRAME, page, rw, anon, -1, 0, error) &&
	     map_fixed(CTX_BASE, 4 * page, rw, anon, -1, 0, error) &&
	     map_fixed((uint64_t)SIG_STACK, SIG_BYTES, rw, anon, -1, 0, error);
	close(fd);
	return ok;
}

/* Loops end after one or two ticks in the same run. */
bool native_init(GError **error)
{
	const struct itimerval tick = { { 0, 20000 }, { 0, 20000 } };
	stack_t ss = { .ss_sp = SIG_STACK, .ss_size = SIG_BYTES };
	struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER,
		.sa_sigaction = on_signal };

	if (!(getauxval(AT_HWCAP2) & 2))
		return fail(error, SERAI_ERROR_HOST, "this kernel does not let programs use WRFSBASE");
	if (!map_sandbox(error))
		return false;
	for (unsigned i = 0; i < DATA_PAGES; i++) /* present, so that error codes say so */
		(void)*(volatile uint8_t *)(uint64_t)(DATA_BASE + i * CASE_PAGE);
	for (unsigned i = 0; i < CODE_PAGES; i++)
		(void)*(volatile uint8_t *)(uint64_t)(CODE_BASE + i * CASE_PAGE);
	memcpy((void *)EXIT_BASE, native_exit_page, (size_t)(native_exit_page_end - native_exit_page));
	mprotect((void *)EXIT_BASE, CASE_PAGE, PROT_READ | PROT_EXEC);
	CTX->exit_ptr = (uint64_t)native_exit;
	__asm__ volatile("rdfsbase %0" : "=r"(CTX->host_fs_base));
	__asm__ volatile("rdgsbase %0" : "=r"(CTX->host_gs_base));
	__asm__ volatile("stmxcsr %0" : "=m"(CTX->host_mxcsr));
	if (sigaltstack(&ss, NULL) < 0)
		return fail_errno(error, SERAI_ERROR_HOST, errno, "sigaltstack");
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGALRM);
	for (unsigned i = 0; i < ARRAY_LEN(fault_signals); i++)
		sigaction(fault_signals[i], &sa, &OLD[i]);
	setitimer(ITIMER_REAL, &tick, NULL);
	return true;
}

/* Linux hides from user mode whether a kernel address is mapped: it sets the P bit of the error code for them
 * all. */
static void collect_fault(struct outcome *out)
{
	out->vector = CTX->vector;
	out->s.rip = CTX->rip;
	if (out->vector == 14)
		out->cr2 = CTX->cr2;
	if (out->vector == 14 || out->vector == 13 || out->vector == 12 || out->vector == 11 ||
		out->vector == 10)
		out->error_code = CTX->error_code;
}

static void protect_code(bool writable)
{
	if (CTX->code_writable == writable)
		return;
	mprotect((void *)CODE_BASE, CODE_BYTES, PROT_READ | PROT_EXEC | (writable ? PROT_WRITE : 0));
	CTX->code_writable = writable;
	/* Present again, so that error codes say so. */
	for (unsigned i = 0; i < CODE_PAGES; i++)
		(void)*(volatile uint8_t *)(uint64_t)(CODE_BASE + i * CASE_PAGE);
}

void native_run(const struct test_case *tc, const uint8_t *mem, struct outcome *out)
{
	struct native_ctx *ctx = CTX;
	struct iret_frame *frame = (struct iret_frame *)IRET_FRAME;
	bool faulted;

	protect_code(tc->writable);
	case_code(tc, ALIAS);
	memcpy(ALIAS + CODE_BYTES, mem, MEM_BYTES);
	memcpy(ctx->gpr, tc->init.gpr, sizeof(ctx->gpr));
	frame->rip = tc->init.rip;
	frame->cs = tc->bits == 64 ? SEL_CS64 : SEL_CS32;
	frame->rflags = tc->init.rflags;
	frame->rsp = tc->init.gpr[4];
	frame->ss = tc->init.sel[SEL_I_SS];
	ctx->wide = tc->bits == 64;
	memcpy(ctx->sel, tc->init.sel, sizeof(ctx->sel));
	ctx->fs_base = tc->init.fs_base;
	ctx->gs_base = tc->init.gs_base;
	ctx->ticks = 0;
	memcpy(ctx->xsave_in, tc->init.xsave, XSAVE_BYTES);

	faulted = native_enter();

	memset(out, 0, sizeof(*out));
	out->vector = VECTOR_EXIT;
	out->s.rip = EXIT_BASE;
	if (faulted)
		collect_fault(out);
	memcpy(out->s.gpr, ctx->gpr, sizeof(ctx->gpr));
	out->s.rflags = ctx->rflags;
	out->s.fs_base = ctx->fs_base;
	out->s.gs_base = ctx->gs_base;
	memcpy(out->s.sel, ctx->sel, sizeof(ctx->sel));
	memcpy(out->s.xsave, ctx->xsave_out, XSAVE_BYTES);
	xstate_normalise(out->s.xsave);
	out->mem = ALIAS + CODE_BYTES;
	out->code = ALIAS;
}
