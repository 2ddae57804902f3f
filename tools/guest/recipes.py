# SPDX-License-Identifier: GPL-2.0-or-later
"""One function a guest: fill a folder, return None, or the reason why it cannot be made here."""

import os
import pathlib
import shutil
import subprocess

import images
from packages import Packages, files_of, run

# What a kernel needs to find its root on an IDE disk.
IDE_MODULES = ("ata_piix", "sd_mod", "ext4", "crc32c_generic")
MODULE_TREES = ("drivers/ata/", "drivers/scsi/", "fs/", "lib/", "crypto/", "block/", "arch/x86/crypto/")

# Serial and screen both, so that either tells how far a boot came.
GRUB_CFG = """serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
echo "serai-guest: GRUB is up"
linux {linux}
initrd {initrd}
boot
"""


class Maker:
    """What the recipes share."""

    def __init__(self, root, here):
        self.root = root
        self.here = here
        self.packages = Packages(root)
        self.init = (here / "init").read_bytes()

    def busybox(self, arch):
        found = files_of(self.packages.deb("busybox-static", arch), lambda path: path.endswith("bin/busybox"))
        return next(iter(found.values()))


def small_linux(maker, folder, package, arch):
    """vmlinuz and a busybox initramfs, for --kernel and --initrd."""
    deb = maker.packages.kernel(package, arch)
    found = files_of(deb, lambda path: path.startswith("boot/vmlinuz-"), lambda path: True)
    path, image = next(iter(found.items()))
    (folder / "vmlinuz").write_bytes(image)
    (folder / "version").write_text(path.removeprefix("boot/vmlinuz-") + "\n", encoding="utf-8")
    (folder / "initrd.img").write_bytes(images.initramfs(maker.busybox(arch), maker.init))


def amd64(maker, folder):
    small_linux(maker, folder, "linux-image-amd64", "amd64")


def cloud(maker, folder):
    small_linux(maker, folder, "linux-image-cloud-amd64", "amd64")


def i386(maker, folder):
    small_linux(maker, folder, "linux-image-686-pae", "i386")


def boot_tree(maker, tree, append):
    """/boot with the cloud kernel (the smallest), its initramfs and GRUB's menu."""
    grub = tree / "boot" / "grub"
    grub.mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(maker.root / "cloud" / name, tree / "boot" / name)
    (grub / "grub.cfg").write_text(GRUB_CFG.format(linux=f"/boot/vmlinuz {append}", initrd="/boot/initrd.img"),
                                   encoding="utf-8")


def grub_iso(maker, folder):
    tree = folder / "tree"
    boot_tree(maker, tree, 'console=ttyS0 serai.run="echo from the ISO"')
    run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", str(folder / "grub.iso"), "--locales=", "--fonts=",
         "--themes=", "--compress=no", str(tree)])
    shutil.rmtree(tree)


def grub_disk(maker, folder):
    tree = folder / "tree"
    boot_tree(maker, tree, 'console=ttyS0 serai.run="echo from the disk"')
    images.grub_disk(folder / "disk.raw", tree, 64)
    shutil.rmtree(tree)


def memtest(maker, folder):
    found = files_of(maker.packages.deb("memtest86+"), lambda path: path.endswith((".iso", "64.bin", "32.bin")))
    for path, data in found.items():
        (folder / pathlib.PurePath(path).name).write_bytes(data)


def grub_rescue(maker, folder):
    found = files_of(maker.packages.deb("grub-rescue-pc"), lambda path: path.endswith("-floppy.img"))
    (folder / "floppy.img").write_bytes(next(iter(found.values())))


# What nobody reads in a guest.
UNREAD = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*")


def debootstrap(maker, folder, packages, unwanted=()):
    """A minimal Debian with `packages` as a tar file: the first mode of mmdebstrap that works here."""
    modes = ["root"] if os.getuid() == 0 else []
    modes += ["unshare", "fakechroot"]
    said = ""
    sources = folder / "debian.sources"
    sources.write_text(maker.packages.sources(), encoding="utf-8")
    for mode in modes:
        command = ["mmdebstrap", "--quiet", f"--mode={mode}", "--variant=minbase", "--architectures=amd64",
                   f"--include={','.join(packages)}",
                   *(f"--dpkgopt=path-exclude={path}" for path in (*UNREAD, *unwanted)),
                   "--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::Retries \"3\"",
                   "bookworm", str(folder / "root.tar"), str(sources)]
        proxy = run(["apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy"]).strip()
        if proxy:
            command.insert(1, f"--aptopt=Acquire::http::Proxy \"{proxy}\"")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode == 0:
            sources.unlink()
            return None
        lines = [line for line in done.stdout.splitlines() if line.startswith("E: ")] or done.stdout.splitlines()
        said += f"{mode}: {lines[0] if lines else done.returncode}; "
    return "mmdebstrap works in no mode here: " + said.rstrip("; ")


