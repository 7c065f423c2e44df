"""Operations: asked for, shown, listed, cancelled, run again; and keys."""

from typing import Any
from uuid import uuid4

import pytest

from apps.fleet.models import Operation, Pool
from tests.api.support import Api, ApiMachine, claim, queue

pytestmark = pytest.mark.django_db


def test_create_operation_by_the_endpoint_is_for_itself(behind: ApiMachine) -> None:
    body = behind.api.post("/operations", {"kind": "sync"}).ok(201)
    assert (body["endpoint"], body["kind"], body["status"], body["author"]) == ("m1", "sync", "queued", "endpoint:m1")
    assert (body["pool"], body["revision"], body["attempt"], body["result"]) == ("lab", 1, 0, None)
    assert body["plan"] == {"install": 1, "upgrade": 1, "downgrade": 0, "replace": 0, "remove": 0, "reason": 0}
    assert (body["base_state"], body["target_state"]) == (behind.state, behind.goal)  # type: ignore[attr-defined]
    assert behind.api.get(f"/operations/{body['id']}").ok() == body


def test_create_operation_by_an_endpoint_for_another_403(behind: ApiMachine, pool: Pool) -> None:
    ApiMachine("m2", pool)
    behind.api.post("/operations", {"kind": "sync", "endpoint": "m2"}).refused(403, "forbidden")
    behind.api.post("/operations", {"kind": "sync", "endpoint": "none"}).refused(403, "forbidden")
    assert not Operation.objects.exists()


def test_create_operation_by_an_operator_needs_the_endpoint(operator: Api, behind: ApiMachine) -> None:
    problem = operator.post("/operations", {"kind": "sync"}).refused(422, "invalid_request")
    assert problem["errors"] == [{"loc": ["body", "endpoint"], "message": "Field required"}]
    operator.post("/operations", {"kind": "sync", "endpoint": "none"}).refused(404, "not_found")
    operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).ok(201)


def test_create_operation_same_key_gets_the_same_operation(operator: Api, behind: ApiMachine, pool: Pool) -> None:
    request = {"kind": "sync", "endpoint": "m1", "idempotency_key": "k1"}
    first = operator.post("/operations", request).ok(201)
    assert operator.post("/operations", request).ok(200) == first
    ApiMachine("m2", pool).report("linux 1-1")
    operator.post("/operations", request | {"endpoint": "m2"}).refused(409, "idempotency_key_reused")
    assert Operation.objects.count() == 1


def test_create_operation_why_not_has_a_code_each(operator: Api, pool: Pool) -> None:
    def refused(name: str, code: str, kind: str = "sync") -> None:
        operator.post("/operations", {"kind": kind, "endpoint": name}).refused(409, code)

    ApiMachine("alone")
    refused("alone", "no_pool")
    machine = ApiMachine("m1", pool)
    refused("m1", "no_target")
    refused("m1", "state_unknown", "revert")
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    refused("m1", "already_in_sync")
    refused("m1", "nothing_to_revert", "revert")
    machine.report("linux 0-1")
    operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).ok(201)
    refused("m1", "operation_active")
    ApiMachine("mute", pool)
    refused("mute", "state_unknown")
    assert Operation.objects.count() == 1


@pytest.mark.parametrize("act", ["", "/claim", "/heartbeat", "/result"])
def test_operation_of_another_endpoint_404(behind: ApiMachine, pool: Pool, act: str) -> None:
    operation, other = queue(behind), ApiMachine("m2", pool)
    token = str(uuid4())
    bodies = {
        "/claim": {"lease_token": token, "state": behind.state},
        "/heartbeat": {"lease_token": token, "phase": "leased"},
        "/result": {"lease_token": token, "outcome": "failed", "seq": 1, "state": behind.state},
    }
    path = f"/operations/{operation}{act}"
    answer = other.api.post(path, bodies[act]) if act else other.api.get(path)
    answer.refused(404, "not_found")
    assert Operation.objects.get().status == "queued"


def test_cancel_queued_or_leased_is_cancelled_and_applying_is_refused(operator: Api, behind: ApiMachine) -> None:
    first = queue(behind)
    assert operator.post(f"/operations/{first}/cancel").ok()["status"] == "cancelled"
    second = queue(behind)
    claim(behind, second, str(uuid4())).ok()
    assert operator.post(f"/operations/{second}/cancel").ok()["lease_until"] is None
    third, token = queue(behind), str(uuid4())
    claim(behind, third, token).ok()
    behind.api.post(f"/operations/{third}/heartbeat", {"lease_token": token, "phase": "applying"}).ok()
    operator.post(f"/operations/{third}/cancel").refused(409, "not_cancellable")
    claim(behind, first, str(uuid4())).refused(409, "not_claimable")


