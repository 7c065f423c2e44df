"""The alarm of two files for one package version: found by a chore, and only shown: nothing is refused.

Machines disagree about the bytes of a version if a repository rebuilt it without a new version, or if somebody tampered
with it. The repositories that endpoints see now are compared with each other and with the files of current targets. It
must not know HTTP or which file is right.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import Count

from . import repositories, target_files
from .alpm.canonical import digest_of
from .alpm.target_files import TargetFile
from .models import ChecksumConflict, EndpointRepository, Pool, TargetRevision

logger = logging.getLogger(__name__)

# The conflicts that are kept: those of targets first, then by name.
MAX_CONFLICTS = 1000
# The package versions remembered while comparing, some 250 bytes each; versions beyond that aren't compared.
MAX_VERSIONS = 200_000
NAMES = 10

Key = tuple[str, str, str]


class ConflictingFile(TypedDict):
    """One of the files of a package version, as `ChecksumConflict.files` has it."""

    sha256: str
    filename: str
    endpoints: int
    names: list[str]
    repositories: list[str]
    revisions: list[str]


def conflicts_of(revision: TargetRevision) -> list[ChecksumConflict]:
    """The known conflicts about packages of this revision, sorted by name."""
    return conflicts_among(target_files.load(revision).values())


def conflicts_among(files: Iterable[TargetFile]) -> list[ChecksumConflict]:
    """The known conflicts about the packages of these files, sorted by name. One query."""
    packages = {file.package for file in files}
    conflicts = ChecksumConflict.objects.order_by("name", "version", "arch")
    return [one for one in conflicts if (one.name, one.version, one.arch) in packages]


_seen: dict[str, str] = {}
"""What the last run of this process compared, so that the next one does nothing while nothing changed."""


def refresh() -> int:
    """Compare again if anything changed. Returns the number of conflicts. A chore's step, one instance at a time."""
    seers, targets = _contents(), _targets()
    contents = list(seers)
    compared = _digest(sorted(contents), sorted(targets.items()))
    described = _digest(sorted(seers.items()))
    if _seen.get("compared") != compared:
        _write(_found(contents, targets))
    elif _seen.get("described") != described:  # the same files, but others have them now
        keys = {(row.name, row.version, row.arch) for row in ChecksumConflict.objects.all()}
        _write(_described(keys, contents, targets))
    _seen.update(compared=compared, described=described)
    return ChecksumConflict.objects.count()


def _digest(*parts: object) -> str:
    return digest_of(repr(parts).encode())


def forget() -> None:
    """For tests: compare everything again in the next run."""
    _seen.clear()


def _contents() -> dict[str, int]:
    """How many endpoints see each content now, the most seen first: where memory ends, the odd ones stay out."""
    counted = EndpointRepository.objects.order_by().values_list("content_id").annotate(seen=Count("endpoint"))
    return dict(sorted(counted, key=lambda one: (-one[1], one[0])))


def _targets() -> dict[str, list[str]]:
    """The files of the pools' current targets: digest → the targets that hold it."""
    found: dict[str, list[str]] = {}
    pools = Pool.objects.filter(target__files__isnull=False).order_by("name")
    for name, number, digest in pools.values_list("name", "target__number", "target__files"):
        found.setdefault(digest, []).append(f"{name} #{number}")
    return found


def _found(contents: Iterable[str], targets: dict[str, list[str]]) -> dict[Key, list[ConflictingFile]]:
    """The files of each version that has more than one, at most MAX_CONFLICTS, those of targets first."""
    first: dict[bytes, bytes] = {}
    conflicting: dict[bytes, None] = {}
    for key, sha256 in _lines(contents, targets):
        known = first.get(key)
        if known is None and len(first) < MAX_VERSIONS:
            first[key] = sha256
        elif known is not None and known != sha256:
            conflicting[key] = None
    if len(first) >= MAX_VERSIONS:
        logger.warning("only the first %s package versions were compared by checksum", f"{MAX_VERSIONS:,}")
    if len(conflicting) > MAX_CONFLICTS:
        logger.warning("%d package versions have more than one file; %d are kept", len(conflicting), MAX_CONFLICTS)
    return _described({_key(key) for key in list(conflicting)[:MAX_CONFLICTS]}, contents, targets)


