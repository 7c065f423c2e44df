"""The cases of pacman's own test suite (test/pacman of its source), each as a machine before and after its command.

Of a case it takes the packages, files, options and the command; its modules make the machine and run the real pacman.
It must not know the agent, nor heed what a case expects of pacman.
"""

import contextlib
import gzip
import hashlib
import importlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.fleet.alpm import desc
from tests.support.mtree import quoted

FOLDER = Path("test/pacman")
TIME = 355  # that of every file on a machine that pactest makes
PROGRAMS = {"bin": None, "bindir": ["/usr/bin"], "debug": 0, "gdb": 0, "valgrind": 0, "nolog": 0, "manual-confirm": 0}
PROGRAMS |= {"scriptlet-shell": "/bin/sh", "ldconfig": "/sbin/ldconfig"}
REASONS = {"Explicitly installed": "explicit"}
ANY = "any"  # the architecture of packages for which a case names none; makepkg knows no package without
RELATIONS = ("DEPENDS", "PROVIDES", "CONFLICTS")

# (version, architecture, install reason) by pkgname.
State = dict[str, tuple[str, str, str]]


class Unusable(Exception):
    """No agent can be asked for what the case does; the text says why."""


@dataclass(frozen=True)
class Root:
    """A machine's root, with its database where pacman has it."""

    path: Path

    @property
    def dbpath(self) -> Path:
        return self.path / "var/lib/pacman"

    def _lines(self, operation: str, stream: str) -> list[str]:
        options = ["--config", "/dev/null", "--root", str(self.path), "--dbpath", str(self.dbpath)]
        done = subprocess.run(
            ["pacman", operation, *options],
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return str(getattr(done, stream)).replace(f"{self.path}/", "/").splitlines()

    def state(self) -> State:
        """What is installed, as `pacman -Qi` says."""
        found: State = {}
        fields: dict[str, str] = {}
        for line in self._lines("-Qi", "stdout"):
            key, separator, value = line.partition(" : ")
            fields |= {key.strip(): value.strip()} if separator else {}
            if key.startswith("Install Reason"):
                reason = REASONS.get(value.strip(), "dependency")
                found[fields["Name"]] = (fields["Version"], fields["Architecture"], reason)
        return found

    def problems(self) -> set[str]:
        """The complaints of `pacman -Dk`."""
        return {line for stream in ("stdout", "stderr") for line in self._lines("-Dk", stream) if "error: " in line}

    def altered(self) -> set[str]:
        """What `pacman -Qkk` finds wrong with the files of packages, except for configuration files."""
        return {line for line in self._lines("-Qkk", "stderr") if line.startswith(("warning: ", "error: "))}


class Case:
    """One case; `before` is its machine, and `after` the same machine once pacman has done what the case has it do."""

    def __init__(self, path: Path, directory: Path) -> None:
        """Load it and make its machine in `directory`. Raises Unusable."""
        self.name = path.stem
        self.before, self.after = Root(directory / "before"), Root(directory / "after")
        sys.path[:0] = [] if str(path.parents[1]) in sys.path else [str(path.parents[1])]
        tap = importlib.import_module("tap")
        tap.diag = tap.bail = lambda text: None  # type: ignore[attr-defined]
        add_mtree(importlib.import_module("pmpkg").pmpkg)
        capabilities = dict.fromkeys(("gpg", "nls", "curl"), True)
        self._test: Any = importlib.import_module("pmtest").pmtest(str(path), str(self.after.path), capabilities)
        self._test.load()
        if self._test.skipall:
            raise Unusable(f"skipped by itself: {self._test.skipall}")
        for package in self._packages():
            package.arch = package.arch or ANY
        self._generate()

    @property
    def options(self) -> list[str]:
        """Lines for [options] of a pacman.conf."""
        return [f"{key} = {value}" for key, values in self._test.option.items() for value in values if key != "Include"]

    @property
    def command(self) -> str:
        """The arguments of the case's pacman."""
        return str(self._test.args)

    def _packages(self) -> Iterator[Any]:
        for database in self._test.db.values():
            yield from database.pkgs
        yield from self._test.localpkgs

    def _generate(self) -> None:
        try:
            self._test.generate(PROGRAMS)
        except (OSError, ValueError) as error:
            raise Unusable(f"its machine can't be made: {error}") from None
        root = self.after.path
        if (root / "bin/sh").is_file():
            shutil.copy("/bin/bash-static", root / "bin/sh")
        for package in self._test.db["local"].pkgs:
            for name in package.filelist():
                with contextlib.suppress(OSError):
                    os.utime(root / name.rstrip("/"), (TIME, TIME), follow_symlinks=False)
            entry = self.after.dbpath / "local" / package.fullname()
            (entry / "mtree").write_bytes(gzip.compress(mtree(members(package.makepkg_bytes()))))
        subprocess.run(["cp", "-a", root, self.before.path], check=True)

    def run(self) -> None:
        """Let pacman do it. Raises Unusable where it fails, or changes no package."""
        self._test.run(PROGRAMS)
        if self._test.retcode != 0:
            raise Unusable("pacman refuses")
        if self.before.state() == self.after.state():
            raise Unusable("no package changes")

    def rebuilt(self) -> list[str]:
        """Packages of which both sides have the same version, from builds that need or bar different packages."""
        found = []
        for entry in sorted((self.before.dbpath / "local").glob("*-*/desc")):
            other = self.after.dbpath / "local" / entry.parent.name / "desc"
            if other.exists():
                old, new = desc.parse(entry.read_text()), desc.parse(other.read_text())
                found += [old["NAME"][0]] if any(old.get(key) != new.get(key) for key in RELATIONS) else []
        return found

    def write_packages(self, pool: Path) -> None:
        """Write the package files of both sides, as the case has them. Raises Unusable."""
        pool.mkdir(parents=True, exist_ok=True)
        local = self._test.db["local"].pkgs
        new = [package for name in sorted(self._test.db) if name != "local" for package in self._test.db[name].pkgs]
        files = self._test.localpkgs
        new = [*files, *new] if "-U" in self._test.args else [*new, *files]
        for state, packages in ((self.before.state(), local), (self.after.state(), [*new, *local])):
            for name, (version, arch, _) in state.items():
                found = (one for one in packages if (one.name, one.version, one.arch) == (name, version, arch))
                package = next(found, None)
                if package is None:
                    raise Unusable(f"nothing has the package file of {name} {version} ({arch})")
                package.finalize()
                (pool / f"{name}-{version}-{arch}.pkg.tar.gz").write_bytes(package.makepkg_bytes())


Member = tuple[tarfile.TarInfo, bytes]


def add_mtree(package: type) -> None:
    """Have pactest's packages carry an .MTREE, as those of makepkg do: without one pacman can't check their files.

    And an architecture, also those that a case has served before its machine is made.
    """
    plain = package.makepkg  # type: ignore[attr-defined]

    def makepkg(self: Any, path: str | None = None, fileobj: Any = None) -> None:
        self.arch = self.arch or ANY
        buffer = io.BytesIO()
        plain(self, fileobj=buffer)
        data = package_file(members(buffer.getvalue()))
        if path:
            self.path = os.path.join(path, self.filename())
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            Path(self.path).write_bytes(data)
        else:
            fileobj.write(data)

    if plain.__qualname__ != makepkg.__qualname__:
        package.makepkg = makepkg  # type: ignore[attr-defined]


def members(data: bytes) -> list[Member]:
    """What is in a package file of pactest."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = []
        for entry in archive:
            entry.mtime = TIME
            file = archive.extractfile(entry) if entry.isreg() else None
            found.append((entry, file.read() if file else b""))
    return found


def package_file(content: list[Member]) -> bytes:
    """A package file with this content and its .MTREE."""
    listed = gzip.compress(mtree(content), mtime=0)
    entry = tarfile.TarInfo(".MTREE")
    entry.size, entry.mtime = len(listed), TIME
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for one, data in [*content[:1], (entry, listed), *content[1:]]:
            archive.addfile(one, io.BytesIO(data))
    return buffer.getvalue()


def mtree(content: Iterable[Member]) -> bytes:
    """The text of the .MTREE of a package with this content."""
    lines = ["#mtree", f"/set type=file uid=0 gid=0 mode=644 time={TIME}.0"]
    for entry, data in content:
        path = f"./{quoted(entry.name.rstrip('/'))}"
        if entry.isdir():
            lines.append(f"{path} type=dir mode={entry.mode:o}")
        elif entry.issym():
            lines.append(f"{path} type=link mode=777 link={quoted(entry.linkname)}")
        elif entry.name not in {".PKGINFO", ".MTREE"}:
            digests = f"md5digest={hashlib.md5(data).hexdigest()} sha256digest={hashlib.sha256(data).hexdigest()}"  # noqa: S324
            lines.append(f"{path} mode={entry.mode:o} size={len(data)} {digests}")
    return "\n".join([*lines, ""]).encode()
