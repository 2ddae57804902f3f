# SPDX-License-Identifier: GPL-2.0-or-later
"""Initramfs archives and bootable disks, written without root."""

import gzip
import pathlib
import re
import stat
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from packages import run  # noqa: E402

SECTOR = 512
PARTITION = 2048  # first sector of the one partition: 1 MiB, GRUB's core before it


def cpio(entries):
    """An initramfs from (path, mode, data, device) rows; device is (major, minor) or None.  "newc" form, gzipped."""
    out = bytearray()
    for number, (path, mode, data, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", None)], 1):
        name = path.encode() + b"\0"
        major, minor = device or (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(-len(out) % 4)
        out += data
        out += bytes(-len(out) % 4)
    return gzip.compress(bytes(out), 9, mtime=0)


def initramfs(busybox, init, modules=None):
    """A busybox, an init, and modules ({file name: bytes}, in load order)."""
    directories = ("bin", "sbin", "dev", "proc", "sys", "tmp", "root", "etc", "modules")
    entries = [(name, stat.S_IFDIR | 0o755, b"", None) for name in directories]
    entries += [("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)), ("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)),
                ("bin/busybox", stat.S_IFREG | 0o755, busybox, None), ("init", stat.S_IFREG | 0o755, init, None),
                ("bin/sh", stat.S_IFLNK | 0o777, b"busybox", None)]
    if modules:
        entries += [(f"modules/{name}", stat.S_IFREG | 0o644, data, None) for name, data in modules.items()]
        entries.append(("modules/order", stat.S_IFREG | 0o644, "".join(f"{m}\n" for m in modules).encode(), None))
    return cpio(entries)


def module_order(files, wanted):
    """Of {path: bytes} of .ko files, those `wanted` (module names) need, each after what it depends on."""
    def name_of(path):
        return pathlib.PurePath(path).name.removesuffix(".ko").replace("-", "_")

    by_name = {name_of(path): path for path in files}
    order = {}

    def add(name):
        path = by_name.get(name)
        if path is None:
            raise SystemExit(f"guest: the kernel package has no module {name}")
        if f"{name}.ko" in order:
            return
        for needed in filter(None, re.search(rb"\0depends=([^\0]*)\0", files[path])[1].decode().split(",")):
            add(needed.replace("-", "_"))
        order[f"{name}.ko"] = files[path]

    for name in wanted:
        add(name)
    return order


def file_system(path, tree, mebibytes, first=0, wrapper=()):
    """ext4 from sector `first` of a raw disk of that size, filled from the directory `tree`.  `wrapper` (fakeroot,
    say) goes before mke2fs, so that it sees the right owners."""
    with open(path, "ab") as disk:
        disk.truncate(mebibytes << 20)
    run([*wrapper, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "serai", "-E", f"offset={first * SECTOR}",
         "-d", str(tree), str(path), f"{(mebibytes << 10) - first * SECTOR // 1024}k"])


def grub_disk(path, tree, mebibytes, wrapper=()):
    """A raw disk: GRUB in the MBR and behind it, one ext4 partition (see file_system)."""
    sectors = mebibytes * 2048
    core = path.with_suffix(".core")
    run(["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", str(core),
         "biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal", "echo", "configfile"])
    image = core.read_bytes()
    core.unlink()
    if len(image) > (PARTITION - 1) * SECTOR:
        raise SystemExit(f"guest: GRUB's core is too large: {len(image)} bytes")
    mbr = bytearray(pathlib.Path("/usr/lib/grub/i386-pc/boot.img").read_bytes())
    mbr[446:510] = bytes(64)  # boot.img has its floppy code here
    mbr[446:462] = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", PARTITION,
                               sectors - PARTITION)
    mbr[440:444] = b"SRAI"
    mbr[510:512] = b"\x55\xaa"
    with open(path, "wb") as disk:
        disk.truncate(sectors * SECTOR)
        disk.write(mbr)
        disk.write(image)
    file_system(path, tree, mebibytes, PARTITION, wrapper)
