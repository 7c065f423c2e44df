"""Leases of operations: claimed, kept by heartbeats that tell how far it is, ended by a result, and lost."""

from typing import Any
from uuid import uuid4

import pytest

from apps.fleet.models import Operation
from tests.api.support import Api, ApiMachine, claim, queue

pytestmark = pytest.mark.django_db


def file_of(name: str) -> dict[str, Any]:
    filename = f"{name}-x86_64.pkg.tar.zst"
    return {"repository": "core", "filename": filename, "sha256": "a" * 64, "size": 1000}


def test_claim_answers_lease_target_and_where_to_get_packages(behind: ApiMachine) -> None:
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


def test_claim_by_a_second_token_409(behind: ApiMachine) -> None:
    operation = queue(behind)
    claim(behind, operation, str(uuid4())).ok()
    claim(behind, operation, str(uuid4())).refused(409, "not_claimable")


def test_claim_in_another_state_409_and_the_operation_is_cancelled(operator: Api, behind: ApiMachine) -> None:
    operation = queue(behind)
    body = {"lease_token": str(uuid4()), "state": "0" * 64}
    behind.api.post(f"/operations/{operation}/claim", body).refused(409, "base_changed")
    assert operator.get(f"/operations/{operation}").ok()["status"] == "cancelled"


def test_heartbeat_extends_then_applying_then_result(operator: Api, behind: ApiMachine) -> None:
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


def test_result_says_what_the_target_is_by_now(operator: Api, behind: ApiMachine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).ok(201)
    result = {"lease_token": token, "outcome": "succeeded", "seq": 9, "state": behind.goal}  # type: ignore[attr-defined] # `behind` sets it
    done = behind.api.post(f"/operations/{operation}/result", result).ok()
    assert (done["status"], done["revision"], done["pool_target"]) == ("succeeded", 1, 2)


def test_result_state_decides_not_the_outcome(behind: ApiMachine) -> None:
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
    behind: ApiMachine, sent: dict[str, str | None], shown: str | None
) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": behind.state, "code": "x", **sent}
    done = behind.api.post(f"/operations/{operation}/result", result).ok()
    assert done["result"]["hint"] == shown
    assert behind.api.get(f"/operations/{operation}").ok()["result"]["hint"] == shown


@pytest.mark.parametrize("hint", ["two\nlines", "x" * 1001, 7])
def test_result_hint_that_is_no_short_line_is_refused(behind: ApiMachine, hint: object) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": behind.state, "hint": hint}
    assert behind.api.post(f"/operations/{operation}/result", result).status == 422
    assert behind.api.post(f"/operations/{operation}/result", result | {"hint": "x" * 1000}).ok()["status"] == "failed"


def test_result_with_a_state_never_uploaded_409_and_still_leased(behind: ApiMachine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": "0" * 64}
    behind.api.post(f"/operations/{operation}/result", result).refused(409, "state_unknown")
    assert Operation.objects.get().status == "leased"


@pytest.mark.parametrize("act", ["heartbeat", "result"])
def test_foreign_lease_token_409_nothing_changes(behind: ApiMachine, act: str) -> None:
    operation = queue(behind)
    claim(behind, operation, str(uuid4())).ok()
    before = Operation.objects.values().get()
    body: dict[str, Any] = {"lease_token": str(uuid4())}
    body |= {"phase": "applying"} if act == "heartbeat" else {"outcome": "failed", "seq": 9, "state": behind.state}
    behind.api.post(f"/operations/{operation}/{act}", body).refused(409, "lease_lost")
    assert Operation.objects.values().get() == before


def test_expired_lease_409_and_somebody_else_may_claim(behind: ApiMachine) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    Operation.objects.update(lease_until="2020-01-01T00:00:00Z")
    beat = {"lease_token": token, "phase": "leased"}
    behind.api.post(f"/operations/{operation}/heartbeat", beat).refused(409, "lease_lost")
    assert claim(behind, operation, str(uuid4())).ok()["operation"]["attempt"] == 2
    result = {"lease_token": token, "outcome": "failed", "seq": 9, "state": behind.state}
    behind.api.post(f"/operations/{operation}/result", result).refused(409, "lease_lost")


def test_heartbeat_tells_how_far_it_is(operator: Api, behind: ApiMachine) -> None:
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
def test_heartbeat_with_progress_that_makes_no_sense_422(behind: ApiMachine, wrong: dict[str, Any]) -> None:
    operation, token = queue(behind), str(uuid4())
    claim(behind, operation, token).ok()
    body = {"lease_token": token, "phase": "applying", "progress": {"phase": "downloading"} | wrong}
    behind.api.post(f"/operations/{operation}/heartbeat", body).refused(422, "invalid_request")
    assert Operation.objects.get().status == "leased"
