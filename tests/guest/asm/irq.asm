; SPDX-License-Identifier: GPL-2.0-or-later
;
; irq.asm - interrupts from PIT and RTC through the PIC, the IOAPIC and the local APIC timer; HLT, the shadows of STI
; and MOV SS, POPF, self-IPI, priorities, masking, EOI, NMI by the APIC.
%include "rt.inc"

LAPIC	equ 0xfee00000
IOAPIC	equ 0xfec00000

%macro HOOK 2
	mov dword [hooks + (%1) * 4], %2
%endmacro
%macro OUTB 2
	mov al, %2
	out %1, al
%endmacro
%macro IOAPIC_WRITE 2
	mov dword [IOAPIC], %1
	mov dword [IOAPIC + 0x10], %2
%endmacro
%macro WAIT_FOR 2				; name, counter reaches 1 within a while of HLT or spinning
	mov dword [count], 0
	rdtsc
	lea ebx, [edx + 2 * (%2)]		; where it is to come: seconds, for a host that has other things to do
	mov ecx, 500000
%%loop:	sti
	nop
	cmp dword [count], 0
	jne %%done
	loop %%loop
	mov ecx, 1
	rdtsc
	cmp edx, ebx
	jb %%loop
%%done:	cli
	mov eax, [count]
	cmp eax, 1
	jbe %%one
	mov eax, 1
%%one:
	VALUE %1, %2
%endmacro

main:
	HOOK 0x50, hook_pic
	HOOK 0x51, hook_pic
	HOOK 0x58, hook_pic2
	HOOK 0x60, hook_apic
	HOOK 0x61, hook_apic
	HOOK 0x70, hook_apic
	HOOK 0xff, hook_spurious
	OUTB 0x20, 0x11
	OUTB 0x21, 0x50
	OUTB 0x21, 0x04
	OUTB 0x21, 0x01
	OUTB 0xa0, 0x11
	OUTB 0xa1, 0x58
	OUTB 0xa1, 0x02
	OUTB 0xa1, 0x01
	OUTB 0x21, 0xff
	OUTB 0xa1, 0xff
	in al, 0x21
	movzx eax, al
	VALUE "PIC mask reads back", 0xff

	; PIT channel 2 by its gate, as kernels calibrate
	in al, 0x61
	and al, 0xfc
	or al, 1
	out 0x61, al
	OUTB 0x43, 0xb0
	OUTB 0x42, 0x00
	OUTB 0x42, 0x10
	mov ecx, 20000000
.pit2:	in al, 0x61
	test al, 0x20
	jnz .pit2_done
	loop .pit2
.pit2_done:
	and al, 0x20
	movzx eax, al
	VALUE "PIT channel 2 reaches its count", 0x20
	OUTB 0x43, 0x34				; channel 0, mode 2, about 1 kHz
	OUTB 0x40, 0xa9
	OUTB 0x40, 0x04
	OUTB 0x43, 0xe2				; read-back: status of channel 0
	in al, 0x40
	and al, 0x3f
	movzx eax, al
	VALUE "PIT read-back status", 0x34

	OUTB 0x21, 0xfe
	WAIT_FOR "PIT through the PIC", 1
	mov dword [count], 0
	sti
	hlt
	cli
	mov eax, [count]
	VALUE "HLT wakes", 1
	OUTB 0x21, 0xff
	WAIT_FOR "masked in the PIC", 0

	; with IF clear it stays pending, STI shadows one instruction; 18 Hz, so that a slow monitor sees one tick at a time
	OUTB 0x43, 0x34
	OUTB 0x40, 0
	OUTB 0x40, 0
	OUTB 0x21, 0xfe
	mov dword [count], 0
	mov dword [seen_ip], 0
	OUTB 0x20, 0x0a				; read the request register
	mov ecx, 20000000
.request:
	in al, 0x20
	test al, 1
	jnz .pending
	loop .request
.pending:
	mov eax, [count]
	VALUE "pending with IF clear", 0
	sti
.after_sti:
	nop
