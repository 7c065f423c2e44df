"""Reads the tracker's JSON strictly: a list is taken as a whole or not at all. It must not know where it came from.

The format: https://security.archlinux.org/all.json, a list of objects. Only words that the tracker may add (a severity,
a status, a field) are no reason to refuse a list: an unknown severity is `unknown`, an unknown status affects.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.fleet.alpm import names

from .exceptions import ListRefused
from .severity import Severity, from_tracker

MAX_ENTRIES = 100_000
MAX_NAMES = 2000  # of packages, issues or announcements in one entry
MAX_TEXT = 255
NOT_AFFECTED = "Not affected"
_ADVISORY = re.compile(r"AVG-[0-9]{1,12}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One advisory, as the tracker has it."""

    name: str
    packages: tuple[str, ...]
    status: str
    severity: Severity
    kind: str
    affected: str
    fixed: str | None
    ticket: str
    issues: tuple[str, ...]
    announcements: tuple[str, ...]

    @property
    def can_affect(self) -> bool:
        return self.status != NOT_AFFECTED


def read(data: bytes) -> list[Entry]:
    """The entries by name. Raises ListRefused."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ListRefused("list_not_json", "The list is not JSON.") from None
    if not isinstance(found, list):
        raise ListRefused("list_invalid", "The JSON is not a list of advisories.")
    if not found:
        raise ListRefused("list_empty", "The list has no entries.")
    if len(found) > MAX_ENTRIES:
        raise ListRefused("list_too_large", f"The list has {len(found):,} entries; at most {MAX_ENTRIES:,} are read.")
    entries: dict[str, Entry] = {}
    for number, one in enumerate(found, 1):
        try:
            entry = _entry(one)
            if entry.name in entries:
                raise ValueError(f"{entry.name} is in the list twice")
        except ValueError as error:
            raise ListRefused("list_invalid", f"Entry {number} of the list is wrong: {error}.") from None
        entries[entry.name] = entry
    return [entries[name] for name in sorted(entries)]


def digest(entries: Sequence[Entry]) -> str:
    """The sha-256 (hex) over the entries."""
    text = json.dumps([asdict(entry) for entry in entries], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(found: Any) -> Entry:
    """Raises ValueError with a part of a sentence."""
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    name = _text(found, "name")
    if not _ADVISORY.fullmatch(name):
        raise ValueError("its name is not like AVG-123")
    packages = _names(found, "packages")
    if not packages:
        raise ValueError("it names no package")
    for package in packages:
        names.check_name(package)
    fixed = found["fixed"] if "fixed" in found else _missing("fixed")
    return Entry(
        name=name,
        packages=packages,
        status=_text(found, "status", longest=64),
        severity=from_tracker(_text(found, "severity")),
        kind=_text(found, "type", default=""),
        affected=_text(found, "affected", default=""),
        fixed=None if fixed is None else _version(_text(found, "fixed")),
        ticket=_text(found, "ticket", default=""),
        issues=_ids(found, "issues"),
        announcements=_ids(found, "advisories"),
    )


def _missing(key: str) -> str:
    raise ValueError(f"it has no {key!r}")


def _text(found: dict[str, Any], key: str, *, longest: int = MAX_TEXT, default: str | None = None) -> str:
    """The text of a field. `default` is for one that is missing or null."""
    value = found.get(key)
    if value is None and default is not None:
        return default
    if value is None:
        return _missing(key)
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ValueError(f"{key!r} is not a text of one line and at most {longest} characters")
    return value


def _version(text: str) -> str:
    if not text or " " in text:
        raise ValueError("'fixed' is not a version")
    return text


def _names(found: dict[str, Any], key: str) -> tuple[str, ...]:
    """The different texts of a list, sorted; none if there is no such list."""
    value = found.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_NAMES or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{key!r} is not a list of at most {MAX_NAMES:,} names")
    return tuple(sorted(set(value)))


def _ids(found: dict[str, Any], key: str) -> tuple[str, ...]:
    """Names that may stand in an address of the tracker."""
    values = _names(found, key)
    for one in values:
        if not _ID.fullmatch(one):
            raise ValueError(f"{key!r} has a name that is none: {one[:80]!r}")
    return values
