; SPDX-License-Identifier: GPL-2.0-or-later
;
; smp.asm - four processors in two packages: start-up by INIT and SIPI, interprocessor interrupts of all kinds, the
; IOAPIC's destinations, timers of each, HLT, INIT of a running one, locks, code and mappings changed under others, TSC,
; x2APIC (SDM 3A, 9.1, 9.4, 11.6, 11.12).
;
; Processor 0 judges and prints.  The others wait for a function in their P_COMMAND, call it and clear that.  What a
; check observes of all four is one number, a byte for each, processor 3's in front.
%include "rt.inc"

LAPIC	equ 0xfee00000
IOAPIC	equ 0xfec00000
CPUS	equ 4
TRAMPOLINE equ 0x8000
ELSEWHERE equ 0x9000
WINDOW	equ 0x3ff000			; a page whose mapping changes
ROUNDS	equ 20000

; What each processor has of its own, at its GS.
P_GOT	  equ 0				; interrupts 0x60..0x6f
P_NMI	  equ 0x40
P_COMMAND equ 0x44
P_STARTS  equ 0x48
P_WOKE	  equ 0x4c
P_WRONG	  equ 0x50
P_ACK	  equ 0x54
P_VALUE	  equ 0x58
P_LONG	  equ 0x60
P_SIZE	  equ 0x80
%define OF(cpu, field) [percpu + (cpu) * P_SIZE + (field)]

; Interrupt command: destination, low half.  Bit 12 says when it is under way.
%macro IPI 2
	mov dword [LAPIC + 0x310], (%1) << 24
	mov dword [LAPIC + 0x300], %2
%%wait:	test dword [LAPIC + 0x300], 0x1000
	jnz %%wait
%endmacro
%macro MSR 3				; register, high, low
	mov ecx, %1
	mov edx, %2
	mov eax, %3
	wrmsr
%endmacro
; The others call a function; all have come back from it.
%macro START_OTHERS 1
%assign cpu 1
%rep CPUS - 1
	mov dword OF(cpu, P_COMMAND), %1
%assign cpu cpu + 1
%endrep
%endmacro
%macro OTHERS 1
	START_OTHERS %1
	call others_idle
%endmacro
%macro EVERYBODY 1
	START_OTHERS %1
	call %1
	call others_idle
%endmacro
; How often each has had an interrupt since the last time, when it is as often as it should be, or never will be.
%macro GOT 3				; name, vector, expected
	mov esi, P_GOT + ((%2) - 0x60) * 4
	mov edx, %3
	call counts
	VALUE %1, %3
%endmacro
%macro GOT_NMI 2
	mov esi, P_NMI
	mov edx, %2
	call counts
	VALUE %1, %2
%endmacro
; Not judged by where, only by how often in sum.
%macro GOT_ONE 2
	mov esi, P_GOT + ((%2) - 0x60) * 4
	call one_of_them
	VALUE %1, 1
%endmacro
; One byte of each processor's field.
%macro BYTES 3				; name, field, expected
	mov esi, %2
	call pack
	VALUE %1, %3
%endmacro
%macro GATE_AT 2
	SETGATE idt + (%1) * 8, CODE32, %2, 0x8e, 0
%endmacro
%macro IOAPIC_WRITE 2
	mov dword [IOAPIC], %1
	mov dword [IOAPIC + 0x10], %2
%endmacro

main:
%assign cpu 0
%rep CPUS
	SETDESC FREE + cpu * 8, percpu + cpu * P_SIZE, P_SIZE - 1, 0x93, 4
%assign cpu cpu + 1
%endrep
	mov ax, FREE
	mov gs, ax
	GATE_AT NMI_, on_nmi
%assign vector 0x60
%rep 16
	GATE_AT vector, on_vector_ %+ vector
