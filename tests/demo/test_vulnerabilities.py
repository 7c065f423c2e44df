"""The demo's list of known vulnerabilities: it has something to show about the demo's fleet."""

from pathlib import Path
from typing import Any

import pytest

from apps.vulnerabilities import findings, selection
from apps.vulnerabilities.selection import Selection
from apps.vulnerabilities.severity import WORST_FIRST, Severity
from apps.vulnerabilities.tracker_format import read
from demo import database, packages, vulnerabilities
from demo.machines import Fleet


@pytest.mark.django_db
def test_list_concerns_machines_of_every_severity_and_not_all(tmp_path: Path, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = str(tmp_path / "all.json")
    database.fill(Fleet(endpoints=200))
    vulnerabilities.take(settings.SECURITY_TRACKER_URL)
    found = selection.summary()
    assert found.is_known
    assert all(found.endpoints[one.word] for one in (*WORST_FIRST, Severity.NONE)), found.endpoints
    able = {one.name for one in read(vulnerabilities.ADVISORIES.read_bytes()) if one.can_affect}
    assert {one.advisory.name for one in findings.in_fleet(Selection())} == able


def test_list_names_packages_of_the_demo() -> None:
    known = {one.name for one in packages.catalogue()}
    listed = read(vulnerabilities.ADVISORIES.read_bytes())
    assert {name for one in listed for name in one.packages} <= known