.after_nop:
	nop
	cli
	mov eax, [seen_ip]
	sub eax, .after_sti
	VALUE "STI shadows one instruction", 1
	mov eax, [count]
	VALUE "taken once", 1
	call request
	mov dword [seen_ip], 0
	push 0x202
	popf
.after_popf:
	nop
	cli
	mov eax, [seen_ip]
	sub eax, .after_popf
	VALUE "POPF does not shadow", 0
	call request
	mov dword [count], 0
	sti
	cli
	mov eax, [count]
	VALUE "STI, CLI lets nothing in", 0
	OUTB 0x21, 0xff

	; RTC: update-ended interrupt through the slave
	HOOK 0x58, hook_rtc
	OUTB 0x70, 0x0b
	in al, 0x71
	or al, 0x40
	mov bl, al
	OUTB 0x70, 0x0a
	OUTB 0x71, 0x26				; periodic 1024 Hz
	OUTB 0x70, 0x0b
	mov al, bl
	out 0x71, al
	OUTB 0x70, 0x0c
	in al, 0x71
	OUTB 0x21, 0xfb
	OUTB 0xa1, 0xfe
	WAIT_FOR "RTC periodic through both PICs", 1
	movzx eax, byte [seen_c]
	and al, 0xc0
	VALUE "RTC register C", 0xc0
	OUTB 0x70, 0x0b
	mov al, bl
	and al, ~0x40
	out 0x71, al
	OUTB 0xa1, 0xff
	OUTB 0x21, 0xff

	; local APIC
	mov ecx, 0x1b
	rdmsr
	and eax, 0xfffffd00
	VALUE "IA32_APIC_BASE: enabled, boot processor", 0xfee00900
	mov dword [LAPIC + 0xf0], 0x1ff
	mov eax, [LAPIC + 0x30]
	and eax, 0xf0
	VALUE "APIC version", 0x10
	mov dword [LAPIC + 0x80], 0
	mov dword [LAPIC + 0x3e0], 0xb		; divide by 1
	mov dword [LAPIC + 0x320], 0x60		; one shot
	mov dword [LAPIC + 0x380], 100000
	WAIT_FOR "APIC timer, one shot", 1
	mov eax, [LAPIC + 0x390]
	VALUE "its count is at 0", 0
	mov dword [LAPIC + 0x320], 0x20060	; periodic
	mov dword [LAPIC + 0x380], 100000
	WAIT_FOR "APIC timer, periodic", 1
	WAIT_FOR "and again", 1
	mov dword [LAPIC + 0x320], 0x10060
	mov dword [LAPIC + 0x380], 0

	; self-IPI and priorities, when the timer's last interrupt is through
	mov ecx, 1000
.drain:	sti
	nop
	cli
	loop .drain
	mov dword [count], 0
	mov dword [LAPIC + 0x300], 0x44000 + 0x61
	mov eax, [LAPIC + 0x230]
	and eax, 2
	VALUE "self-IPI requested", 2
	mov eax, [count]
	VALUE "not taken with IF clear", 0
	sti
	nop
	nop
	cli
	mov eax, [count]
	VALUE "taken with IF set", 1
	mov dword [count], 0
	mov dword [LAPIC + 0x80], 0x70
	mov dword [LAPIC + 0x300], 0x44000 + 0x61
	sti
	nop
	nop
	cli
	mov eax, [count]
	VALUE "held back by the task priority", 0
	mov eax, [LAPIC + 0xa0]
	VALUE "processor priority", 0x70
	mov dword [LAPIC + 0x80], 0
	sti
	nop
	nop
	cli
	mov eax, [count]
	VALUE "released", 1
	mov dword [first_vector], 0
	mov dword [LAPIC + 0x300], 0x44000 + 0x61
	mov dword [LAPIC + 0x300], 0x44000 + 0x70
	sti
	nop
	nop
	cli
	mov eax, [first_vector]
	VALUE "higher vector first", 0x70

	; NMI by IPI: not held by IF, blocked until IRET
	HOOK NMI_, hook_nmi
	mov dword [count], 0
	mov eax, [LAPIC + 0x20]
	mov [LAPIC + 0x310], eax		; to this processor by its number: a shorthand does not carry NMIs
	mov dword [LAPIC + 0x300], 0x4400
	mov ecx, 100000
