"""Which files of this machine's caches may be installed, and which are refused. It must not download."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..mirrors.network import GONE, Refusal
from ..packages.package_file import PackageFile
from . import file_check
from .cache import Cache
from .candidates import Candidate
from .file_check import NotAccepted


def accepted(cache: Cache, candidate: Candidate, gpgdir: Path, *, at_last: bool = False) -> Optional[PackageFile]:
    """The acceptable file in one of the caches, with the signature next to it.

    A file that is known with another checksum counts `at_last`, when nothing else could be had.
    """
    for path in cache.files(candidate.cached_names()):
        try:
            return file_check.cached(path, candidate, gpgdir, at_last=at_last)
        except (NotAccepted, OSError):
            continue
    return None


def refused(cache: Cache, candidate: Candidate, gpgdir: Path) -> list[tuple[str, Refusal]]:
    """The files of the caches with a bad signature, or with another checksum than the known one: (path, why)."""
    found = []
    for path in cache.files(candidate.cached_names()):
        try:
            file_check.cached(path, candidate, gpgdir)
        except NotAccepted as error:
            if error.code in {"signature_invalid", file_check.OTHER_FILE}:
                found.append((str(path), Refusal(str(error), error.code, kind=GONE)))
        except OSError:
            continue
    return found
