"""Known vulnerabilities in the API, and the command that says the same."""

import csv
import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint
from apps.lifecycle.management.output import ExitCode
from apps.vulnerabilities import fetching, tracker_list
from apps.vulnerabilities.models import TrackerList
from tests import factories
from tests.api.support import Api
from tests.support.server import manage
from tests.vulnerabilities.lists import COPY, URL, encoded, entry, store, store_and_compare

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(db: None, settings: Any) -> None:
    """m1 and m2 in the pool lab, m3 in none, m4 hasn't reported; m1 is worst, m3 isn't affected."""
    settings.SECURITY_TRACKER_URL = URL
    lab = factories.pool("lab")
    factories.reporting_endpoint("m1", pool=lab, state=factories.state("openssl 3.0.1-1", "xz 5.6.0-1"))
    factories.reporting_endpoint("m2", pool=lab, state=factories.state("lib32-openssl 3.0.0-1"))
    factories.reporting_endpoint("m3", state=factories.state("linux 6-1"))
    factories.endpoint("m4")
    store_and_compare(*json.loads(COPY.read_text()))


def test_list_says_what_concerns_whom_worst_first(viewer: Api, fleet: None) -> None:
    body = viewer.get("/vulnerabilities").ok()
    assert {word: number for word, number in body["endpoints"].items() if number} == {
        "critical": 1,
        "high": 1,
        "none": 1,
        "unreported": 1,
    }
    assert [(one["name"], one["severity"], one["endpoints"]) for one in body["items"]] == [
        ("AVG-2823", "critical", 1),
        ("AVG-2843", "high", 2),
        ("AVG-2749", "low", 1),
    ]
    assert body["items"][1] == {
        "name": "AVG-2843",
        "severity": "high",
        "status": "Fixed",
        "type": "denial of service",
        "fixed": "3.0.2-1",
        "issues": ["CVE-2022-0778"],
        "url": "https://security.archlinux.org/AVG-2843",
        "packages": [
            {"name": "lib32-openssl", "versions": ["3.0.0-1"]},
            {"name": "openssl", "versions": ["3.0.1-1"]},
        ],
        "endpoints": 2,
    }
    assert body["list"]["advisories"] == 8 and body["list"]["source"] == URL and body["list"]["failure"] is None
    assert 0 <= body["list"]["age_seconds"] < 600 and body["list"]["as_of"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("severity=critical", ["AVG-2823"]),
        ("severity=medium", ["AVG-2823", "AVG-2843"]),
        ("endpoint=m2", ["AVG-2843"]),
        ("endpoint=m3", []),
        ("pool=lab", ["AVG-2823", "AVG-2843", "AVG-2749"]),
        ("pool=-", []),
        ("pool=lab&endpoint=m2&severity=high", ["AVG-2843"]),
    ],
)
def test_filters_narrow_the_list(viewer: Api, fleet: None, query: str, names: list[str]) -> None:
    assert [one["name"] for one in viewer.get(f"/vulnerabilities?{query}").ok()["items"]] == names


@pytest.mark.parametrize("query", ["pool=nowhere", "endpoint=nobody"])
def test_misspelled_name_does_not_look_unaffected(viewer: Api, fleet: None, query: str) -> None:
    viewer.get(f"/vulnerabilities?{query}").refused(404, "not_found")


@pytest.mark.parametrize("query", ["severity=none", "severity=Bad", "worst=none", "pool=a/b", "endpoint=", "name=x"])
def test_filters_that_make_no_sense_422(viewer: Api, fleet: None, query: str) -> None:
    viewer.get(f"/vulnerabilities?{query}").refused(422, "invalid_request")


def test_affected_endpoints_are_a_list_by_pages(viewer: Api, fleet: None) -> None:
    first = viewer.get("/vulnerabilities/endpoints?limit=1").ok()
    assert first["items"] == [
        {
            "name": "m1",
            "pool": "lab",
            "severity": "critical",
            "advisories": {"critical": 1, "high": 1, "medium": 0, "low": 1, "unknown": 0},
        }
    ]
    second = viewer.get(f"/vulnerabilities/endpoints?limit=1&cursor={first['next']}").ok()
    assert [one["name"] for one in second["items"]] == ["m2"] and second["next"] is None
    only = viewer.get("/vulnerabilities/endpoints?severity=critical").ok()["items"]
    assert [one["name"] for one in only] == ["m1"]
    assert viewer.get("/vulnerabilities/endpoints?pool=-").ok()["items"] == []


