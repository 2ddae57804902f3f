; SPDX-License-Identifier: GPL-2.0-or-later
;
; cpuid.asm - CPUID's leaves agree with each other and with what the processor does; MSRs keep what is written
; (SDM 2A, CPUID; 4, 2).
%include "rt.inc"

; %1 name, %2 leaf, %3 register, %4 bits that must be set
%macro HAS 4
	mov eax, %2
	xor ecx, ecx
	cpuid
	mov eax, %3
	and eax, %4
	VALUE %1, %4
%endmacro

; %1 name, %2 register, %3 low, %4 high: written, read back
%macro KEEPS 4
	CASE %1, NONE, 0
	mov ecx, %2
	mov eax, %3
	mov edx, %4
	wrmsr
	xor eax, eax
	xor edx, edx
	rdmsr
	mov ebx, eax
	mov edi, edx
	END
	mov eax, ebx
	VALUE %1, %3
	mov eax, edi
	VALUE %1, %4
%endmacro

main:
	xor eax, eax
	cpuid
	cmp eax, 0xd
	setae al
	movzx eax, al
	VALUE "leaf 0xd exists", 1
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000008
	setae al
	movzx eax, al
	VALUE "leaf 0x80000008 exists", 1
	HAS "FPU PSE TSC MSR PAE CX8 APIC SEP PGE CMOV PAT MMX FXSR SSE SSE2", 1, edx, 0x0781a379
	HAS "SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT XSAVE hypervisor", 1, ecx, 0x84982201
	HAS "SYSCALL NX LM", 0x80000001, edx, 0x20100800
	HAS "LAHF", 0x80000001, ecx, 1
	mov eax, 0x80000008
	cpuid
	shr eax, 8
	and eax, 0xff
	VALUE "linear address bits", 48
	mov eax, 1
	cpuid
	shr ecx, 27
	and ecx, 1
	mov eax, ecx
	VALUE "OSXSAVE follows CR4: off", 0
	mov eax, cr4
	or eax, 0x40600
	mov cr4, eax
	mov eax, 1
	cpuid
	shr ecx, 27
	and ecx, 1
	mov eax, ecx
	VALUE "OSXSAVE follows CR4: on", 1
	xor ecx, ecx
	xgetbv
	VALUE "XCR0 at reset", 1
	CASE "XSETBV", NONE, 0
	xor ecx, ecx
	xor edx, edx
	mov eax, 7
	xsetbv
	END
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	mov eax, ebx
	VALUE "XSAVE area with AVX", 832
	CASE "XSETBV back", NONE, 0
	xor ecx, ecx
	xor edx, edx
	mov eax, 3
	xsetbv
	END
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	mov eax, ebx
	VALUE "XSAVE area without", 576
	mov eax, 0xd
	mov ecx, 2
	cpuid
	VALUE "AVX part: size", 256
	mov eax, ebx
	VALUE "AVX part: offset", 576
	CASE "AVX without XCR0.AVX", UD, 0
	vxorps ymm0, ymm0, ymm0
	END

	KEEPS "PAT", 0x277, 0x00070406, 0x00070406
	KEEPS "SYSENTER_ESP", 0x175, 0x12345678, 0
	KEEPS "SYSENTER_EIP", 0x176, 0x87654320, 0
	KEEPS "STAR", 0xc0000081, 0x11112222, 0x33334444
	KEEPS "LSTAR", 0xc0000082, 0x9abcdef0, 0xffffffff
	KEEPS "SFMASK", 0xc0000084, 0x47700, 0
	KEEPS "FS base", 0xc0000100, 0x1000, 0x7fff
	KEEPS "kernel GS base", 0xc0000102, 0x2000, 0xffff8000
	KEEPS "MTRR base 0", 0x200, 0x80000006, 0
	KEEPS "MTRR mask 0", 0x201, 0x80000800, 0xf
	KEEPS "MTRR fixed 64K", 0x250, 0x06060606, 0x06060606
	KEEPS "MTRR fixed 4K", 0x268, 0x05050505, 0x05050505
	KEEPS "MTRR default type", 0x2ff, 0xc06, 0
	mov ecx, 0xfe
	rdmsr
	and eax, 0xff
	VALUE "MTRRs", 8
	CASE "RDTSC moves forward", NONE, 0
	rdtsc
	mov ebx, eax
	mov edi, edx
	mov ecx, 1000
	loop $
	rdtsc
	sub eax, ebx
	sbb edx, edi
	shr edx, 31
	mov ebx, edx
	END
	mov eax, ebx
	VALUE "backwards", 0
	mov eax, 0x80000001
	cpuid
	bt edx, 27
	jnc .no_rdtscp
	KEEPS "TSC_AUX", 0xc0000103, 0x55, 0
	CASE "RDTSCP", NONE, 0
	rdtscp
	mov ebx, ecx
	END
	mov eax, ebx
	VALUE "TSC_AUX by RDTSCP", 0x55
.no_rdtscp:
	CASE "CPUID keeps upper leaves quiet", NONE, 0
	mov eax, 7
	mov ecx, 0x99
	cpuid
	or eax, ebx
	or eax, ecx
	or eax, edx
	mov ebx, eax
	END
	mov eax, ebx
	VALUE "leaf 7, subleaf 0x99", 0
	ret