%assign vector vector + 1
%endrep
	GATE_AT 0x70, on_serialize
	GATE_AT 0x71, on_invlpg
	GATE_AT 0xff, on_spurious
	call place_trampoline
	mov dword [LAPIC + 0xf0], 0x1ff

	; start-up
	IPI 1, 0x4500				; INIT
	IPI 1, 0x4600 + (TRAMPOLINE >> 12)	; start-up
	call started
	mov eax, OF(1, P_STARTS)
	VALUE "a start-up IPI starts a processor", 1
	movzx eax, word [TRAMPOLINE + at_cs - trampoline]
	VALUE "CS", TRAMPOLINE >> 4
	mov eax, [TRAMPOLINE + at_cr0 - trampoline]
	VALUE "CR0", 0x60000010
	movzx eax, word [TRAMPOLINE + at_flags - trampoline]
	VALUE "flags", 2
	mov eax, 1
	cpuid
	sub eax, [TRAMPOLINE + at_edx - trampoline]
	VALUE "EDX is the signature", 0
	IPI 1, 0x4600 + (ELSEWHERE >> 12)
	call ping_1
	mov eax, OF(1, P_STARTS)
	VALUE "a second start-up IPI does nothing", 1
	IPI 2, 0x4500
	IPI 2, 0x4600 + (ELSEWHERE >> 12)
	call started
	movzx eax, word [ELSEWHERE + at_cs - trampoline]
	VALUE "started elsewhere", ELSEWHERE >> 4
	IPI 9, 0x4500
	IPI 9, 0x4600 + (TRAMPOLINE >> 12)
	mov eax, [LAPIC + 0x300]
	and eax, 0x1000
	VALUE "nobody to start", 0
	IPI 3, 0x4500
	IPI 3, 0x4600 + (TRAMPOLINE >> 12)
	call started
	BYTES "all have started once", P_STARTS, 0x01010100

	; who they are
	EVERYBODY read_id
	BYTES "APIC IDs", P_VALUE, 0x03020100
	EVERYBODY read_base
	BYTES "bootstrap processor flag", P_VALUE, 1
	EVERYBODY read_leaf_1
	BYTES "CPUID 1: initial APIC IDs", P_VALUE, 0x03020100
	EVERYBODY read_logical
	BYTES "CPUID 1: logical processors in a package", P_VALUE, 0x02020202
	EVERYBODY read_leaf_4
	BYTES "CPUID 4 or 0x80000008: cores in a package, less one", P_VALUE, 0x01010101
	EVERYBODY read_b_id
	BYTES "CPUID 0xb: x2APIC IDs", P_VALUE, 0x03020100
	EVERYBODY read_b_shift
	BYTES "CPUID 0xb, 1: bits below the package", P_VALUE, 0x01010101
	EVERYBODY read_b_count
	BYTES "CPUID 0xb, 1: processors", P_VALUE, 0x02020202

	; fixed, physical
	OTHERS apic_on
	call apic_on
	IPI 0, 0x4060
	GOT "fixed, to 0", 0x60, 0x00000001
	IPI 1, 0x4061
	GOT "fixed, to 1", 0x61, 0x00000100
	IPI 2, 0x4062
	GOT "fixed, to 2", 0x62, 0x00010000
	IPI 3, 0x406f
	GOT "fixed, to 3", 0x6f, 0x01000000
	IPI 0xff, 0x4063
	GOT "fixed, broadcast", 0x63, 0x01010101
	IPI 9, 0x4064
	GOT "fixed, to nobody", 0x64, 0
	; from the others
%assign cpu 1
%rep CPUS - 1
	%defstr number cpu
	mov dword OF(cpu, P_COMMAND), send_to_0
	call others_idle
	GOT %strcat("fixed, from ", number), 0x65, 0x00000001
