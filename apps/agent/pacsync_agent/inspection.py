"""Looks at one file on the disk and has acceptance.py judge it: checksum, signature, then what the package says it is.

Nothing of a file is parsed before somebody vouches for its bytes. It must not download, nor know operations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from . import acceptance, package_file, signatures, unreachable
from .acceptance import Rule, Signature, Verdict
from .candidates import Candidate
from .errors import AgentError, Refused
from .network import NotThere, Refusal
from .package_file import PackageFile, Wanted, WrongPackage
from .signatures import Checked
from .wanted import unavailable

OTHER_FILE = "other_file"
"""The code, in here, of a file of the cache whose checksum isn't the one that is known."""
_SIGNATURE = "its signature is refused: "
_BY_CHECKSUM = {Rule.OWN_DATABASE, Rule.SIGNED_REVISION, Rule.CONFIGURATION}


class NotAccepted(Exception):
    """The file may not be installed, or isn't the package; the text says why in words of our own."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


def cached(
    path: Path, candidate: Candidate, gpgdir: Path, *, signature: Optional[Path] = None, at_last: bool = False
) -> PackageFile:
    """The package in a file of the machine's own cache. Raises NotAccepted, OSError.

    `signature` is another one than that beside the file. A file that counts only because it was accepted before, or is
    signed, is refused where another checksum is known, unless `at_last`.
    """
    beside = signature or signatures.signature_path(path)
    verdict, sha256 = _judge(path, beside if beside.exists() else None, candidate, gpgdir, is_cached=True)
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
    """What the package says it is. `whole`: read it to its end, because no checksum shows that it is all there."""
    try:
        package = package_file.read(path)
        if whole:
            package_file.read_to_the_end(path)
    except WrongPackage:
        raise NotAccepted("it is no package, or it is damaged") from None
    if (package.name, package.version, package.arch) != (wanted.name, wanted.version, wanted.arch):
        raise NotAccepted("it is another package")
    return package


def refusal(refused: Mapping[Wanted, NotThere]) -> AgentError:
    """The one error for packages that no address gave in an acceptable form: what is worst comes first."""
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
            "Put the .sig file beside the package in the cache, or name a mirror that has it.",
        )
    failure = unreachable.failure(refused)
    if failure:
        return failure
    nowhere = {wanted: error for wanted, error in refused.items() if not error.failing}
    spoiled = any(one.code == OTHER_FILE for error in nowhere.values() for _, one in error.refusals)
    return unavailable({wanted: str(error) for wanted, error in nowhere.items()}, spoiled=spoiled)


def _with_code(refused: Mapping[Wanted, NotThere], code: str) -> tuple[str, str, str]:
    """The names of the packages that were refused with this code; of the first one, where and why."""
    reasons = {
        str(wanted): (where, str(one))
        for wanted, error in refused.items()
        for where, one in reversed(error.refusals)
        if one.code == code
    }
    return acceptance.named(reasons), *next(iter(reasons.values()), ("", ""))
