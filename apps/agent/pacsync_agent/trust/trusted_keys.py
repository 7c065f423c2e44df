"""The keys that this machine trusts to sign revisions, and what it has accepted from them, on its own disk.

Where there is a trusted key, signed_revision.py refuses what none of them signed. Only root of this machine writes
here: no server can add a key, or lower a number. It must not know servers or how a signature is verified.
"""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import names, state
from apps.fleet.alpm.revision_document import LARGEST, LATEST
from apps.fleet.alpm.state import InstalledPackage

from ..errors import Local
from ..system import files

FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_POOL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOST_STATES = 5  # package sets from before the last syncs, which a revert may bring back
_SUFFIX = ".pgp"


@dataclass(frozen=True)
class Accepted:
    """The newest accepted revision of a pool. `digest` is the SHA-256 of the signed text."""

    number: int
    created: int
    digest: str

    @property
    def order(self) -> tuple[int, int]:
        return self.number, self.created


@dataclass(frozen=True)
class Before:
    """A package set before a sync, as the text of a state, and the names that the sync left alone."""

    packages: str
    kept: frozenset[str]


@dataclass(frozen=True)
class Record:
    """`pool` is the identity of the only pool whose revisions count. `clock`: it is later than that (seconds).

    `managed` are the names in the accepted revisions, `before` the package sets before the last syncs.
    """

    pool: str
    clock: int = 0
    accepted: dict[str, Accepted] = field(default_factory=dict)
    managed: frozenset[str] = frozenset()
    before: tuple[Before, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "pool": self.pool,
            "clock": self.clock,
            "accepted": {
                pool: {"number": one.number, "created": one.created, "digest": one.digest}
                for pool, one in self.accepted.items()
            },
            "managed": sorted(self.managed),
            "before": [{"packages": one.packages, "kept": sorted(one.kept)} for one in self.before],
        }


