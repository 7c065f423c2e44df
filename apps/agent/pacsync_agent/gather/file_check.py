"""Checks one file on the disk by the rules of acceptance.py: checksum, signature, then the package's own metadata.

A file is parsed only after its bytes are vouched for. It must not download or know operations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ..errors import AgentError, Refused
from ..mirrors.network import NotThere, Refusal
from ..packages import package_file
from ..packages.package_file import PackageFile, Wanted, WrongPackage
from ..terminal.listing import named
from ..trust import acceptance, signatures
from ..trust.acceptance import Rule, Signature, Verdict
from ..trust.signatures import Checked
from ..trust.target_files import unavailable
from . import unreachable_files
from .candidates import Candidate

OTHER_FILE = "other_file"
"""The internal code for a cached file with another checksum than the known one."""
_SIGNATURE = "its signature is refused: "
_BY_CHECKSUM = {Rule.OWN_DATABASE, Rule.SIGNED_REVISION, Rule.CONFIGURATION}


class NotAccepted(Exception):
    """The file may not be installed, or isn't the package; the text says why in our own words."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


def cached(
    path: Path, candidate: Candidate, gpgdir: Path, *, signature: Optional[Path] = None, at_last: bool = False
) -> PackageFile:
    """The package in a file of the machine's own cache. Raises NotAccepted, OSError.

    `signature` replaces the one next to the file. A file that was only accepted before, or is only signed, is refused
    where another checksum is known, unless `at_last`.
    """
    found = signature or signatures.signature_path(path)
    verdict, sha256 = _judge(path, found if found.exists() else None, candidate, gpgdir, is_cached=True)
    against = candidate.evidence.contradiction(sha256) if verdict.rule is Rule.OWN_CACHE else ""
    if against and not at_last:
        raise NotAccepted(against)
    known = {*candidate.evidence.own, candidate.wanted.sha256, candidate.evidence.signed}
    package = _package(path, candidate.wanted, whole=verdict.rule is not Rule.SIGNATURE and sha256 not in known)
    return _with_checksum(package, verdict, sha256)


def downloaded(path: Path, signature: Optional[Path], candidate: Candidate, gpgdir: Path) -> PackageFile:
    """The package in a file that was just downloaded. Raises Refusal, OSError."""
    try:
        verdict, sha256 = _judge(path, signature, candidate, gpgdir, is_cached=False)
        return _with_checksum(_package(path, candidate.wanted, whole=False), verdict, sha256)
    except NotAccepted as error:
        raise Refusal(str(error), error.code) from None


def _judge(
    path: Path, signature: Optional[Path], candidate: Candidate, gpgdir: Path, *, is_cached: bool
) -> tuple[Verdict, str]:
    evidence = candidate.evidence
    checked = Checked(Signature.MISSING)
    if signature is not None and not evidence.level.never:
        checked = signatures.check(path, signature, home=gpgdir, trust_all=evidence.level.trust_all)
    # A good signature where one is required needs no checksum: gpg has read the whole file.
    sha256 = "" if evidence.level.required and checked.good else package_file.sha256_of(path)
    verdict = acceptance.judge(evidence, sha256=sha256, signature=checked.signature, cached=is_cached)
    if not verdict:
        reason = f"{_SIGNATURE}{checked.reason}" if checked.reason else verdict.reason
        raise NotAccepted(reason, OTHER_FILE if is_cached and verdict.code == "untrusted_file" else verdict.code)
    return verdict, sha256


def _with_checksum(package: PackageFile, verdict: Verdict, sha256: str) -> PackageFile:
    return dataclasses.replace(package, sha256=sha256 if verdict.rule in _BY_CHECKSUM else "")


def _package(path: Path, wanted: Wanted, *, whole: bool) -> PackageFile:
    """The package by its own metadata. `whole`: read it to the end, because no checksum proves that it is complete."""
    try:
        package = package_file.read(path)
        if whole:
            package_file.read_to_the_end(path)
    except WrongPackage:
        raise NotAccepted("it is not a package, or it is damaged") from None
    if (package.name, package.version, package.arch) != (wanted.name, wanted.version, wanted.arch):
        raise NotAccepted("it is another package")
    return package


def refusal(refused: Mapping[Wanted, NotThere]) -> AgentError:
    """The error for packages that no address gave in an acceptable form, by the worst of the reasons."""
    names, where, reason = _with_code(refused, "signature_invalid")
    if names:
        reason = reason.replace(_SIGNATURE, "", 1)
        keyring = "Bring the keyring up to date (`pacman -Sy archlinux-keyring`), or name another mirror."
        changed = "The file or its signature was changed: name another mirror, and remove the file from the cache."
        return Refused(
            "signature_invalid",
            f"The signature of {names} is refused: {reason} ({where}).",
            keyring if reason in signatures.ABOUT_KEYS else changed,
        )
    names, where, _ = _with_code(refused, "signature_missing")
    if names:
        return Refused(
            "signature_missing",
            f"The signature of {names} is missing, and its repository requires one ({where}).",
            "Put the .sig file next to the package in the cache, or name a mirror that has it.",
        )
    failure = unreachable_files.failure(refused)
    if failure:
        return failure
    nowhere = {wanted: error for wanted, error in refused.items() if not error.failing}
    spoiled = any(one.code == OTHER_FILE for error in nowhere.values() for _, one in error.refusals)
    return unavailable({wanted: str(error) for wanted, error in nowhere.items()}, spoiled=spoiled)


def _with_code(refused: Mapping[Wanted, NotThere], code: str) -> tuple[str, str, str]:
    """The names of the packages that were refused with this code; where and why, of the first."""
    reasons = {
        str(wanted): (where, str(one))
        for wanted, error in refused.items()
        for where, one in reversed(error.refusals)
        if one.code == code
    }
    return named(reasons), *next(iter(reasons.values()), ("", ""))