@pytest.mark.parametrize(("worst", "names"), [("critical", ["m1"]), ("high", ["m2"]), ("low", [])])
def test_worst_is_exactly_this_one(viewer: Api, fleet: None, worst: str, names: list[str]) -> None:
    found = viewer.get(f"/vulnerabilities/endpoints?worst={worst}").ok()["items"]
    assert [one["name"] for one in found] == names
    concerning = viewer.get(f"/vulnerabilities?worst={worst}").ok()["items"]
    assert ("AVG-2843" in [one["name"] for one in concerning]) == bool(names)


@pytest.mark.parametrize("list_", ["vulnerabilities", "vulnerabilities/endpoints"])
@pytest.mark.parametrize("query", ["", "severity=high", "worst=high", "pool=lab", "pool=-"])
def test_export_json_lines_are_the_items_of_the_list(viewer: Api, fleet: None, list_: str, query: str) -> None:
    answer = viewer.client.get(f"/api/v1/exports/{list_}?format=jsonl&{query}", headers=viewer.headers)
    assert answer.status_code == 200
    found = [json.loads(line) for line in answer.content.decode().splitlines()]
    assert found == viewer.get(f"/{list_}?{query}").ok()["items"] and bool(found) == (query != "pool=-")


def test_export_csv_has_a_line_for_each(viewer: Api, fleet: None) -> None:
    def rows(list_: str) -> list[dict[str, str]]:
        answer = viewer.client.get(f"/api/v1/exports/{list_}", headers=viewer.headers)
        return list(csv.DictReader(StringIO(answer.content.decode())))

    assert [(one["name"], one["severity"], one["advisories.low"]) for one in rows("vulnerabilities/endpoints")] == [
        ("m1", "critical", "1"),
        ("m2", "high", "0"),
    ]
    worst, *_ = rows("vulnerabilities")
    assert (worst["name"], worst["fixed"], worst["endpoints"]) == ("AVG-2823", "5.6.1-2", "1")
    assert json.loads(worst["packages"]) == [{"name": "xz", "versions": ["5.6.0-1"]}]


def test_export_of_endpoints_goes_on_in_the_next_file(viewer: Api, fleet: None) -> None:
    path, names = "/api/v1/exports/vulnerabilities/endpoints?format=jsonl&limit=1", []
    while path:
        answer = viewer.client.get(path, headers=viewer.headers)
        names += [json.loads(line)["name"] for line in answer.content.decode().splitlines()]
        path = answer.headers.get("Link", "")[1:].partition(">")[0]
    assert names == ["m1", "m2"]


def test_endpoint_says_how_badly_it_is_affected(viewer: Api, fleet: None) -> None:
    found = {name: viewer.get(f"/endpoints/{name}").ok()["vulnerabilities"] for name in ("m1", "m3", "m4")}
    assert [one["severity"] for one in found.values()] == ["critical", "none", "unreported"]
    assert found["m1"]["advisories"] == {"critical": 1, "high": 1, "medium": 0, "low": 1, "unknown": 0}
    assert found["m3"]["as_of"] and found["m4"]["advisories"] is None
    store(entry(1, "linux"))
    assert viewer.get("/endpoints/m3").ok()["vulnerabilities"]["severity"] == "not_compared"