%assign cpu cpu + 1
%endrep

	; shorthands
	IPI 0, 0x44060
	GOT "shorthand self", 0x60, 0x00000001
	IPI 0, 0x84060
	GOT "shorthand all", 0x60, 0x01010101
	IPI 0, 0xc4060
	GOT "shorthand all but self", 0x60, 0x01010100

	; logical, flat
	EVERYBODY logical_flat
	IPI 0x0a, 0x4861
	GOT "flat, to 1 and 3", 0x61, 0x01000100
	IPI 0x04, 0x4861
	GOT "flat, to 2", 0x61, 0x00010000
	IPI 0xff, 0x4861
	GOT "flat, to all", 0x61, 0x01010101
	IPI 0x30, 0x4861
	GOT "flat, to nobody", 0x61, 0
	IPI 0x0e, 0x4962
	GOT_ONE "flat, lowest priority, to one of three", 0x62
	EVERYBODY busy_but_2
	IPI 0x0f, 0x4962
	GOT "flat, to the one with the lowest priority", 0x62, 0x00010000
	EVERYBODY not_busy

	; logical, clusters: 0 and 1 in the first, 2 and 3 in the second
	EVERYBODY logical_cluster
	IPI 0x13, 0x4861
	GOT "cluster, both of the second", 0x61, 0x01010000
	IPI 0x02, 0x4861
	GOT "cluster, second of the first", 0x61, 0x00000100
	IPI 0xf1, 0x4861
	GOT "cluster, the first of each", 0x61, 0x00010001
	IPI 0xff, 0x4861
	GOT "cluster, all", 0x61, 0x01010101
	IPI 0x23, 0x4861
	GOT "cluster, nobody's", 0x61, 0
	EVERYBODY logical_flat

	; held back by priority and by IF; level and edge make no difference
	OTHERS raise_priority
	IPI 0, 0xc4062
	OTHERS nothing
	BYTES "held back by the task priority", P_GOT + 8, 0
	OTHERS not_busy
	GOT "released", 0x62, 0x01010100
	mov esi, P_VALUE
	call clear
	START_OTHERS hold_interrupts
	call others_hold
	IPI 0, 0xc4063
	IPI 0, 0xc4063
	mov dword [go], 1
	call others_idle
	BYTES "nothing with IF clear", P_VALUE, 0
	GOT "two with one vector are one", 0x63, 0x01010100

	; NMI
	IPI 1, 0x4400
	GOT_NMI "NMI, to 1", 0x00000100
	IPI 0x0c, 0x4c00
	GOT_NMI "NMI, flat", 0x01010000
	IPI 0, 0xc4400
	GOT_NMI "NMI, all but self", 0x01010100
	START_OTHERS hold_interrupts
	call others_hold
	IPI 0, 0xc4400
	GOT_NMI "NMI with IF clear", 0x01010100
	mov dword [go], 1
	call others_idle

	; HLT
	START_OTHERS halt
	call others_hold
	IPI 0, 0xc4060
	call others_idle
	BYTES "an IPI ends HLT", P_WOKE, 0x01010100
	GOT "and is taken", 0x60, 0x01010100
	call forget
	START_OTHERS halt_for_nmi
	call others_hold
	IPI 0, 0xc4060
	IPI 0, 0xc4400
	call others_idle
	BYTES "an NMI ends HLT with IF clear", P_WOKE, 0x01010100
	GOT_NMI "and is taken too", 0x01010100
	GOT "and the interrupt comes with IF", 0x60, 0x01010100
	call forget

	; INIT of one that runs, of one that halts
	mov dword OF(2, P_COMMAND), run_on
	call spinning
	IPI 2, 0x4500
	IPI 0, 0xc4066
	GOT "an INIT processor takes no interrupts", 0x66, 0x01000100
	mov dword OF(2, P_COMMAND), 0
	IPI 2, 0x4600 + (TRAMPOLINE >> 12)
	call restarted_2
	mov eax, OF(2, P_STARTS)
	VALUE "a start-up IPI starts it again", 2
	mov edi, [spins]
	OTHERS nothing
	call settle
	mov eax, [spins]
	sub eax, edi
	VALUE "what it ran has ended", 0
	OTHERS read_svr
	mov eax, OF(2, P_VALUE)
	VALUE "its APIC was reset", 0xff
	mov eax, [TRAMPOLINE + at_cr0 - trampoline]
	VALUE "its CR0 was reset, but for CD and NW", 0x10
	mov dword OF(2, P_COMMAND), halt_for_ever
	call others_hold_2
	IPI 2, 0x4500
	mov dword OF(2, P_COMMAND), 0
	IPI 2, 0x4600 + (ELSEWHERE >> 12)
	call restarted_2
	mov eax, OF(2, P_STARTS)
	VALUE "INIT of a halted processor", 3
	OTHERS apic_on
	OTHERS logical_flat
	IPI 0, 0xc4060
	GOT "all are there again", 0x60, 0x01010100

	; modes
	OTHERS go_long
	mov esi, P_LONG
	call pack
	VALUE "64-bit mode", 0x88888800
	mov esi, P_LONG + 7
	call pack
	VALUE "its registers", 0x11111100

	; IOAPIC: a single tick of the PIT on pin 2
	IOAPIC_WRITE 0x14, 0x1006a
	%macro TICK 2				; destination, low half
	IOAPIC_WRITE 0x15, (%1) << 24
	IOAPIC_WRITE 0x14, %2
	call tick
	%endmacro
	TICK 0, 0x6a
	GOT "IOAPIC, physical, to 0", 0x6a, 0x00000001
	TICK 1, 0x6a
	GOT "IOAPIC, physical, to 1", 0x6a, 0x00000100
	TICK 2, 0x6b
	GOT "IOAPIC, physical, to 2", 0x6b, 0x00010000
	TICK 3, 0x6a
	GOT "IOAPIC, physical, to 3", 0x6a, 0x01000000
	TICK 0x0c, 0x86a
	GOT "IOAPIC, flat, to 2 and 3", 0x6a, 0x01010000
	TICK 0x0f, 0x96a
	GOT_ONE "IOAPIC, lowest priority, to one of them", 0x6a
	TICK 0x08, 0xc00
	GOT_NMI "IOAPIC, NMI, to 3", 0x01000000
	IOAPIC_WRITE 0x14, 0x1006a

	; timers
	EVERYBODY one_shot
	GOT "APIC timer of each", 0x6c, 0x01010101
	mov eax, 1
	cpuid
	bt ecx, 24
	jnc .no_deadline
	EVERYBODY deadline
	GOT "TSC deadline of each", 0x6d, 0x01010101
	BYTES "not before its time", P_WRONG, 0
