"""A private copy of pacman's keyring that knows the keys of packages which aren't installed yet.

The keys are taken in as `pacman-key --populate` does it (populate_keyring in pacman's scripts/pacman-key.sh.in): import
them, sign the trusted ones locally, set owner trust, disable the revoked ones. It must not know what is verified with
the copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from apps.fleet.alpm import archive

from ..errors import Local
from ..packages import package_paths
from ..pacman.configuration import ENVIRONMENT

DIRECTORY = "usr/share/pacman/keyrings/"  # relative to the root
LIMIT = 64 << 20  # bytes of one keyring's file; Arch's has about 1 MiB
SECONDS = 300  # for one gpg: it computes the validity of every key
# A tmpfs, if there is one: the copy contains the machine's own signing key, and is never to reach a disk. Also a short
# path: gpg-agent's socket is in the copy, and may have 107 bytes.
_PLACE = "/run"
_LEFT_OUT = ("S.*", "*.lock", ".#lk*", "*~")


def is_keyring(package: Path) -> bool:
    """Whether the package file brings keys for pacman-key. Raises archive.ArchiveError, OSError."""
    return any(os.fsdecode(path).startswith(DIRECTORY) and path.endswith(b".gpg") for path in package_paths.of(package))


@contextlib.contextmanager
def populated(gpgdir: Path, packages: Iterable[Path]) -> Iterator[Path]:
    """The home of a gpg that knows the keys of these package files as well; it is removed at the end.

    `gpgdir` itself if pacman-key could not sign anything there, because it has no secret key: then installing the
    packages doesn't change it either. The files have to be accepted before. Raises Local (`program_missing`), OSError,
    archive.ArchiveError.
    """
    place = _PLACE if os.access(_PLACE, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pacsync-gpg-", dir=place, ignore_cleanup_errors=True) as directory:
        home, keyrings = Path(directory, "home"), Path(directory, "keyrings")
        if not gpgdir.is_dir():
            yield gpgdir
            return
        shutil.copytree(gpgdir, home, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        keyrings.mkdir()
        try:
            if b"\nsec:" not in b"\n" + _gpg(home, "--list-secret-keys", "--with-colons"):
                yield gpgdir
                return
            for package in packages:
                _unpack(package, keyrings)
            _populate(home, keyrings)
            yield home
        finally:
            subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], env=ENVIRONMENT, capture_output=True)


def _unpack(package: Path, target: Path) -> None:
    for name, file in archive.members(package):
        folder, _, base = name.rpartition("/")
        if f"{folder}/" == DIRECTORY and base.endswith((".gpg", "-trusted", "-revoked")):
            (target / base).write_bytes(file.read(LIMIT))


def _populate(home: Path, keyrings: Path) -> None:
    for path in sorted(keyrings.glob("*.gpg")):
        _gpg(home, "--import", path)
        trusted = path.with_name(f"{path.stem}-trusted")
        for key in _keys(trusted):
            _gpg(home, "--yes", "--quick-lsign-key", key)
        if trusted.exists():
            _gpg(home, "--import-ownertrust", trusted)
        for key in _keys(path.with_name(f"{path.stem}-revoked")):
            _gpg(home, "--command-fd", "0", "--edit-key", key, data=b"disable\nquit\n")
    _gpg(home, "--check-trustdb")


def _keys(path: Path) -> list[str]:
    """The fingerprints in a list of trusted keys (`FINGERPRINT:4:`) or revoked ones; none if there is no list."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    found = [line.partition(":")[0].strip() for line in lines if not line.startswith("#")]
    return [key for key in found if key.isalnum()]


def _gpg(home: Path, *arguments: object, data: bytes = b"") -> bytes:
    """What gpg wrote; a failure shows in what the copy then refuses. Raises Local (`program_missing`)."""
    command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet", "--no-permission-warning"]
    try:
        done = subprocess.run(
            [*command, *map(str, arguments)], env=ENVIRONMENT, input=data, capture_output=True, timeout=SECONDS
        )
    except FileNotFoundError:
        raise Local(
            "program_missing", "gpg is not installed, so signatures can't be verified.", "Install gnupg."
        ) from None
    except subprocess.TimeoutExpired:
        return b""
    return done.stdout
