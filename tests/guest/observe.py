#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to look at a running guest: statistics, traces of two engines, the map for perf.

    tests/guest/observe.py --serai build/serai
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from vm import SLOW, Failure, Skip, guest  # noqa: E402

TRACED = 30000


def start(serai, folder, name, append, *options):
    kernel = guest("amd64")
    return subprocess.Popen(
        [serai, "run", "--kernel", str(kernel / "vmlinuz"), "--initrd", str(kernel / "initrd.img"), "--append",
         f"console=ttyS0 quiet nokaslr {append}", "--mem", "256", "--serial", f"file:{folder}/serial", "--display",
         "none", "--no-reboot", "--set", f"displayName={name}", *options], stdin=subprocess.DEVNULL)


def end(vm):
    vm.terminate()
    try:
        vm.wait(60 * SLOW)
    except subprocess.TimeoutExpired:
        vm.kill()
        raise Failure("the VM does not end") from None


def wait_for(what, condition, seconds):
    limit = time.monotonic() + seconds * SLOW
    while not condition():
        if time.monotonic() > limit:
            raise Failure(f"{what}: not within {seconds * SLOW:.0f} s")
        time.sleep(0.2)


def contents(path):
    return pathlib.Path(path).read_text(encoding="latin-1") if os.path.exists(path) else ""


def stats(serai, folder):
    """Both engines tell rates; the translator what it did, whole numbers that fit each other."""
    for engine in ("interp", "bt"):
        name = f"observe-{os.getpid()}-{engine}"
        vm = start(serai, folder, name, 'serai.run="echo loop-begins; while :; do ls / >/dev/null; done"', "--engine",
                   engine)
        try:
            wait_for("the guest's loop", lambda: "loop-begins" in contents(f"{folder}/serial"), 300)
            answer = subprocess.run([serai, "stats", "--json", "--window", "500", name], check=True,
                                    stdout=subprocess.PIPE).stdout
            cpu = json.loads(answer)["cpu0"]
            text = subprocess.run([serai, "stats", "--window=0", name], check=True, stdout=subprocess.PIPE).stdout
        finally:
            end(vm)
        os.unlink(f"{folder}/serial")
        print(f"{engine}: {cpu['instructions_per_second']} instructions a second")
        if not cpu["instructions_per_second"] or b"cpu0.tlb_misses " not in text:
            raise Failure(f"{engine}: {cpu}")
    both = cpu["kernel_instructions_per_second"] + cpu["user_instructions_per_second"]
    if not cpu["user_instructions_per_second"] or abs(both / cpu["instructions_per_second"] - 1) > 0.3:
        raise Failure(f"kernel and user are {both} of {cpu['instructions_per_second']}")
    if not cpu["semantics"] or sum(cpu["semantics"].values()) > cpu["exits_semantics"] or len(cpu["blocks"]) != 20:
        raise Failure(f"{cpu}")


def trace(serai, folder):
    """The beginning of a kernel, by either engine, is the same."""
    lines = {}
    for engine in ("interp", "bt"):
        path = f"{folder}/trace-{engine}"
        vm = start(serai, folder, f"observe-{os.getpid()}", "", "--engine", engine, "--trace", path, "--trace-from",
                   "2000000", "--trace-count", str(TRACED))
        try:
            wait_for("a trace", lambda p=path: contents(p).count("\n") >= TRACED, 120)
        finally:
            end(vm)
        lines[engine] = contents(path).splitlines()
    if len(lines["interp"]) != TRACED:
        raise Failure(f"{len(lines['interp'])} lines, not {TRACED}")
    for number, (a, b) in enumerate(zip(lines["interp"], lines["bt"])):
        if a != b:
            raise Failure(f"line {number}:\n{a}\n{b}")
    print(f"trace: {TRACED} lines are the same, the last one: {a}")


def perf_map(serai, folder):
    """Each line is one that perf can read, and no two blocks of the file lie over each other."""
    vm = start(serai, folder, f"observe-{os.getpid()}", "", "--engine", "bt", "--perf-map")
    path = f"/tmp/perf-{vm.pid}.map"
    try:
        wait_for("a map", lambda: contents(path).count("kernel64_") > 1000, 120)
    finally:
        end(vm)
    rows = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (serai_bt_shared|(?:kernel|user)(?:32|64)_[0-9a-f]+(?:_view)?(?:_rare)?)", line)
            for line in contents(path).splitlines()]
    os.unlink(path)
    if not all(rows):
        raise Failure("a line of the map is none")
    places = sorted((int(row[1], 16), int(row[2], 16)) for row in rows)
    if any(at + size > after for (at, size), (after, _) in zip(places, places[1:])):
        raise Failure("blocks of the map lie over each other")
    print(f"perf map: {len(rows)} names")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--serai", default="build/serai")
    args = parser.parse_args()
    if not os.access(args.serai, os.X_OK):
        print(f"{args.serai} is not built: skipped")
        return 77
    try:
        for test in (stats, trace, perf_map):
            with tempfile.TemporaryDirectory(prefix="serai-test-") as folder:
                test(args.serai, folder)
    except Skip as reason:
        print(f"skipped: {reason}")
        return 77
    except Failure as reason:
        print(f"FAILED: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
