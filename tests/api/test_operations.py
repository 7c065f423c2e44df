"""Operations: asked for, claimed, kept, finished, cancelled; leases and keys."""

from typing import Any
from uuid import uuid4

import pytest

from apps.fleet.models import Operation, Pool
from tests.api.support import Api, Machine

pytestmark = pytest.mark.django_db


@pytest.fixture
def behind(operator: Api, machine: Machine) -> Machine:
    """m1, behind its target by one upgrade of linux; it brings nano along as a dependency."""
    machine.report("linux 2-1", "nano 1-1 dependency")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.goal = machine.state  # type: ignore[attr-defined]
    machine.report("linux 1-1")
    return machine


def queue(machine: Machine) -> str:
    return str(machine.api.post("/operations", {"kind": "sync"}).ok(201)["id"])


def file_of(name: str) -> dict[str, Any]:
    filename = f"{name}-x86_64.pkg.tar.zst"
    return {"repository": "core", "filename": filename, "sha256": "a" * 64, "size": 1000}


def claim(machine: Machine, operation: str, token: str) -> Any:
    return machine.api.post(f"/operations/{operation}/claim", {"lease_token": token, "state": machine.state})


def test_create_operation_by_the_endpoint_is_for_itself(behind: Machine) -> None:
    body = behind.api.post("/operations", {"kind": "sync"}).ok(201)
    assert (body["endpoint"], body["kind"], body["status"], body["author"]) == ("m1", "sync", "queued", "endpoint:m1")
    assert (body["pool"], body["revision"], body["attempt"], body["result"]) == ("lab", 1, 0, None)
    assert body["plan"] == {"install": 1, "upgrade": 1, "downgrade": 0, "replace": 0, "remove": 0, "reason": 0}
    assert (body["base_state"], body["target_state"]) == (behind.state, behind.goal)  # type: ignore[attr-defined]
    assert behind.api.get(f"/operations/{body['id']}").ok() == body


def test_create_operation_by_an_endpoint_for_another_403(behind: Machine, pool: Pool) -> None:
    Machine("m2", pool)
    behind.api.post("/operations", {"kind": "sync", "endpoint": "m2"}).refused(403, "forbidden")
    behind.api.post("/operations", {"kind": "sync", "endpoint": "none"}).refused(403, "forbidden")
    assert not Operation.objects.exists()


def test_create_operation_by_an_operator_needs_the_endpoint(operator: Api, behind: Machine) -> None:
    problem = operator.post("/operations", {"kind": "sync"}).refused(422, "invalid_request")
    assert problem["errors"] == [{"loc": ["body", "endpoint"], "message": "Field required"}]
    operator.post("/operations", {"kind": "sync", "endpoint": "none"}).refused(404, "not_found")
    operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).ok(201)


def test_create_operation_same_key_gets_the_same_operation(operator: Api, behind: Machine, pool: Pool) -> None:
    request = {"kind": "sync", "endpoint": "m1", "idempotency_key": "k1"}
    first = operator.post("/operations", request).ok(201)
    assert operator.post("/operations", request).ok(200) == first
    Machine("m2", pool).report("linux 1-1")
    operator.post("/operations", request | {"endpoint": "m2"}).refused(409, "idempotency_key_reused")
    assert Operation.objects.count() == 1


def test_create_operation_why_not_has_a_code_each(operator: Api, pool: Pool) -> None:
    def refused(name: str, code: str, kind: str = "sync") -> None:
        operator.post("/operations", {"kind": kind, "endpoint": name}).refused(409, code)

    Machine("alone")
    refused("alone", "no_pool")
    machine = Machine("m1", pool)
    refused("m1", "no_target")
    refused("m1", "state_unknown", "revert")
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    refused("m1", "already_in_sync")
    refused("m1", "nothing_to_revert", "revert")
    machine.report("linux 0-1")
    operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).ok(201)
    refused("m1", "operation_active")
    Machine("mute", pool)
    refused("mute", "state_unknown")
    assert Operation.objects.count() == 1