# Run by fakeroot: unpack, set up what a first boot needs, and write the disk while owners are right.
DEBIAN_SETUP = """set -e
cd "$1"
mkdir tree
tar -xf root.tar -C tree --exclude='./dev/*'
echo debian >tree/etc/hostname
printf '127.0.0.1 localhost debian\\n' >tree/etc/hosts
printf '/dev/sda1 / ext4 defaults 0 1\\n' >tree/etc/fstab
sed -i 's|^root:[^:]*:|root:{password}:|' tree/etc/shadow
: >tree/etc/machine-id
mkdir -p tree/boot/grub
cp boot/vmlinuz boot/initrd.img tree/boot/
cp boot/grub.cfg tree/boot/grub/
"""

# "serai"
PASSWORD = "$6$caravan$KCPa9rjuHt51fhVVejU3yuwvaQRVbQb7ca2H9.RIQOdA23MZqmNPbC1ZY6lda7KckanYI4qPcNqwKjG4Nbmnx/"


def debian(maker, folder):
    """Debian with systemd on an IDE disk: GRUB, the stock kernel, modules in the initramfs, serial login."""
    reason = debootstrap(maker, folder, ("systemd", "systemd-sysv", "udev", "login", "dbus"))
    if reason:
        return reason
    boot = folder / "boot"
    boot.mkdir()
    deb = maker.packages.kernel("linux-image-amd64")
    files = files_of(deb, lambda path: path.endswith(".ko") and
                     path.partition("/kernel/")[2].startswith(MODULE_TREES))
    modules = images.module_order(files, IDE_MODULES)
    shutil.copyfile(maker.root / "amd64" / "vmlinuz", boot / "vmlinuz")
    (boot / "initrd.img").write_bytes(images.initramfs(maker.busybox("amd64"), maker.init, modules))
    (boot / "grub.cfg").write_text(GRUB_CFG.format(
        linux="/boot/vmlinuz console=ttyS0 serai.root=/dev/sda1 root=/dev/sda1", initrd="/boot/initrd.img"),
        encoding="utf-8")
    script = folder / "setup.sh"
    script.write_text(DEBIAN_SETUP.replace("{password}", PASSWORD), encoding="utf-8")
    saved = folder / "fakeroot.state"
    run(["fakeroot", "-s", str(saved), "sh", str(script), str(folder)])
    images.grub_disk(folder / "disk.raw", folder / "tree", 512, ("fakeroot", "-i", str(saved)))
    for name in ("vmlinuz", "initrd.img"):
        (boot / name).rename(folder / name)
    shutil.rmtree(boot)
    run(["fakeroot", "-i", str(saved), "rm", "-rf", str(folder / "tree")])
    for name in ("root.tar", "setup.sh", "fakeroot.state"):
        (folder / name).unlink()
    return None


USERLAND = ("openssl", "stress-ng", "gcc", "libc6-dev", "make", "perl", "python3", "libpython3.11-testsuite", "luajit",
            "nodejs")
# Link-time optimisers and sanitizers, a quarter of the compiler.
UNLINKED = ("/usr/lib/gcc/*/lto*", "/usr/bin/*lto-dump*", "/usr/lib/*/lib?san.so*", "/usr/lib/gcc/*/lib?san*")


def userland(maker, folder):
    """Debian's programs on an IDE disk without partitions, and an init that runs what a second disk brings (started
    with the kernel and initramfs of `debian`)."""
    reason = debootstrap(maker, folder, USERLAND, UNLINKED)
    if reason:
        return reason
    tree = folder / "tree"
    saved = folder / "fakeroot.state"
    as_owner = ("fakeroot", "-i", str(saved), "-s", str(saved))
    tree.mkdir()
    saved.touch()
    run([*as_owner, "tar", "-xf", str(folder / "root.tar"), "-C", str(tree), "--exclude=./dev/*"])
    (tree / "sbin/init").write_bytes((maker.here / "userland-init").read_bytes())
    (tree / "sbin/init").chmod(0o755)
    images.file_system(folder / "disk.raw", tree, 1024, wrapper=as_owner)
    run([*as_owner, "rm", "-rf", str(tree)])
    (folder / "root.tar").unlink()
    saved.unlink()
    return None


RECIPES = {
    "amd64": amd64,
    "cloud": cloud,
    "i386": i386,
    "grub-iso": grub_iso,
    "grub-disk": grub_disk,
    "memtest": memtest,
    "grub-rescue": grub_rescue,
    "debian": debian,
    "userland": userland,
}
NEEDS = {"grub-iso": ("cloud",), "grub-disk": ("cloud",), "debian": ("amd64",),
         "userland": ("debian",)}
