"""What a machine could vouch for before: kept, bounded, and of no harm when it can't be read."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.trust import accepted_checksums
from apps.agent.pacsync_agent.trust.accepted_checksums import Accepted

A, B = "a" * 64, "b" * 64


def test_accepted_checksums_are_those_of_exactly_this_package(tmp_path: Path) -> None:
    Accepted(tmp_path).add([("tool", "1-1", "any", A), ("tool", "1-1", "any", B), ("tool", "1-11", "any", B)])
    found = Accepted(tmp_path)
    assert found.of("tool", "1-1", "any") == {A, B}
    assert found.of("tool", "1-11", "any") == {B}
    assert found.of("tool", "1-1", "x86_64") == found.of("to", "1-1", "any") == frozenset()
    assert (tmp_path / accepted_checksums.NAME).stat().st_mode & 0o077 == 0


def test_accepted_checksums_longest_unused_are_forgotten_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted_checksums, "MOST", 3)
    record = Accepted(tmp_path)
    record.add((f"p{number}", "1-1", "any", A) for number in range(3))
    record.add([("p0", "1-1", "any", A), ("p3", "1-1", "any", A)])
    found = Accepted(tmp_path)
    assert [bool(found.of(f"p{number}", "1-1", "any")) for number in range(4)] == [True, False, True, True]


def test_accepted_nothing_new_writes_nothing(tmp_path: Path) -> None:
    Accepted(tmp_path).add([("tool", "1-1", "any", A)])
    before = (tmp_path / accepted_checksums.NAME).stat().st_ino
    Accepted(tmp_path).add([("tool", "1-1", "any", A)])
    Accepted(tmp_path).add([])
    assert (tmp_path / accepted_checksums.NAME).stat().st_ino == before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 1}', '{"files": [1, "x", null, "a b c d e"]}'])
def test_accepted_record_that_makes_no_sense_vouches_for_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / accepted_checksums.NAME).write_text(text)
    assert Accepted(tmp_path).of("a", "b", "c") == frozenset()
    Accepted(tmp_path).add([("tool", "1-1", "any", A)])
    assert Accepted(tmp_path).of("tool", "1-1", "any") == {A}
