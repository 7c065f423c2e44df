"""What signed revisions mean for one operation: what it may do, and whose checksums count for its files.

On a machine that trusts no key they mean nothing. It must not know signatures, or how an operation is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from apps.fleet.alpm import state
from apps.fleet.alpm.revision_document import RevisionDocument
from apps.fleet.alpm.state import InstalledPackage

from ..checkin import report
from ..checkin.repositories import database, lists
from ..context import Context
from ..databases.local_db import Installed
from ..journal import Journal
from ..packages import dependency
from ..planning import signed_goal
from ..transaction.machine import Machine
from ..transaction.machine_factory import Package
from ..trust import signed_revision
from ..trust.trusted_keys import Record, TrustedKeys, record_unreadable

_OF_FILE = ("repository", "filename", "sha256", "size")


class SignedOperation:
    """`record` is None on a machine that trusts no key, `document` also in a revert."""

    def __init__(self, document: Optional[RevisionDocument] = None, record: Optional[Record] = None) -> None:
        self.document = document
        self.record = record
        self._left: list[str] = []

    def hints(self, hints: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is known about the files: from the signed revision instead of the server, except for addresses."""
        if self.record is None:
            return hints
        files = {one.package[:3]: one.file for one in self.document.packages} if self.document else {}
        found = []
        for hint in hints:
            file = files.get((hint["name"], hint["version"], hint["arch"]))
            signed = {key: getattr(file, key) for key in _OF_FILE} if file else dict.fromkeys(_OF_FILE)
            found.append({**hint, **signed})
        return found

    def checksums(self, hints: Sequence[Mapping[str, Any]]) -> dict[Package, str]:
        """The signed SHA-256 of each package in `hints` that has one."""
        if self.document is None:
            return {}
        known = signed_revision.checksums(self.document)
        keys = [(hint["name"], hint["version"], hint["arch"]) for hint in hints]
        return {key: known[key] for key in keys if key in known}

    def check(self, context: Context, machine: Machine, goal: Sequence[InstalledPackage]) -> None:
        """Raise Refused unless the operation does exactly what was signed, or takes back what this machine recorded."""
        if self.record is None:
            return
        installed = machine.installed()
        base = [package.as_installed() for package in installed.values()]
        databases, held = machine.databases(), report.holds(context, installed)

        def is_own(name: str) -> bool:
            return databases.repository_of(name) is not None

        if self.document is None:
            before = [(state.parse(one.packages.encode()), one.kept) for one in self.record.before]
            signed_goal.check_back(goal, base, before, held=held, is_own=is_own)
            return
        replaced = _Replaced(context, installed)
        self._left = signed_goal.check(
            goal,
            base,
            self.document,
            held=held,
            is_own=is_own,
            is_replaced=replaced.has,
            managed=self.record.managed,
        )

    def remember(self, context: Context, base: Installed) -> None:
        """Before a sync: keep the package set, which a revert may bring back. Raises OSError, Local."""
        if self.document is not None:
            packages = [package.as_installed() for package in base.values()]
            TrustedKeys(context.state_dir).remember_before(packages, self._left)


class _Replaced:
    """The installed names that a package of a repository replaces; read when the first one is asked for."""

    def __init__(self, context: Context, installed: Installed) -> None:
        self._context = context
        self._installed = installed
        self._names: Optional[set[str]] = None

    def has(self, name: str) -> bool:
        if self._names is None:
            self._names = self._read()
        return name in self._names

    def _read(self) -> set[str]:
        found = set()
        for repository in self._context.conf.repositories:
            path = database(self._context, repository.name)
            for texts in (lists(path, "REPLACES") if path else {}).values():
                for word in map(dependency.parse, texts):
                    package = self._installed.get(word.name)
                    if package is not None and word.holds_for(package.version):
                        found.add(word.name)
        return found


def of(context: Context, claim: Mapping[str, Any]) -> SignedOperation:
    """What a claimed operation may do here. Raises Refused where this machine doesn't follow it, Local, OSError.

    Whether it is a sync or a revert, and who asked for it, is what the journal says, not the claim.
    """
    keys = TrustedKeys(context.state_dir)
    fingerprints = keys.fingerprints()
    if not fingerprints:
        return SignedOperation()
    if context.journal.data["kind"] == "revert":
        if not context.journal.data.get("here"):
            raise signed_goal.refuse_remote_revert()
        record = keys.record()
        if record is None:
            raise record_unreadable(keys.record_path)
        return SignedOperation(None, record)
    document, record = signed_revision.accept(keys, claim["target"].get("signed"), fingerprints=fingerprints)
    revision = claim["operation"].get("revision")
    if type(revision) is not int or revision != document.number:
        raise signed_goal.another_revision(document.number)
    signed_goal.check_files(claim["target"]["packages"], document)
    return SignedOperation(document, record)


def for_journal(signed: Mapping[Package, str]) -> list[str]:
    return [" ".join((*package, sha256)) for package, sha256 in signed.items()]


def of_journal(journal: Journal) -> dict[Package, str]:
    """The signed checksums of an operation that was begun; none in the journal of an older agent."""
    found: dict[Package, str] = {}
    for line in journal.data.get("signed", ()):
        name, version, arch, sha256 = line.split(" ")
        found[name, version, arch] = sha256
    return found
