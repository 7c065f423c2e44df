"""Decides whose bytes this machine installs: one verdict for one file. The rules are docs/agent.md, "Whose bytes".

The server and the other endpoints say which versions a machine gets; this module says which files may be those.
It must not know where a file came from, or read files, or run anything: its callers bring the facts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Optional

from ..errors import Refused
from ..pacman.configuration import SigLevel
from ..terminal.listing import named


class Signature(Enum):
    """The verdict of the machine's own keyring on the signature of a file."""

    GOOD = "good"
    MISSING = "missing"
    BAD = "bad"


class Rule(Enum):
    """Why a file may be installed; the values are the numbers of docs/agent.md."""

    SIGNATURE = 1
    OWN_DATABASE = 2
    OWN_CACHE = 2.5
    SIGNED_REVISION = 3
    CONFIGURATION = 4


@dataclass(frozen=True)
class Evidence:
    """What is known about a package before its file is seen. Checksums are SHA-256 in lower-case hex.

    `level` is what the machine's own pacman.conf asks of the repository; `own` lists the checksums in the machine's own
    databases for this name, version and architecture, the best one first; `signed` is the one of a revision signed
    by a key that the machine's admin trusts; `target` is the one that the server names, which counts only where
    `trust_target` says so. `accepted` lists those of files of exactly this package that the machine could vouch for
    before. `repository` is the one whose database gives `own`.
    """

    level: SigLevel
    own: tuple[str, ...] = ()
    signed: Optional[str] = None
    target: Optional[str] = None
    trust_target: bool = False
    accepted: frozenset[str] = frozenset()
    repository: str = ""

    def checksums(self) -> dict[str, Rule]:
        """Every checksum that is enough without a signature, with its rule, in the order of the rules."""
        found = dict.fromkeys(self.own, Rule.OWN_DATABASE)
        if self.signed:
            found.setdefault(self.signed, Rule.SIGNED_REVISION)
        if self.target and self.trust_target:
            found.setdefault(self.target, Rule.CONFIGURATION)
        return found

    def contradiction(self, sha256: str) -> str:
        """The reason if a known checksum differs from this one, or empty. A target counts only without a database."""
        if self.own:
            word = self.repository or "a database of this machine"
            return "" if sha256 in self.own else f"its checksum isn't the one that {word} says"
        return "its checksum isn't the one that the target says" if self.target not in {None, sha256} else ""

    def may_be_downloaded(self) -> bool:
        """Whether any downloaded file could be accepted at all."""
        return self.level.required or bool(self.checksums())


@dataclass(frozen=True)
class Verdict:
    """`rule` is why the file is accepted. If it isn't, `rule` is None, and `code` and `reason` say why."""

    rule: Optional[Rule]
    code: str = ""
    reason: str = field(default="", compare=False)

    def __bool__(self) -> bool:
        return self.rule is not None


def judge(evidence: Evidence, *, sha256: str, signature: Signature, cached: bool) -> Verdict:
    """Whether this file may be installed. `cached`: it was in the machine's own package cache before.

    `signature` is not looked at where the repository's SigLevel is Never.
    """
    if evidence.level.required:
        if signature is Signature.GOOD:
            return Verdict(Rule.SIGNATURE)
        if signature is Signature.MISSING:
            return Verdict(None, "signature_missing", "it has no signature, and its repository requires one")
    if signature is Signature.BAD and not evidence.level.never:
        return Verdict(None, "signature_invalid", "its signature is not valid, or its key is not trusted here")
    rule = evidence.checksums().get(sha256)
    if rule:
        return Verdict(rule)
    against = evidence.contradiction(sha256)
    signed = signature is Signature.GOOD and not evidence.level.never
    if cached and (not against or signed or sha256 in evidence.accepted):
        return Verdict(Rule.OWN_CACHE)
    return Verdict(None, "untrusted_file", against or "no database of this machine has its checksum")


def untrusted(names: Collection[str], databases: Collection[str] = (), cached: Collection[str] = ()) -> Refused:
    """The refusal of files that nothing vouches for that this machine trusts.

    `databases`: those that could not be fetched; `cached`: the packages of which the cache has another file than the
    target names.
    """
    several = len(names) > 1
    missing = f" The current database of {named(databases)} could not be fetched." if databases else ""
    missing += f" The cache's file of {named(cached)} has another checksum than the target says." if cached else ""
    put = "" if cached else "put the package file into pacman's cache, "
    return Refused(
        "untrusted_file",
        f"Nothing that this machine trusts vouches for the file{'s' if several else ''} of {named(names)}: "
        "the repository requires no signature, and no database or cache of this machine has "
        f"{'them' if several else 'it'}.{missing}",
        f"Name a mirror that has this version in pacman.conf, {put}have the repository signed and require it "
        "(SigLevel = Required), or set `trust_target_files = yes` in /etc/pacsync-agent.conf, section [agent]; whoever "
        "may set the target is root on this machine then.",
    )
