"""What is on an endpoint, and questions about one package in the whole fleet."""

from typing import Any

import pytest

from apps.fleet import package_questions
from apps.fleet.models import Pool
from apps.fleet.package_questions import Question
from tests.api.support import Api, ApiMachine
from tests.api.test_pagination import walk

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(pool: Pool) -> list[ApiMachine]:
    """m1 to m5 in the pool lab, with openssl 1-1 to 5-1; m6 in no pool, without it; m7 never reported."""
    machines = [ApiMachine(f"m{number}", pool) for number in range(1, 6)] + [
        ApiMachine("m6"),
        ApiMachine("m7"),
    ]
    for number, machine in enumerate(machines[:5], 1):
        machine.report(f"openssl {number}-1", "linux 1-1 dependency")
    machines[5].report("linux 1-1")
    return machines


def test_package_versions_by_pool(viewer: Api, fleet: list[ApiMachine]) -> None:
    body = viewer.get("/packages/openssl").ok()
    assert body["versions"][0] == {"version": "5-1", "endpoints": 1, "pools": {"lab": 1}, "unassigned": 0}
    assert [one["version"] for one in body["versions"]] == ["5-1", "4-1", "3-1", "2-1", "1-1"]
    assert {key: body[key] for key in ("name", "endpoints", "missing", "unreported")} == {
        "name": "openssl",
        "endpoints": 5,
        "missing": 1,
        "unreported": 1,
    }


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
def test_package_endpoints_pages_see_everyone_once(viewer: Api, fleet: list[ApiMachine], limit: int) -> None:
    found = walk_package(viewer, "/packages/openssl/endpoints?newer_than=1", limit)
    assert found == [{"name": f"m{number}", "pool": "lab", "version": f"{number}-1"} for number in range(2, 6)]


def walk_package(api: Api, path: str, limit: int) -> list[Any]:
    found, query = [], f"{path}&limit={limit}"
    while query:
        body = api.get(query).ok()
        found += body["items"]
        query = f"{path}&limit={limit}&cursor={body['next']}" if body["next"] else ""
    return found


@pytest.mark.parametrize(
    ("query", "question"),
    [
        ("older_than=3-1", Question(older_than="3-1")),
        ("newer_than=3", Question(newer_than="3")),
        ("version=3", Question(version="3")),
        ("missing=true", Question(missing=True)),
        ("missing=true&pool=lab", Question(missing=True, pool="lab")),
        ("pool=-", Question(pool="-")),
        ("", Question()),
    ],
)
def test_package_endpoints_each_parameter_is_the_fleets_word(
    viewer: Api, fleet: list[ApiMachine], query: str, question: Question
) -> None:
    items = viewer.get(f"/packages/openssl/endpoints?{query}").ok()["items"]
    assert items == [one._asdict() for one in package_questions.endpoints("openssl", question)]


@pytest.mark.parametrize(
    "query",
    ["missing=true&older_than=1", "older_than=", "version=a%20b", "missing=maybe", "pool=a/b", "newest=1", "limit=0"],
)
def test_package_endpoints_that_make_no_sense_422(viewer: Api, db: None, query: str) -> None:
    viewer.get(f"/packages/openssl/endpoints?{query}").refused(422, "invalid_request")


def test_package_cursor_of_another_list_422(viewer: Api, fleet: list[ApiMachine]) -> None:
    cursor = viewer.get("/endpoints?limit=1").ok()["next"]
    viewer.get(f"/packages/openssl/endpoints?cursor={cursor}").refused(422, "invalid_cursor")
    assert len(walk(viewer, "/endpoints", 3)) == 7


@pytest.mark.parametrize("path", ["/packages/-x", "/packages/a%20b", "/packages/%00/endpoints", "/packages/%C3%A9"])
def test_package_name_that_is_none_404(viewer: Api, db: None, path: str) -> None:
    viewer.get(path).refused(404, "not_found")


