"""The agent's routes: enrolment, check-in, its own view."""

import gzip
import uuid
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.fleet import endpoint_manager, fleet_statuses, status
from apps.fleet.alpm import canonical
from apps.fleet.models import Endpoint, EndpointState, Operation, Pool, TargetRevision
from apps.fleet.time_share import TimeShare
from tests.api.support import Api, ApiMachine, state_text

pytestmark = pytest.mark.django_db


def new_code(pool: Pool | None = None, uses: int = 1) -> str:
    return endpoint_manager.create_enrolment_code(actor="test", pool=pool, uses=uses)[1]


def test_enroll_valid_code_answers_a_token_that_works(pool: Pool) -> None:
    body = Api().post("/enroll", {"code": new_code(pool), "name": "m1", "arch": "x86_64"}).ok(201)
    assert body["name"] == "m1" and body["pool"] == "lab" and body["poll_seconds"] == 60
    assert body["token"].startswith("pse_")
    me = Api(body["token"]).get("/me").ok()
    assert (me["id"], me["pool"], me["state"], me["status"]) == (body["id"], "lab", None, "offline")


def test_enroll_unknown_code_403_nothing_made() -> None:
    Api().post("/enroll", {"code": "psc_no", "name": "m1", "arch": "x86_64"}).refused(403, "enrolment_code_invalid")
    assert not Endpoint.objects.exists()


def test_enroll_used_up_code_403(pool: Pool) -> None:
    code = new_code(pool)
    Api().post("/enroll", {"code": code, "name": "m1", "arch": "x86_64"}).ok(201)
    Api().post("/enroll", {"code": code, "name": "m2", "arch": "x86_64"}).refused(403, "enrolment_code_invalid")


def test_enroll_name_that_exists_409_and_code_is_not_used_up(machine: ApiMachine) -> None:
    code = new_code()
    Api().post("/enroll", {"code": code, "name": "m1", "arch": "x86_64"}).refused(409, "name_taken")
    Api().post("/enroll", {"code": code, "name": "m2", "arch": "x86_64"}).ok(201)
    machine.api.get("/me").ok()  # its token still works


@pytest.mark.parametrize("name", ["a/b", "a\n", "\u00e4", "", "a" * 64, "-a", "a b", "..", "\x00"])
def test_enroll_name_that_is_none_422_nothing_made(name: str) -> None:
    Api().post("/enroll", {"code": new_code(), "name": name, "arch": "x86_64"}).refused(422, "invalid_name")
    assert not Endpoint.objects.exists()


def test_checkin_new_state_wanted_until_uploaded_then_recorded(machine: ApiMachine) -> None:
    text = state_text("linux 6.1-1")
    digest = canonical.digest_of(text)
    report = {"seq": 1, "state": digest, "repositories": [], "holds": [], "agent_version": "1.0.0"}
    first = machine.api.post("/checkin", report).ok()
    assert (first["recorded"], first["want"]) == (False, [digest])
    assert not EndpointState.objects.exists()
    machine.api.upload(f"/states/{digest}", gzip.compress(text)).ok(201)
    machine.api.upload(f"/states/{digest}", gzip.compress(text)).ok(200)
    second = machine.api.post("/checkin", report).ok()
    assert (second["recorded"], second["want"], second["pool"], second["target"]) == (True, [], "lab", None)
    assert (second["status"], second["operation"], second["poll_seconds"]) == ("unknown", None, 60)
    assert machine.fresh().state_id == digest


def test_checkin_old_seq_ignored_with_200(machine: ApiMachine) -> None:
    machine.report("linux 6.1-1")
    machine.report("linux 6.2-1")
    digest = canonical.digest_of(state_text("linux 6.1-1"))
    answer = machine.api.post("/checkin", {"seq": 1, "state": digest}).ok()
    assert not answer["recorded"]
    assert machine.fresh().state_id == machine.state


def test_checkin_in_target_shows_target_and_in_sync(machine: ApiMachine, operator: Api) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1", "comment": "good"}).ok(201)
    answer = machine.report("linux 6.1-1")
    assert answer["status"] == "in_sync"
    assert answer["target"]["number"] == 1 and answer["target"]["comment"] == "good"
    assert answer["target"]["author"] == "token:operator"


