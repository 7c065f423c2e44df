"""Lists of the tracker as tests need them: the cached copy, single entries, and storing them."""

import json
from pathlib import Path
from typing import Any

from apps.vulnerabilities import comparison, tracker_format, tracker_list

COPY = Path(__file__).with_name("all.json")
"""Entries as the tracker has them: each status and severity, several packages, a second entry for a package."""
GOOD = COPY.read_bytes()
URL = "https://tracker.example/all.json"


def entry(
    number: int, *packages: str, fixed: str | None = None, severity: str = "High", status: str = "", **fields: Any
) -> dict[str, Any]:
    """An entry about these packages."""
    found = {
        "name": f"AVG-{number}",
        "packages": list(packages),
        "status": status or ("Fixed" if fixed else "Vulnerable"),
        "severity": severity,
        "type": "arbitrary code execution",
        "affected": "0.1-1",
        "fixed": fixed,
        "ticket": None,
        "issues": [f"CVE-2022-{number:04}"],
        "advisories": [],
    }
    return found | fields


def encoded(*entries: dict[str, Any]) -> bytes:
    return json.dumps(entries).encode()


OTHER = encoded(*(entry(number, "app") for number in range(1, 9)))
"""A list with as many entries as the copy."""


def store(*entries: dict[str, Any], source: str = URL) -> None:
    """Make these entries the current list; no state is compared with it yet."""
    data = encoded(*entries)
    tracker_list.replace(tracker_format.read(data), source=source, size=len(data), may_shrink=True)


def store_and_compare(*entries: dict[str, Any]) -> None:
    store(*entries)
    assert comparison.compare_all(60)
