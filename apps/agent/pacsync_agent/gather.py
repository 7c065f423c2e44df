"""Brings together the package files of a plan: from the machine's caches, else from the addresses that the server gave.

It must not know operations. Every file is verified; where the repository wants signatures, those too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import names
from apps.fleet.alpm.state import InstalledPackage

from . import download, parallel, signatures
from .errors import Failed, Local, Refused
from .events import EitherEvent
from .output import Output, human_bytes
from .package_file import PackageFile, Wanted, WrongPackage, verify
from .pacman_conf import PacmanConf


class Gatherer:
    """`repository_of` names the repository that offers a pkgname, for its SigLevel; `own_cache` is the last resort."""

    def __init__(
        self,
        conf: PacmanConf,
        *,
        repository_of: dict[str, str],
        own_cache: Path,
        output: Output,
        stop: threading.Event,
    ) -> None:
        self.conf = conf
        self.repository_of = repository_of
        self.output = output
        self.stop = stop
        self.own_cache = own_cache

    def gather(self, packages: Iterable[Wanted]) -> list[PackageFile]:
        """Every package's file. Raises Refused (`package_unavailable`, `signature_invalid`, `disk_full`), Stopped."""
        found: dict[Wanted, PackageFile] = {}
        missing = []
        for wanted in packages:
            file = self.in_cache(wanted)
            if file:
                found[wanted] = file
            else:
                missing.append(wanted)
        if missing:
            found.update(self._download(missing))
        for wanted, file in found.items():
            self._check_signature(wanted, file.path)
        return list(found.values())

    def in_cache(self, wanted: Wanted) -> Optional[PackageFile]:
        """The file in one of the caches, if it is there and right."""
        stem = f"{wanted.name}-{wanted.version}-{wanted.arch}.pkg.tar"
        for directory in (*self.conf.cache_dirs, self.own_cache):
            candidates = [directory / wanted.filename] if wanted.filename else []
            candidates += [directory / f"{stem}{end}" for end in ("", ".zst", ".xz", ".gz", ".bz2", ".lz4")]
            for path in candidates:
                try:
                    return verify(path, wanted)
                except (OSError, WrongPackage):
                    continue
        return None

    def _directory(self) -> Path:
        for directory in self.conf.cache_dirs:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(directory, os.W_OK):
                return directory
        self.own_cache.mkdir(exist_ok=True)
        return self.own_cache

    def _download(self, missing: list[Wanted]) -> dict[Wanted, PackageFile]:
        directory = self._directory()
        total = sum(wanted.size or 0 for wanted in missing)
        free = download.free_bytes(directory)
        if total > free:
            raise Refused(
                "disk_full",
                f"The downloads need {human_bytes(total)}, and {directory} has {human_bytes(free)} left.",
                "Free some space, for example with `paccache -r`.",
            )
        progress = _Progress(self.output, len(missing), total)
        cancel = threading.Event()
        stop = EitherEvent(self.stop, cancel)

        def one(wanted: Wanted) -> PackageFile:
            file = download.fetch(wanted, directory, stop=stop, on_bytes=progress.add_bytes)
            progress.add_file()
            return file

        try:
            found = parallel.each(one, missing, workers=self.conf.parallel, fatal=_is_fatal, poll=self._poll)
        except OSError as error:
            raise Local("download_failed", f"Downloads can't be kept in {directory}: {error.strerror}.") from None
        finally:
            cancel.set()
        reasons = {wanted: str(result) for wanted, result in found.items() if isinstance(result, Exception)}
        if reasons:
            raise unavailable(reasons)
        return {wanted: result for wanted, result in found.items() if isinstance(result, PackageFile)}

    def _poll(self) -> None:
        if self.stop.is_set():
            raise download.Stopped

    def _check_signature(self, wanted: Wanted, path: Path) -> None:
        level = self.conf.siglevel_of(self.repository_of.get(wanted.name))
        if level.never:
            return
        signature = signatures.signature_path(path)
        if not signature.exists():
            for url in wanted.urls:
                if download.fetch_small(f"{url}.sig", signature, stop=self.stop):
                    break
        if not signature.exists():
            if level.required:
                raise Refused(
                    "signature_missing",
                    f"{wanted} has no signature, and its repository requires one.",
                    "Put the .sig file beside the package in the cache, or change SigLevel in pacman.conf.",
                )
            return
        problem = signatures.problem(self.conf, level, path)
        if problem:
            raise Refused(
                "signature_invalid",
                f"The signature of {wanted} ({signature}) is not valid, or its key is not trusted here: {problem}",
                "Bring the keyring up to date (`pacman -Sy archlinux-keyring`), or delete the file and try again.",
            )


def _is_fatal(error: Exception) -> bool:
    """A package that nobody has is of that package alone; a full disk, or an error in here, is not."""
    return not isinstance(error, download.NotThere)


class _Progress:
    """Counts what several threads download."""

    def __init__(self, output: Output, files: int, size: int) -> None:
        self._output, self._files, self._size = output, files, size
        self._done = self._bytes = 0
        self._lock = threading.Lock()
        self._show()

    def add_bytes(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            self._show()

    def add_file(self) -> None:
        with self._lock:
            self._done += 1
            self._show()

    def _show(self) -> None:
        self._output.progress("downloading", self._done, self._files, self._bytes, self._size)


def unavailable(reasons: dict[Wanted, str]) -> Refused:
    """Every package that can't be had, by name, with the reason of the first."""
    names = ", ".join(sorted(str(wanted) for wanted in reasons))
    first = next(iter(reasons.values()))
    return Refused(
        "package_unavailable",
        f"{'This package' if len(reasons) == 1 else 'These packages'} can't be had from anywhere: {names} ({first}).",
        "Put the package file into the cache (pacman-conf CacheDir), or name a mirror that has it in pacman.conf.",
    )


def wanted_files(packages: Iterable[InstalledPackage], fetch: Iterable[dict[str, object]]) -> list[Wanted]:
    """The packages of a plan with what the server knows about their files (`fetch` of a claim). Raises Failed."""
    try:
        known = {(entry["name"], entry["version"], entry["arch"]): entry for entry in fetch}
        return [_wanted(package, known.get((package.name, package.version, package.arch), {})) for package in packages]
    except (KeyError, ValueError) as error:
        raise Failed("target_invalid", f"The server's list of files makes no sense: {error}.") from None


def _wanted(package: InstalledPackage, entry: dict[str, object]) -> Wanted:
    urls = entry.get("urls")
    size, sha256 = entry.get("size"), entry.get("sha256")
    filename = str(entry.get("filename") or f"{package.name}-{package.version}-{package.arch}.pkg.tar.zst")
    names.check_filename(filename)
    return Wanted(
        name=package.name,
        version=package.version,
        arch=package.arch,
        filename=filename,
        sha256=str(sha256) if sha256 else None,
        size=size if isinstance(size, int) else None,
        urls=tuple(str(url) for url in urls) if isinstance(urls, list) else (),
    )