.nmi:	cmp dword [count], 0
	loope .nmi
	mov eax, [count]
	VALUE "NMI with IF clear", 1
	HOOK NMI_, hook_nmi_again
	mov dword [count], 0
	mov dword [LAPIC + 0x300], 0x4400
	mov ecx, 100000
.again:	cmp dword [count], 0
	loope .again
	mov eax, [count]
	VALUE "NMI that waited for the first one's IRET", 2

	; IOAPIC: PIT on pin 2
	mov dword [IOAPIC], 1
	mov eax, [IOAPIC + 0x10]
	shr eax, 16
	and eax, 0xff
	VALUE "IOAPIC's last pin", 23
	IOAPIC_WRITE 0x15, 0
	IOAPIC_WRITE 0x14, 0x60
	WAIT_FOR "PIT through the IOAPIC", 1
	IOAPIC_WRITE 0x14, 0x10060
	sti
	nop
	cli
	WAIT_FOR "masked in the IOAPIC", 0
	mov dword [IOAPIC], 0x14
	mov eax, [IOAPIC + 0x10]
	and eax, 0x1efff
	VALUE "redirection entry reads back", 0x10060

	; x2APIC
	mov eax, 1
	cpuid
	bt ecx, 21
	jnc .end
	mov ecx, 0x1b
	rdmsr
	or eax, 0x400
	wrmsr
	mov ecx, 0x803
	rdmsr
	and eax, 0xf0
	VALUE "x2APIC: version register", 0x10
	mov dword [count], 0
	mov ecx, 0x83f
	mov eax, 0x61
	xor edx, edx
	wrmsr
	HOOK 0x61, hook_x2apic
	sti
	nop
	nop
	cli
	mov eax, [count]
	VALUE "x2APIC: self-IPI register", 1
	CASE "x2APIC: write of a read-only register", GP, 0
	mov ecx, 0x803
	xor eax, eax
	xor edx, edx
	wrmsr
	END
	CASE "x2APIC back to xAPIC in one step", GP, 0
	mov ecx, 0x1b
	rdmsr
	and eax, ~0x400
	wrmsr
	END
.end:
	ret

request:					; wait until the PIT asks again
	mov dword [count], 0
	OUTB 0x20, 0x0a
	mov ecx, 20000000
.wait:	in al, 0x20
	test al, 1
	jnz .end
	loop .wait
.end:	ret

hook_pic:
	push eax
	mov eax, [esp + 4]
	mov [seen_ip], eax
	inc dword [count]
	OUTB 0x20, 0x20
	pop eax
	iret
hook_pic2:
	iret
hook_rtc:
	push eax
	inc dword [count]
	OUTB 0x70, 0x0c
	in al, 0x71
	mov [seen_c], al
	OUTB 0xa0, 0x20
	OUTB 0x20, 0x20
	pop eax
	iret
hook_apic:
	push eax
	push ecx
	inc dword [count]
	mov ecx, 7				; the vector in service: highest bit of the highest ISR word
.word:	mov eax, ecx
	shl eax, 4
	mov eax, [LAPIC + 0x100 + eax]
	test eax, eax
	jnz .found
	dec ecx
	jns .word
.found:	bsr eax, eax
	shl ecx, 5
	add eax, ecx
	cmp dword [first_vector], 0
	jne .later
	mov [first_vector], eax
.later:
	mov dword [LAPIC + 0xb0], 0
	pop ecx
	pop eax
	iret
hook_x2apic:
	push eax
	push ecx
	push edx
	inc dword [count]
	mov ecx, 0x80b
	xor eax, eax
	xor edx, edx
	wrmsr
	pop edx
	pop ecx
	pop eax
	iret
hook_spurious:
	iret
hook_nmi:
	inc dword [count]
	iret
hook_nmi_again:
	inc dword [count]
	cmp dword [count], 1
	jne .done
	push ecx
	mov dword [LAPIC + 0x300], 0x4400
	mov ecx, 1000
	loop $
	pop ecx
.done:	iret

section .bss
	alignb 4
count resd 1
seen_ip resd 1
first_vector resd 1
seen_c resd 1
