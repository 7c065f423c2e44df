"""Endpoints: list with derived status, get, assign, delete, tokens, history, difference."""

import uuid
from typing import Any

import pytest

from apps.fleet import pool_manager
from apps.fleet.models import Endpoint, Pool
from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(operator: Api, pool: Pool) -> dict[str, ApiMachine]:
    """good is the target; old is behind, new ahead, silent has never reported, single is in no pool."""
    machines = {name: ApiMachine(name, pool) for name in ("good", "old", "new", "silent")}
    machines["single"] = ApiMachine("single")
    machines["good"].report("linux 2-1")
    operator.post("/pools/lab/targets", {"endpoint": "good"}).ok(201)
    machines["old"].report("linux 1-1")
    machines["new"].report("linux 3-1")
    machines["single"].report("linux 1-1")
    return machines


def names(answer: Any) -> list[str]:
    return [item["name"] for item in answer.ok()["items"]]


def test_list_endpoints_has_derived_statuses(operator: Api, fleet: Any) -> None:
    found = {item["name"]: item["status"] for item in operator.get("/endpoints").ok()["items"]}
    assert found == {
        "good": "in_sync",
        "old": "behind",
        "new": "ahead",
        "silent": "offline",
        "single": "unknown",
    }


def test_list_endpoints_filters_by_pool_and_status(viewer: Api, fleet: Any) -> None:
    assert names(viewer.get("/endpoints?pool=lab")) == ["good", "new", "old", "silent"]
    assert names(viewer.get("/endpoints?status=behind")) == ["old"]
    assert names(viewer.get("/endpoints?pool=lab&status=unknown")) == []
    assert names(viewer.get("/endpoints?pool=none")) == []
    viewer.get("/endpoints?status=fine").refused(422, "invalid_request")


def test_list_endpoints_by_status_pages_on(viewer: Api, pool: Pool) -> None:
    for number in range(9):
        machine = ApiMachine(f"m{number}", pool)
        if number % 2:
            machine.report("linux 1-1")
    first = viewer.get("/endpoints?status=unknown&limit=2").ok()
    assert [item["name"] for item in first["items"]] == ["m1", "m3"]
    second = viewer.get(f"/endpoints?status=unknown&limit=2&cursor={first['next']}").ok()
    assert [item["name"] for item in second["items"]] == ["m5", "m7"]
    assert second["next"] is None


def test_list_endpoints_takes_the_same_statements_for_many(
    viewer: Api, fleet: Any, pool: Pool, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        ApiMachine(f"n{number}", pool).report(f"linux 0.{number}-1")
    with django_assert_max_num_queries(8):
        assert len(viewer.get("/endpoints").ok()["items"]) == 25


def test_get_endpoint_has_repositories_and_difference(viewer: Api, fleet: dict[str, ApiMachine]) -> None:
    body = viewer.get("/endpoints/old").ok()
    assert (body["status"], body["pool"], body["arch"], body["report_seq"]) == ("behind", "lab", "x86_64", 1)
    assert body["difference"]["upgrade"] == 1
    assert body["repositories"][0]["mirrors"] == ["https://mirror.example/core/os/x86_64"]
    assert "token_hash" not in body and body["token"] == "active"
    viewer.get("/endpoints/none").refused(404, "not_found")


def test_assign_endpoint_moves_it_and_out_again(operator: Api, machine: ApiMachine) -> None:
    pool_manager.create_pool(name="other", actor="test")
    assert operator.put("/endpoints/m1/pool", {"pool": "other"}).ok()["pool"] == "other"
    assert operator.put("/endpoints/m1/pool", {"pool": None}).ok()["pool"] is None
    operator.put("/endpoints/m1/pool", {"pool": "none"}).refused(404, "not_found")
    operator.put("/endpoints/m1/pool", {}).refused(422, "invalid_request")


def test_assign_endpoint_with_active_operation_409(operator: Api, fleet: Any) -> None:
    operator.post("/operations", {"kind": "sync", "endpoint": "old"}).ok(201)
    operator.put("/endpoints/old/pool", {"pool": None}).refused(409, "operation_active")
    assert Endpoint.objects.get(name="old").pool is not None


def test_delete_endpoint_204_and_its_token_is_worthless(operator: Api, machine: ApiMachine) -> None:
    operator.delete("/endpoints/m1").ok(204)
    machine.api.get("/me").refused(401, "token_invalid")
    operator.get("/endpoints/m1").refused(404, "not_found")


def test_rotate_token_old_one_is_worthless_new_one_works(operator: Api, machine: ApiMachine) -> None:
    operator.post("/endpoints/m1/token", {"name": "m1"}).refused(422, "invalid_request")
    body = operator.post("/endpoints/m1/token").ok()
    machine.api.get("/me").refused(401, "token_invalid")
    Api(body["token"]).get("/me").ok()


def test_revoke_token_locks_the_machine_out(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    before = machine.fresh().last_seen
    operator.delete("/endpoints/m1/token").ok(204)
    for _ in range(2):
        machine.api.post("/checkin", {"seq": 9, "state": "0" * 64}).refused(401, "token_invalid")
    assert machine.fresh().last_seen == before
    assert operator.get("/endpoints/m1").ok()["token"] == "revoked"


def test_history_newest_first(viewer: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    machine.report("linux 1-1")
    machine.report("linux 2-1")
    body = viewer.get("/endpoints/m1/history").ok()
    assert [(item["seq"], item["cause"]) for item in body["items"]] == [(3, "report"), (1, "report")]
    assert body["items"][0]["state"] == machine.state


def test_diff_of_endpoint_says_what_a_sync_would_do(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 2-1", "nano 1-1 dependency", "vim 9-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 1-1", "nano 1-1", "local 1-1", repository=("linux 1-1", "nano 1-1"), holds=["vim"])
    body = machine.api.get("/endpoints/m1/diff").ok()
    assert body["equal"] is False and body["from"] == machine.state
    assert body["counts"] == {"install": 0, "upgrade": 1, "downgrade": 0, "replace": 0, "remove": 0, "reason": 1}
    assert body["changes"][0] == {
        "name": "linux",
        "change": "upgrade",
        "from": {"version": "1-1", "arch": "x86_64", "reason": "explicit"},
        "to": {"version": "2-1", "arch": "x86_64", "reason": "explicit"},
    }
    assert body["kept"] == {"held": ["vim"], "foreign": ["local"], "excluded": [], "unmanaged": []}
    assert operator.get("/endpoints/m1/diff").ok() == body
    asked = machine.api.get("/endpoints/m1/diff?fetch=true").ok()
    fetch = asked.pop("fetch")
    assert body.pop("fetch") is None and asked == body
    machine.api.get("/endpoints/m1/diff?fetch=perhaps").refused(422, "invalid_request")
    made = operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).ok(201)
    assert (made["base_state"], made["target_state"]) == (body["from"], body["to"])
    claimed = {"lease_token": str(uuid.uuid4()), "state": machine.state}
    claim = machine.api.post(f"/operations/{made['id']}/claim", claimed).ok()
    assert [one["name"] for one in fetch] == ["linux"] and claim["fetch"] == fetch


def test_diff_of_another_endpoint_with_an_endpoints_token_403(machine: ApiMachine, pool: Pool) -> None:
    ApiMachine("m2", pool)
    machine.api.get("/endpoints/m2/diff").refused(403, "forbidden")
    machine.api.get("/endpoints/none/diff").refused(403, "forbidden")


def test_diff_without_target_409(viewer: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    viewer.get("/endpoints/m1/diff").refused(409, "no_target")
