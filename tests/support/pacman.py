"""Machines with the real pacman, packages made by hand, and dated snapshots laid out like the Arch Linux Archive.

It must not know the server. Everything lives beneath one directory; nothing of this machine is touched.
"""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from tests.support.archives import SECOND, tar_bytes

# pacman.conf of a container, where pacman 7 can't make its sandbox; `url` is a Fleet's, `day` one of its snapshots.
CONTAINER_CONFIGURATION = """[options]
Architecture = x86_64
SigLevel = Never
LocalFileSigLevel = Never
DisableSandbox
[core]
Server = {url}/repos/{day}/$repo/os/$arch
Server = {url}/../pool
"""
# The agent's configuration there: it takes any file that a target names.
TRUSTING = "[agent]\ntrust_target_files = yes\n"
LIST_KEYS = {
    "groups": "GROUPS",
    "depends": "DEPENDS",
    "provides": "PROVIDES",
    "conflicts": "CONFLICTS",
    "replaces": "REPLACES",
}
PKGINFO_KEYS = {"groups": "group", "depends": "depend", "conflicts": "conflict"}


@dataclass(frozen=True)
class Package:
    """A package file in the archive. `lists` has depends, provides, conflicts, replaces and groups; `size` in bytes."""

    name: str
    version: str
    arch: str
    path: Path
    sha256: str
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    size: int = 0

    def desc(self) -> str:
        """What a sync db says of it; pacman 7 wants the same from the file."""
        values = {
            "FILENAME": [self.path.name],
            "NAME": [self.name],
            "VERSION": [self.version],
            "CSIZE": [str(self.path.stat().st_size)],
            "ISIZE": [str(self.size)],
            "SHA256SUM": [self.sha256],
            "ARCH": [self.arch],
        }
        values |= {LIST_KEYS[key]: list(words) for key, words in self.lists.items() if words}
        return "".join(f"%{key}%\n" + "".join(f"{line}\n" for line in lines) + "\n" for key, lines in values.items())


