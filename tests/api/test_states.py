"""States, and the difference between any two of {endpoint, state, revision}."""

import pytest

from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db


def test_get_state_has_its_packages(viewer: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1", "nano 7-1 dependency")
    body = viewer.get(f"/states/{machine.state}").ok()
    assert (body["digest"], body["arch"], body["package_count"]) == (machine.state, "x86_64", 2)
    assert body["packages"][1] == {"name": "nano", "version": "7-1", "arch": "x86_64", "reason": "dependency"}
    viewer.get(f"/states/{'0' * 64}").refused(404, "not_found")


def test_diff_every_pair_of_kinds(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1", "old 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    first = machine.state
    machine.report("linux 2-1", "new 1-1")
    left = ("revision:lab/1", f"state:{first}")
    right = ("endpoint:m1", f"state:{machine.state}")
    for origin in left:
        for goal in right:
            body = operator.get(f"/diff?from={origin}&to={goal}").ok()
            assert (body["from"], body["to"], body["equal"]) == (first, machine.state, False)
            assert [(change["name"], change["change"]) for change in body["changes"]] == [
                ("linux", "upgrade"),
                ("new", "install"),
                ("old", "remove"),
            ]
            assert body["changes"][1]["from"] is None and body["changes"][2]["to"] is None
    same = operator.get("/diff?from=endpoint:m1&to=endpoint:m1").ok()
    assert same["equal"] is True and same["changes"] == []


@pytest.mark.parametrize(
    "reference",
    ["", "m1", "endpoint:", "pool:lab", "ENDPOINT:m1", ":", "state", "%00", "endpoint", "x" * 1001],
)
def test_diff_reference_that_is_none_422(viewer: Api, machine: ApiMachine, reference: str) -> None:
    machine.report("linux 1-1")
    viewer.get(f"/diff?from={reference}&to=endpoint:m1").refused(422, "invalid_request")


@pytest.mark.parametrize(
    "reference",
    [
        "endpoint:none",
        "endpoint:a/b",
        "endpoint:%00",
        "revision:lab/1",
        "revision:lab",
        "revision:none/1",
        "revision:lab/x",
        "revision:lab/99999999999",
        "revision:lab/%D9%A1",
        "state:abc",
        f"state:{'0' * 64}",
        f"state:{'0' * 64}%0a",
    ],
)
def test_diff_reference_that_is_unknown_404(viewer: Api, machine: ApiMachine, reference: str) -> None:
    machine.report("linux 1-1")
    viewer.get(f"/diff?from=endpoint:m1&to={reference}").refused(404, "not_found")


def test_diff_of_endpoint_that_never_reported_409(viewer: Api, machine: ApiMachine) -> None:
    viewer.get("/diff?from=endpoint:m1&to=endpoint:m1").refused(409, "state_unknown")


def test_diff_without_both_sides_422(viewer: Api) -> None:
    problem = viewer.get("/diff?from=endpoint:m1").refused(422, "invalid_request")
    assert problem["errors"] == [{"loc": ["query", "to"], "message": "Field required"}]