def test_endpoint_packages_with_repository_reason_and_what_is_kept(viewer: Api, machine: ApiMachine) -> None:
    machine.report(
        "linux 1-1", "openssl 3-1 dependency", "yay 9-1", repository=("linux 2-1", "openssl 3-1"), holds=["lin*"]
    )
    body = viewer.get("/endpoints/m1/packages").ok()
    assert (body["name"], body["state"], body["package_count"]) == ("m1", machine.state, 3)
    linux = {"name": "linux", "version": "1-1", "arch": "x86_64", "reason": "explicit"}
    assert body["packages"][0] == linux | {"repository": "core", "foreign": False, "held": True}
    assert [(one["repository"], one["foreign"]) for one in body["packages"]] == [
        ("core", False),
        ("core", False),
        (None, True),
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=ss", ["openssl"]),
        ("reason=dependency", ["openssl"]),
        ("foreign=true", ["yay"]),
        ("foreign=false&held=false", ["openssl"]),
        ("held=true", ["linux"]),
        ("repository=core", ["linux", "openssl"]),
        ("repository=-", ["yay"]),
        ("q=none", []),
    ],
)
def test_endpoint_packages_each_filter(viewer: Api, machine: ApiMachine, query: str, names: list[str]) -> None:
    machine.report(
        "linux 1-1", "openssl 3-1 dependency", "yay 9-1", repository=("linux 2-1", "openssl 3-1"), holds=["linux"]
    )
    body = viewer.get(f"/endpoints/m1/packages?{query}").ok()
    assert [one["name"] for one in body["packages"]] == names and body["package_count"] == 3


def test_endpoint_packages_foreign_is_not_what_the_target_has(
    viewer: Api, operator: Api, fleet: list[ApiMachine]
) -> None:
    """As the page of the endpoint and its difference have it."""
    fleet[0].report("linux 1-1", "tool 2-1", repository=("linux 1-1",))
    assert viewer.get("/endpoints/m1/packages?foreign=true").ok()["packages"][0]["name"] == "tool"
    fleet[1].report("linux 1-1", "tool 2-1")
    operator.post("/pools/lab/targets", {"endpoint": "m2"}).ok(201)
    assert viewer.get("/endpoints/m1/packages?foreign=true").ok()["packages"] == []
    assert viewer.get("/endpoints/m1").ok()["foreign"] == []


def test_endpoint_packages_before_the_first_report_409(viewer: Api, machine: ApiMachine) -> None:
    viewer.get("/endpoints/m1/packages").refused(409, "state_unknown")
    viewer.get("/endpoints/none/packages").refused(404, "not_found")


def test_history_says_what_changed_with_each_state(viewer: Api, machine: ApiMachine) -> None:
    for lines in (("app 1-1",), ("app 2-1", "new 1-1"), ("app 2-1",)):
        machine.report(*lines)
    last, middle, first = viewer.get("/endpoints/m1/history").ok()["items"]
    assert (first["before"], first["counts"], first["changes"]) == (None, None, None)
    assert (middle["before"], last["before"]) == (first["state"], middle["state"])
    assert (middle["counts"]["upgrade"], middle["counts"]["install"], last["counts"]["remove"]) == (1, 1, 1)
    (newest, *_) = viewer.get("/endpoints/m1/history?changes=true&limit=1").ok()["items"]
    assert [(one["name"], one["change"]) for one in newest["changes"]] == [("new", "remove")]


@pytest.mark.parametrize(
    ("since", "found"), [("2000-01-01", 1), ("2999-01-01T00:00:00Z", 0), ("2000-01-01T00:00:00%2B14:00", 1)]
)
def test_history_since(viewer: Api, machine: ApiMachine, since: str, found: int) -> None:
    machine.report("app 1-1")
    assert len(viewer.get(f"/endpoints/m1/history?since={since}").ok()["items"]) == found


@pytest.mark.parametrize("since", ["monday", "2026-02-30", "5", "0001-01-01T00:00:00%2B14:00", "", "2026-01-01T99:00"])
def test_history_since_that_is_no_day_422(viewer: Api, machine: ApiMachine, since: str) -> None:
    viewer.get(f"/endpoints/m1/history?since={since}").refused(422, "invalid_request")