def test_claim_answers_lease_target_and_where_to_get_packages(behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    body = claim(behind, operation, token).ok()
    assert body["lease_seconds"] == 120 and body["lease_until"] == body["operation"]["lease_until"]
    assert (body["operation"]["status"], body["operation"]["attempt"]) == ("leased", 1)
    assert body["target"]["digest"] == behind.goal  # type: ignore[attr-defined]
    assert body["target"]["packages"] == [
        {"name": "linux", "version": "2-1", "arch": "x86_64", "reason": "explicit", **file_of("linux-2-1")},
        {"name": "nano", "version": "1-1", "arch": "x86_64", "reason": "dependency", **file_of("nano-1-1")},
    ]
    assert body["target"]["mirrors"] == {"core": ["https://mirror.example/core/os/x86_64"]}
    assert body["target"]["unmanaged"] == []
    assert body["target"]["revision"] == behind.report("linux 1-1")["revision"]
    (linux, nano) = body["fetch"]
    assert (linux["name"], linux["filename"], linux["size"]) == ("linux", "linux-2-1-x86_64.pkg.tar.zst", 1000)
    assert "https://mirror.example/core/os/x86_64/linux-2-1-x86_64.pkg.tar.zst" in linux["urls"]
    assert nano["sha256"] == "a" * 64
    again = claim(behind, operation, token).ok()
    assert again["operation"]["attempt"] == 1 and again["target"] == body["target"]


def test_claim_by_a_second_token_409(behind: Machine) -> None:
    operation = queue(behind)
    claim(behind, operation, str(uuid4())).ok()
    claim(behind, operation, str(uuid4())).refused(409, "not_claimable")


def test_claim_in_another_state_409_and_the_operation_is_cancelled(operator: Api, behind: Machine) -> None:
    operation = queue(behind)
    body = {"lease_token": str(uuid4()), "state": "0" * 64}
    behind.api.post(f"/operations/{operation}/claim", body).refused(409, "base_changed")
    assert operator.get(f"/operations/{operation}").ok()["status"] == "cancelled"


def test_heartbeat_extends_then_applying_then_result(operator: Api, behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    path = f"/operations/{operation}"
    assert behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "leased"}).ok()["status"] == "leased"
    beat = behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "applying"}).ok()
    assert beat["status"] == "applying" and beat["lease_until"].endswith("Z")
    hook = {"name": "90-mkinitcpio-install.hook", "description": "Updating images", "since": "2026-11-26T09:14:03+0000"}
    behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "applying", "hook": hook}).ok()
    assert operator.get(path).ok()["hook"] == hook
    behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "applying"}).ok()
    assert operator.get(path).ok()["hook"] is None
    behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "applying", "hook": hook}).ok()
    goal = behind.goal  # type: ignore[attr-defined]
    result = {"lease_token": token, "outcome": "succeeded", "seq": 9, "state": goal, "log_tail": "done\n\x00"}
    done = behind.api.post(f"{path}/result", result).ok()
    assert (done["status"], done["lease_until"], done["hook"]) == ("succeeded", None, None)
    assert done["result"]["outcome"] == "succeeded" and done["result"]["log_tail"] == "done\n\ufffd"
    assert behind.api.post(f"{path}/result", result).ok() == done
    assert behind.fresh().state_id == goal and behind.fresh().report_seq == 9
    assert operator.get("/endpoints/m1").ok()["status"] == "in_sync"
    reverted = operator.post("/operations", {"kind": "revert", "endpoint": "m1"}).ok(201)
    assert (reverted["kind"], reverted["target_state"], reverted["pool"]) == ("revert", behind.state, None)


def test_result_says_what_the_target_is_by_now(operator: Api, behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).ok(201)
    result = {"lease_token": token, "outcome": "succeeded", "seq": 9, "state": behind.goal}  # type: ignore[attr-defined] # `behind` sets it
    done = behind.api.post(f"/operations/{operation}/result", result).ok()
    assert (done["status"], done["revision"], done["pool_target"]) == ("succeeded", 1, 2)


def test_result_state_decides_not_the_outcome(behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "succeeded", "seq": 9, "state": behind.state}
    done = behind.api.post(f"/operations/{operation}/result", result).ok()
    assert done["status"] == "failed" and done["result"]["difference"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [({"hint": "Run `pacman -Sy`."}, "Run `pacman -Sy`."), ({"hint": None}, None), ({}, None), ({"hint": ""}, None)],
)
def test_result_hint_is_shown_and_may_be_missing(
    behind: Machine, sent: dict[str, str | None], shown: str | None
) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": behind.state, "code": "x", **sent}
    done = behind.api.post(f"/operations/{operation}/result", result).ok()
    assert done["result"]["hint"] == shown
    assert behind.api.get(f"/operations/{operation}").ok()["result"]["hint"] == shown


@pytest.mark.parametrize("hint", ["two\nlines", "x" * 1001, 7])
def test_result_hint_that_is_no_short_line_is_refused(behind: Machine, hint: object) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": behind.state, "hint": hint}
    assert behind.api.post(f"/operations/{operation}/result", result).status == 422
    assert behind.api.post(f"/operations/{operation}/result", result | {"hint": "x" * 1000}).ok()["status"] == "failed"


