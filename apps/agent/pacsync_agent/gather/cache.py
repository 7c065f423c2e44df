"""The package files in this machine's caches, and the private directory for downloads until they are accepted.

It must not download or decide whether a file may be installed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import Local
from ..packages.package_file import Wanted
from ..pacman.configuration import PacmanConf


class Cache:
    """pacman's cache directories, and `state_dir`/packages as the last resort."""

    def __init__(self, conf: PacmanConf, state_dir: Path) -> None:
        self._conf = conf
        self._own = state_dir / "packages"
        self.private = state_dir / "downloads"

    def files(self, names: Iterable[str]) -> Iterator[Path]:
        """The regular files of these names, directory after directory."""
        names = list(names)
        for directory in (*self._conf.cache_dirs, self._own):
            for name in names:
                path = directory / name
                if path.is_file():
                    yield path

    def directory(self) -> Path:
        """Where accepted files go: the first cache directory that can be written. Raises Local."""
        for directory in (*self._conf.cache_dirs, self._own):
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(directory, os.W_OK):
                return directory
        raise Local("download_failed", f"Downloads can't be kept: {self._own} can't be written.", "Run it as root.")

    def written(self) -> tuple[Path, ...]:
        """The directory where accepted files go, if there is one."""
        try:
            return (self.directory(),)
        except Local:
            return ()

    def part(self, wanted: Wanted) -> Path:
        """The private file of a download, the same at each try."""
        key = f"{wanted.name} {wanted.version} {wanted.arch}".encode()
        return self.private / f"{hashlib.sha256(key).hexdigest()[:32]}.part"

    def open_private(self, kept: Iterable[Wanted]) -> None:
        """Make the private directory, for its owner alone, empty except for parts of these packages. Raises OSError."""
        parts = {self.part(wanted).name for wanted in kept}
        if self.private.is_symlink() or (self.private.exists() and not self.private.is_dir()):
            self.private.unlink()
        self.private.mkdir(mode=0o700, exist_ok=True)
        self.private.chmod(0o700)
        for path in self.private.iterdir():
            if path.name not in parts or path.is_symlink() or not path.is_file():
                _remove(path)

    def remove_private(self) -> None:
        shutil.rmtree(self.private, ignore_errors=True)


def not_kept(error: OSError, private: Path) -> Local:
    """The error for a download that could not be written, with the path (`private` if the error has none)."""
    path = error.filename2 or error.filename or private  # of a move: where to
    hint = "See that it can be written, and that its disk has no errors; then run the command again."
    if error.errno in {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY}:
        hint = f"Move {path} to another place: a file belongs there. Then run the command again."
    reason = error.strerror or "unknown"
    return Local("download_failed", f"Downloads can't be kept: {path}: {reason}.", hint)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
