"""Reading the tracker's JSON: what is taken, and what refuses the whole list."""

import json
from typing import Any

import pytest

from apps.vulnerabilities import tracker_format
from apps.vulnerabilities.exceptions import CODES, ListRefused
from apps.vulnerabilities.severity import Severity
from tests.vulnerabilities.lists import COPY, encoded, entry


def refused(data: bytes) -> ListRefused:
    with pytest.raises(ListRefused) as caught:
        tracker_format.read(data)
    return caught.value


def test_copy_of_the_trackers_list_is_read() -> None:
    entries = {one.name: one for one in tracker_format.read(COPY.read_bytes())}
    assert len(entries) == 8
    openssl = entries["AVG-2843"]
    assert openssl.packages == ("lib32-openssl", "openssl") and openssl.fixed == "3.0.2-1"
    assert (openssl.severity, openssl.issues, openssl.announcements) == (
        Severity.HIGH,
        ("CVE-2022-0778",),
        ("ASA-202203-1",),
    )
    assert entries["AVG-2749"].fixed is None and entries["AVG-2749"].ticket == "73205"
    assert [name for name, one in entries.items() if not one.can_affect] == ["AVG-2640"]


def test_copy_has_every_status_and_severity() -> None:
    entries = json.loads(COPY.read_text())
    assert {one["status"] for one in entries} == {"Vulnerable", "Fixed", "Testing", "Not affected", "Unknown"}
    assert {one["severity"] for one in entries} == {"Critical", "High", "Medium", "Low", "Unknown"}


def test_severity_and_status_that_are_new_lose_nothing() -> None:
    (one,) = tracker_format.read(encoded(entry(1, "a", severity="Apocalyptic", status="Pondering", later=[1])))
    assert (one.severity, one.status, one.can_affect) == (Severity.UNKNOWN, "Pondering", True)


def test_fields_that_decide_nothing_may_be_missing() -> None:
    short = {key: value for key, value in entry(1, "a").items() if key in ("name", "packages", "status", "severity")}
    (one,) = tracker_format.read(encoded(short | {"fixed": "2-1"}))
    assert (one.kind, one.affected, one.ticket, one.issues) == ("", "", "", ())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "list_not_json"),
        (b"<html>Bad gateway</html>", "list_not_json"),
        (b"\xff\xfe\x00", "list_not_json"),
        (b"[" * 200_000, "list_not_json"),
        (encoded(entry(1, "a"))[:-5], "list_not_json"),
        (b"{}", "list_invalid"),
        (b"null", "list_invalid"),
        (b"[1]", "list_invalid"),
        (b"[]", "list_empty"),
        (b"[" + b"{}," * tracker_format.MAX_ENTRIES + b"{}]", "list_too_large"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, code: str) -> None:
    refusal = refused(data)
    assert refusal.code == code and str(refusal).endswith(".")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "CVE-1"},
        {"name": None},
        {"name": 5},
        {"name": "AVG-1/../../x"},
        {"packages": []},
        {"packages": "a"},
        {"packages": ["a b"]},
        {"packages": [1]},
        {"packages": ["a"] * (tracker_format.MAX_NAMES + 1)},
        {"status": None},
        {"severity": 3},
        {"severity": None},
        {"fixed": 3},
        {"fixed": ""},
        {"fixed": "1 2"},
        {"fixed": "1\x002"},
        {"type": ["x"]},
        {"affected": "x" * 300},
        {"issues": ["CVE-1", "javascript:alert(1)"]},
        {"advisories": {"ASA": 1}},
    ],
)
def test_one_wrong_entry_refuses_the_list(wrong: dict[str, Any]) -> None:
    refusal = refused(encoded(entry(1, "a"), entry(2, "b") | wrong))
    assert refusal.code == "list_invalid" and "Entry 2 " in str(refusal)


@pytest.mark.parametrize("key", ["name", "packages", "status", "severity", "fixed"])
def test_entry_without_what_decides_refuses_the_list(key: str) -> None:
    found = entry(1, "a", fixed="2-1")
    del found[key]
    assert refused(json.dumps([found]).encode()).code == "list_invalid"


def test_name_twice_refuses_the_list() -> None:
    assert "AVG-1 is in the list twice" in str(refused(encoded(entry(1, "a"), entry(1, "b"))))


def test_digest_depends_on_the_entries_and_not_on_their_order_or_layout() -> None:
    one, two = entry(1, "a"), entry(2, "b", fixed="2-1")
    first = tracker_format.digest(tracker_format.read(encoded(one, two)))
    assert tracker_format.digest(tracker_format.read(json.dumps([two, one], indent=2).encode())) == first
    assert tracker_format.digest(tracker_format.read(encoded(one, two | {"fixed": "3-1"}))) != first


def test_refusal_with_an_unknown_code_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        ListRefused("nonsense", "x")
    assert all(code.startswith("list_") for code in CODES)
