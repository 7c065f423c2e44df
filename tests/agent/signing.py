"""A machine that trusts keys, an operator who signs revisions with real gpg, and claims as any server may make them.

It must not know what a test expects.
"""

import base64
import dataclasses
import itertools
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from apps.agent.pacsync_agent.context import Context
from apps.agent.pacsync_agent.journal import Journal
from apps.agent.pacsync_agent.operation import signed_operation
from apps.agent.pacsync_agent.operation.signed_operation import SignedOperation
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.pacman.execution import TransactionProcess
from apps.agent.pacsync_agent.planning import target_check
from apps.agent.pacsync_agent.server.client import Client
from apps.agent.pacsync_agent.settings import Credentials
from apps.agent.pacsync_agent.system.signals import Signals
from apps.agent.pacsync_agent.terminal.output import Output
from apps.agent.pacsync_agent.transaction.machine import Machine as AgentMachine
from apps.agent.pacsync_agent.transaction.machine_factory import machine_of
from apps.agent.pacsync_agent.trust import target_files
from apps.agent.pacsync_agent.trust.trusted_keys import TrustedKeys
from apps.fleet.alpm import revision_document, state
from apps.fleet.alpm.revision_document import RevisionDocument, SignedPackage
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.alpm.target_files import TargetFile
from tests.support.keys import LONG_AGO, Keys
from tests.support.pacman import Fleet

POOL, OTHER_POOL = "3f0c0000-0000-4000-8000-000000000001", "3f0c0000-0000-4000-8000-000000000002"
DAY = 86400
OPERATION = "00000000-0000-4000-8000-000000000007"
_numbers = itertools.count(1)


def installed(name: str, version: str, reason: str = "explicit") -> InstalledPackage:
    return InstalledPackage(name, version, "any", reason)


def signed(package: InstalledPackage, sha256: str | None = "a" * 64) -> SignedPackage:
    name, version, arch, _ = package
    filename = f"{name}-{version}-{arch}.pkg.tar.zst"
    return SignedPackage(package, TargetFile(name, version, arch, "core", filename, sha256, 1000))


BASE, TOOL, NEW_TOOL = installed("base", "1-1"), installed("tool", "1-1"), installed("tool", "2-1")
EXTRA, MINE, HELD = installed("extra", "1-1"), installed("mine", "1-1"), installed("held", "1-1")
HERE = (BASE, TOOL, EXTRA, MINE, HELD)
"""What the machine has: `extra` is in its repository and not in the target, `mine` is foreign, `held` is held."""
GOAL = (BASE, NEW_TOOL, MINE, HELD)
"""What an honest server makes of that with the revision."""


class Operator:
    """Keys of every kind, made by the real gpg."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keys = Keys(directory / "operator")
        self.good, self.other = self.keys.make("good"), self.keys.make("other")
        self.expired = self.keys.make("expired", expired=True)
        self.revoked = self.keys.make("revoked")
        self.with_subkey = self.keys.make("withsubkey")
        self.without = self.keys.export(self.with_subkey)
        """The public key from before its subkeys."""
        self.keys.gpg("--quick-add-key", self.with_subkey, "ed25519", "sign", "0", when=LONG_AGO)
        self.subkey = self._last_subkey()
        self.keys.gpg("--quick-add-key", self.with_subkey, "ed25519", "sign", "6m", when=LONG_AGO)
        self.expired_subkey = self._last_subkey()

    def _last_subkey(self) -> str:
        listed = self.keys.gpg("--list-keys", "--with-colons", self.with_subkey).decode().splitlines()
        return [line.split(":")[9] for line in listed if line.startswith("fpr:")][-1]

    def sign(self, text: bytes, key: str = "", *, when: str = "", options: tuple[str, ...] = ()) -> bytes:
        """The detached signature, binary."""
        path = self.directory / f"text-{next(_numbers)}"
        path.write_bytes(text)
        return self.keys.sign(path, key or self.good, when=when, options=options).read_bytes()


@dataclasses.dataclass
class World:
    """`machine` is real: with pacman's database, and a repository that has base, tool, extra and held."""

    operator: Operator
    fleet: Fleet
    config: Path
    now: int

    @classmethod
    def make(cls, directory: Path) -> "World":
        fleet = Fleet(directory)
        packages = [fleet.package(one.name, one.version) for one in (BASE, TOOL, EXTRA, HELD)]
        fleet.snapshot("2025/01/01", packages)
        machine = fleet.machine("m1", "2025/01/01", options="IgnorePkg = held")
        machine.install("base", "tool", "extra", "held")
        machine.install_file(fleet.package("mine", "1-1"))
        newer = [packages[0], fleet.package("tool", "2-1"), *packages[2:]]
        fleet.snapshot("2025/02/01", newer)
        machine.go_to("2025/02/01")
        return cls(Operator(directory), fleet, machine.config, int(time.time()))

    def document(self, **changes: Any) -> RevisionDocument:
        """Revision 7, made now."""
        made = RevisionDocument(
            POOL, "web", 7, self.now, self.now + DAY, (signed(BASE), signed(NEW_TOOL)), left=(("yay", "foreign"),)
        )
        return dataclasses.replace(made, **changes)