class Fleet:
    """Packages, snapshots and machines beneath `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.archive = directory / "ala"
        self.pool = directory / "pool"
        """Every package file, without a database: the mirror of machines that trust targets."""
        self.base_url = f"file://{self.archive}"

    def beside(self, directory: Path) -> "Fleet":
        """The same packages and snapshots, which nobody changes any more, with machines of its own in `directory`."""
        made = Fleet(directory)
        made.archive, made.pool, made.base_url = self.archive, self.pool, self.base_url
        return made

    def package(
        self,
        name: str,
        version: str,
        arch: str = "any",
        *,
        files: Mapping[str, bytes | str] | None = None,
        install: str = "",
        size: int = 64,
        modes: Mapping[str, int] | None = None,
        backup: Iterable[str] = (),
        **lists: Iterable[str],
    ) -> Package:
        """Build a package; `lists` are depends, provides, conflicts, replaces, groups; `install` is its scriptlet.

        `modes` of paths that don't have the usual ones; `backup` are its configuration files.
        """
        words = {key: tuple(value) for key, value in lists.items()}
        info = [f"pkgname = {name}", f"pkgbase = {name}", f"pkgver = {version}", "pkgdesc = made for a test"]
        info += [f"builddate = {SECOND}", f"size = {size}", f"arch = {arch}", "license = MIT"]
        info += [f"{PKGINFO_KEYS.get(key, key)} = {word}" for key, values in words.items() for word in values]
        info += [f"backup = {path}" for path in backup]
        content: dict[str, bytes | str] = {".PKGINFO": "\n".join([*info, ""]).encode()}
        if install:
            content[".INSTALL"] = install.encode()
        content |= {f"usr/share/{name}/version": version.encode()} if files is None else dict(files)
        data = zstandard.ZstdCompressor(level=1).compress(tar_bytes(content, modes))
        path = self.archive / "packages" / name[0] / name / f"{name}-{version}-{arch}.pkg.tar.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        link = self.pool / path.name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        return Package(name, version, arch, path, hashlib.sha256(data).hexdigest(), words, size)

    def snapshot(self, day: str, packages: Iterable[Package], *, repo: str = "core") -> Path:
        """The repository `repo` on `day` (YYYY/MM/DD): its database, and links to exactly these packages."""
        directory = self.archive / "repos" / day / repo / "os" / "x86_64"
        directory.mkdir(parents=True, exist_ok=True)
        entries = {}
        for package in packages:
            entries[f"{package.name}-{package.version}/desc"] = package.desc().encode()
            link = directory / package.path.name
            link.unlink(missing_ok=True)
            link.symlink_to(package.path)
        compressed = io.BytesIO()
        with tarfile.open(fileobj=compressed, mode="w:gz") as archive:
            for name, data in entries.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime = len(data), SECOND
                archive.addfile(entry, io.BytesIO(data))
        database = directory / f"{repo}.db"
        database.write_bytes(compressed.getvalue())
        return database

    def machine(
        self, name: str, day: str, *, repos: Iterable[str] = ("core",), options: str = "", trusting: bool = True
    ) -> "Machine":
        """A machine whose repositories are those of `day`, with nothing installed yet.

        `trusting`: it takes any file that a target names, from a mirror that has all; tests of trust say no.
        """
        machine = Machine(self, name, tuple(repos), options, trusting)
        machine.go_to(day)
        return machine


class Machine:
    """One root with its database, cache, log and pacman.conf. Options are lines of [options]."""

    def __init__(self, fleet: Fleet, name: str, repos: tuple[str, ...], options: str, trusting: bool = True) -> None:
        self.fleet = fleet
        self.name = name
        self.repos = repos
        self.options = options
        self.trusting = trusting
        self.directory = fleet.directory / "m" / name
        self.root = self.directory / "root"
        self.dbpath = self.root / "var/lib/pacman"
        self.cache = self.directory / "cache"
        self.config = self.directory / "pacman.conf"
        for path in (self.dbpath / "sync", self.dbpath / "local", self.cache, self.directory / "hooks"):
            path.mkdir(parents=True, exist_ok=True)
        (self.directory / "gnupg").mkdir(exist_ok=True)
        self.agent_config(*(["trust_target_files = yes"] if trusting else []))

    def agent_config(self, *lines: str, patience: int = 0) -> None:
        """Write the machine's own /etc/pacsync-agent.conf. Mirrors that fail are waited for `patience` seconds."""
        path = self.root / "etc/pacsync-agent.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["[agent]", *lines, f"mirror_patience = {patience}", ""]))

    def configure(self, server: str, options: str | None = None) -> None:
        """Write pacman.conf; `server` is the Server line's value."""
        self.options = self.options if options is None else options
        lines = [
            "[options]",
            f"RootDir = {self.root}",
            f"DBPath = {self.dbpath}",
            f"CacheDir = {self.cache}",
            f"LogFile = {self.directory / 'pacman.log'}",
            f"GPGDir = {self.directory / 'gnupg'}",
            f"HookDir = {self.directory / 'hooks'}",
            "Architecture = x86_64",
        ]
        if "SigLevel" not in self.options:
            lines += ["SigLevel = Never", "LocalFileSigLevel = Never"]
        lines.append(self.options)
        for repo in self.repos:
            lines += [f"[{repo}]", f"Server = {server}"]
            lines += [f"Server = file://{self.fleet.pool}"] if self.trusting else []
        self.config.write_text("\n".join(lines) + "\n")

    def linked_copy(self, fleet: Fleet, day: str) -> "Machine":
        """A machine in `fleet` with the same packages. Both share the files, so neither may change a package now."""
        made = Machine(fleet, self.name, self.repos, self.options, self.trusting)
        shutil.rmtree(made.root)
        subprocess.run(["cp", "-al", self.root, made.root], check=True)
        made.configure(f"{fleet.base_url}/repos/{day}/$repo/os/$arch")
        return made

    def go_to(self, day: str, options: str | None = None) -> None:
        """Point the machine at the snapshot of `day` and fetch its databases."""
        self.configure(f"{self.fleet.base_url}/repos/{day}/$repo/os/$arch", options)
        self.pacman("-Syy")

    def pacman(self, *arguments: object, check: bool = True) -> str:
        """Run the real pacman on this machine; what it said. AssertionError with that when it fails."""
        done = subprocess.run(
            ["pacman", "--config", self.config, *map(str, arguments), "--noconfirm"]
            if str(arguments[0])[1] in "SUR"
            else ["pacman", "--config", self.config, *map(str, arguments)],
            env=os.environ | {"LC_ALL": "C.UTF-8"},  # in plain C, libarchive can't unpack names that are not ASCII
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if check:
            assert done.returncode == 0, f"pacman {arguments}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def install(self, *names: str, asdeps: Iterable[str] = ()) -> None:
        """Install from the repositories; `asdeps` are marked as dependencies."""
        self.pacman("-S", *names)
        if asdeps:
            self.pacman("-D", "--asdeps", *asdeps)

    def install_file(self, package: Package) -> None:
        self.pacman("-U", package.path)

    def upgrade(self) -> None:
        self.pacman("-Syyu")

    def state(self) -> dict[str, tuple[str, str]]:
        """(version, reason) by name, as the real `pacman -Q`, `-Qe` and `-Qd` say."""
        lines = self.pacman("-Q", check=False).splitlines()
        listed = dict(line.split() for line in lines if not line.startswith(("warning: ", "error: ")))
        explicit = {line.split()[0] for line in self.pacman("-Qe", check=False).splitlines()}
        return {name: (version, "explicit" if name in explicit else "dependency") for name, version in listed.items()}

    def altered(self) -> list[str]:
        """What `pacman -Qkk` finds wrong with the files."""
        lines = self.pacman("-Qkk", check=False).splitlines()
        return [line for line in lines if line.startswith(("warning: ", "error: "))]

    def problems(self) -> list[str]:
        """The complaints of `pacman -Dk`."""
        lines = self.pacman("-Dk", check=False).splitlines()
        return [line for line in lines if line.startswith("error")]

    def file(self, path: str) -> bytes | None:
        """The content of a file on the machine; None when there is none."""
        found = self.root / path
        return found.read_bytes() if found.exists() else None

    def empty_cache(self) -> None:
        shutil.rmtree(self.cache)
        self.cache.mkdir()

    def slow_down(self, seconds: int) -> None:
        """Put a shell (bash-static) into the root and a hook before the transaction, so that pacman takes its time."""
        (self.root / "bin").mkdir(exist_ok=True)
        shutil.copy("/bin/bash-static", self.root / "bin" / "bash")
        os.mkfifo(self.root / "never")  # nobody writes to it
        triggers = "".join(f"Operation = {kind}\n" for kind in ("Install", "Upgrade", "Remove"))
        action = f"/bin/bash -c 'read -t {seconds} word <> /never || true'"
        (self.directory / "hooks" / "slow.hook").write_text(
            f"[Trigger]\n{triggers}Type = Package\nTarget = *\n[Action]\nWhen = PreTransaction\nExec = {action}\n"
        )


def pacman_pid(machine: Machine) -> int | None:
    """The pacman that works on this machine's database."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"pacman" and str(machine.directory).encode() in b" ".join(words):
            return int(directory.name)
    return None