.no_deadline:

	; memory
	mov dword [counter], 0
	EVERYBODY locked_increments
	mov eax, [counter]
	VALUE "LOCK INC by all", CPUS * ROUNDS
	mov dword [counter], 0
	EVERYBODY spin_locked
	mov eax, [counter]
	VALUE "a spin lock", CPUS * ROUNDS
	mov dword [turn], 0
	mov dword [last_tsc], 0
	mov dword [last_tsc + 4], 0
	EVERYBODY compare_tsc
	BYTES "the TSC goes forward from one to the next", P_WRONG, 0
	mov eax, [turn]
	VALUE "rounds of that", CPUS * 500

	; code that changes under others
	mov dword [generation], 0
	START_OTHERS call_changing
	call change_code
	mov dword [stop], 1
	call others_idle
	BYTES "after an IPI all run the new code", P_WRONG, 0

	; mappings that change under others
	call make_tables
	mov dword [stop], 0
	mov dword [generation], 0
	START_OTHERS read_window
	call change_window
	mov dword [stop], 1
	call others_idle
	BYTES "after an IPI with INVLPG all see the new page", P_WRONG, 0

	; x2APIC
	mov eax, 1
	cpuid
	bt ecx, 21
	jnc .end
	EVERYBODY x2apic_on
	mov dword [x2apic], 1
	EVERYBODY x2apic_id
	BYTES "x2APIC: IDs", P_VALUE, 0x03020100
	EVERYBODY x2apic_logical
	BYTES "x2APIC: logical IDs", P_VALUE, 0x08040201
	MSR 0x830, 2, 0x4061
	GOT "x2APIC: to 2", 0x61, 0x00010000
	MSR 0x830, -1, 0x4061
	GOT "x2APIC: broadcast", 0x61, 0x01010101
	MSR 0x830, 9, 0x4061
	GOT "x2APIC: to nobody", 0x61, 0
	MSR 0x830, 0x0a, 0x4861
	GOT "x2APIC: logical, to 1 and 3", 0x61, 0x01000100
	MSR 0x830, 0x1000f, 0x4861
	GOT "x2APIC: logical, another cluster", 0x61, 0
	MSR 0x830, -1, 0x4861
	GOT "x2APIC: logical, broadcast", 0x61, 0x01010101
	MSR 0x830, 0x0e, 0x4962
	GOT_ONE "x2APIC: lowest priority, to one of three", 0x62
	MSR 0x830, 0, 0xc4063
	GOT "x2APIC: all but self", 0x63, 0x01010100
	MSR 0x830, 3, 0x4400
	GOT_NMI "x2APIC: NMI, to 3", 0x01000000
	EVERYBODY x2apic_self
	GOT "x2APIC: self-IPI register", 0x64, 0x01010101
	IOAPIC_WRITE 0x14, 0x1006a
	TICK 3, 0x6a
	GOT "x2APIC: IOAPIC, to 3", 0x6a, 0x01000000
	IOAPIC_WRITE 0x14, 0x1006a
	START_OTHERS halt
	call others_hold
	MSR 0x830, 0, 0xc4060
	call others_idle
	BYTES "x2APIC: an IPI ends HLT", P_WOKE, 0x01010100
	call forget
	MSR 0x830, 2, 0x4500
	MSR 0x830, 2, 0x4600 + (TRAMPOLINE >> 12)
	call restarted_2
	mov eax, OF(2, P_STARTS)
	VALUE "x2APIC: INIT and start-up", 4
	OTHERS x2apic_base
	mov eax, OF(2, P_VALUE)
	VALUE "x2APIC: INIT keeps the mode", 0xc
