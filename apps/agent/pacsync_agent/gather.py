"""Brings together the package files of a plan: from caches, else from its mirrors and the server's addresses.

Whether a file may be installed is acceptance.py's to say; nothing that it refuses gets out of the private directory.
It must not know operations.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from . import (
    acceptance,
    another_try,
    candidates,
    download,
    files,
    inspection,
    no_room,
    parallel,
    signatures,
    space,
    unreachable,
)
from .accepted import Accepted
from .addresses import Address
from .cache import Cache, not_kept
from .candidates import Candidate, Trust
from .errors import AgentError
from .events import EitherEvent
from .inspection import NotAccepted
from .network import GONE, Network, NotThere, Refusal, Stopped
from .output import Output, human_bytes
from .own_databases import OwnDatabases
from .package_file import PackageFile, Wanted
from .pacman_conf import PacmanConf
from .progress import Progress
from .wanted import unavailable


class Gatherer:
    """`databases` are the machine's own; `accepted` remembers their word; `offline`: only what its caches have."""

    def __init__(
        self,
        conf: PacmanConf,
        *,
        databases: OwnDatabases,
        trust: Trust,
        accepted: Accepted,
        cache: Cache,
        network: Network,
        output: Output,
        offline: bool = False,
    ) -> None:
        self.conf = conf
        self.databases = databases
        self.trust = trust
        self.accepted = accepted
        self.cache = cache
        self.network = network
        self.output = output
        self.offline = offline

    def gather(self, packages: Iterable[Wanted]) -> list[PackageFile]:
        """Every package's file.

        Raises Refused (`untrusted_file`, `signature_missing`, `signature_invalid`, `package_unavailable`, `disk_full`),
        Unreachable (`mirror_failed`, `network_failed`, `databases_unreadable`), Local (`download_failed`), Stopped.
        """
        wanted = list(packages)
        if self.databases.refreshed and not self.offline and self.network.stop.is_set():
            raise Stopped  # the databases may be missing because of that
        found = {one: file for one in wanted if (file := self._cached(self._candidate(one)))}
        missing = [one for one in wanted if one not in found]
        if not missing:
            self.cache.remove_private()  # of a run that was cut off
        elif not self.offline:
            found.update(self._fetch(missing))
            missing = [one for one in wanted if one not in found]
        if missing:
            raise self._not_in_cache(missing)
        self.accepted.add((one.name, one.version, one.arch, found[one].sha256) for one in wanted if found[one].sha256)
        return [found[one] for one in wanted]

    def _not_in_cache(self, missing: Sequence[Wanted]) -> AgentError:
        spoiled = {wanted: self._refused_in_cache(self._candidate(wanted)) for wanted in missing}
        return inspection.refusal(
            {
                wanted: NotThere(refusals or [("the cache", Refusal("it is not there", kind=GONE))])
                for wanted, refusals in spoiled.items()
            }
        )

    def in_cache(self, wanted: Wanted) -> Optional[PackageFile]:
        """The file in one of the caches, if it is there and right."""
        return self._cached(self._candidate(wanted))

    def _candidate(self, wanted: Wanted) -> Candidate:
        accepted = self.accepted.of(wanted.name, wanted.version, wanted.arch)
        return candidates.of(wanted, self.conf, self.databases, self.trust, accepted)

    def _cached(self, candidate: Candidate, *, at_last: bool = False) -> Optional[PackageFile]:
        """The acceptable file in one of the caches, with the signature that lies beside it.

        What is known by another checksum counts `at_last`, when nothing else could be had.
        """
        for path in self.cache.files(candidate.cached_names()):
            try:
                return inspection.cached(path, candidate, self.conf.gpgdir, at_last=at_last or self.offline)
            except (NotAccepted, OSError):
                continue
        return None

    def _fetch(self, missing: Sequence[Wanted]) -> dict[Wanted, PackageFile]:
        """What the caches don't have. The current databases are fetched when there is no other way. Raises Refused."""
        if not all(self._may_be_asked_for(self._candidate(wanted)) for wanted in missing):
            self._refresh()
        kept = self._without_download(missing)
        missing = [wanted for wanted in missing if wanted not in kept]
        self._refuse_too_large(missing)
        results = self._download([self._candidate(wanted) for wanted in missing])
        failed = [wanted for wanted in missing if _may_have_moved_on(results[wanted])]
        if failed and not self.databases.refreshed:
            # The repository may have been rebuilt in place, or have moved on: its current database knows.
            before = {wanted: self._candidate(wanted) for wanted in failed}
            self._refresh()
            again = [now for wanted in failed if (now := self._candidate(wanted)) != before[wanted]]
            if again:
                results.update(self._download(again))
        return {**kept, **self._judged(results)}

    def _refresh(self) -> None:
        self.databases.refresh()
        if self.network.stop.is_set():
            raise Stopped

    def _judged(self, results: dict[Wanted, object]) -> dict[Wanted, PackageFile]:
        found: dict[Wanted, PackageFile] = {}
        refused: dict[Wanted, NotThere] = {}
        for wanted, result in results.items():
            if isinstance(result, NotThere):
                file = self._at_last(wanted)
                if file is None:
                    refused[wanted] = result
                    continue
                result = file
            assert isinstance(result, PackageFile)  # noqa: S101 - parallel.each raised everything else
            found[wanted] = result
        if refused:
            raise inspection.refusal(refused)
        return found

    def _at_last(self, wanted: Wanted) -> Optional[PackageFile]:
        """The file of the cache that is acceptable, though another one is known."""
        file = self._cached(self._candidate(wanted), at_last=True)
        if file:
            self.output.warn(f"{wanted} is taken from the cache; its file is known with another checksum.")
        return file

    def _without_download(self, missing: Sequence[Wanted]) -> dict[Wanted, PackageFile]:
        """What no download could give. Raises Refused before anything is downloaded for nothing."""
        hopeless = [wanted for wanted in missing if not self._candidate(wanted).evidence.may_be_downloaded()]
        found = {wanted: file for wanted in hopeless if (file := self._at_last(wanted))}
        refused = [wanted for wanted in hopeless if wanted not in found]
        if refused:
            spoiled = [str(wanted) for wanted in refused if self._refused_in_cache(self._candidate(wanted))]
            if self.databases.passing and not spoiled:
                raise unreachable.databases(self.databases.passing, [str(wanted) for wanted in refused])
            raise acceptance.untrusted([str(wanted) for wanted in refused], self.databases.reasons, spoiled)
        return found

    def _may_be_asked_for(self, candidate: Candidate) -> bool:
        return candidate.evidence.may_be_downloaded() and not candidate.is_too_large(self.network.limits.largest)

    def _refuse_too_large(self, missing: Sequence[Wanted]) -> None:
        """Refuse what only the server declares, and that would take this machine's disk and time."""
        largest = self.network.limits.largest
        found = [wanted for wanted in missing if self._candidate(wanted).is_too_large(largest)]
        if found:
            sizes = {wanted: human_bytes(wanted.size or 0) for wanted in found}
            most = f"no database of this machine has it, and then {human_bytes(largest)} is the most"
            raise unavailable({wanted: f"the server declares {size}; {most}" for wanted, size in sizes.items()})

    def _download(self, wanted: Sequence[Candidate]) -> dict[Wanted, object]:
        """A PackageFile or NotThere for each. Raises Refused (`disk_full`), Local, Stopped."""
        stop = self.network.stop
        try:
            self.cache.open_private(candidate.wanted for candidate in wanted)
            directory = self.cache.directory()
            total = sum(candidate.size or 0 for candidate in wanted)
            for place in (self.cache.private, directory):
                space.check(place, total)
                no_room.check(place, size=0, count=len(wanted) + 1, what="the downloads")
            progress = Progress(self.output, len(wanted), total)
            results = self._in_parallel(wanted, directory, progress)
        except OSError as error:
            self.cache.remove_private()
            if isinstance(error, space.Full):
                raise space.full(error.directory) from None
            if no_room.is_it(error):
                raise no_room.refusal(self.cache.private, *self.cache.written()) from None
            raise not_kept(error, self.cache.private) from None
        finally:
            if not stop.is_set():  # what was asked to stop goes on from there
                self.cache.remove_private()
        return {candidate.wanted: results[candidate] for candidate in wanted}

    def _in_parallel(self, wanted: Sequence[Candidate], directory: Path, progress: Progress) -> dict[Candidate, object]:
        cancel = threading.Event()
        network = Network(
            stop=EitherEvent(self.network.stop, cancel),
            limits=self.network.limits,
            choose=self.network.choose,
            hosts=self.network.hosts,
            transfer=self.network.transfer,
            patience=self.network.patience,
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

        deadline = time.monotonic() + self.network.limits.gathering

        def poll() -> None:
            if self.network.stop.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                raise unreachable.too_long(self.network.limits.gathering)

        def each(items: Sequence[Candidate]) -> dict[Candidate, object]:
            workers = self.conf.parallel
            return dict(parallel.each(one, items, workers=workers, fatal=_is_fatal, poll=poll, cancel=cancel))

        results = each(wanted)
        return {**results, **each(another_try.worth(results, network.hosts))}

    def _one(self, candidate: Candidate, directory: Path, network: Network, progress: Progress) -> PackageFile:
        """Download one package and its signature, and put it into the cache once it is accepted. Raises NotThere."""
        sources, refused = candidate.sources(self.conf)
        file = self._signed_now(candidate, sources, network)
        if file:
            return file

        def accept(part: Path, source: Address) -> tuple[PackageFile, str]:
            signature = self._fetch_signature(candidate, part, source, network)
            return inspection.downloaded(part, signature, candidate, self.conf.gpgdir), candidate.kept_as(source)

        part = self.cache.part(candidate.wanted)
        try:
            file, name = download.fetch(
                sources, part, size=candidate.size, network=network, on_bytes=progress.add_bytes, accept=accept
            )
            return self._place(file, directory / name)
        except NotThere as error:
            others = [(where, Refusal(why, kind=GONE)) for where, _, why in _split(refused)]
            raise NotThere([*error.refusals, *self._refused_in_cache(candidate), *others]) from None
        finally:
            if not network.stop.is_set():
                signatures.signature_path(part).unlink(missing_ok=True)

    def _place(self, file: PackageFile, target: Path) -> PackageFile:
        """Into the cache, the signature first: a package without it would be refused there."""
        beside = signatures.signature_path(file.path)
        if beside.exists():
            files.place(beside, signatures.signature_path(target))
        elif not files.same(file.path, target):  # else it is another machine's, which shares this cache
            signatures.signature_path(target).unlink(missing_ok=True)  # of a file that is replaced now
        files.place(file.path, target)
        return file.at(target)

    def _fetch_signature(self, candidate: Candidate, part: Path, source: Address, network: Network) -> Optional[Path]:
        """The signature that lies beside the package on that mirror, where anybody wants one."""
        target = signatures.signature_path(part)
        target.unlink(missing_ok=True)
        if candidate.evidence.level.never:
            return None
        try:
            download.fetch_small(source.signature, target, most=signatures.LIMIT, network=network)
        except Refusal as refusal:
            if refusal.kind != GONE and candidate.evidence.level.required:
                raise  # one that can't be had at the moment isn't one that is missing
            return None
        return target

    def _signed_now(self, candidate: Candidate, sources: Sequence[Address], network: Network) -> Optional[PackageFile]:
        """A file of the cache that lacks nothing but a good signature, with the one that a mirror has."""
        if candidate.evidence.level.never:
            return None
        for path in self.cache.files(candidate.cached_names()):
            for source in sources:
                try:
                    signature = self._fetch_signature(candidate, self.cache.part(candidate.wanted), source, network)
                except Refusal:  # the download says more of it
                    continue
                if signature is None:
                    continue
                try:
                    file = inspection.cached(path, candidate, self.conf.gpgdir, signature=signature)
                except (NotAccepted, OSError):
                    signature.unlink(missing_ok=True)
                    continue
                files.place(signature, signatures.signature_path(path))
                return file
        return None

    def _refused_in_cache(self, candidate: Candidate) -> list[tuple[str, Refusal]]:
        """The files of the cache whose signature isn't good, or whose checksum isn't the one that is known."""
        found = []
        for path in self.cache.files(candidate.cached_names()):
            try:
                inspection.cached(path, candidate, self.conf.gpgdir)
            except NotAccepted as error:
                if error.code in {"signature_invalid", inspection.OTHER_FILE}:
                    found.append((str(path), Refusal(str(error), error.code, kind=GONE)))
            except OSError:
                continue
        return found


def _may_have_moved_on(result: object) -> bool:
    """Whether a mirror said something of the file that its current database may explain."""
    return isinstance(result, NotThere) and not all(refusal.passing for _, refusal in result.refusals)


def _split(refused: Iterable[str]) -> list[tuple[str, str, str]]:
    return [text.rpartition(": ") for text in refused]


def _is_fatal(error: Exception) -> bool:
    """A package that nobody has is of that package alone; a full disk, or an error in here, is not."""
    return not isinstance(error, NotThere)