def test_checkin_with_an_active_operation_answers_it(machine: ApiMachine, operator: Api) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 6.0-1")
    made = operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).ok(201)
    answer = machine.report("linux 6.0-1")
    assert answer["status"] == "behind"
    assert answer["operation"] == made
    assert made["plan"]["upgrade"] == 1


def test_me_behind_counts_the_difference(machine: ApiMachine, operator: Api) -> None:
    machine.report("linux 6.1-1", "nano 7-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 6.0-1")
    me = machine.api.get("/me").ok()
    assert me["status"] == "behind"
    assert me["difference"] == {"install": 1, "upgrade": 1, "downgrade": 0, "replace": 0, "remove": 0, "reason": 0}
    assert me["target"]["number"] == 1


def test_me_says_how_the_last_operation_failed_and_that_automatic_sync_rests(
    machine: ApiMachine, operator: Api
) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    operator.patch("/pools/lab", {"auto_sync": True}).ok()
    operation = machine.report("linux 6.0-1")["operation"]
    me = machine.api.get("/me").ok()
    assert (me["last_failure"], me["resting"]) == (None, None)
    claim = {"lease_token": str(uuid.uuid4()), "state": machine.state}
    machine.api.post(f"/operations/{operation['id']}/claim", claim).ok()
    machine.seq += 1
    said = {
        "outcome": "failed",
        "code": "file_conflict",
        "message": "A file is in the way.\nAnd more.",
        "seq": machine.seq,
    }
    machine.api.post(f"/operations/{operation['id']}/result", claim | said).ok()
    me = machine.api.get("/me").ok()
    failed = me["last_failure"]
    assert (failed["operation"], failed["kind"], failed["status"]) == (operation["id"], "sync", "failed")
    assert (failed["code"], failed["message"]) == ("file_conflict", "A file is in the way.")
    assert (me["resting"]["why"], me["resting"]["since"]) == ("failed", failed["finished"])
    machine.report("linux 6.1-1")
    assert machine.api.get("/me").ok()["resting"] is None


def test_checkin_unchanged_in_sync_takes_two_statements(
    machine: ApiMachine, operator: Api, django_assert_num_queries: Any
) -> None:
    """Who is it, with all that it is compared with, and one guarded UPDATE: 10,000 endpoints do this all day."""
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    seen = machine.fresh().last_seen
    with django_assert_num_queries(2):
        answer = machine.report("linux 6.1-1")
    assert (answer["recorded"], answer["status"]) == (True, "in_sync")
    assert machine.fresh().last_seen > seen
    assert machine.fresh().report_seq == machine.seq


def test_checkin_unchanged_behind_takes_few_statements(
    machine: ApiMachine, operator: Api, django_assert_num_queries: Any
) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 6.0-1")
    status.forget()
    with django_assert_num_queries(6):  # nobody has compared the case yet
        assert machine.report("linux 6.0-1")["status"] == "behind"
    assert fleet_statuses.refresh() == 1
    status.forget()
    with django_assert_num_queries(2):  # the fleet knows it, and so does a process that has just begun
        assert machine.report("linux 6.0-1")["status"] == "behind"


@pytest.mark.parametrize("policy", ["held", "paused", "not approved"])
def test_checkin_unchanged_where_automatic_sync_has_nothing_to_do_takes_two_statements(
    machine: ApiMachine, operator: Api, django_assert_num_queries: Any, policy: str
) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    packages, holds = (("linux 6.1-1", "vim 9-1"), ["vim"]) if policy == "held" else (("linux 6.0-1",), [])
    if policy == "paused":
        Pool.objects.update(paused_since=Now(), paused_by={"endpoint": "m1", "number": 9})
    elif policy == "not approved":
        Pool.objects.update(endpoint_targets_need_approval=True)
        TargetRevision.objects.update(approved=False)
    operator.patch("/pools/lab", {"auto_sync": True, "conflict_resolution": "newest"}).ok()
    expected = "in_sync" if policy == "held" else "behind"
    assert machine.report(*packages, holds=holds)["status"] == expected
    assert fleet_statuses.refresh() == 1
    with django_assert_num_queries(2):
        assert machine.report(*packages, holds=holds)["status"] == expected


def test_checkin_unchanged_of_a_machine_that_automatic_sync_wants_queues_it(machine: ApiMachine, operator: Api) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 6.0-1")
    assert fleet_statuses.refresh() == 1
    operator.patch("/pools/lab", {"auto_sync": True, "conflict_resolution": "newest"}).ok()
    Operation.objects.all().delete()
    assert machine.report("linux 6.0-1")["operation"]