.end:
	ret

; ---- what processor 0 waits for -------------------------------------------------------------------

; A wait that may be long, but not endless: CF after some seconds.  `limit` is set by begin_wait.
begin_wait:
	push eax
	push edx
	rdtsc
	add edx, 20
	mov [limit], edx
	pop edx
	pop eax
	ret
go_on:
	push eax
	push edx
	pause
	rdtsc
	cmp [limit], edx
	pop edx
	pop eax
	ret
give_up:
	mov eax, 1
	VALUE "waited in vain", 0
	mov esi, P_COMMAND
	call pack
	SHOW "what the others do"
	jmp finish32

; Until every other processor that has started is back from its command.
others_idle:
	call begin_wait
%assign cpu 1
%rep CPUS - 1
.wait%[cpu]:
	call go_on
	jc give_up
	sti
	nop
	cli
	cmp dword OF(cpu, P_COMMAND), 0
	jne .wait%[cpu]
%assign cpu cpu + 1
%endrep
	ret
others_hold:
	call begin_wait
.wait:	call go_on
	jc give_up
	cmp dword [holding], CPUS - 1
	jne .wait
	mov dword [holding], 0
	jmp settle
others_hold_2:
	call begin_wait
.wait:	call go_on
	jc give_up
	cmp dword [holding], 1
	jne .wait
	mov dword [holding], 0
	jmp settle
; One more has started, and is through with that.
started:
	call begin_wait
.wait:	call go_on
	jc give_up
	mov eax, [arrived]
	cmp eax, [arrived_before]
	je .wait
	mov [arrived_before], eax
	ret
restarted_2 equ started
ping_1:
	mov dword OF(1, P_COMMAND), nothing
	call begin_wait
.wait:	call go_on
	jc give_up
	cmp dword OF(1, P_COMMAND), 0
	jne .wait
	ret
spinning:
	call begin_wait
.wait:	call go_on
	jc give_up
	cmp dword [spins], 1000
	jb .wait
	ret
; Some time, for what is not to happen.
settle:
	push ecx
	mov ecx, 20000
.wait:	pause
	loop .wait
	pop ecx
	ret

; esi: field of each processor -> eax: its bytes
pack:
	xor eax, eax
%assign cpu CPUS - 1
%rep CPUS
	shl eax, 8
	mov al, [percpu + cpu * P_SIZE + esi]
%assign cpu cpu - 1
%endrep
	ret
; esi: field, edx: what it is to become -> eax: what it is; cleared
counts:
	call begin_wait
	sub dword [limit], 14
.wait:	sti
	nop
	nop
	cli
	call pack
	cmp eax, edx
	je .enough
	call go_on
	jnc .wait
.enough:
	sti
	call settle				; one too many would come now
	cli
	call pack
clear:
%assign cpu 0
%rep CPUS
	mov dword [percpu + cpu * P_SIZE + esi], 0
%assign cpu cpu + 1
%endrep
	ret
; esi: field -> eax: the sum over all processors
one_of_them:
	call begin_wait
.wait:	sti
	nop
	nop
	cli
	call sum
	cmp eax, 1
	jae .enough
	call go_on
	jnc .wait
