"""The packages of a plan with the server's hints about their files; no hint is trusted by itself.

It must not know where the machine's own files are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from apps.fleet.alpm import names
from apps.fleet.alpm.state import InstalledPackage

from ..errors import Failed, Refused
from ..packages.package_file import Wanted
from ..terminal.listing import named

RECORDED = ("repository", "filename", "sha256", "size")  # of the file, with a package of the target
MOST_URLS = 200  # of one package that are looked at
_SHA256 = re.compile(r"[0-9a-f]{64}")


def hints_of(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry for each file in a claim: that of `fetch`, overridden by the target's own fields.

    Raises Failed (`target_invalid`) when the claim makes no sense.
    """
    try:
        fetch = [dict(entry) for entry in claim["fetch"]]
        recorded = {_key(package): package for package in claim["target"]["packages"]}
        for entry in fetch:
            package = recorded.get(_key(entry), {})
            entry.update({key: package[key] for key in RECORDED if package.get(key)})
        # An invalid hint is an error now, not in the middle of a transaction.
        of_packages((InstalledPackage(*_key(entry), "explicit") for entry in fetch), fetch)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(error) from None
    return fetch


def of_packages(packages: Iterable[InstalledPackage], hints: Iterable[Mapping[str, Any]]) -> list[Wanted]:
    """The packages with the hints about their files. Raises Failed (`target_invalid`)."""
    try:
        known = {_key(entry): entry for entry in hints}
        return [_wanted(package, known.get((package.name, package.version, package.arch), {})) for package in packages]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(error) from None


def _invalid(error: Exception) -> Failed:
    said = str(error) if isinstance(error, ValueError) else type(error).__name__
    return Failed("target_invalid", f"The server's list of files makes no sense: {said}.", "Look at the server's log.")


def _key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    name, version, arch = entry["name"], entry["version"], entry["arch"]
    names.check_name(name)
    names.check_version(version)
    names.check_arch(arch)
    return name, version, arch


def _wanted(package: InstalledPackage, entry: Mapping[str, Any]) -> Wanted:
    filename = _text(entry, "filename") or ""
    if filename:
        names.check_filename(filename)
    repository = _text(entry, "repository")
    if repository:
        names.check_name(repository)
    sha256 = _text(entry, "sha256")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is not a SHA-256")
    urls = entry.get("urls") or []
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise ValueError("the addresses are not a list of texts")
    return Wanted(
        name=package.name,
        version=package.version,
        arch=package.arch,
        filename=filename,
        sha256=sha256 or None,
        size=_size(entry),
        urls=tuple(urls[:MOST_URLS]),
        repository=repository or None,
    )


def _text(entry: Mapping[str, Any], key: str) -> Optional[str]:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value


def _size(entry: Mapping[str, Any]) -> Optional[int]:
    value = entry.get("size")
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**18:
        raise ValueError("the size is not a number of bytes")
    return value


def unavailable(reasons: Mapping[Wanted, str], *, spoiled: bool = False) -> Refused:
    """The error for packages that are nowhere, by name, with the reason of the first.

    `spoiled`: the cache has a wrong file, so another one in the cache is no remedy.
    """
    put = "Put the package file into the cache (pacman-conf CacheDir), or name"
    (first, reason), *others = ((str(wanted), reason) for wanted, reason in reasons.items())
    rest = f" Nor can {named([name for name, _ in others])}." if others else ""
    return Refused(
        "package_unavailable",
        f"{first} can't be had: {reason}.{rest}",
        f"{'Remove the file of the cache that is named here, and name' if spoiled else put} a mirror that has it in "
        "pacman.conf.",
    )