class TrustingMachine:
    """The machine of the world with a directory of its own, and keys that it trusts."""

    def __init__(self, world: World, directory: Path, *keys: str, public: bytes | None = None) -> None:
        self.world, self.state_dir = world, directory
        self.keys = TrustedKeys(directory)
        operator = world.operator
        trusted = keys or (operator.good,)
        self.keys.add({key: public or operator.keys.export(key) for key in trusted}, POOL)
        self.context = Context(
            conf=configuration.read(world.config, None, None),
            state_dir=directory,
            credentials=Credentials("http://127.0.0.1:9", "1", "m1", "token"),
            client=Client("http://127.0.0.1:9", "token"),
            output=Output(quiet=True),
            signals=Signals(),
            journal=Journal(directory / "journal.json"),
            transaction=TransactionProcess(directory),
            trust_target_files=True,
        )

    def follow(self, claim: dict[str, Any], *, kind: str = "sync", here: bool = False) -> "Followed":
        """What the agent does with a claim before it gathers anything. Raises AgentError."""
        self.context.journal.data = {"kind": kind, "here": here}
        goal = target_check.goal_of(claim)
        operation = signed_operation.of(self.context, claim)
        hints = operation.hints(target_files.hints_of(claim))
        machine = machine_of(self.context, hints, None, operation.checksums(hints))
        operation.check(self.context, machine, goal)
        operation.remember(self.context, machine.installed())
        return Followed(operation, hints, machine)

    def accepted(self) -> int | None:
        record = self.keys.record()
        found = record.accepted.get(POOL) if record else None
        return found.number if found else None


@dataclasses.dataclass
class Followed:
    operation: SignedOperation
    hints: list[dict[str, Any]]
    machine: AgentMachine


def claim(
    text: bytes | None,
    signature: bytes = b"",
    *,
    goal: Sequence[InstalledPackage] = GOAL,
    revision: Any = 7,
    files: Iterable[SignedPackage] = (signed(BASE), signed(NEW_TOOL)),
) -> dict[str, Any]:
    """A claim's answer, as a server may make it; `files` are those that it names."""
    known = {one.package: one.file for one in files}
    packages = []
    for package in goal:
        file = known.get(package)
        said = {key: getattr(file, key) if file else None for key in ("repository", "filename", "sha256", "size")}
        packages.append({**package._asdict(), **said})
    fetch = [
        {key: entry[key] for key in ("name", "version", "arch", "filename", "sha256", "size")} | {"urls": []}
        for entry in packages
        if entry["filename"]
    ]
    target: dict[str, Any] = {"packages": packages, "unmanaged": [], "revision": None, "signed": None}
    if text is not None:
        document, packet = (base64.b64encode(one).decode() for one in (text, signature))
        target["signed"] = {"document": document, "signature": packet}
    digest = state.digest_of(state.to_text(goal))
    operation = {"id": OPERATION, "kind": "sync", "target_state": digest, "revision": revision}
    return {"operation": operation, "target": target, "fetch": fetch}


def honest(world: World, document: RevisionDocument | None = None, **changes: Any) -> dict[str, Any]:
    """The claim of an honest server for a document that the good key signed."""
    made = document or world.document()
    text = revision_document.to_text(made)
    return claim(text, world.operator.sign(text), **{"revision": made.number, "files": made.packages, **changes})
