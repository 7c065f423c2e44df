"""Gathers the package files of a plan: from caches, else from the machine's mirrors and the server's addresses.

acceptance.py decides whether a file may be installed; a refused file never leaves the private directory. It must not
know operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from ..databases.own_databases import OwnDatabases
from ..errors import AgentError
from ..mirrors.network import GONE, Network, NotThere, Refusal, Stopped
from ..packages.package_file import PackageFile, Wanted
from ..pacman.configuration import PacmanConf
from ..terminal.output import Output, human_bytes
from ..trust import acceptance
from ..trust.accepted_checksums import Accepted
from ..trust.target_files import unavailable
from . import cached_files, candidates, file_check, unreachable_files
from .cache import Cache
from .candidates import Candidate, Trust
from .package_downloads import PackageDownloads


class Gatherer:
    """`databases` are the machine's own; `accepted` remembers their checksums; `offline`: use the caches only."""

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
            raise Stopped  # that may be why the databases are missing
        found = {one: file for one in wanted if (file := self._acceptable(self._candidate(one)))}
        missing = [one for one in wanted if one not in found]
        if not missing:
            self.cache.remove_private()  # of a run that was cut off
        elif not self.offline:
            found.update(self._downloaded(missing))
            missing = [one for one in wanted if one not in found]
        if missing:
            raise self._not_in_cache(missing)
        self.accepted.add((one.name, one.version, one.arch, found[one].sha256) for one in wanted if found[one].sha256)
        return [found[one] for one in wanted]

    def _not_in_cache(self, missing: Sequence[Wanted]) -> AgentError:
        spoiled = {wanted: self._refused_in_cache(self._candidate(wanted)) for wanted in missing}
        return file_check.refusal(
            {
                wanted: NotThere(refusals or [("the cache", Refusal("it is not there", kind=GONE))])
                for wanted, refusals in spoiled.items()
            }
        )

    def in_cache(self, wanted: Wanted) -> Optional[PackageFile]:
        """The file in one of the caches, if it is there and right."""
        return self._acceptable(self._candidate(wanted))

    def _acceptable(self, candidate: Candidate, *, at_last: bool = False) -> Optional[PackageFile]:
        return cached_files.accepted(self.cache, candidate, self.conf.gpgdir, at_last=at_last or self.offline)

    def _refused_in_cache(self, candidate: Candidate) -> list[tuple[str, Refusal]]:
        return cached_files.refused(self.cache, candidate, self.conf.gpgdir)

    def _candidate(self, wanted: Wanted) -> Candidate:
        accepted = self.accepted.of(wanted.name, wanted.version, wanted.arch)
        return candidates.of(wanted, self.conf, self.databases, self.trust, accepted)

    def _downloaded(self, missing: Sequence[Wanted]) -> dict[Wanted, PackageFile]:
        """Download what the caches lack; fetch the current databases if there is no other way. Raises Refused."""
        if not all(self._may_be_asked_for(self._candidate(wanted)) for wanted in missing):
            self._refresh()
        kept = self._without_download(missing)
        missing = [wanted for wanted in missing if wanted not in kept]
        self._refuse_too_large(missing)
        downloads = PackageDownloads(self.conf, self.cache, self.network, self.output)
        results = downloads.download([self._candidate(wanted) for wanted in missing])
        failed = [wanted for wanted in missing if _may_have_moved_on(results[wanted])]
        if failed and not self.databases.refreshed:
            # The repository may have been rebuilt in place, or have moved on: its current database shows it.
            before = {wanted: self._candidate(wanted) for wanted in failed}
            self._refresh()
            again = [now for wanted in failed if (now := self._candidate(wanted)) != before[wanted]]
            if again:
                results.update(downloads.download(again))
        return {**kept, **self._files_of(results)}

    def _refresh(self) -> None:
        self.databases.refresh()
        if self.network.stop.is_set():
            raise Stopped

    def _files_of(self, results: dict[Wanted, object]) -> dict[Wanted, PackageFile]:
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
            raise file_check.refusal(refused)
        return found

    def _at_last(self, wanted: Wanted) -> Optional[PackageFile]:
        """A file in the cache that is acceptable as a last resort, although another checksum is known."""
        file = self._acceptable(self._candidate(wanted), at_last=True)
        if file:
            self.output.warn(f"{wanted} is taken from the cache; its file is known with another checksum.")
        return file

    def _without_download(self, missing: Sequence[Wanted]) -> dict[Wanted, PackageFile]:
        """Files for the packages that no download could give. Raises Refused before any useless download."""
        hopeless = [wanted for wanted in missing if not self._candidate(wanted).evidence.may_be_downloaded()]
        found = {wanted: file for wanted in hopeless if (file := self._at_last(wanted))}
        refused = [wanted for wanted in hopeless if wanted not in found]
        if refused:
            spoiled = [str(wanted) for wanted in refused if self._refused_in_cache(self._candidate(wanted))]
            if self.databases.passing and not spoiled:
                raise unreachable_files.databases(self.databases.passing, [str(wanted) for wanted in refused])
            raise acceptance.untrusted([str(wanted) for wanted in refused], self.databases.reasons, spoiled)
        return found

    def _may_be_asked_for(self, candidate: Candidate) -> bool:
        return candidate.evidence.may_be_downloaded() and not candidate.is_too_large(self.network.limits.largest)

    def _refuse_too_large(self, missing: Sequence[Wanted]) -> None:
        """Refuse a package that only the server knows and declares as larger than the limit."""
        largest = self.network.limits.largest
        found = [wanted for wanted in missing if self._candidate(wanted).is_too_large(largest)]
        if found:
            sizes = {wanted: human_bytes(wanted.size or 0) for wanted in found}
            most = f"no database of this machine has it, so it may have at most {human_bytes(largest)}"
            raise unavailable({wanted: f"the server declares {size}; {most}" for wanted, size in sizes.items()})


def _may_have_moved_on(result: object) -> bool:
    """Whether a mirror's current database may explain the refusal."""
    return isinstance(result, NotThere) and not all(refusal.passing for _, refusal in result.refusals)
