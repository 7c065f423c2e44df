"""Which machine an endpoint is, in the API: enrolling again, rotating the token, approving, a shared token."""

import hashlib
from typing import Any

import pytest

from apps.fleet import approval
from apps.fleet.models import Endpoint, RepositoryContent, State, Upload
from tests.api.support import Api, ApiMachine, queue, state_text
from tests.support.texts import repository_text

pytestmark = pytest.mark.django_db

NEW = "pse_made-by-the-agent"
HASH = hashlib.sha256(NEW.encode()).hexdigest()


def enroll(code: str, name: str = "m1") -> Any:
    return Api().post("/enroll", {"code": code, "name": name, "arch": "x86_64"})


# --- Enrolling again --------------------------------------------------------------------------------------------


def test_reenrolment_code_gives_the_endpoint_back(operator: Api, viewer: Api, behind: ApiMachine) -> None:
    before = viewer.get("/endpoints/m1").ok()
    made = operator.post("/endpoints/m1/reenrolment-code").ok(201)
    assert (made["name"], made["code"][:4]) == ("m1", "psc_")
    assert made["line"].endswith(f"--code {made['code']} --name m1 --force'")
    behind.api.get("/me").refused(401, "token_invalid")
    between = viewer.get("/endpoints/m1").ok()
    assert (between["token"], between["reenrolment_until"]) == ("revoked", made["expires"])
    answer = enroll(made["code"]).ok(201)
    assert answer["id"] == behind.endpoint.pk and answer["awaits_approval"] is False
    behind.api.get("/me").refused(401, "token_invalid")
    behind.api, behind.seq = Api(answer["token"]), 0
    assert behind.report("linux 1-1")["recorded"]
    after = viewer.get("/endpoints/m1").ok()
    same = ("id", "name", "pool", "status", "state", "created", "last_result", "difference")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert (after["report_seq"], after["reenrolment_until"]) == (1, None)


def test_reenrolment_code_works_once_and_for_its_name_only(operator: Api, machine: ApiMachine) -> None:
    code = operator.post("/endpoints/m1/reenrolment-code", {"valid_hours": 1}).ok(201)["code"]
    problem = enroll(code, "m2").refused(409, "code_for_another_name")
    assert "--name m1" in problem["detail"]
    enroll(code).ok(201)
    enroll(code).refused(403, "enrolment_code_invalid")


def test_reenrolment_code_withdrawn_is_worth_nothing(operator: Api, machine: ApiMachine) -> None:
    code = operator.post("/endpoints/m1/reenrolment-code").ok(201)["code"]
    for _ in range(2):
        operator.delete("/endpoints/m1/reenrolment-code").ok(204)
    enroll(code).refused(403, "enrolment_code_invalid")


@pytest.mark.parametrize("hours", [0, 100_000, "1"])
def test_reenrolment_code_that_makes_no_sense_422(operator: Api, machine: ApiMachine, hours: Any) -> None:
    operator.post("/endpoints/m1/reenrolment-code", {"valid_hours": hours}).refused(422, "invalid_request")
    machine.api.get("/me").ok()


# --- Rotation ---------------------------------------------------------------------------------------------------


def test_rotation_is_asked_for_until_the_agent_has_done_it(operator: Api, machine: ApiMachine) -> None:
    assert machine.report("linux 1-1")["rotate_token"] is False
    for _ in range(2):
        assert operator.post("/endpoints/m1/rotation").ok()["rotation_requested"]
    assert machine.report("linux 1-1")["rotate_token"] is True
    for _ in range(2):
        assert machine.api.put("/me/token", {"token_hash": HASH}).ok() == {"name": "m1"}
    assert machine.report("linux 1-1")["rotate_token"] is True
    old, machine.api = machine.api, Api(NEW)
    assert machine.report("linux 1-1")["rotate_token"] is False
    old.get("/me").refused(401, "token_invalid")
    assert operator.get("/endpoints/m1").ok()["rotation_requested"] is None


@pytest.mark.parametrize("text", ["", "x", HASH.upper(), 1])
def test_prepared_token_must_be_a_hash(machine: ApiMachine, text: Any) -> None:
    machine.api.put("/me/token", {"token_hash": text}).refused(422, "invalid_request")


def test_rotation_of_a_revoked_token_409(operator: Api, machine: ApiMachine) -> None:
    operator.delete("/endpoints/m1/token").ok(204)
    operator.post("/endpoints/m1/rotation").refused(409, "conflict")


def test_check_in_that_says_its_last_number_takes_as_few_statements(
    machine: ApiMachine, django_assert_num_queries: Any
) -> None:
    machine.report("linux 1-1")
    with django_assert_num_queries(2):
        machine.report("linux 1-1", previous_seq=1)
    with django_assert_num_queries(2):
        machine.report("linux 1-1", previous_seq=2)


# --- A shared token ---------------------------------------------------------------------------------------------