class TrustedKeys:
    """The directory `trust` in the agent's own: keys/FINGERPRINT.pgp, and record.json."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / "trust"
        self.keys = self.directory / "keys"
        self.record_path = self.directory / "record.json"

    def fingerprints(self) -> list[str]:
        """The trusted keys, sorted; none where the machine trusts no key.

        Raises Local (`keyring_unsafe`, `keyring_unreadable`, `not_root`): then nobody knows, and nothing may count.
        """
        if not os.path.lexists(self.directory):
            return []
        try:
            for place in (self.directory, self.keys):
                _check_private(place, is_directory=True)
            paths = sorted(self.keys.iterdir())
            for path in paths:
                _check_private(path, is_directory=False)
        except PermissionError:
            raise Local("not_root", f"Only root may read {self.directory}.", "Run the command as root.") from None
        except OSError as error:
            raise _unreadable(f"{self.directory} can't be read: {error.strerror}") from None
        found = [path.name[: -len(_SUFFIX)] for path in paths if not path.name.startswith(".")]
        for path in paths:
            if path.name.startswith("."):  # the unfinished file of a run that was killed
                continue
            if path.suffix != _SUFFIX or not FINGERPRINT.fullmatch(path.name[: -len(_SUFFIX)]):
                raise _unreadable(f"{path} is not a key that `trust` wrote")
        return found

    def public(self, fingerprint: str) -> bytes:
        """A trusted key, as gpg exports it. Raises OSError."""
        return self.path(fingerprint).read_bytes()

    def path(self, fingerprint: str) -> Path:
        return self.keys / f"{fingerprint}{_SUFFIX}"

    def record(self) -> Optional[Record]:
        """What was accepted; None where no key was ever trusted. Raises Local (`trust_record_unreadable`)."""
        try:
            value = files.read_json(self.record_path)
            return None if value is None else _record(value)
        except PermissionError:
            raise Local("not_root", f"Only root may read {self.directory}.", "Run the command as root.") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise record_unreadable(self.record_path) from None

    def add(self, keys: dict[str, bytes], pool: str) -> None:
        """Trust these keys (by fingerprint) for this pool, durably. Raises OSError, Local.

        The record comes first: a key without one would accept nothing, and not everything.
        """
        for place in (self.directory, self.keys):
            place.mkdir(mode=0o700, exist_ok=True)
            files.sync_directory(place.parent)
        self.fingerprints()  # raises where the place isn't private
        old = self.record()
        self.write(dataclasses.replace(old, pool=pool) if old else Record(pool))
        for fingerprint, public in keys.items():
            files.write_atomically(self.path(fingerprint), public, 0o600)

    def remove(self, fingerprint: str) -> None:
        """Trust this key no longer. Raises OSError."""
        files.remove(self.path(fingerprint))

    def write(self, record: Record) -> None:
        """Replace the record, durably. Raises OSError."""
        files.write_json(self.record_path, record.as_json())

    def remember_before(self, packages: Sequence[InstalledPackage], kept: Iterable[str]) -> None:
        """Keep the package set before a sync: a revert may bring it back. Raises OSError, Local."""
        record = self.record()
        if record is None:
            raise record_unreadable(self.record_path)
        text = state.to_text(packages).decode()
        others = [one for one in record.before if one.packages != text]
        before = (*others, Before(text, frozenset(kept)))[-MOST_STATES:]
        self.write(dataclasses.replace(record, before=before))


def record_unreadable(path: Path) -> Local:
    return Local(
        "trust_record_unreadable",
        f"{path}, which has the last accepted revision, is missing or can't be understood.",
        "Put it back from a backup; or run `pacsync-agent trust --forget`, which accepts old revisions once more.",
    )


def _unreadable(why: str) -> Local:
    return Local(
        "keyring_unreadable",
        f"The trusted keys can't be read: {why}.",
        "Remove what doesn't belong there, or put the key back with `pacsync-agent trust FILE`.",
    )


def _check_private(path: Path, *, is_directory: bool) -> None:
    """Raise Local unless it is a directory (or a file) of root, or of whoever runs this, and private."""
    found = path.lstat()
    kind = stat.S_ISDIR if is_directory else stat.S_ISREG
    if not kind(found.st_mode):
        raise _unsafe(f"{path} is not a {'directory' if is_directory else 'file'}")
    if found.st_uid not in {0, os.geteuid()}:
        raise _unsafe(f"{path} belongs to somebody else than root")
    if found.st_mode & 0o077:
        raise _unsafe(f"others than root may use {path} (mode {stat.S_IMODE(found.st_mode):04o})")


def _unsafe(why: str) -> Local:
    return Local(
        "keyring_unsafe",
        f"The trusted keys can't be relied on: {why}.",
        "Check with `pacsync-agent trust --list` on a copy that they are yours; then `chmod -R go= DIR` and "
        "`chown -R root: DIR`, with the directory that is named here.",
    )


def _record(value: dict[str, Any]) -> Record:
    accepted = {pool: _accepted(one) for pool, one in value["accepted"].items()}
    pool = value["pool"]
    if not isinstance(pool, str) or not all(_POOL.fullmatch(one) for one in (pool, *accepted)):
        raise ValueError("a pool has no identity")
    before = tuple(Before(str(one["packages"]), frozenset(one["kept"])) for one in value["before"])
    for one in before:
        state.parse(one.packages.encode())
    for name in value["managed"]:
        names.check_name(name)
    return Record(pool, _whole(value["clock"], LATEST), accepted, frozenset(value["managed"]), before)


def _accepted(value: dict[str, Any]) -> Accepted:
    if not re.fullmatch(r"[0-9a-f]{64}", value["digest"]):
        raise ValueError("it has no digest")
    return Accepted(_whole(value["number"], LARGEST), _whole(value["created"], LATEST), value["digest"])


def _whole(value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError("a number is out of range")
    return value
