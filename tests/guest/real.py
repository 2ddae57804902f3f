#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real operating systems under Serai, each judged by its own output.

    tests/guest/real.py --serai build/serai NAME        --list names them
"""

import argparse
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from vm import QEMU, SLOW, Failure, Skip, Vm, guest  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BOOT = 600  # seconds until a Linux is up; twenty times what a quiet machine takes


def direct(serai, name, *options, append="", mem="256"):
    folder = guest(name)
    return Vm(serai, *options, "--kernel", str(folder / "vmlinuz"), "--initrd", str(folder / "initrd.img"), "--append",
              f"console=ttyS0 {append}".strip(), "--mem", mem, "--no-reboot")


def run_and_end(serai, name, machine):
    """A kernel started directly runs a command and powers off."""
    with direct(serai, name, append='quiet serai.run="cat /proc/interrupts && uname -m"') as vm:
        vm.expect(rf"serai-guest: up Linux {machine}", BOOT)
        vm.expect(r"timer|rtc0|i8042|ttyS0", 60)
        vm.expect(rf"(?m)^{machine}$", 60)
        vm.expect(r"serai-guest: done, status 0", 60)
        vm.finish(120)


def amd64(serai):
    """The stock kernel to an interactive shell; the shell answers; poweroff ends the VM."""
    with direct(serai, "amd64", append="quiet") as vm:
        vm.expect(r"serai-guest: up Linux x86_64", BOOT)
        vm.expect(r"serai# ", 120)
        vm.send("echo $((6 * 7)) answers\n")
        vm.expect(r"\n42 answers", 60)
        vm.send("dmesg -r | grep -c '^<[0-3]>'; echo counted\n")
        vm.expect(r"\n\d+\ncounted", 60)
        vm.send("poweroff\n")
        vm.finish(120)


def cloud(serai):
    run_and_end(serai, "cloud", "x86_64")


def i386(serai):
    run_and_end(serai, "i386", "i686")


def reboot(serai):
    """A reboot under --no-reboot ends the VM with its own status."""
    with direct(serai, "cloud", append="quiet serai.end=reboot serai.run=true") as vm:
        vm.expect(r"serai-guest: done, status 0", BOOT)
        vm.finish(120, 0 if QEMU else 4)


def save_and_go_on(serai, *options):
    if QEMU:
        raise Skip("Serai's own")
    with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
        state = os.path.join(folder, "state")
        with direct(serai, "cloud", *options, append="quiet") as vm:
            vm.expect(r"serai# ", BOOT)
            vm.send("kept=$((6 * 7)); (while :; do sleep 1; i=$((i + 1)); echo $i > /tmp/ticks; done) &\n")
            vm.expect(r"serai# ", 60)
            vm.send("head -c 3000000 /dev/urandom > /tmp/data; md5sum /tmp/data; echo summed\n")
            digest = vm.expect(r"([0-9a-f]{32})  /tmp/data\nsummed", 120)[1]
            subprocess.run([serai, "save", str(vm.process.pid), state], check=True, timeout=120)
            subprocess.run([serai, "quit", str(vm.process.pid)], check=True, timeout=60)
            vm.finish(60)
        with direct(serai, "cloud", *options, "--restore", state, append="quiet") as vm:
            time.sleep(1)
            vm.send("\necho still $kept\n")
            vm.expect(r"\nstill 42", 60)
            vm.send("md5sum /tmp/data; a=$(cat /tmp/ticks); sleep 3; b=$(cat /tmp/ticks); echo $((b > a)) ticking\n")
            vm.expect(digest, 120)
            vm.expect(r"\n1 ticking", 60)
            vm.send("poweroff\n")
            vm.finish(120)


def suspend(serai):
    """The whole machine's state into a file, and on from there in a new process."""
    save_and_go_on(serai)


def smp_suspend(serai):
    """The same with three vCPUs."""
    save_and_go_on(serai, "--cpus", "3")