def test_failure_is_told_with_the_list_that_stays(viewer: Api, fleet: None, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = "/nowhere/all.json"
    TrackerList.objects.update(attempted=None)
    fetching.fetch_if_due()
    body = viewer.get("/vulnerabilities").ok()
    assert body["list"]["failure"]["code"] == "list_unreachable" and "/nowhere" in body["list"]["failure"]["detail"]
    assert body["list"]["advisories"] == 8 and len(body["items"]) == 3


@pytest.mark.parametrize(
    "path",
    [f"{before}/vulnerabilities{rest}" for before in ("", "/exports") for rest in ("", "/endpoints")],
)
def test_off_is_a_409(viewer: Api, db: None, path: str) -> None:
    assert "SECURITY_TRACKER_URL" in viewer.get(path).refused(409, "feature_disabled")["detail"]


def test_off_endpoint_says_nothing(viewer: Api, db: None) -> None:
    factories.reporting_endpoint("m1", state=factories.state("openssl 1-1"))
    assert viewer.get("/endpoints/m1").ok()["vulnerabilities"] is None


@pytest.mark.parametrize("path", ["/vulnerabilities", "/vulnerabilities/endpoints"])
def test_needs_a_token(db: None, path: str) -> None:
    Api().get(path).refused(401, "token_invalid")


@pytest.mark.parametrize("endpoints", [3, 30])
def test_statements_do_not_depend_on_the_fleet(
    viewer: Api, fleet: None, django_assert_max_num_queries: Any, endpoints: int
) -> None:
    for number in range(endpoints):
        factories.reporting_endpoint(state=factories.state(f"openssl 3.0.0-{number}", f"vim {number}-1"))
    store_and_compare(*json.loads(COPY.read_text()), entry(5, "vim"))
    for path in ("/vulnerabilities", "/vulnerabilities/endpoints", "/vulnerabilities?pool=lab&severity=low"):
        with django_assert_max_num_queries(11):
            viewer.get(path).ok()


def run(*arguments: str) -> tuple[int, str]:
    """The exit code of the command, and what it prints."""
    out = StringIO()
    try:
        call_command("vulnerabilities", *arguments, stdout=out, stderr=StringIO())
    except ExitCode as left:
        return int(str(left.code)), out.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue()


@pytest.mark.usefixtures("kept_connection")
def test_command_shows_machines_by_severity_and_advisories(fleet: None) -> None:
    code, text = run()
    lines = text.splitlines()
    assert code == 1
    assert lines[0].startswith("The list is of ") and lines[0].endswith(f": 8 advisories, from {URL}.")
    assert lines[1] == "4 endpoints by the worst severity: 1 critical, 1 high, 1 none, 1 unreported."
    assert lines[2:5] == ["critical: m1", "high: m2", ""]
    assert lines[6].split() == ["AVG-2823", "critical", "1", "5.6.1-2", "xz", "5.6.0-1", "CVE-2024-3094"]
    assert len(lines) == 9


@pytest.mark.usefixtures("kept_connection")
def test_command_json_is_what_the_api_says(viewer: Api, fleet: None) -> None:
    code, text = run("--json", "--pool", "lab", "--severity", "high")
    document = json.loads(text)
    affected = document.pop("affected")
    body = viewer.get("/vulnerabilities?pool=lab&severity=high").ok()
    assert code == 1 and {**document, "list": None} == {**body, "list": None}
    assert affected == viewer.get("/vulnerabilities/endpoints?severity=high").ok()["items"]
    assert json.loads(run("--format", "json", "--endpoint", "m3")[1])["items"] == []


@pytest.mark.usefixtures("kept_connection")
def test_command_names_at_most_ten(fleet: None) -> None:
    for number in range(15):
        factories.reporting_endpoint(f"n{number:02}", state=factories.state("xz 1-1", f"p{number} 1-1"))
    store_and_compare(*(entry(number, f"p{number}") for number in range(15)))
    text = run()[1]
    assert "high: n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 5 more\n" in text
    assert text.endswith("and 5 more advisories (--json has all)\n")


@pytest.mark.usefixtures("kept_connection")
def test_command_exit_codes_tell_none_from_unknown(fleet: None) -> None:
    assert run("--endpoint", "m3")[0] == 0
    assert run("--severity", "critical", "--endpoint", "m2")[0] == 0
    store(entry(1, "nothing"))
    code, text = run()
    assert code == 2 and "3 not compared" in text and "No advisory concerns" in text


@pytest.mark.usefixtures("kept_connection")
def test_command_off_says_how_to_turn_it_on(db: None) -> None:
    code, text = run()
    assert code == 3 and "SECURITY_TRACKER_URL" in text and "security.archlinux.org/all.json" in text


def test_command_exit_codes_of_a_process(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/empty.sqlite3"
    done = manage(database, "vulnerabilities")
    assert done.returncode == 3 and "SECURITY_TRACKER_URL" in done.stderr and "Traceback" not in done.stderr
    done = manage(database, "vulnerabilities", SECURITY_TRACKER_URL=URL)
    assert done.returncode == 2 and "manage.py migrate" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.usefixtures("kept_connection")
def test_command_takes_a_file_and_compares_at_once(fleet: None, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(encoded(*(entry(number, "linux", severity="Medium") for number in range(1, 9))))
    os.utime(path, (0, 0))
    code, text = run("--file", str(path))
    assert code == 1 and "medium: m3" in text and "years" in text.splitlines()[0]


@pytest.mark.usefixtures("kept_connection")
def test_command_refuses_a_shrunk_list_unless_forced(fleet: None, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(encoded(entry(1, "linux")))
    code, text = run("--file", str(path))
    assert code != 0 and "(list_shrunk) The list of before stays. If that is right, use --force." in text
    assert tracker_list.current().advisory_count == 8
    assert run("--file", str(path), "--force")[0] == 1 and tracker_list.current().advisory_count == 1


@pytest.mark.usefixtures("kept_connection")
def test_command_fetches_from_the_source(fleet: None, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = str(COPY)
    assert run("--fetch")[0] == 1 and tracker_list.current().source == str(COPY)


def test_deleted_endpoint_is_in_no_number(viewer: Api, fleet: None) -> None:
    endpoint_manager.delete_endpoint(endpoint=Endpoint.objects.get(name="m1"), actor="test")
    assert viewer.get("/vulnerabilities").ok()["endpoints"]["critical"] == 0
