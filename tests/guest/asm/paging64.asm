; SPDX-License-Identifier: GPL-2.0-or-later
;
; paging64.asm - 4-level paging: NX, SMEP, SMAP, PCID, reserved bits, global pages, accessed and dirty bits at every
; level (SDM 3A, 4.5, 4.6, 4.10).
%include "rt.inc"
%include "long.inc"

%macro MAP 3					; page number in PAGE, frame page number, low bits
	mov eax, frame + (%2) * 0x1000 + (%3)
	mov [pt + (%1) * 8], rax
	invlpg [PAGE + (%1) * 0x1000]
%endmacro

main64:
	mov byte [frame], 0xc3			; ret
	mov byte [frame + 0x1000], 0xc3
	MAP 0, 0, P + W + U
	MAP 1, 1, P + W
	MAP 2, 0, P + U
	mov eax, [PAGE]
	mov eax, [pml4]
	and eax, 0xfff
	VALUE "PML4 entry", P + W + U + A
	mov eax, [pdpt]
	and eax, 0xfff
	VALUE "PDPT entry", P + W + U + A
	mov eax, [pd + (PAGE >> 21) * 8]
	and eax, 0xfff
	VALUE "PD entry", P + W + U + A
	mov eax, [pt]
	and eax, 0xfff
	VALUE "PT entry after a read", P + W + U + A
	mov dword [PAGE + 8], 0
	mov eax, [pt]
	and eax, 0xfff
	VALUE "PT entry after a write", P + W + U + A + D
	mov eax, [pd]
	and eax, 0x60
	VALUE "2 MiB page: accessed and dirty", A + D
	CASE "kernel-half walk marks its own PML4 entry", NONE, 0
	mov rax, 0xffff800000000000
	mov ebx, [rax + frame]
	mov eax, [pml4 + KIDX * 8]
	and eax, 0xfff
	mov edi, eax
	END
	mov eax, edi
	VALUE "its bits", P + W + U + A

	; NX
	bts qword [pt], 63
	invlpg [PAGE]
	CASE "execute NX", PF, 0x11
	mov eax, PAGE
	call rax
	END
	CASE "read NX", NONE, 0
	mov eax, [PAGE]
	END
	CASE "ring 3 executes NX", PF, 0x15
	USER64 PAGE
	END
	btr qword [pt], 63
	invlpg [PAGE]
	bts qword [pd + (PAGE >> 21) * 8], 63
	mov rax, cr3
	mov cr3, rax
	CASE "NX in the directory", PF, 0x11
	mov eax, PAGE
	call rax
	END
	btr qword [pd + (PAGE >> 21) * 8], 63
	RDMSR32 0xc0000080
	and eax, ~0x800
	wrmsr
	bts qword [pt], 63
	invlpg [PAGE]
	CASE "bit 63 is reserved with NXE clear", PF, 0x9
	mov eax, [PAGE]
	END
	btr qword [pt], 63
	RDMSR32 0xc0000080
	or eax, 0x800
	wrmsr
	bts qword [pt], 51
	invlpg [PAGE]
	CASE "physical address too wide", PF, 0x9
	mov eax, [PAGE]
	END
	CASE "ring 3 meets it", PF, 0xd
	USER64 .user1
.user1:	mov eax, [PAGE]
	END
	btr qword [pt], 51
	invlpg [PAGE]
	bts qword [pml4 + 8], 7
	mov dword [pml4 + 8], pdpt + P + W + U + PS
	CASE "PS in a PML4 entry", PF, 0x9
	mov rax, 0x8000000000
	mov eax, [rax]
	END
	mov qword [pml4 + 8], 0

	; what ring 3 may
	CASE "ring 3 reads a supervisor page", PF, 5
	USER64 .user2
.user2:	mov eax, [PAGE + 0x1000]
	END
	CASE "ring 3 writes a read-only page", PF, 7
	USER64 .user3
.user3:	mov [PAGE + 0x2000], eax
	END
	CASE "ring 3 instruction fetch, supervisor page", PF, 0x15
	USER64 PAGE + 0x1000
	END
	CASE "not present in ring 3, write", PF, 6
	USER64 .user4
.user4:	mov [PAGE + 0x5000], eax
	END

	; SMEP, SMAP: the test's own code and stack lie in user pages, so run from the kernel half made supervisor
	mov eax, 7
	xor ecx, ecx
	cpuid
	mov ebp, ebx
	and dword [pd], ~U			; 0..2 MiB holds all of this image: supervisor now
	mov rax, cr3
	mov cr3, rax
	bt ebp, 7
	jnc .no_smep
	CASE "SMEP", PF, 0x11
	mov rax, cr4
	bts rax, 20
	mov cr4, rax
	mov eax, PAGE
	call rax
	END
	CASE "SMEP and a supervisor page", NONE, 0
	mov eax, PAGE + 0x1000
	call rax
	END
	mov rax, cr4
	btr rax, 20
	mov cr4, rax