.enough:
	sti
	call settle
	cli
	call sum
	jmp clear
sum:
	xor eax, eax
%assign cpu 0
%rep CPUS
	add eax, [percpu + cpu * P_SIZE + esi]
%assign cpu cpu + 1
%endrep
	ret
forget:
	mov esi, P_WOKE
	jmp clear

tick:
	mov al, 0x30				; channel 0, mode 0: one rising edge
	out 0x43, al
	mov al, 0
	out 0x40, al
	mov al, 4
	out 0x40, al
	ret

; ---- start-up -------------------------------------------------------------------------------------

place_trampoline:
	mov esi, trampoline
	mov edi, TRAMPOLINE
	mov ecx, trampoline_end - trampoline
	rep movsb
	mov esi, trampoline
	mov edi, ELSEWHERE
	mov ecx, trampoline_end - trampoline
	rep movsb
	ret

bits 16
trampoline:
	jmp short at_begin
	align 4
at_cr0:	dd 0
at_edx:	dd 0
at_cs:	dw 0
at_flags: dw 0
at_gdt:	dw 64 * 8 - 1
	dd gdt
at_begin:
	mov ax, cs
	mov ds, ax
	mov [at_cs - trampoline], ax
	mov [at_edx - trampoline], edx
	mov eax, cr0
	mov [at_cr0 - trampoline], eax
	mov ax, 0
	mov ss, ax
	mov sp, 0x7000
	pushf
	pop word [at_flags - trampoline]
	o32 lgdt [at_gdt - trampoline]
	mov eax, 0x11				; caches on
	mov cr0, eax
	jmp dword CODE32:ap_start
trampoline_end:

bits 32
ap_start:
	mov ax, DATA32
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov ss, ax
	mov eax, 1
	cpuid
	shr ebx, 24
	lea eax, [FREE + ebx * 8]
	mov gs, ax
	shl ebx, 12
	lea esp, [stacks + 4096 + ebx]
	lidt [idt_pointer]
	lock inc dword [gs:P_STARTS]
	lock inc dword [arrived]
.wait:
	pause
	mov eax, [gs:P_COMMAND]
	test eax, eax
	jz .wait
	call eax
	mov dword [gs:P_COMMAND], 0
	jmp .wait

; ---- what they are asked to do
%include "smp.inc"

; ---- interrupts -----------------------------------------------------------------------------------

eoi:
	cmp dword [x2apic], 0
	jne .msr
	mov dword [LAPIC + 0xb0], 0
	ret
.msr:	push eax
	push ecx
	push edx
	MSR 0x80b, 0, 0
	pop edx
	pop ecx
	pop eax
	ret
%assign vector 0x60
%rep 16
on_vector_%[vector]:
	lock inc dword [gs:P_GOT + (vector - 0x60) * 4]
	call eoi
	iret
%assign vector vector + 1
%endrep
on_nmi:
	lock inc dword [gs:P_NMI]
	cmp dword [esp], halt_for_nmi		; just ahead of its HLT, which nothing would end then
	jb .out
	cmp dword [esp], halt_for_nmi.halt
	ja .out
	mov dword [esp], halt_for_nmi.after
.out:	iret
on_serialize:
	pushad
	xor eax, eax
	cpuid
	mov dword [gs:P_ACK], 1
	call eoi
	popad
	iret
on_invlpg:
	invlpg [WINDOW]
	mov dword [gs:P_ACK], 1
	call eoi
	iret
on_spurious:
	iret

section .data
	align 4096
pml4:	dq pdpt + 3
	times 511 dq 0
pdpt:	dq 0x83, 0, 0, 0			; a page of 1 GiB
	times 508 dq 0

section .bss
	alignb 4096
directory resb 4096
table resb 4096
frames resb 8192
stacks resb 4096 * CPUS
	alignb 64
percpu resb P_SIZE * CPUS
	alignb 64
counter resd 1
	alignb 64
spin_lock resd 1
	alignb 64
turn resd 1
last_tsc resq 1
	alignb 64
generation resd 1
stop resd 1
go resd 1
through resd 1
holding resd 1
arrived resd 1
arrived_before resd 1
spins resd 1
limit resd 1
x2apic resd 1