def through_grub(serai, text, *options):
    with Vm(serai, *options, "--mem", "256", "--no-reboot") as vm:
        vm.expect(r"serai-guest: GRUB is up", 300)
        vm.expect(r"serai-guest: up Linux x86_64", BOOT)
        vm.expect(text, 60)
        vm.expect(r"serai-guest: done, status 0", 60)
        vm.finish(120)


def grub_iso(serai):
    """SeaBIOS, GRUB and Linux from an ISO."""
    through_grub(serai, "from the ISO", "--cdrom", str(guest("grub-iso") / "grub.iso"), "--boot", "cdrom")


def grub_disk(serai):
    """SeaBIOS, GRUB and Linux from a raw disk."""
    with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
        disk = copy_disk(guest("grub-disk") / "disk.raw", folder)
        through_grub(serai, "from the disk", "--disk", disk, "--boot", "disk")


def memtest(serai):
    """Memtest86+ from its ISO to its running screen."""
    with Vm(serai, "--cdrom", str(guest("memtest") / "memtest86+x64.iso"), "--boot", "cdrom", "--mem", "64") as vm:
        vm.expect_screen(r"Memtest86\+ v?6", 300)
        vm.expect_screen(r"Pass\s+\d+%", 600)
        vm.expect_screen(r"Errors:\s+0\b", 60)


def memtest_kernel(serai):
    """The 32-bit Memtest86+ as a directly loaded kernel, its screen on the serial line."""
    with Vm(serai, "--kernel", str(guest("memtest") / "memtest86+ia32.bin"), "--append",
            "console=ttyS0,115200 nosmp", "--mem", "64") as vm:
        vm.expect(r"Memtest86\+", 300)
        vm.expect_screen(r"Pass\s+\d+%", 600)


def grub_floppy(serai):
    """GRUB's rescue floppy to its prompt."""
    with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
        floppy = copy_disk(guest("grub-rescue") / "floppy.img", folder)
        with Vm(serai, "--floppy", floppy, "--boot", "floppy", "--mem", "64") as vm:
            vm.expect_screen(r"GNU GRUB  version 2\.06", 600)


def boot_debian(serai, *options):
    """Debian with systemd from an IDE disk: login, a look around, poweroff.  Returns what `nproc` says."""
    with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
        disk = copy_disk(guest("debian") / "disk.raw", folder)
        with Vm(serai, "--disk", disk, "--boot", "disk", "--mem", "512", "--no-reboot", *options) as vm:
            vm.expect(r"serai-guest: GRUB is up", 300)
            vm.expect(r"Welcome to .*Debian GNU/Linux 12", BOOT)
            vm.expect(r"debian login: ", 1200)
            vm.send("root\n")
            vm.expect(r"Password: ", 120)
            vm.send("serai\n")
            vm.expect(r"root@debian:~# ", 240)
            vm.send("uname -a; systemctl --failed --no-legend | wc -l; echo end of part\n")
            vm.expect(r"\nLinux debian 6\.", 120)
            vm.expect(r"\n0\nend of part", 240)
            vm.expect(r"root@debian:~# ", 120)
            vm.send("echo $(nproc) processors\n")
            processors = int(vm.expect(r"\n(\d+) processors", 120)[1])
            vm.expect(r"root@debian:~# ", 120)
            vm.send("dmesg --level=warn,err,crit,alert,emerg; echo end of $((1))dmesg\n")
            said = vm.expect(r"(?s:(.*?))\nend of 1dmesg\n", 240)[1]
            vm.send("poweroff\n")
            vm.finish(600)
    check_dmesg(said)
    return processors


def debian(serai):
    """Debian with systemd from an IDE disk: login, a look around, poweroff."""
    boot_debian(serai)


LOOK_AROUND = ("nproc; cd /sys/devices/system/cpu; cat online; for c in cpu[0-9]*; do "
               "echo $c $(cat $c/topology/physical_package_id $c/topology/core_id); done; "
               "dmesg -r | grep ^.[0-4]. | sed s/^.[0-9].//; echo end of log")


