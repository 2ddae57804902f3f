# SPDX-License-Identifier: GPL-2.0-or-later
"""One running VM for a test: its serial line on a pseudo-terminal, its text screen, its end.

`SERAI_TEST_QEMU=1` runs the same under QEMU's TCG, to tell a test's mistake from Serai's.
"""

import codecs
import fcntl
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import tempfile
import termios
import time
import tty

SLOW = float(os.environ.get("SERAI_TEST_SLOW", "1"))
QEMU = bool(os.environ.get("SERAI_TEST_QEMU"))


class Failure(Exception):
    """What a test says when its guest did something else; ends that test."""


class Skip(Exception):
    """The guest could not be made here."""


def guest(name):
    """The folder of a guest made by tools/guest/make."""
    folder = pathlib.Path(os.environ.get("SERAI_GUESTS", "build/guests")) / name
    if (folder / "skip").exists():
        raise Skip((folder / "skip").read_text(encoding="utf-8").strip())
    if not (folder / "stamp").exists():
        raise Skip(f"{folder} is not made (tools/guest/make {name})")
    return folder


def qemu_command(options, monitor):
    """Serai's options as QEMU's."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none", "-vga", "std", "-serial",
               "stdio", "-monitor", f"unix:{monitor},server=on,wait=off"]
    same = {"--kernel": "-kernel", "--initrd": "-initrd", "--append": "-append", "--mem": "-m", "--cpus": "-smp",
            "--cdrom": "-cdrom"}
    words = iter(options)
    for word in words:
        if word in same:
            command += [same[word], next(words)]
        elif word == "--disk":
            command += ["-drive", f"if=ide,format=raw,file={next(words)}"]
        elif word == "--floppy":
            command += ["-drive", f"if=floppy,format=raw,file={next(words)}"]
        elif word == "--no-reboot":
            command += ["-no-reboot"]
        elif word == "--boot":
            command += ["-boot", {"disk": "c", "cdrom": "d", "floppy": "a"}[next(words)]]
        elif word == "--set":
            if next(words).startswith("debug.exitPort"):
                command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        else:
            next(words)
    return command


class Vm:
    """A VM started with options of `serai run`; use as a context manager."""

    def __init__(self, serai, *options):
        self.serai = serai
        self.folder = tempfile.mkdtemp(prefix="serai-test-")
        self.monitor = os.path.join(self.folder, "monitor")
        self.text = ""  # of the serial line, without carriage returns and escape sequences
        self.raw = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.seen = 0
        self.start = time.monotonic()
        self.terminal, far = os.openpty()
        tty.setraw(self.terminal)
        self.before = termios.tcgetattr(far)
        self.far = far
        if QEMU:
            command = qemu_command(options, self.monitor)
        else:
            command = [serai, "run", "--engine", os.environ.get("SERAI_TEST_ENGINE", "interp"), "--serial", "stdio",
                       "--display", "none", *options]
        print("$", " ".join(f"'{w}'" if " " in w else w for w in command), flush=True)
        self.process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(f"---- the serial line's end:\n{self.text[-3000:]}\n----", flush=True)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)
        os.close(self.far)
        shutil.rmtree(self.folder, ignore_errors=True)

    def elapsed(self):
        return time.monotonic() - self.start

    def pump(self, seconds):
        """Take what the guest wrote within `seconds`, or until it writes something."""
        if select.select([self.terminal], [], [], seconds)[0]:
            self.raw += self.decoder.decode(os.read(self.terminal, 65536))
            unfinished = re.search(r"\x1b(\[[0-9;?]*)?$", self.raw)
            whole = unfinished.start() if unfinished else len(self.raw)
            self.text += re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]|\x1b[()].", "", self.raw[:whole])
            self.raw = self.raw[whole:]
            return True
        return False

    def expect(self, pattern, seconds):
        """Wait for a regular expression after what was matched before; returns the match."""
        compiled = re.compile(pattern)
        limit = time.monotonic() + seconds * SLOW
        while True:
            found = compiled.search(self.text, self.seen)
            if found:
                self.seen = found.end()
                print(f"{self.elapsed():7.1f} s  {found[0][:100]}", flush=True)
                return found
            if time.monotonic() > limit:
                raise Failure(f"no {pattern!r} on the serial line within {seconds * SLOW:.0f} s")
            if not self.pump(0.5) and self.process.poll() is not None and not self.pump(0.2):
                raise Failure(f"the VM ended (status {self.process.returncode}) before {pattern!r}")

    def send(self, text):
        os.write(self.terminal, text.encode())

    def screen(self):
        """The VGA text screen, or nothing while there is none."""
        if QEMU:
            return self.qemu_screen()
        done = subprocess.run([self.serai, "screen", str(self.process.pid)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, errors="replace", check=False,
                              timeout=60 * SLOW)
        return done.stdout

    def qemu_screen(self):
        image = os.path.join(self.folder, "vga")
        with socket.socket(socket.AF_UNIX) as monitor:
            try:
                monitor.connect(self.monitor)
            except OSError:
                return ""
            monitor.sendall(f'pmemsave 0xb8000 4000 "{image}"\n'.encode())
            time.sleep(0.5)
        data = pathlib.Path(image).read_bytes()[::2] if os.path.exists(image) else b""
        return "\n".join(data[row * 80:row * 80 + 80].decode("latin-1") for row in range(25))

    def expect_screen(self, pattern, seconds):
        limit = time.monotonic() + seconds * SLOW
        while True:
            self.pump(0.1)
            screen = self.screen()
            found = re.search(pattern, screen)
            if found:
                print(f"{self.elapsed():7.1f} s  screen: {found[0][:100]}", flush=True)
                return found
            if self.process.poll() is not None:
                raise Failure(f"the VM ended (status {self.process.returncode}) before {pattern!r} was on its screen")
            if time.monotonic() > limit:
                raise Failure(f"no {pattern!r} on the screen within {seconds * SLOW:.0f} s; it shows:\n{screen}")
            time.sleep(1)

    def finish(self, seconds, status=0):
        """Wait for the end; the terminal must be as it was."""
        limit = time.monotonic() + seconds * SLOW
        while self.process.poll() is None:
            self.pump(0.2)
            if time.monotonic() > limit:
                raise Failure(f"the VM did not end within {seconds * SLOW:.0f} s")
        while self.pump(0.1):
            pass
        if self.process.returncode != status:
            raise Failure(f"exit status {self.process.returncode}, {status} was expected")
        if termios.tcgetattr(self.far) != self.before:
            raise Failure("the terminal's settings were not restored")
        print(f"{self.elapsed():7.1f} s  ended, status {status}", flush=True)
