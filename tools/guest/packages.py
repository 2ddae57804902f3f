# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages for guests, through an apt configuration of our own: both architectures, no root, the machine's
dpkg untouched."""

import io
import os
import pathlib
import re
import subprocess
import tarfile


class Packages:
    """Downloads into `cache`/debs; the package lists are fetched once, when the first package is missing."""

    def __init__(self, cache):
        self.base = pathlib.Path(cache, "apt").absolute()
        self.debs = pathlib.Path(cache, "debs").absolute()
        self.debs.mkdir(parents=True, exist_ok=True)
        self.updated = False

    def _configure(self):
        for directory in ("state/lists/partial", "cache/archives/partial", "etc/sources.list.d"):
            (self.base / directory).mkdir(parents=True, exist_ok=True)
        (self.base / "status").touch()
        write_sources(self.base / "etc/sources.list.d")
        conf = self.base / "apt.conf"
        conf.write_text(
            'APT::Architecture "amd64";\n'
            '#clear APT::Architectures;\n'
            'APT::Architectures { "amd64"; "i386"; };\n'
            f'Dir::State "{self.base}/state";\n'
            f'Dir::State::status "{self.base}/status";\n'
            f'Dir::Cache "{self.base}/cache";\n'
            f'Dir::Etc::sourcelist "/dev/null";\n'
            f'Dir::Etc::sourceparts "{self.base}/etc/sources.list.d";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            'APT::Sandbox::User "root";\n'
            '#clear APT::Update::Post-Invoke;\n'
            '#clear APT::Update::Post-Invoke-Success;\n', encoding="utf-8")
        return conf

    def apt(self, *command):
        """Run apt-get or apt-cache with our configuration; returns what it printed."""
        conf = self.base / "apt.conf"
        environment = dict(os.environ, APT_CONFIG=str(conf), LC_ALL="C")
        if not self.updated:
            self._configure()
            # A mirror in the middle of a change may lack one list; then the others serve, or the download says so.
            subprocess.run(["apt-get", "-q", "update"], env=environment, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
            self.updated = True
        return run(list(command), env=environment, cwd=self.debs)

    def sources(self):
        """Our package sources as a deb822 text (mmdebstrap takes it as it is)."""
        if not self.updated:
            self._configure()
        return "\n".join(p.read_text(encoding="utf-8")
                         for p in sorted((self.base / "etc/sources.list.d").glob("*.sources")))

    def dependency(self, package, pattern):
        """The first package matching `pattern` that `package` ("name:arch") depends on."""
        text = self.apt("apt-cache", "depends", package)
        for found in re.findall(r"Depends: (\S+)", text):
            if re.fullmatch(pattern, found.split(":")[0]):
                return found.split(":")[0]
        raise SystemExit(f"guest: {package} depends on nothing like {pattern}")

    def deb(self, package, arch="amd64"):
        """The path of a package's .deb, downloaded unless it is there."""
        name = package.replace("+", r"\+")
        found = [p for p in sorted(self.debs.iterdir())
                 if re.fullmatch(rf"{name}_[^_]*_({arch}|all)\.deb", p.name)]
        if not found:
            self.apt("apt-get", "-q", "download", f"{package}:{arch}")
            found = [p for p in sorted(self.debs.iterdir())
                     if re.fullmatch(rf"{name}_[^_]*_({arch}|all)\.deb", p.name)]
        if not found:
            raise SystemExit(f"guest: apt-get download {package}:{arch} left no file")
        return found[-1]

    def kernel(self, package, arch="amd64"):
        """The .deb a kernel metapackage ("linux-image-amd64") stands for."""
        remembered = self.debs / f"{package}.{arch}"
        if remembered.exists():
            name = remembered.read_text(encoding="utf-8").strip()
        else:
            name = self.dependency(f"{package}:{arch}", r"linux-image-\d.*")
            remembered.write_text(name + "\n", encoding="utf-8")
        return self.deb(name, arch)


def files_of(deb, wanted, stop_after=None):
    """{path: bytes} of a package's regular files for which wanted(path) is true; stops early when stop_after(path)."""
    result = {}
    unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    buffered = io.BufferedReader(unpack.stdout, 1 << 20)
    early = False
    with tarfile.open(fileobj=buffered, mode="r|") as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if member.isfile() and wanted(path):
                result[path] = archive.extractfile(member).read()
                if stop_after and stop_after(path):
                    early = True
                    break
    if early:
        unpack.kill()
    else:
        while buffered.read(1 << 20):
            pass
    if unpack.wait() and not early:
        raise SystemExit(f"guest: {deb}: dpkg-deb failed")
    return result


def run(command, **options):
    """Run a command quietly; what it printed, or the end of this program with it."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False, **options)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-3000:]}\nguest: {' '.join(map(str, command))}: "
                         f"exit status {done.returncode}")
    return done.stdout


def write_sources(directory):
    """The machine's own Debian 12 sources, in deb822 form and for every architecture; deb.debian.org when none."""
    stanzas = []
    etc = pathlib.Path("/etc/apt")
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            lines = [line for line in stanza.splitlines()
                     if not line.startswith("#") and not line.lower().startswith("architectures:")]
            if re.search(r"(?mi)^suites:.*\bbookworm", "\n".join(lines)):
                stanzas.append("\n".join(lines))
    lists = [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]
    for path in (p for p in lists if p.exists()):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.fullmatch(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(bookworm\S*)\s+(.+?)\s*(?:#.*)?", line.strip())
            if found and not found[1].startswith("cdrom:"):
                stanzas.append(f"Types: deb\nURIs: {found[1]}\nSuites: {found[2]}\nComponents: main")
    if not any(re.search(r"(?mi)^suites:.*\bbookworm(\s|$)", s) for s in stanzas):
        stanzas = ["Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n"
                   "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg"]
    (directory / "debian.sources").write_text("\n\n".join(stanzas) + "\n", encoding="utf-8")
