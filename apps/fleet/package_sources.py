"""Where an endpoint can get the packages of an operation from. It must not know leases or HTTP.

The order of the sources is the one of docs/protocol.md. pacman asks for plain file names, `:` and `+` included, and so
do the Arch Linux Archive's own links.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from django.conf import settings

from . import mirrors, repositories, revisions, states, target_files
from .alpm.repository import OfferedPackage
from .alpm.state import InstalledPackage
from .models import Endpoint, Operation, TargetRevision

# The layout of the Arch Linux Archive: whole days under repos/, every file for good under packages/.
_DATED = re.compile(r"(.*)/repos/\d{4}/\d{2}/\d{2}/[^/]+/os/[^/]+/?")
# The mirrors of one repository that are named: a mirrorlist can have hundreds, and the archive comes after them.
_MIRRORS_EACH = 5


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """One package that the target has and the base has not, and where to get it. `size` in bytes."""

    name: str
    version: str
    arch: str
    filename: str
    sha256: str | None
    size: int | None
    urls: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    mirrors: tuple[str, ...]
    offered: dict[str, OfferedPackage]

    def exactly(self, package: InstalledPackage) -> OfferedPackage | None:
        found = self.offered.get(package.name)
        same = found is not None and (found.version, found.arch) == (package.version, package.arch)
        return found if same else None


def fetch(operation: Operation) -> tuple[Fetch, ...]:
    """What the operation's target has and its base has not, in any install reason, with where to get each."""
    base, target = states.load(operation.base_state), states.load(operation.target_state)
    return fetch_for(operation.endpoint, base, target, operation.revision)


def fetch_for(
    endpoint: Endpoint,
    base: Iterable[InstalledPackage],
    target: Iterable[InstalledPackage],
    revision: TargetRevision | None,
) -> tuple[Fetch, ...]:
    """The same for any two sets of packages; `revision` is the one that `target` comes from."""
    there = {_key(package) for package in base}
    missing = [package for package in target if _key(package) not in there]
    if not missing:
        return ()
    names = {package.name for package in missing}
    own = _sources(endpoint.repositories.values_list("content_id", "mirrors"), names)
    targets = _recorded(revision, names) if revision else []
    archives = list(dict.fromkeys((*_archives(own), *_archives(targets), settings.PACKAGE_ARCHIVE_URL.rstrip("/"))))
    return tuple(_fetch(package, own, targets, archives) for package in missing)


def _key(package: InstalledPackage) -> tuple[str, str, str]:
    return (package.name, package.version, package.arch)


def _recorded(revision: TargetRevision, names: set[str]) -> list[_Source]:
    """The files that the revision holds, by repository; of one that holds none, what its repositories offered."""
    if not revision.files_id:
        return _sources(((one["digest"], one["mirrors"]) for one in revision.repositories), names)
    offered: dict[str, dict[str, OfferedPackage]] = {}
    for file in target_files.load(revision).values():
        if file.name in names:
            found = OfferedPackage(file.name, file.version, file.arch, file.filename, file.sha256, file.size)
            offered.setdefault(file.repository, {})[file.name] = found
    return [_Source(tuple(urls), offered.get(name, {})) for name, urls in revisions.mirrors_of(revision).items()]


def _sources(rows: Iterable[tuple[str, list[str]]], names: set[str]) -> list[_Source]:
    """Without credentials: those of an endpoint's own mirrors are in its own configuration."""
    return [
        _Source(
            tuple(url for mirror in addresses if (url := mirrors.public(mirror))), repositories.offered(digest, names)
        )
        for digest, addresses in rows
    ]


def _archives(sources: Iterable[_Source]) -> Iterator[str]:
    """The archives that dated mirrors belong to."""
    for source in sources:
        for mirror in source.mirrors:
            dated = _DATED.fullmatch(mirror)
            if dated:
                yield dated.group(1)


def _fetch(
    package: InstalledPackage, own: Sequence[_Source], targets: Sequence[_Source], archives: Sequence[str]
) -> Fetch:
    # What this endpoint's own databases say counts more than what the target's source knew under that version: a
    # repository may have rebuilt it, and its own databases are what the machine's admin trusts.
    known = next((found for source in (*own, *targets) if (found := source.exactly(package))), None)
    filename = known.filename if known else f"{package.name}-{package.version}-{package.arch}.pkg.tar.zst"
    urls = [
        f"{mirror.rstrip('/')}/{_quoted(filename)}"
        for source in (*own, *targets)
        if known and _same_file(source.exactly(package), known)
        for mirror in source.mirrors[:_MIRRORS_EACH]
    ]
    path = f"packages/{_quoted(package.name[0])}/{_quoted(package.name)}/{_quoted(filename)}"
    urls += [f"{archive}/{path}" for archive in archives]
    return Fetch(
        name=package.name,
        version=package.version,
        arch=package.arch,
        filename=filename,
        sha256=known.sha256 if known else None,
        size=(known.size or None) if known else None,
        urls=tuple(dict.fromkeys(urls)),
    )


def _same_file(one: OfferedPackage | None, two: OfferedPackage) -> bool:
    return one is not None and (one.filename, one.sha256) == (two.filename, two.sha256)


def _quoted(text: str) -> str:
    return quote(text, safe=":+@")
