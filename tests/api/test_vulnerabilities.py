"""Known vulnerabilities in the API: the list, its filters, and exports."""

import csv
import json
from io import StringIO
from typing import Any

import pytest

from apps.fleet import endpoint_manager
from apps.fleet.models import Endpoint
from apps.vulnerabilities import fetching
from apps.vulnerabilities.models import TrackerList
from tests import factories
from tests.api.support import Api
from tests.vulnerabilities.lists import COPY, URL, entry, store, store_and_compare

pytestmark = pytest.mark.django_db


def test_list_says_what_concerns_whom_worst_first(viewer: Api, vulnerable: None) -> None:
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
def test_filters_narrow_the_list(viewer: Api, vulnerable: None, query: str, names: list[str]) -> None:
    assert [one["name"] for one in viewer.get(f"/vulnerabilities?{query}").ok()["items"]] == names


@pytest.mark.parametrize("query", ["pool=nowhere", "endpoint=nobody"])
def test_misspelled_name_does_not_look_unaffected(viewer: Api, vulnerable: None, query: str) -> None:
    viewer.get(f"/vulnerabilities?{query}").refused(404, "not_found")


@pytest.mark.parametrize("query", ["severity=none", "severity=Bad", "worst=Bad", "pool=a/b", "endpoint=", "name=x"])
def test_filters_that_make_no_sense_422(viewer: Api, vulnerable: None, query: str) -> None:
    viewer.get(f"/vulnerabilities?{query}").refused(422, "invalid_request")


def test_affected_endpoints_are_a_list_by_pages(viewer: Api, vulnerable: None) -> None:
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
def test_worst_is_exactly_this_one(viewer: Api, vulnerable: None, worst: str, names: list[str]) -> None:
    found = viewer.get(f"/vulnerabilities/endpoints?worst={worst}").ok()["items"]
    assert [one["name"] for one in found] == names
    concerning = viewer.get(f"/vulnerabilities?worst={worst}").ok()["items"]
    assert ("AVG-2843" in [one["name"] for one in concerning]) == bool(names)


def test_worst_lists_those_that_nothing_concerns_and_of_which_nothing_is_known(viewer: Api, vulnerable: None) -> None:
    factories.reporting_endpoint("late", state=factories.state("xz 5.6.0-1"))

    def listed(worst: str) -> list[tuple[str, str, bool]]:
        found = viewer.get(f"/vulnerabilities/endpoints?worst={worst}").ok()["items"]
        assert viewer.get(f"/vulnerabilities?worst={worst}").ok()["items"] == []
        assert viewer.get("/vulnerabilities").ok()["endpoints"][worst] == len(found)
        return [(one["name"], one["severity"], one["advisories"] is None) for one in found]

    assert listed("none") == [("m3", "none", False)]
    assert listed("not_compared") == [("late", "not_compared", True)]
    assert listed("unreported") == [("m4", "unreported", True)]
    store(entry(1, "linux"))  # what was compared with the list before says nothing about this one
    assert [name for name, *_ in listed("not_compared")] == ["late", "m1", "m2", "m3"]
    assert listed("none") == []


@pytest.mark.parametrize("list_", ["vulnerabilities", "vulnerabilities/endpoints"])
@pytest.mark.parametrize("query", ["", "severity=high", "worst=high", "pool=lab", "pool=-"])
def test_export_json_lines_are_the_items_of_the_list(viewer: Api, vulnerable: None, list_: str, query: str) -> None:
    answer = viewer.client.get(f"/api/v1/exports/{list_}?format=jsonl&{query}", headers=viewer.headers)
    assert answer.status_code == 200
    found = [json.loads(line) for line in answer.content.decode().splitlines()]
    assert found == viewer.get(f"/{list_}?{query}").ok()["items"] and bool(found) == (query != "pool=-")


def test_export_csv_has_a_line_for_each(viewer: Api, vulnerable: None) -> None:
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


def test_export_of_endpoints_goes_on_in_the_next_file(viewer: Api, vulnerable: None) -> None:
    path, names = "/api/v1/exports/vulnerabilities/endpoints?format=jsonl&limit=1", []
    while path:
        answer = viewer.client.get(path, headers=viewer.headers)
        names += [json.loads(line)["name"] for line in answer.content.decode().splitlines()]
        path = answer.headers.get("Link", "")[1:].partition(">")[0]
    assert names == ["m1", "m2"]


def test_endpoint_says_how_badly_it_is_affected(viewer: Api, vulnerable: None) -> None:
    found = {name: viewer.get(f"/endpoints/{name}").ok()["vulnerabilities"] for name in ("m1", "m3", "m4")}
    assert [one["severity"] for one in found.values()] == ["critical", "none", "unreported"]
    assert found["m1"]["advisories"] == {"critical": 1, "high": 1, "medium": 0, "low": 1, "unknown": 0}
    assert found["m3"]["as_of"] and found["m4"]["advisories"] is None
    store(entry(1, "linux"))
    assert viewer.get("/endpoints/m3").ok()["vulnerabilities"]["severity"] == "not_compared"


def test_failure_is_told_with_the_list_that_stays(viewer: Api, vulnerable: None, settings: Any) -> None:
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
    viewer: Api, vulnerable: None, django_assert_max_num_queries: Any, endpoints: int
) -> None:
    for number in range(endpoints):
        factories.reporting_endpoint(state=factories.state(f"openssl 3.0.0-{number}", f"vim {number}-1"))
    store_and_compare(*json.loads(COPY.read_text()), entry(5, "vim"))
    for path in ("/vulnerabilities", "/vulnerabilities/endpoints", "/vulnerabilities?pool=lab&severity=low"):
        with django_assert_max_num_queries(11):
            viewer.get(path).ok()


def test_deleted_endpoint_is_in_no_number(viewer: Api, vulnerable: None) -> None:
    endpoint_manager.delete_endpoint(endpoint=Endpoint.objects.get(name="m1"), actor="test")
    assert viewer.get("/vulnerabilities").ok()["endpoints"]["critical"] == 0
