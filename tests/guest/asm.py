#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a bare-metal test guest under Serai and under QEMU's TCG and compare what they print.

    tests/guest/asm.py --serai build/serai --image NAME.elf [--set KEY=VALUE]... [--engine interp]
    tests/guest/asm.py --tcg --image NAME.elf         only QEMU, differences as rows for deviations.txt

Each line of a guest is "check: what was observed", and " WRONG" where the manual says otherwise.  A check passes when
Serai's line is not WRONG and equals TCG's, unless deviations.txt names the check: there TCG is known to differ and the
manual decides.  Without QEMU only the manual decides.  The guests named in ALONE crash TCG.
"""

import argparse
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ALONE = {"control"}
TRIPLE = {"double"}  # ends in a triple fault instead of PASS
CPUS = {"smp": (4, 2)}  # processors and cores in a package, where there is more than one
PASS_STATUS = (0x10 << 1) | 1
TRIPLE_STATUS = 3
SLOW = float(os.environ.get("SERAI_TEST_SLOW", "1"))


def run(command, seconds):
    """(exit status or None when it took too long, lines)"""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        out, _ = process.communicate(timeout=seconds * SLOW)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        status = None
    return status, out.decode("latin-1").replace("\r", "").splitlines()


def tcg(image):
    if not shutil.which("qemu-system-x86_64"):
        return None
    cpus, cores = CPUS.get(image.stem, (1, 1))
    return run(["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,vendor=GenuineIntel,la57=off", "-nodefaults",
                "-display", "none", "-no-reboot", "-m", "128", "-smp",
                f"{cpus},sockets={cpus // cores},cores={cores}", "-serial", "stdio", "-device",
                "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", str(image)], 120)


def checks(lines):
    """{(check, how many of that name before): what was observed}"""
    result = {}
    for line in lines:
        name, colon, text = line.partition(": ")
        if colon:
            number = 0
            while (name, number) in result:
                number += 1
            result[name, number] = text
    return result


def deviations(guest):
    """Patterns of the checks of `guest` in which TCG is known to differ."""
    found = []
    for line in (HERE / "deviations.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            owner, name = (part.strip() for part in line.split("|")[:2])
            if fnmatch.fnmatchcase(guest, owner):
                found.append(re.compile(fnmatch.translate(name)))
    return found


def judge(guest, lines, reference):
    """Print every check that fails; returns how many."""
    ours, theirs, known, bad = checks(lines), checks(reference or []), deviations(guest), 0
    for key, text in ours.items():
        excused = reference is None or any(pattern.match(key[0]) for pattern in known)
        if text.endswith(" WRONG"):
            print(f"wrong: {key[0]}: {text}  (TCG: {theirs.get(key, 'nothing')})")
        elif not excused and theirs.get(key) != text:
            print(f"differs: {key[0]}: {text}  (TCG: {theirs.get(key, 'nothing')})")
        else:
            continue
        bad += 1
    for key, text in theirs.items():
        if key not in ours and not any(pattern.match(key[0]) for pattern in known):
            print(f"missing: {key[0]}  (TCG: {text})")
            bad += 1
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--serai")
    parser.add_argument("--image", required=True, type=pathlib.Path)
    parser.add_argument("--engine", default="interp")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--tcg", action="store_true")
    args = parser.parse_args()
    guest = args.image.stem
    if args.tcg:
        for (name, _), text in checks(tcg(args.image)[1]).items():
            if text.endswith(" WRONG"):
                print(f"{guest} | {name} | TCG: {text}")
        return 0
    if not args.serai or not os.access(args.serai, os.X_OK):
        print(f"{args.serai} is not built: skipped")
        return 77
    command = [args.serai, "run", "--kernel", str(args.image), "--mem", "128", "--engine", args.engine, "--serial",
               "stdio", "--display", "none", "--no-reboot", "--set", f"debug.exitPort={0xf4:#x}"]
    cpus, cores = CPUS.get(guest, (1, 1))
    if cpus > 1:
        command += ["--cpus", str(cpus), "--set", f"cpuid.coresPerSocket={cores}"]
    for pair in args.set:
        command += ["--set", pair]
    status, lines = run(command, 120)
    reference = None if guest in ALONE else tcg(args.image)
    bad = judge(guest, lines, reference and reference[1])
    print("\n".join(lines))
    print(f"{len(checks(lines))} checks, {bad} bad; exit status {status}")
    if guest in TRIPLE:
        good = status == TRIPLE_STATUS and "triple fault" in lines
    else:
        good = status == PASS_STATUS and "PASS" in lines
    return 0 if good and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
