#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the seed corpora: short programmes that bring each device into motion (ports), the smallest kernels that
load (bzimage), .vmx files as VMware and people write them (vmx).

    tests/fuzz/seeds.py tests/fuzz/corpus
"""

import pathlib
import struct
import sys

IN, OUT, READ, WRITE, TIME, RESET, APIC, DMA, ACK, POST = range(10)
SIZE = {1: 0, 2: 1, 4: 2}


def out(port, value, size=1):
    return struct.pack("<BBHI", OUT, SIZE[size], port | 0x8000, value) if port & 0x8000 else \
        struct.pack("<BBHI", OUT, SIZE[size], place(port), value)


def inp(port, size=1):
    return struct.pack("<BBHI", IN, SIZE[size], place(port), 0)


# The fuzz target's own table.
RANGES = ((0x00, 0x10), (0x20, 2), (0x40, 4), (0x60, 5), (0x70, 4), (0x80, 0x20), (0xa0, 2), (0xb0, 4), (0xc0, 0x20),
          (0xf0, 2), (0x170, 8), (0x1ce, 4), (0x1f0, 8), (0x2f8, 8), (0x376, 2), (0x3b0, 0x30), (0x3f0, 8),
          (0x3f8, 8), (0x402, 1), (0x4d0, 2), (0x510, 12), (0xcf8, 8), (0xb000, 0x40), (0xb100, 0x10), (0xc000, 0x20),
          (0xe000, 0x20))


def place(port):
    for number, (first, count) in enumerate(RANGES):
        if first <= port < first + count:
            return number << 8 | (port - first)
    raise SystemExit(f"no range holds port {port:#x}")


def pci(devfn, register, value):
    return out(0xcf8, 0x80000000 | devfn << 8 | register, 4) + out(0xcfc, value, 4)


def time(ticks):
    return struct.pack("<BBHI", TIME, 0, 0, ticks & 0xffffff | 8 << 28)


def memory(what, number, offset, value):
    return struct.pack("<BBHI", what, 2, number << 12 | offset, value)


def dma(address, value):
    return struct.pack("<BBHI", DMA, 0, address // 4, value)


def ata(command, count=1, lba=0, device=0xe0):
    return (out(0x1f6, device) + out(0x1f2, count) + out(0x1f3, lba & 255) + out(0x1f4, lba >> 8 & 255)
            + out(0x1f5, lba >> 16 & 255) + out(0x1f7, command))


def packet(*bytes12):
    words = bytes(bytes12) + bytes(12 - len(bytes12))
    return (out(0x176, 0xa0) + out(0x174, 0) + out(0x175, 8) + out(0x177, 0xa0)
            + b"".join(out(0x170, words[i] | words[i + 1] << 8, 2) for i in range(0, 12, 2)))


SEEDS = {
    "pit": out(0x43, 0x34) + out(0x40, 0xa9) + out(0x40, 4) + time(0xffffff) + out(0x43, 0xe2) + inp(0x40)
    + out(0x61, 3) + out(0x43, 0xb6) + out(0x42, 1) + out(0x42, 0) + inp(0x61) + time(0x1000),
    "pic": out(0x20, 0x11) + out(0x21, 8) + out(0x21, 4) + out(0x21, 1) + out(0xa0, 0x11) + out(0xa1, 0x70)
    + out(0xa1, 2) + out(0xa1, 1) + out(0x21, 0) + out(0xa1, 0) + out(0x20, 0x0b) + inp(0x20) + out(0x20, 0x20)
    + out(0x4d0, 0xff) + bytes([ACK, 0, 0, 0, 0, 0, 0, 0]),
    "rtc": b"".join(out(0x70, i) + inp(0x71) for i in range(16)) + out(0x70, 0xb) + out(0x71, 0x72) + time(0xffffff)
    + out(0x70, 0xc) + inp(0x71),
    "ide": ata(0xec) + inp(0x1f0, 2) * 4 + ata(0x20, 2) + inp(0x1f0, 4) * 130 + ata(0x30) + out(0x1f0, 0x55aa, 2) * 256
    + ata(0xe7) + ata(0xc4, 8) + ata(0xc6, 4) + out(0x376, 4) + out(0x376, 0),
    "ide-dma": pci(9, 4, 5) + pci(9, 0x20, 0xc001) + dma(0x100, 0x1000) + dma(0x104, 0x80000200)
    + out(0xc004, 0x100, 4) + ata(0xc8) + out(0xc000, 9) + inp(0xc002) + ata(0xca) + out(0xc000, 1) + out(0xc002, 6),
    "atapi": packet(0x12, 0, 0, 0, 36) + inp(0x170, 2) * 18 + packet(0x25) + inp(0x170, 2) * 4
    + packet(0x28, 0, 0, 0, 0, 0, 0, 0, 1) + inp(0x170, 4) * 512 + packet(0x43, 2, 0, 0, 0, 0, 0, 0, 12)
    + packet(0x1b, 0, 0, 0, 2) + packet(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64) + packet(0x03, 0, 0, 0, 18),
    "floppy": out(0x3f2, 0x1c) + time(0xffffff) + out(0x3f5, 8) + inp(0x3f5) * 2 + out(0x3f5, 3) + out(0x3f5, 0xdf)
    + out(0x3f5, 2) + out(0x3f5, 7) + out(0x3f5, 0) + time(0xffffff) + out(0x0b, 0x46) + out(0x0c, 0) + out(4, 0)
    + out(4, 0x10) + out(5, 0xff) + out(5, 1) + out(0x81, 0) + out(0x0a, 2)
    + b"".join(out(0x3f5, b) for b in (0xe6, 0, 0, 0, 1, 2, 18, 27, 0xff)) + time(0xffffff) + inp(0x3f5) * 7,
    "keyboard": out(0x64, 0xaa) + inp(0x60) + out(0x64, 0x60) + out(0x60, 0x47) + out(0x60, 0xff) + inp(0x60)
    + out(0x64, 0xd4) + out(0x60, 0xf4) + inp(0x60) + out(0x64, 0xd1) + out(0x60, 0xdf) + out(0x64, 0xfe),
    "serial": out(0x3fb, 0x83) + out(0x3f8, 1) + out(0x3f9, 0) + out(0x3fb, 3) + out(0x3fa, 0xc7) + out(0x3f9, 15)
    + out(0x3fc, 0x1b) + out(0x3f8, 0x41) * 20 + inp(0x3fa) + inp(0x3fd) + inp(0x3fe),
    "vga": out(0x3c2, 0x67) + b"".join(out(0x3d4, i) + out(0x3d5, i * 7 & 255) for i in range(25))
    + out(0x3c4, 2) + out(0x3c5, 15) + out(0x3ce, 5) + out(0x3cf, 2) + memory(WRITE, 1, 0x100, 0x12345678)
    + memory(READ, 1, 0x900, 0) + inp(0x3da) + out(0x3c0, 0x30) + out(0x3c8, 0) + out(0x3c9, 1) * 3
    + out(0x1ce, 0, 2) + inp(0x1cf, 2) + out(0x1ce, 1, 2) + out(0x1cf, 1024, 2) + out(0x1ce, 4, 2) + out(0x1cf, 0x41, 2),
    "apic": b"".join(struct.pack("<BBHI", APIC, 0, reg, value) for reg, value in (
        (0xf0, 0x1ff), (0x3e0, 11), (0x320, 0x20040), (0x380, 1000), (0x300, 0x44041), (0x80, 0x20), (0xb0, 0)))
    + time(0xffffff) + memory(WRITE, 3, 0, 0x14) + memory(WRITE, 3, 0x10, 0x60) + memory(READ, 4, 0xf0, 0)
    + memory(WRITE, 4, 0x10, 1) + memory(WRITE, 4, 0x100, 0x4c) + memory(WRITE, 4, 0x108, 1000)
    + bytes([ACK, 0, 0, 0, 0, 0, 0, 0]),
    "pci": b"".join(pci(devfn, register, 0xffffffff) for devfn in (0, 8, 9, 0xb, 0x10) for register in (4, 0x10, 0x20))
    + pci(0, 0x58, 0x33333333) + pci(0, 0x5c, 0x11111111) + memory(READ, 2, 0x100, 0) + memory(WRITE, 7, 1, 5),
    "pm": pci(0xb, 0x40, 0xb001) + pci(0xb, 0x80, 1) + out(0xb002, 0x521, 2) + inp(0xb008, 4) + out(0xb2, 0xf1)
    + out(0xb004, 1, 2) + time(0xffffff) + out(0xb004, 0x2001, 2),
    "fw-cfg": out(0x510, 0x19, 2) + inp(0x511) * 70 + dma(0x200, 0x08001900) + dma(0x204, 0x40000000)
    + dma(0x208, 0) + dma(0x20c, 0x00300000) + out(0x514, 0, 4) + out(0x518, 0x00020000, 4),
    "post": bytes([POST, 0, 0, 0, 0, 0, 0, 0]) + bytes([RESET, 0, 0, 0, 0, 0, 0, 0]) + inp(0x402) + out(0xf0, 0),
}


def bzimage(version=0x20f, setup_sects=1, loadflags=1, xloadflags=0, payload=b"\xf4" * 64, handover=0):
    """Boot sector and header as the boot protocol lays them out, then a protected-mode part of HLTs."""
    head = bytearray(512 * ((setup_sects or 4) + 1))
    struct.pack_into("<BHIHHHH", head, 0x1f1, setup_sects, 0, (len(payload) + 15) // 16, 0, 0, 0, 0xaa55)
    head[0x200:0x202] = b"\xeb\x66"
    struct.pack_into("<4sHIHHBBHIIII", head, 0x202, b"HdrS", version, 0, 0x1000, 0, 0, loadflags, 0x8000, 0x100000, 0, 0,
                     0)
    struct.pack_into("<HBBIIBBH", head, 0x224, 0xfe00, 0, 0, 0, 0x7fffffff, 0, 0, 0)
    struct.pack_into("<IBBHI", head, 0x230, 0x200000, 1, 21, xloadflags, 2047)
    struct.pack_into("<QIIQQII", head, 0x240, 0, 0, 0, 0, 0x1000000, 0x800000, handover)
    return bytes(head) + payload


def multiboot(flags=3, elf=True, magic=0x1badb002):
    """A one-page ELF image whose header stands behind the program headers, or one with an address part."""
    header = struct.pack("<III", magic, flags, -(magic + flags) & 0xffffffff)
    base = 0x100000
    if not elf:
        flags |= 1 << 16
        header = struct.pack("<IIIIIIII", magic, flags, -(magic + flags) & 0xffffffff, base, base, 0, 0, base + 32)
        return header + b"\xf4" * 32
    code = header + b"\xf4" * 32
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    start = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 12, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 84, base, base, len(code), len(code) + 4096, 7, 4)
    return ident + start + segment + code


KERNELS = {
    "bzimage-2.15": bzimage(xloadflags=3),
    "bzimage-2.06": bzimage(0x206, setup_sects=4),
    "bzimage-low": bzimage(0x202, loadflags=0),
    "zimage-old": bzimage(0x200, setup_sects=0),
    "bzimage-short": bzimage()[:0x240],
    "multiboot-elf": multiboot(),
    "multiboot-video": multiboot(7),
    "multiboot-flat": multiboot(elf=False),
}

VMX = {
    "workstation": b'''.encoding = "windows-1252"
config.version = "8"
virtualHW.version = "19"
displayName = "M\xfcller"
guestOS = "debian12-64"
memsize = "2048"
numvcpus = "2"
scsi0.virtualDev = "lsilogic"
scsi0.present = "TRUE"
scsi0:0.fileName = "disk 1.vmdk"
ide1:0.deviceType = "cdrom-raw"
ide1:0.fileName = "auto detect"
ethernet0.generatedAddress = "00:0c:29:aa:bb:cc"
floppy0.present = "FALSE"
annotation = "first|0Asecond |23 |22quoted|22 |7C"
extendedConfigFile = "x.vmxf"
''',
    "utf8-crlf": "\ufeff.encoding = \"UTF-8\"\r\ndisplayName = \"\u00e4\u20ac\U0001f600\"\r\n".encode(),
    "shift-jis": ".encoding = \"Shift_JIS\"\ndisplayName = \"\u30c6\u30b9\u30c8\"\n".encode("shift_jis"),
    "bare": b"memsize=64 # comment\n\tnoReboot = yes\nkernel = a b\n\n",
    "twice": b'memsize = "1"\nMEMSIZE = "2"\n',
    "open": b'a = "b\n',
    "escape": b'a = "|00"\n',
    "after": b'a = "b" c\n',
}


def main():
    for target, seeds in (("ports", SEEDS), ("bzimage", KERNELS), ("vmx", VMX)):
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