def boot_smp(serai, cpus, cores, name="cloud"):
    """A kernel on several vCPUs, some to a socket: it starts all, sees them as configured, and complains of nothing."""
    with direct(serai, name, "--cpus", str(cpus), "--set", f"cpuid.coresPerSocket={cores}", mem="512",
                append=f'quiet serai.run="{LOOK_AROUND}"') as vm:
        vm.expect(r"serai-guest: up Linux x86_64", BOOT)
        count = int(vm.expect(r"(?m)^(\d+)\n", 60)[1])
        online = vm.expect(r"(?m)^([-,\d]+)\n", 60)[1]
        log = vm.expect(r"(?s:(.*?))end of log", 60)[1]
        vm.expect(r"serai-guest: done, status 0", 60)
        vm.finish(120)
    if (count, online) != (cpus, f"0-{cpus - 1}"):
        raise Failure(f"{count} processors, {online} online; {cpus} were configured")
    seen = {int(cpu): (int(package), int(core))
            for cpu, package, core in re.findall(r"(?m)^cpu(\d+) (\d+) (\d+)$", log)}
    want = {cpu: (cpu // cores, cpu % cores) for cpu in range(cpus)}
    if seen != want:
        raise Failure(f"socket and core of each processor: {seen}; {want} were configured")
    check_dmesg(log)


def smp(serai):
    """The cloud kernel on 2, 4, 6 and 8 vCPUs in several topologies."""
    if QEMU:
        raise Skip("its topology is another")
    for cpus, cores in ((2, 1), (4, 2), (6, 3), (8, 8)):
        boot_smp(serai, cpus, cores)


def smp_32(serai):
    """The cloud kernel on 32 vCPUs."""
    if QEMU:
        raise Skip("its topology is another")
    boot_smp(serai, 32, 4)


def boots(serai):
    """SERAI_TEST_BOOTS (30) boots of Debian on 8 vCPUs, none of which may fail; not in make test."""
    count = int(os.environ.get("SERAI_TEST_BOOTS", "30"))
    for number in range(1, count + 1):
        print(f"boot {number} of {count}", flush=True)
        if boot_debian(serai, "--cpus", "8") != 8:
            raise Failure("not all processors were started")


def bring_checks(path, **settings):
    """The self-checks in userland/ and their settings as a tar file, which the userland guest takes for a disk."""
    text = "".join(f"{name}='{value}'\n" for name, value in settings.items()).encode()
    with tarfile.open(path, "w") as archive:
        archive.add(HERE / "userland", ".")
        with tempfile.TemporaryDirectory(prefix="serai-test-") as out:
            subprocess.run(["make", "-s", "-C", str(HERE / "userland" / "smp"), f"OUT={out}", "LDFLAGS=-static", f"{out}/smp"],
                           check=True)
            archive.add(os.path.join(out, "smp"), "./bin/smp")
        entry = tarfile.TarInfo("./settings")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))


def check_userland(serai, parts, minutes=0, cpus=1, scale=1):
    """One boot of the userland guest for some of its self-checks; all run, whichever fail.  Returns what they told on
    the way."""
    limit = int(600 * SLOW) + 60 * minutes
    boot = guest("debian")
    failed, told = [], []
    with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
        disk = copy_disk(guest("userland") / "disk.raw", folder)
        checks = os.path.join(folder, "checks.tar")
        bring_checks(checks, parts=" ".join(parts), limit=limit, minutes=minutes, scale=scale)
        with Vm(serai, "--kernel", str(boot / "vmlinuz"), "--initrd", str(boot / "initrd.img"), "--append",
                "console=ttyS0 quiet panic=-1 serai.root=LABEL=serai", "--disk", disk, "--disk", checks, "--mem", "1024",
                "--cpus", str(cpus), "--no-reboot") as vm:
            vm.expect(r"serai-guest: up Linux x86_64", BOOT)
            for part in parts:
                begin = vm.expect(rf"serai-check: {part} begins\n", 60).end()
                end = None
                while not end or end[1] is None:  # it may tell how far it is
                    end = vm.expect(rf"serai-check: {part} (passed|failed), .*\n|    \S.*\n", 630)
                    if end[1] is None:
                        told.append(end[0].strip())
                if end[1] == "failed":
                    failed.append(vm.text[begin:end.end()])
            log = vm.expect(r"(?s:(.*?))serai-check: end of the kernel's log", 120)[1]
            vm.expect(r"serai-guest: done, status \d", 60)
            vm.finish(120)
    if failed:
        raise Failure("the guest's self-checks:\n" + "\n".join(failed))
    check_dmesg(log)
    return told