@pytest.mark.parametrize("unknown", ["nonsense", "1", "%00", "00000000-0000-0000-0000-00000000000g", "x" * 300])
def test_operation_id_that_is_none_4xx(operator: Api, unknown: str) -> None:
    operator.get(f"/operations/{unknown}").refused(422, "invalid_request")


def test_operation_that_is_unknown_404(operator: Api, machine: ApiMachine) -> None:
    path = f"/operations/{uuid4()}"
    operator.get(path).refused(404, "not_found")
    operator.post(f"{path}/cancel").refused(404, "not_found")
    machine.api.post(f"{path}/claim", {"lease_token": str(uuid4()), "state": "0" * 64}).refused(404, "not_found")


def test_list_operations_filters(viewer: Api, operator: Api, behind: ApiMachine) -> None:
    operator.post(f"/operations/{queue(behind)}/cancel").ok()
    second = queue(behind)

    def listed(query: str) -> list[str]:
        return [item["id"] for item in viewer.get(f"/operations?{query}").ok()["items"]]

    assert listed("")[0] == second and len(listed("")) == 2
    assert listed("status=queued") == [second]
    assert len(listed("endpoint=m1&kind=sync&pool=lab")) == 2
    assert listed("endpoint=none") == [] == listed("pool=other") == listed("kind=revert")
    for bad in ("endpoint=a/b", "pool=%00", "pool=", "kind=x"):
        viewer.get(f"/operations?{bad}").refused(422, "invalid_request")
    viewer.get("/operations?status=fine").refused(422, "invalid_request")


def test_list_operations_takes_the_same_statements_for_many(
    viewer: Api, operator: Api, behind: ApiMachine, django_assert_num_queries: Any
) -> None:
    for _ in range(5):
        operator.post(f"/operations/{queue(behind)}/cancel").ok()
    with django_assert_num_queries(2):
        assert len(viewer.get("/operations").ok()["items"]) == 5


def test_operation_has_its_packages_and_what_it_waits_for(operator: Api, behind: ApiMachine) -> None:
    path = f"/operations/{queue(behind)}"
    body = operator.get(path).ok()
    assert (body["waits_for"]["code"], body["waits_for"]["until"]) == ("next_report", None)
    packages = body["packages"]
    assert (packages["what"], packages["from"], packages["to"]) == ("planned", body["base_state"], body["target_state"])
    assert packages["counts"] == body["plan"] and packages["refusal"] is None
    assert packages["changes"] == [
        {
            "name": "linux",
            "change": "upgrade",
            "from": {"version": "1-1", "arch": "x86_64", "reason": "explicit"},
            "to": {"version": "2-1", "arch": "x86_64", "reason": "explicit"},
        },
        {
            "name": "nano",
            "change": "install",
            "from": None,
            "to": {"version": "1-1", "arch": "x86_64", "reason": "dependency"},
        },
    ]
    assert packages["kept"] == {"held": [], "foreign": [], "excluded": [], "unmanaged": []}
    assert not behind.api.get(path).ok().keys() & {"packages", "waits_for"}
    ended = operator.post(f"{path}/cancel").ok()
    body = operator.get(path).ok()
    assert (body["waits_for"], body["packages"]["what"], body["packages"]["kept"]) == (None, "not_begun", None)
    assert body["finished"] == ended["finished"]


def test_operation_whose_states_are_too_large_says_why_it_has_no_packages(
    operator: Api, behind: ApiMachine, settings: Any
) -> None:
    path = f"/operations/{queue(behind)}"
    settings.STATE_MAX_PACKAGES = 1
    packages = operator.get(path).ok()["packages"]
    assert (packages["counts"], packages["changes"], packages["refusal"]["code"]) == (None, None, "state_too_large")


def test_run_again_is_a_new_operation_once_this_one_has_ended(operator: Api, viewer: Api, behind: ApiMachine) -> None:
    operation = queue(behind)
    path = f"/operations/{operation}/run-again"
    operator.post(path).refused(409, "operation_active")
    operator.post(f"/operations/{operation}/cancel").ok()
    viewer.post(path).refused(403, "forbidden")
    behind.api.post(path).refused(403, "forbidden")
    operator.post(path, {"idempotency_key": "k", "more": 1}).refused(422, "invalid_request")
    made = operator.post(path, {"idempotency_key": "k"}).ok(201)
    assert (made["kind"], made["status"], made["endpoint"]) == ("sync", "queued", "m1") and made["id"] != operation
    assert operator.post(path, {"idempotency_key": "k"}).ok(200) == made
    operator.post(path).refused(409, "operation_active")
    operator.post(f"/operations/{uuid4()}/run-again").refused(404, "not_found")
    assert Operation.objects.count() == 2
