"""Pools: create, list, get, change, delete, sync all, analyse."""

from typing import Any

import pytest

from apps.fleet.models import Operation, Pool
from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db


def test_create_pool_answers_it_with_defaults(operator: Api) -> None:
    body = operator.post("/pools", {"name": "lab", "description": "The lab"}).ok(201)
    assert body.pop("created").endswith("Z")
    assert body == {
        "name": "lab",
        "description": "The lab",
        "target": None,
        "target_state": None,
        "endpoints": 0,
        "auto_sync": False,
        "excluded_packages": [],
        "conflict_resolution": "manual",
        "endpoint_targets_need_approval": False,
        "alarms": [],
        "retention": 50,
    }
    assert operator.get("/pools/lab").ok()["description"] == "The lab"


def test_create_pool_name_that_exists_409(operator: Api, pool: Pool) -> None:
    operator.post("/pools", {"name": "lab"}).refused(409, "name_taken")


@pytest.mark.parametrize("name", ["a/b", "a\n", "lab\u00e9", "", "x" * 64, ".", "a\x00b"])
def test_create_pool_name_that_is_none_422(operator: Api, name: str) -> None:
    operator.post("/pools", {"name": name}).refused(422, "invalid_name")
    assert not Pool.objects.exists()


def test_change_pool_leaves_the_rest(operator: Api, pool: Pool) -> None:
    operator.patch("/pools/lab", {"excluded_packages": ["linux*"], "auto_sync": True}).ok()
    body = operator.patch("/pools/lab", {"name": "lab2", "retention": 7}).ok()
    assert (body["name"], body["retention"], body["auto_sync"]) == ("lab2", 7, True)
    assert body["excluded_packages"] == ["linux*"]
    operator.patch("/pools/lab", {"retention": 8}).refused(404, "not_found")


@pytest.mark.parametrize(
    "change",
    [
        {"retention": 0},
        {"retention": "7"},
        {"retention": 2**70},
        {"auto_sync": 1},
        {"auto_sync": None},
        {"excluded_packages": ["a b"]},
        {"excluded_packages": "linux"},
        {"excluded_packages": ["\x00"]},
        {"conflict_resolution": "coin"},
        {"description": "a\x00"},
        {"description": "x" * 501},
        {"description": "\u200b"},
        {"target": 3},
        {"created": "2020-01-01T00:00:00Z"},
        [],
        None,
        "lab",
    ],
)
def test_change_pool_that_makes_no_sense_422_and_nothing_changes(operator: Api, pool: Pool, change: Any) -> None:
    before = operator.get("/pools/lab").ok()
    problem = operator.patch("/pools/lab", change).refused(422, "invalid_request")
    assert problem["errors"]
    assert operator.get("/pools/lab").ok() == before


def test_delete_pool_empty_204_then_404(operator: Api, pool: Pool) -> None:
    assert operator.delete("/pools/lab").ok(204) is None
    operator.delete("/pools/lab").refused(404, "not_found")


def test_delete_pool_with_endpoints_409(operator: Api, machine: ApiMachine) -> None:
    operator.delete("/pools/lab").refused(409, "pool_not_empty")
    assert operator.get("/pools/lab").ok()["endpoints"] == 1


def test_list_pools_takes_the_same_statements_for_many(operator: Api, django_assert_num_queries: Any) -> None:
    for number in range(7):
        operator.post("/pools", {"name": f"p{number}"}).ok(201)
    with django_assert_num_queries(2):  # the token, the list
        assert len(operator.get("/pools").ok()["items"]) == 7


def test_sync_pool_queues_for_those_out_of_sync_and_explains_the_rest(operator: Api, pool: Pool) -> None:
    machines = [ApiMachine(name, pool) for name in ("a", "b", "c", "d")]
    machines[0].report("linux 2-1")
    operator.post("/pools/lab/targets", {"endpoint": "a"}).ok(201)
    machines[1].report("linux 1-1")
    machines[2].report("linux 1-1")
    operator.post("/operations", {"kind": "sync", "endpoint": "c"}).ok(201)
    body = operator.post("/pools/lab/sync", {}).ok()
    assert (body["queued"], body["in_sync"], body["next"]) == (1, 1, None)
    by_name = {item["endpoint"]: item for item in body["items"]}
    assert by_name.keys() == {"b", "c", "d"}
    assert str(Operation.objects.get(endpoint__name="b").id) == by_name["b"]["operation"]
    assert (by_name["c"]["operation"], by_name["c"]["code"]) == (None, "operation_active")
    assert (by_name["d"]["operation"], by_name["d"]["code"]) == (None, "state_unknown")
    assert operator.post("/pools/lab/sync", {}).ok()["queued"] == 0


def test_sync_pool_in_steps_sees_each_endpoint_once(operator: Api, pool: Pool) -> None:
    for name in ("a", "b", "c"):
        ApiMachine(name, pool).report("linux 1-1" if name == "a" else "linux 0-1")
    operator.post("/pools/lab/targets", {"endpoint": "a"}).ok(201)
    first = operator.post("/pools/lab/sync", {"limit": 2}).ok()
    assert (first["queued"], first["in_sync"], first["next"]) == (1, 1, "b")
    second = operator.post("/pools/lab/sync", {"limit": 2, "after": first["next"]}).ok()
    assert (second["queued"], second["in_sync"], second["next"]) == (1, 0, None)


def test_analysis_compares_repositories(operator: Api, pool: Pool, settings: Any) -> None:
    ApiMachine("a", pool).report("linux 2-1", "nano 1-1")
    ApiMachine("b", pool).report("linux 1-1", repository=("linux 1-1", "vim 9-1"))
    ApiMachine("c", pool)
    operator.post("/pools/lab/targets", {"endpoint": "a"}).ok(201)
    body = operator.get("/pools/lab/analysis").ok()
    assert body["common"] == ["linux"]
    assert body["conflicts"] == [{"name": "linux", "versions": {"1-1": ["b"], "2-1": ["a"]}}]
    assert body["unreported"] == ["c"]
    assert {"endpoint": "b", "exact": 0, "other": ["linux"], "missing": ["nano"]} in body["availability"]
    settings.ENABLE_REPOSITORY_ANALYSIS = False
    operator.get("/pools/lab/analysis").refused(409, "feature_disabled")
