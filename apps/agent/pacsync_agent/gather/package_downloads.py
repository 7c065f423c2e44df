"""Downloads packages with their signatures, several at once, and puts those that are accepted into the cache.

It must not know which packages the caches have or what happens when no mirror has one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from ..mirrors import download, retries
from ..mirrors.addresses import Address
from ..mirrors.network import GONE, Network, NotThere, Refusal, Stopped
from ..packages.package_file import PackageFile, Wanted
from ..pacman.configuration import PacmanConf
from ..system import disk_full, disk_space, files, parallel
from ..system.combined_event import EitherEvent
from ..terminal.download_progress import Progress
from ..terminal.output import Output
from ..trust import signatures
from . import cached_files, file_check, unreachable_files
from .cache import Cache, not_kept
from .candidates import Candidate
from .file_check import NotAccepted


class PackageDownloads:
    """Downloads of one run, into the cache's private directory first."""

    def __init__(self, conf: PacmanConf, cache: Cache, network: Network, output: Output) -> None:
        self._conf = conf
        self._cache = cache
        self._network = network
        self._output = output

    def download(self, wanted: Sequence[Candidate]) -> dict[Wanted, object]:
        """A PackageFile or NotThere for each. Raises Refused (`disk_full`), Local, Stopped."""
        stop = self._network.stop
        try:
            self._cache.open_private(candidate.wanted for candidate in wanted)
            directory = self._cache.directory()
            total = sum(candidate.size or 0 for candidate in wanted)
            for place in (self._cache.private, directory):
                disk_space.check(place, total)
                disk_full.check(place, size=0, count=len(wanted) + 1, what="the downloads")
            progress = Progress(self._output, len(wanted), total)
            results = self._in_parallel(wanted, directory, progress)
        except OSError as error:
            self._cache.remove_private()
            if isinstance(error, disk_space.Full):
                raise disk_space.full(error.directory) from None
            if disk_full.is_it(error):
                raise disk_full.refusal(self._cache.private, *self._cache.written()) from None
            raise not_kept(error, self._cache.private) from None
        finally:
            if not stop.is_set():  # after a stop, the next run resumes from there
                self._cache.remove_private()
        return {candidate.wanted: results[candidate] for candidate in wanted}

    def _in_parallel(self, wanted: Sequence[Candidate], directory: Path, progress: Progress) -> dict[Candidate, object]:
        cancel = threading.Event()
        network = Network(
            stop=EitherEvent(self._network.stop, cancel),
            limits=self._network.limits,
            choose=self._network.choose,
            hosts=self._network.hosts,
            transfer=self._network.transfer,
            patience=self._network.patience,
            on_host=progress.on_host,
            on_wait=progress.on_wait,
        )

        def one(candidate: Candidate) -> PackageFile:
            progress.on_package(candidate.wanted.name)
            try:
                file = self._one(candidate, directory, network, progress)
            finally:
                progress.on_package("")
            progress.add_file()
            return file

        deadline = time.monotonic() + self._network.limits.gathering

        def poll() -> None:
            if self._network.stop.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise unreachable_files.too_long(self._network.limits.gathering)

        def each(items: Sequence[Candidate]) -> dict[Candidate, object]:
            workers = self._conf.parallel
            return dict(parallel.each(one, items, workers=workers, fatal=_is_fatal, poll=poll, cancel=cancel))

        results = each(wanted)
        return {**results, **each(retries.worth(results, network.hosts))}

    def _one(self, candidate: Candidate, directory: Path, network: Network, progress: Progress) -> PackageFile:
        """Download one package and its signature, and put it into the cache once it is accepted. Raises NotThere."""
        sources, refused = candidate.sources(self._conf)
        file = self._signed_now(candidate, sources, network)
        if file:
            return file

        def accept(part: Path, source: Address) -> tuple[PackageFile, str]:
            signature = self._fetch_signature(candidate, part, source, network)
            return file_check.downloaded(part, signature, candidate, self._conf.gpgdir), candidate.kept_as(source)

        part = self._cache.part(candidate.wanted)
        try:
            file, name = download.fetch(
                sources, part, size=candidate.size, network=network, on_bytes=progress.add_bytes, accept=accept
            )
            return self._place(file, directory / name)
        except NotThere as error:
            others = [(where, Refusal(why, kind=GONE)) for where, _, why in _split(refused)]
            raise NotThere(
                [*error.refusals, *cached_files.refused(self._cache, candidate, self._conf.gpgdir), *others]
            ) from None
        finally:
            if not network.stop.is_set():
                signatures.signature_path(part).unlink(missing_ok=True)

    def _place(self, file: PackageFile, target: Path) -> PackageFile:
        """Move it into the cache, the signature first: a package without it would be refused there."""
        signature = signatures.signature_path(file.path)
        if signature.exists():
            files.place(signature, signatures.signature_path(target))
        elif not files.same(file.path, target):  # else it belongs to another machine that shares this cache
            signatures.signature_path(target).unlink(missing_ok=True)  # of a file that is replaced now
        files.place(file.path, target)
        return file.at(target)

    def _fetch_signature(self, candidate: Candidate, part: Path, source: Address, network: Network) -> Optional[Path]:
        """Download the package's signature from that mirror; None if there is none, or none is needed."""
        target = signatures.signature_path(part)
        target.unlink(missing_ok=True)
        if candidate.evidence.level.never:
            return None
        try:
            download.fetch_small(source.signature, target, most=signatures.LIMIT, network=network)
        except Refusal as refusal:
            if refusal.kind != GONE and candidate.evidence.level.required:
                raise  # a failing mirror doesn't mean that the signature is missing
            return None
        return target

    def _signed_now(self, candidate: Candidate, sources: Sequence[Address], network: Network) -> Optional[PackageFile]:
        """A file in the cache that only lacks a good signature, together with a mirror's signature."""
        if candidate.evidence.level.never:
            return None
        for path in self._cache.files(candidate.cached_names()):
            for source in sources:
                try:
                    signature = self._fetch_signature(candidate, self._cache.part(candidate.wanted), source, network)
                except Refusal:  # the download gives the reason
                    continue
                if signature is None:
                    continue
                try:
                    file = file_check.cached(path, candidate, self._conf.gpgdir, signature=signature)
                except (NotAccepted, OSError):
                    signature.unlink(missing_ok=True)
                    continue
                files.place(signature, signatures.signature_path(path))
                return file
        return None


def _split(refused: Iterable[str]) -> list[tuple[str, str, str]]:
    return [text.rpartition(": ") for text in refused]


def _is_fatal(error: Exception) -> bool:
    """A missing package concerns that package alone; a full disk, or a bug, concerns all."""
    return not isinstance(error, NotThere)