def _lines(contents: Iterable[str], targets: Iterable[str]) -> Iterator[tuple[bytes, bytes]]:
    """(`name version arch`, sha256) of every file whose checksum is known: of targets, then of repositories."""
    for digest in targets:
        for line in target_files.lines(digest):
            name, version, arch, _, _, sha256, _ = line.split(b" ")
            if sha256 != b"-":
                yield b"%b %b %b" % (name, version, arch), sha256
    for digest in contents:
        time.sleep(0)  # requests of this process go first
        for line in repositories.lines(digest):
            key, _, sha256, _ = line.rsplit(b" ", 3)
            if sha256 != b"-":
                yield key, sha256


def _key(text: bytes) -> Key:
    name, version, arch = text.decode().split(" ")
    return name, version, arch


def _described(
    keys: set[Key], contents: Iterable[str], targets: dict[str, list[str]]
) -> dict[Key, list[ConflictingFile]]:
    """Who has which file of these versions. No content is read for none."""
    if not keys:
        return {}
    names = {name for name, _, _ in keys}
    files: dict[Key, dict[str, ConflictingFile]] = defaultdict(dict)
    for digest in targets:
        for file in target_files.read(digest):
            if file.package in keys and file.sha256:
                one = files[file.package].setdefault(file.sha256, _file(file.sha256, file.filename))
                one["revisions"] = [*one["revisions"], *targets[digest]][:NAMES]
    seers = _Seers()
    for digest in contents:
        for offered in repositories.offered(digest, names).values():
            key = (offered.name, offered.version, offered.arch)
            if key in keys and offered.sha256:
                one = files[key].setdefault(offered.sha256, _file(offered.sha256, offered.filename))
                seers.add_to(one, digest)
    return {key: sorted(found.values(), key=lambda one: one["sha256"]) for key, found in sorted(files.items())}


def _file(sha256: str, filename: str) -> ConflictingFile:
    return {"sha256": sha256, "filename": filename, "endpoints": 0, "names": [], "repositories": [], "revisions": []}


class _Seers:
    """The endpoints that see a content, and the names under which they do; asked for once each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, list[str], list[str]]] = {}

    def add_to(self, file: ConflictingFile, digest: str) -> None:
        count, names, repositories_ = self._of(digest)
        file["endpoints"] += count
        file["names"] = sorted({*file["names"], *names})[:NAMES]
        file["repositories"] = sorted({*file["repositories"], *repositories_})[:NAMES]

    def _of(self, digest: str) -> tuple[int, list[str], list[str]]:
        if digest not in self._known:
            rows = EndpointRepository.objects.filter(content=digest)
            names = list(rows.order_by("endpoint__name").values_list("endpoint__name", flat=True)[:NAMES])
            called = sorted(set(rows.order_by("name").values_list("name", flat=True).distinct()[:NAMES]))
            self._known[digest] = (rows.values("endpoint").distinct().count(), names, called)
        return self._known[digest]


def _write(found: dict[Key, list[ConflictingFile]]) -> None:
    """Make the table equal to what was found; a conflict that was known before keeps its `since`."""
    with transaction.atomic():
        present = {(row.name, row.version, row.arch): row for row in ChecksumConflict.objects.all()}
        ChecksumConflict.objects.filter(pk__in=[row.pk for key, row in present.items() if key not in found]).delete()
        for key, files in found.items():
            values: dict[str, Any] = {"files": files}
            if key in present:
                if present[key].files != files:
                    ChecksumConflict.objects.filter(pk=present[key].pk).update(**values)
            else:
                ChecksumConflict.objects.create(name=key[0], version=key[1], arch=key[2], **values)
    for key in sorted(found.keys() - present.keys())[:NAMES]:
        logger.warning("the fleet has %d files for %s", len(found[key]), " ".join(key))
