"""The files behind the packages of targets: found at the source, kept, read back, compared.

They are what the source's own databases said when the target was made. It must not know HTTP or who may set targets.
"""

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from . import repositories, time_limit
from .alpm import target_files as canonical
from .alpm.state import InstalledPackage
from .alpm.target_files import TargetFile
from .models import Endpoint, TargetFiles, TargetRevision

__all__ = ["FileChange", "TargetFile", "compare", "digest", "found_at", "load", "save"]


class FileChange(NamedTuple):
    """One package version whose file isn't the same on the two sides."""

    before: TargetFile
    after: TargetFile


def found_at(endpoint: Endpoint, packages: Iterable[InstalledPackage]) -> list[TargetFile]:
    """The file of each package as the endpoint's databases have it, in the first repository that has this version.

    Packages that none of them has in exactly this version and architecture are left out. Raises ComparisonTooLong.
    """
    wanted = {package.name: package for package in packages}
    found: dict[str, TargetFile] = {}
    for repository, digest in endpoint.repositories.values_list("name", "content_id"):
        time_limit.check()
        for offered in repositories.offered(digest, wanted.keys() - found.keys()).values():
            package = wanted[offered.name]
            if (offered.version, offered.arch) == (package.version, package.arch):
                found[offered.name] = TargetFile(
                    name=offered.name,
                    version=offered.version,
                    arch=offered.arch,
                    repository=repository,
                    filename=offered.filename,
                    sha256=offered.sha256,
                    size=offered.size,
                )
    return sorted(found.values())


def save(files: Iterable[TargetFile]) -> TargetFiles:
    """The row of exactly these files, made if there was none. The caller shares the content lock."""
    files = list(files)
    text = canonical.to_text(files)
    values = {"file_count": len(files), "files": zlib.compress(text)}
    return TargetFiles.objects.get_or_create(digest=canonical.digest_of(text), defaults=values)[0]


def digest(files: Iterable[TargetFile]) -> str:
    """The digest of the row that `save` makes of these files."""
    return canonical.digest_of(canonical.to_text(files))


def load(revision: TargetRevision) -> dict[str, TargetFile]:
    """The files of a revision by pkgname; empty if they weren't recorded."""
    return dict(_load(revision.files_id)) if revision.files_id else {}


@lru_cache(maxsize=8)  # rows never change; one of 1,500 packages is some 1 MB
def _load(digest: str) -> tuple[tuple[str, TargetFile], ...]:
    text = TargetFiles.objects.values_list("files", flat=True).get(pk=digest)
    return tuple((file.name, file) for file in canonical.parse(zlib.decompress(bytes(text))))


def read(digest: str) -> list[TargetFile]:
    """The files of one row, sorted by name."""
    return [file for _, file in _load(digest)]


def lines(digest: str) -> Iterator[bytes]:
    """The lines of one row's text, unparsed."""
    text = TargetFiles.objects.filter(pk=digest).values_list("files", flat=True).first()
    return iter(zlib.decompress(bytes(text)).splitlines() if text is not None else ())


def compare(before: TargetRevision, after: TargetRevision) -> list[FileChange]:
    """The packages that both revisions know the file of, in the same version with different files; sorted by name."""
    old, new = load(before), load(after)
    same = (name for name in sorted(old.keys() & new.keys()) if old[name].package == new[name].package)
    return [FileChange(old[name], new[name]) for name in same if old[name] != new[name]]