@pytest.fixture
def cloned(behind: ApiMachine) -> ApiMachine:
    """m1, whose clone has reported in turn with it."""
    last = {"machine": behind.seq, "clone": behind.seq}
    for who in ("clone", "machine") * 3:
        behind.report("linux 1-1", previous_seq=last[who])
        last[who] = behind.seq
    return behind


def test_shared_token_is_shown_and_keeps_operations_away(operator: Api, viewer: Api, cloned: ApiMachine) -> None:
    assert cloned.report("linux 1-1")["token_shared"] is True
    assert cloned.api.get("/me").ok()["token_shared"] is True
    (listed,) = viewer.get("/endpoints?token_shared=true").ok()["items"]
    assert listed["token_shared"] and viewer.get("/endpoints?token_shared=false").ok()["items"] == []
    detail = viewer.get("/endpoints/m1").ok()
    assert detail["refusal"]["code"] == "token_shared"
    cloned.api.post("/operations", {"kind": "sync"}).refused(409, "token_shared")
    operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).refused(409, "token_shared")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).refused(409, "token_shared")
    cloned.api.put("/me/token", {"token_hash": HASH}).refused(409, "token_shared")
    viewer.get("/endpoints/m1/diff").refused(409, "token_shared")
    (item,) = [one for one in viewer.get("/fleet").ok()["attention"] if one["kind"] == "token_shared"]
    assert (item["severity"], item["endpoint"]) == ("bad", "m1")
    (event,) = viewer.get("/audit-events?verb=token_shared").ok()["items"]
    assert (event["actor"], event["object"]) == ("server", "endpoint:m1")


def test_shared_token_ends_when_one_enrols_again(operator: Api, cloned: ApiMachine) -> None:
    code = operator.post("/endpoints/m1/reenrolment-code").ok(201)["code"]
    cloned.api = Api(enroll(code).ok(201)["token"])
    assert cloned.report("linux 1-1")["token_shared"] is False
    queue(cloned)


# --- Approval ---------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(pool: Any, settings: Any) -> ApiMachine:
    settings.REQUIRE_APPROVAL = True
    return ApiMachine("m1", pool)


def test_enroll_says_that_it_waits(operator: Api, settings: Any) -> None:
    settings.REQUIRE_APPROVAL = True
    code = operator.post("/enrolment-codes", {}).ok(201)["code"]
    assert enroll(code).ok(201)["awaits_approval"] is True


def test_waiting_endpoint_can_do_nothing_and_leaves_nothing(operator: Api, waiting: ApiMachine) -> None:
    operator.post("/pools/lab/targets", {"endpoint": ready(operator, waiting)}).ok(201)
    kept = [model.objects.count() for model in (State, RepositoryContent, Upload)]
    for _ in range(3):
        answer = waiting.report("linux 1-1")
        assert (answer["recorded"], answer["want"], answer["awaits_approval"]) == (False, [], True)
        assert (answer["target"], answer["revision"], answer["operation"]) == (None, None, None)
    me = waiting.api.get("/me").ok()
    assert (me["awaits_approval"], me["target"], me["state"]) == (True, None, None)
    refused = [
        waiting.api.upload(f"/states/{'0' * 64}", state_text("linux 1-1"), None),
        waiting.api.upload(f"/repositories/{'0' * 64}", repository_text("linux 1-1"), None),
        waiting.api.post("/operations", {"kind": "sync"}),
        waiting.api.get("/endpoints/m1/diff"),
        waiting.api.post("/pools/lab/targets", {"endpoint": "m1"}),
        waiting.api.put("/me/token", {"token_hash": HASH}),
    ]
    for one in refused:
        one.refused(403, "approval_pending")
    assert [model.objects.count() for model in (State, RepositoryContent, Upload)] == kept


def ready(operator: Api, waiting: ApiMachine) -> str:
    """The name of another endpoint of the pool, which was approved and has reported."""
    other = ApiMachine("good", waiting.endpoint.pool)
    operator.post("/endpoints/good/approval").ok()
    other.report("linux 2-1")
    return "good"


def test_approved_endpoint_takes_part(operator: Api, viewer: Api, waiting: ApiMachine) -> None:
    (listed,) = viewer.get("/endpoints?awaits_approval=true").ok()["items"]
    assert listed["awaits_approval"] is True
    viewer.post("/endpoints/m1/approval").refused(403, "forbidden")
    assert operator.post("/endpoints/m1/approval").ok()["awaits_approval"] is False
    assert waiting.report("linux 1-1")["recorded"] is True
    assert viewer.get("/endpoints?awaits_approval=true").ok()["items"] == []


def test_refused_endpoint_is_deleted(operator: Api, waiting: ApiMachine) -> None:
    operator.delete("/endpoints/m1").ok(204)
    waiting.api.get("/me").refused(401, "token_invalid")
    assert not Endpoint.objects.filter(approval.AWAITING).exists()