def test_checkin_unchanged_after_many_comparisons_leaves_its_own_to_the_chore(
    machine: ApiMachine, operator: Api, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert machine.report("linux 6.0-1")["status"] == "behind"  # what a machine has just reported is compared
    status.forget()
    monkeypatch.setattr(status, "_compared_in_check_ins", TimeShare(0.01, at_once=0))
    with django_assert_num_queries(2):
        assert machine.report("linux 6.0-1")["status"] == "unknown"
    assert machine.api.get("/me").ok()["status"] == "behind"
    assert machine.report("linux 6.0-2")["status"] == "behind"
    assert fleet_statuses.refresh() == 1
    with django_assert_num_queries(2):
        assert machine.report("linux 6.0-2")["status"] == "behind"


def test_checkin_status_follows_the_target_and_the_excluded_packages(machine: ApiMachine, operator: Api) -> None:
    machine.report("linux 6.1-1", "vim 9-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert machine.report("linux 6.0-1", "vim 9-1")["status"] == "behind"
    operator.patch("/pools/lab", {"excluded_packages": ["linux"]}).ok()
    assert machine.report("linux 6.0-1", "vim 9-1")["status"] == "in_sync"
    operator.patch("/pools/lab", {"excluded_packages": []}).ok()
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 6.2-1", "vim 9-1")
    assert machine.report("linux 6.2-1", "vim 9-1")["status"] == "ahead"
    assert machine.report("linux 6.2-1", "vim 9-1", holds=["linux"])["status"] == "in_sync"


def test_checkin_changed_answers_the_status_of_the_new_state(machine: ApiMachine, operator: Api) -> None:
    machine.report("linux 6.1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert machine.report("linux 6.2-1")["status"] == "ahead"
    assert machine.report("linux 6.1-1")["status"] == "in_sync"


def test_checkin_unchanged_but_for_holds_recorded(machine: ApiMachine) -> None:
    machine.report("linux 6.1-1")
    machine.report("linux 6.1-1", holds=["linux"])
    assert machine.fresh().holds == ["linux"]


def test_check_in_answers_the_targets_revision_and_takes_it_back(operator: Api, machine: ApiMachine) -> None:
    assert machine.report("linux 1-1")["revision"] is None
    made = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    named = {"number": 1, "digest": made["digest"]}
    assert machine.report("linux 1-1")["revision"] == named
    assert machine.report("linux 1-1", revision_seen=named)["revision"] == named
    assert operator.get("/pools/lab").ok()["alarms"] == []


def test_check_in_revision_seen_that_is_not_here_pauses_until_an_operator_confirms(
    operator: Api, viewer: Api, machine: ApiMachine, pool: Pool
) -> None:
    operator.patch("/pools/lab", {"auto_sync": True, "conflict_resolution": "oldest"}).ok()
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    newer = ApiMachine("m2", pool)
    seen = {"number": 7, "digest": "f" * 64}
    assert newer.report("linux 2-1", revision_seen=seen)["operation"] is None
    (alarm,) = viewer.get("/pools/lab").ok()["alarms"]
    assert (alarm["alarm"], alarm["endpoint"]) == ("unknown_revision", "m2")
    viewer.post("/pools/lab/confirm", {}).refused(403, "forbidden")
    machine.api.post("/pools/lab/confirm", {}).refused(403, "forbidden")
    operator.post("/pools/lab/confirm", {"expected_number": 7}).refused(409, "target_changed")
    for _ in range(2):
        assert operator.post("/pools/lab/confirm", {}).ok()["target"] == 8
    assert newer.report("linux 2-1", revision_seen=seen)["operation"]["revision"] == 8


@pytest.mark.parametrize(
    "seen",
    [
        {"number": 0, "digest": "f" * 64},
        {"number": 2**31, "digest": "f" * 64},
        {"number": 1, "digest": "F" * 64},
        {"number": 1},
        {"number": True, "digest": "f" * 64},
        [],
    ],
)
def test_check_in_revision_seen_that_is_none_422_nothing_recorded(machine: ApiMachine, seen: object) -> None:
    state = "0" * 64
    report = {"seq": 1, "state": state, "revision_seen": seen}
    machine.api.post("/checkin", report).refused(422, "invalid_request")
    assert machine.fresh().last_seen is None