def test_result_with_a_state_never_uploaded_409_and_still_leased(behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": "0" * 64}
    behind.api.post(f"/operations/{operation}/result", result).refused(409, "state_unknown")
    assert Operation.objects.get().status == "leased"


@pytest.mark.parametrize("act", ["heartbeat", "result"])
def test_foreign_lease_token_409_nothing_changes(behind: Machine, act: str) -> None:
    operation = queue(behind)
    claim(behind, operation, str(uuid4())).ok()
    before = Operation.objects.values().get()
    body: dict[str, Any] = {"lease_token": str(uuid4())}
    body |= {"phase": "applying"} if act == "heartbeat" else {"outcome": "failed", "seq": 9, "state": behind.state}
    behind.api.post(f"/operations/{operation}/{act}", body).refused(409, "lease_lost")
    assert Operation.objects.values().get() == before


def test_expired_lease_409_and_somebody_else_may_claim(behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    Operation.objects.update(lease_until="2020-01-01T00:00:00Z")
    beat = {"lease_token": token, "phase": "leased"}
    behind.api.post(f"/operations/{operation}/heartbeat", beat).refused(409, "lease_lost")
    assert claim(behind, operation, str(uuid4())).ok()["operation"]["attempt"] == 2
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": behind.state}
    behind.api.post(f"/operations/{operation}/result", result).refused(409, "lease_lost")


@pytest.mark.parametrize("act", ["", "/claim", "/heartbeat", "/result"])
def test_operation_of_another_endpoint_404(behind: Machine, pool: Pool, act: str) -> None:
    operation, other = queue(behind), Machine("m2", pool)
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


def test_cancel_queued_or_leased_is_cancelled_and_applying_is_refused(operator: Api, behind: Machine) -> None:
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


def test_operation_that_is_unknown_404(operator: Api, machine: Machine) -> None:
    path = f"/operations/{uuid4()}"
    operator.get(path).refused(404, "not_found")
    operator.post(f"{path}/cancel").refused(404, "not_found")
    machine.api.post(f"{path}/claim", {"lease_token": str(uuid4()), "state": "0" * 64}).refused(404, "not_found")


def test_list_operations_filters(viewer: Api, operator: Api, behind: Machine) -> None:
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
    viewer: Api, operator: Api, behind: Machine, django_assert_num_queries: Any
) -> None:
    for _ in range(5):
        operator.post(f"/operations/{queue(behind)}/cancel").ok()
    with django_assert_num_queries(2):
        assert len(viewer.get("/operations").ok()["items"]) == 5


def test_operation_has_its_packages_and_what_it_waits_for(operator: Api, behind: Machine) -> None:
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
    operator: Api, behind: Machine, settings: Any
) -> None:
    path = f"/operations/{queue(behind)}"
    settings.STATE_MAX_PACKAGES = 1
    packages = operator.get(path).ok()["packages"]
    assert (packages["counts"], packages["changes"], packages["refusal"]["code"]) == (None, None, "state_too_large")


def test_heartbeat_tells_how_far_it_is(operator: Api, behind: Machine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    path = f"/operations/{operation}"
    far = {"phase": "downloading", "done": 1, "total": 2, "bytes_done": 5, "bytes_total": 10}
    far |= {"package": "linux", "hosts": ["https://mirror.example:443"], "waiting": ""}
    behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "leased", "progress": far}).ok()
    assert operator.get(path).ok()["progress"] == far
    assert operator.get("/operations").ok()["items"][0]["progress"] == far
    brief = {"lease_token": token, "phase": "leased", "progress": {"phase": "rehearsing"}}
    behind.api.post(f"{path}/heartbeat", brief).ok()
    assert operator.get(path).ok()["progress"]["total"] == 0
    behind.api.post(f"{path}/heartbeat", {"lease_token": token, "phase": "leased"}).ok()
    assert operator.get(path).ok()["progress"] is None


@pytest.mark.parametrize(
    "wrong", [{"phase": "No"}, {"done": -1}, {"total": 2**53}, {"hosts": ["h"] * 5}, {"package": "a\x1b"}, {"new": 1}]
)
def test_heartbeat_with_progress_that_makes_no_sense_422(behind: Machine, wrong: dict[str, Any]) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    body = {"lease_token": token, "phase": "applying", "progress": {"phase": "downloading"} | wrong}
    behind.api.post(f"/operations/{operation}/heartbeat", body).refused(422, "invalid_request")
    assert Operation.objects.get().status == "leased"


def test_run_again_is_a_new_operation_once_this_one_has_ended(operator: Api, viewer: Api, behind: Machine) -> None:
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
