#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: one line that says what is wrong, the right exit status, the terminal as it was, never a crash.

    tests/guest/bad.py --serai build/serai --images DIRECTORY [NAME]      DIRECTORY holds wild.elf and lost.elf
"""

import argparse
import os
import pathlib
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from vm import Failure, Skip, Vm, guest  # noqa: E402

HOST, CONFIG, TRIPLE = 1, 2, 3
CTRL_A = "\x01"


def refused(serai, text, *options, status=(HOST, CONFIG)):
    """`serai run` must end with one line on the terminal that matches `text`."""
    with Vm(serai, *options) as vm:
        vm.process.wait(timeout=120)
        got = vm.process.returncode
        vm.finish(10, got)
        lines = [line for line in vm.text.splitlines() if line.strip()]
        if got not in (status if isinstance(status, tuple) else (status,)):
            raise Failure(f"exit status {got}, one of {status} was expected: {lines}")
        if len(lines) != 1:
            raise Failure(f"{len(lines)} lines where one was expected: {lines}")
        if not re.search(text, lines[0]):
            raise Failure(f"no {text!r} in: {lines[0]}")
        print("  ", lines[0])


class Bad:
    """Each method is one case."""

    def __init__(self, serai, images, folder):
        self.serai = serai
        self.images = images
        self.folder = pathlib.Path(folder)

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def kernel_missing(self):
        refused(self.serai, r"nowhere/vmlinuz.*: No such file", "--kernel", "/nowhere/vmlinuz", "--mem", "64")

    def kernel_empty(self):
        refused(self.serai, r"empty\b", "--kernel", self.file("empty", b""), "--mem", "64")

    def kernel_is_text(self):
        refused(self.serai, r"text\b", "--kernel", self.file("text", b"hello, world\n" * 1000), "--mem", "64")

    def kernel_truncated(self):
        image = (guest("cloud") / "vmlinuz").read_bytes()
        for size in (0x1f1, 0x202, 0x300, 0x4000, len(image) // 2):
            refused(self.serai, rf"short{size}\b", "--kernel", self.file(f"short{size}", image[:size]), "--mem", "64")

    def kernel_is_directory(self):
        refused(self.serai, r"directory|regular file", "--kernel", str(self.folder), "--mem", "64")

    def initrd_missing(self):
        refused(self.serai, r"nowhere/initrd.*: No such file", "--kernel", str(guest("cloud") / "vmlinuz"), "--initrd",
                "/nowhere/initrd", "--mem", "256")

    def initrd_too_large(self):
        path = self.folder / "huge"
        with open(path, "wb") as stream:
            stream.truncate(3 << 30)
        refused(self.serai, r"huge\b", "--kernel", str(guest("cloud") / "vmlinuz"), "--initrd", str(path), "--mem",
                "256")

    def append_too_long(self):
        refused(self.serai, r"append|command line", "--kernel", str(guest("cloud") / "vmlinuz"), "--append",
                "x" * 100000, "--mem", "128")

    def disk_missing(self):
        refused(self.serai, r"nowhere/disk.*: No such file", "--disk", "/nowhere/disk", "--mem", "64")

    def cdrom_missing(self):
        refused(self.serai, r"nowhere/cd.*: No such file", "--cdrom", "/nowhere/cd", "--mem", "64")

    def disk_empty(self):
        refused(self.serai, r"empty-disk", "--disk", self.file("empty-disk", b""), "--mem", "64")

    def no_system(self, *options):
        with Vm(self.serai, *options, "--mem", "64") as vm:
            vm.expect_screen(r"No bootable device", 300)
            vm.send(CTRL_A + "x")
            vm.finish(30)

    def disk_not_bootable(self):
        self.no_system("--disk", self.file("blank", bytes(1 << 20)), "--boot", "disk")

    def iso_not_bootable(self):
        self.no_system("--cdrom", self.file("blank.iso", bytes(1 << 20)), "--boot", "cdrom")

    def iso_truncated(self):
        image = (guest("grub-iso") / "grub.iso").read_bytes()
        self.no_system("--cdrom", self.file("short.iso", image[:18 * 2048]), "--boot", "cdrom")

    def vmx_syntax(self):
        path = self.file("bad.vmx", b'memsize = "64"\ndisplayName = "x\n')
        refused(self.serai, r"bad\.vmx:2:\d+: ", path, status=CONFIG)

    def vmx_is_image(self):
        refused(self.serai, r"not a \.vmx file", self.file("image", b"\n" * (5 << 20)), status=CONFIG)

    def disk_is_vmdk(self):
        """Its descriptor must not be overwritten as if it were sectors."""
        refused(self.serai, r"VMDK", "--disk", self.file("disk.vmdk", b"# Disk DescriptorFile\n" * 100))

    def nothing_to_run(self):
        refused(self.serai, r"nothing to run", "--mem", "64", status=CONFIG)

    def vmx_missing(self):
        refused(self.serai, r"nowhere\.vmx: No such file", "/nowhere.vmx")

    def vmx_value(self):
        path = self.file("value.vmx", b'memsize = "many"\n')
        refused(self.serai, r"value\.vmx:1(:\d+)?: .*many", path, status=CONFIG)

    def memory_none(self):
        refused(self.serai, r"memsize|mem", "--mem", "0", "--kernel", str(guest("cloud") / "vmlinuz"), status=CONFIG)

    def memory_negative(self):
        refused(self.serai, r"memsize|mem", "--mem", "-5", "--kernel", str(guest("cloud") / "vmlinuz"), status=CONFIG)

    def memory_more_than_host(self):
        refused(self.serai, r"this host has \d+ MiB", "--mem", "1000000", "--kernel", str(guest("cloud") / "vmlinuz"))

    def memory_huge_number(self):
        refused(self.serai, r"memsize|mem", "--mem", "99999999999999999999999", "--kernel",
                str(guest("cloud") / "vmlinuz"), status=CONFIG)

    def cpus_out_of_range(self):
        refused(self.serai, r"numvcpus|cpus", "--cpus", "1000", "--kernel", str(guest("cloud") / "vmlinuz"),
                status=CONFIG)

    def cores_do_not_divide(self):
        refused(self.serai, r"cpuid\.coresPerSocket.*multiple", "--cpus", "4", "--set", "cpuid.coresPerSocket=3",
                "--kernel", str(guest("cloud") / "vmlinuz"), status=CONFIG)

    def option_unknown(self):
        refused(self.serai, r"--kernal.*--kernel", "--kernal", "x", status=CONFIG)

    def option_without_value(self):
        refused(self.serai, r"--mem", "--mem", status=CONFIG)

    def engine_unknown(self):
        refused(self.serai, r"warp", "--set", "engine=warp", "--kernel", str(guest("cloud") / "vmlinuz"),
                status=CONFIG)

    def bare(self, name, *options):
        return Vm(self.serai, "--kernel", str(self.images / f"{name}.elf"), "--mem", "64", "--no-reboot", "--set",
                  "debug.exitPort=0xf4", *options)

    def guest_jumps_into_nothing(self):
        """A jump to where there is no memory ends in a triple fault: no IDT to catch it."""
        with self.bare("lost") as vm:
            vm.finish(120, TRIPLE)

    def guest_writes_every_port(self):
        """Wild values to every port, then to every device's memory: the VM lives or ends, but does not crash."""
        with self.bare("wild") as vm:
            limit = time.monotonic() + 60
            while vm.process.poll() is None and time.monotonic() < limit:
                vm.pump(0.5)
            if vm.process.poll() is None:
                vm.send(CTRL_A + "x")
                vm.finish(30)
            elif vm.process.returncode not in (0, 3, 4, 33, 35):
                raise Failure(f"exit status {vm.process.returncode}: {vm.text[-500:]}")

    def leave_by_key(self):
        """Ctrl-A X ends a guest that does nothing."""
        with self.bare("lost", "--append", "spin") as vm:
            vm.expect(r"spinning", 60)
            vm.send(CTRL_A + "x")
            vm.finish(30)

    def killed_politely(self):
        """SIGTERM restores the terminal."""
        with self.bare("lost", "--append", "spin") as vm:
            vm.expect(r"spinning", 60)
            vm.process.terminate()
            vm.process.wait(timeout=60)
            vm.finish(10, vm.process.returncode)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--serai", default="build/serai")
    parser.add_argument("--images", type=pathlib.Path, default="build/tests/guest")
    parser.add_argument("test", nargs="?")
    args = parser.parse_args()
    if not os.access(args.serai, os.X_OK):
        print(f"{args.serai} is not built: skipped")
        return 77
    helpers = {"file", "no_system", "bare"}
    names = [name for name in vars(Bad) if not name.startswith("_") and name not in helpers]
    failed = 0
    for name in names if not args.test else [args.test.replace("-", "_")]:
        with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
            try:
                getattr(Bad(args.serai, args.images, folder), name)()
                print(f"ok: {name}", flush=True)
            except Skip as reason:
                print(f"skipped: {name}: {reason}", flush=True)
            except Exception as reason:  # a test that times out must not stop the others
                failed += 1
                print(f"FAILED: {name}: {type(reason).__name__}: {reason}", flush=True)
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