.no_smep:
	bt ebp, 20
	jnc .no_smap
	CASE "SMAP read", PF, 1
	mov rax, cr4
	bts rax, 21
	mov cr4, rax
	mov eax, [PAGE]
	END
	CASE "SMAP write", PF, 3
	mov [PAGE + 8], eax
	END
	CASE "SMAP with STAC", NONE, 0
	stac
	mov eax, [PAGE]
	clac
	END
	CASE "SMAP after CLAC", PF, 1
	clac
	mov eax, [PAGE]
	END
	CASE "SMAP, page not present", PF, 0
	mov eax, [PAGE + 0x5000]
	END
	CASE "SMAP and STAC by POPF", NONE, 0
	push 0x40002
	popfq
	mov eax, [PAGE]
	push 2
	popfq
	END
	mov rax, cr4
	btr rax, 21
	mov cr4, rax
	CASE "STAC in ring 3", UD, 0
	or dword [pd], U
	mov rax, cr3
	mov cr3, rax
	USER64 .user5
.user5:	stac
	END
.no_smap:
	or dword [pd], U
	mov rax, cr3
	mov cr3, rax

	; PCID
	mov eax, 1
	cpuid
	bt ecx, 17
	jnc .no_pcid
	CASE "CR4.PCIDE with a PCID in CR3", GP, 0
	mov rax, cr3
	or rax, 0x18
	mov cr3, rax
	mov rax, cr4
	bts rax, 17
	mov cr4, rax
	END
	mov eax, pml4
	mov cr3, rax
	CASE "PCIDs keep their translations apart", NONE, 0
	mov rax, cr4
	bts rax, 17
	mov cr4, rax
	mov eax, pml4 + 1
	mov cr3, rax
	mov eax, [PAGE]
	mov eax, pml4 + 2
	mov cr3, rax
	mov dword [frame + 0x10], 0x11
	mov dword [frame + 0x1010], 0x22
	mov eax, frame + 0x1000 + P + W + U
	mov [pt], rax
	mov ebx, [PAGE + 0x10]
	mov eax, pml4 + 1
	mov cr3, rax
	mov edi, [PAGE + 0x10]
	END
	mov eax, ebx
	VALUE "new PCID, new mapping", 0x22
	mov eax, edi
	VALUE "MOV CR3 without bit 63 flushes", 0x22
	CASE "clearing PCIDE", NONE, 0
	mov eax, pml4
	mov cr3, rax
	mov rax, cr4
	btr rax, 17
	mov cr4, rax
	END
.no_pcid:
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ebx, 10
	jnc .no_invpcid
	CASE "INVPCID of an address", NONE, 0
	MAP 3, 0, P + W + U
	mov dword [frame + 0x20], 0x33
	mov dword [frame + 0x1020], 0x44
	mov eax, [PAGE + 0x3020]
	mov eax, frame + 0x1000 + P + W + U
	mov [pt + 24], rax
	xor eax, eax
	invpcid rax, [invpcid_page]
	mov ebx, [PAGE + 0x3020]
	END
	mov eax, ebx
	VALUE "sees the new frame", 0x44
	CASE "INVPCID of an unknown type", GP, 0
	mov eax, 4
	invpcid rax, [invpcid_page]
	END
.no_invpcid:
	; large pages
	CASE "1 GiB page with low reserved bits", PF, 9
	mov dword [pdpt + 8], 0x2000 + P + W + PS
	mov eax, 0x40000000
	mov eax, [rax]
	END
	mov dword [pdpt + 8], P + W + PS
	mov rax, cr3
	mov cr3, rax
	mov dword [frame + 0x1020], 0x44
	mov eax, 0x40000000 + frame
	mov eax, [rax + 0x1020]
	VALUE "through a 1 GiB page", 0x44
	CASE "RMW across pages faults on the second", PF, 2
	MAP 3, 0, P + W + U
	mov qword [pt + 32], 0
	invlpg [PAGE + 0x4000]
	add dword [PAGE + 0x3ffe], 0x10001
	END
	mov rax, cr2
	VALUE "CR2", PAGE + 0x4000
	CASE "lock XADD on a read-only page", PF, 3
	lock xadd [PAGE + 0x2000], eax
	END
	CASE "FXSAVE across into a missing page", PF, 2
	fxsave [PAGE + 0x3f00]
	END
	jmp finish64

section .data
	align 16
invpcid_page: dq 0, PAGE + 0x3000