def userland(serai):
    """Debian's programs check themselves: OpenSSL, stress-ng, a compiler, Python, Perl, compilers at run time."""
    check_userland(serai, ("openssl", "jit", "perl", "cc", "stress", "python"))


def stress_hour(serai):
    """An hour of stress-ng, or SERAI_TEST_MINUTES; not in make test."""
    check_userland(serai, ("stress-hour",), int(os.environ.get("SERAI_TEST_MINUTES", "60")))


def litmus(serai):
    """Memory order, atomic operations, code and mappings that change, on SERAI_TEST_CPUS (2) vCPUs; SERAI_TEST_SCALE
    times as long."""
    check_userland(serai, ("litmus",), cpus=int(os.environ.get("SERAI_TEST_CPUS", "2")),
                   scale=int(os.environ.get("SERAI_TEST_SCALE", "1")))


def smp_stress(serai):
    """stress-ng on 4 vCPUs for SERAI_TEST_MINUTES (30); not in make test."""
    check_userland(serai, ("stress-smp",), int(os.environ.get("SERAI_TEST_MINUTES", "30")), cpus=4)


def smp_make(serai):
    """make -j4 on 4 vCPUs makes what it makes outside: the same objects where the compiler is the same, and programs
    that print the same; not in make test."""
    told = check_userland(serai, ("make",), 20, cpus=4)
    with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
        shutil.copytree(HERE / "userland", folder, dirs_exist_ok=True)
        with open(os.path.join(folder, "told"), "w+", encoding="utf-8") as out:
            # The script says what it finds on descriptor 3.
            subprocess.run(["sh", "-c", "./make 3>&1 >/dev/null"], cwd=folder, stdout=out, check=True)
            out.seek(0)
            outside = [line.strip() for line in out]
    same = told[0] == outside[0]
    print(f"inside {told[0]}, outside {outside[0]}: {'objects too' if same else 'only what the programs print'}")
    if not same:
        told, outside = ([line for line in lines if " prints " in line] for lines in (told, outside))
    different = [f"inside {a}, outside {b}" for a, b in zip(told, outside) if a != b]
    if different or len(told) != len(outside) or len(told) < 4:
        raise Failure(f"{len(told)} results inside, {len(outside)} outside\n" + "\n".join(different))


def check_dmesg(text):
    """Kernel warnings must be known ones."""
    known = [re.compile(line) for line in (HERE / "dmesg.txt").read_text(encoding="utf-8").splitlines()
             if line and not line.startswith("#")]
    new = [line for line in text.splitlines() if line.startswith("[") and not any(k.search(line) for k in known)]
    if new:
        raise Failure("new kernel warnings:\n" + "\n".join(new))


def copy_disk(image, folder):
    """A copy the guest may write, holes kept."""
    copy = os.path.join(folder, "disk.raw")
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(image), copy], check=True)
    return copy


TESTS = {f.__name__.replace("_", "-"): f for f in (
    amd64, cloud, i386, suspend, smp_suspend, reboot, grub_iso, grub_disk, memtest, memtest_kernel, grub_floppy, debian, userland,
    stress_hour, litmus, smp, smp_32, boots, smp_stress, smp_make)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--serai", default="build/serai")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("test", nargs="?", choices=sorted(TESTS))
    args = parser.parse_args()
    if args.list or not args.test:
        print("\n".join(f"{name:16} {f.__doc__ or ''}" for name, f in TESTS.items()))
        return 0
    if not QEMU and not os.access(args.serai, os.X_OK):
        print(f"{args.serai} is not built: skipped")
        return 77
    if QEMU and not shutil.which("qemu-system-x86_64"):
        return 77
    try:
        TESTS[args.test](args.serai)
    except Skip as reason:
        print(f"skipped: {reason}")
        return 77
    except Failure as reason:
        print(f"FAILED: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
