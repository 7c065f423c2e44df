"""Targets: set from an endpoint, promote, go back, compare and set."""

import pytest

from apps.fleet import checksums, pool_manager
from apps.fleet.models import Pool, TargetRevision
from tests import factories
from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db


def test_set_target_from_endpoint_is_revision_1(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    body = operator.post("/pools/lab/targets", {"endpoint": "m1", "comment": "good"}).ok(201)
    assert (body["pool"], body["number"], body["state"]) == ("lab", 1, machine.state)
    assert (body["source_endpoint"], body["author"], body["comment"]) == ("m1", "token:operator", "good")
    assert (body["copied_number"], body["promoted_from"]) == (None, None)
    assert operator.get("/pools/lab/targets/1").ok() == body
    assert operator.get("/pools/lab").ok()["target"] == 1


def test_set_target_again_200_the_same_revision_and_forced_a_new_one(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    first = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert operator.post("/pools/lab/targets", {"endpoint": "m1", "expected_number": 1}).ok(200) == first
    assert operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).ok(201)["number"] == 2


def test_set_target_expected_number_that_is_old_409_nothing_made(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1", "expected_number": 0}).ok(201)
    problem = operator.post("/pools/lab/targets", {"endpoint": "m1", "expected_number": 0}).refused(
        409, "target_changed"
    )
    assert problem["number"] == 1
    assert TargetRevision.objects.count() == 1


def test_set_target_endpoint_that_never_reported_409(operator: Api, machine: ApiMachine) -> None:
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).refused(409, "state_unknown")


def test_set_target_endpoint_of_another_pool_409(operator: Api, pool: Pool) -> None:
    ApiMachine("other").report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "other"}).refused(409, "conflict")


def test_set_target_unknown_pool_or_endpoint_404(operator: Api, machine: ApiMachine) -> None:
    operator.post("/pools/none/targets", {"endpoint": "m1"}).refused(404, "not_found")
    operator.post("/pools/lab/targets", {"endpoint": "none"}).refused(404, "not_found")


def test_set_target_by_the_endpoint_itself_without_the_right_403_nothing_made(
    operator: Api, machine: ApiMachine
) -> None:
    machine.report("linux 1-1")
    problem = machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).refused(403, "may_not_set_targets")
    assert "An operator can make m1's packages the target, or give m1 the right to" in problem["detail"]
    assert not TargetRevision.objects.exists()
    assert operator.get("/endpoints/m1").ok()["may_set_targets"] is False


def test_set_target_by_the_endpoint_itself_with_the_codes_right_allowed(operator: Api, pool: Pool) -> None:
    made = operator.post("/enrolment-codes", {"pool": "lab", "may_set_targets": True}).ok(201)
    assert made["may_set_targets"] and operator.get("/enrolment-codes").ok()["items"][0]["may_set_targets"]
    machine = ApiMachine("m1", pool, may_set_targets=True)
    machine.report("linux 1-1")
    body = machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert (body["author"], body["approved"]) == ("endpoint:m1", True)


def test_set_target_right_given_later_and_taken_away_decides(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    assert operator.patch("/endpoints/m1", {"may_set_targets": True}).ok()["may_set_targets"] is True
    machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert operator.patch("/endpoints/m1", {}).ok()["may_set_targets"] is True
    operator.patch("/endpoints/m1", {"may_set_targets": False}).ok()
    machine.report("linux 2-1")
    machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).refused(403, "may_not_set_targets")
    machine.api.patch("/endpoints/m1", {"may_set_targets": True}).refused(403, "forbidden")
    operator.delete("/endpoints/m1/token").ok(204)
    operator.patch("/endpoints/m1", {"may_set_targets": True}).refused(409, "conflict")


def test_set_target_by_an_endpoint_for_others_403_nothing_made(pool: Pool) -> None:
    machine = ApiMachine("m1", pool, may_set_targets=True)
    machine.report("linux 1-1")
    ApiMachine("m2", pool).report("linux 2-1")
    pool_manager.create_pool(name="other", actor="test")
    machine.api.post("/pools/lab/targets", {"endpoint": "m2"}).refused(403, "forbidden")
    machine.api.post("/pools/other/targets", {"endpoint": "m1"}).refused(403, "forbidden")
    assert not TargetRevision.objects.exists()


def test_target_that_an_endpoint_set_waits_for_approval_where_the_policy_says_so(operator: Api, pool: Pool) -> None:
    operator.patch("/pools/lab", {"endpoint_targets_need_approval": True, "auto_sync": True}).ok()
    other, machine = ApiMachine("m2", pool), ApiMachine("m1", pool, may_set_targets=True)
    other.report("linux 1-1")
    machine.report("linux 2-1")
    assert machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)["approved"] is False
    assert [alarm["alarm"] for alarm in operator.get("/pools/lab").ok()["alarms"]] == ["unapproved_target"]
    assert other.report("linux 1-1")["operation"] is None
    machine.api.post("/pools/lab/targets/1/approve").refused(403, "forbidden")
    operator.post("/pools/lab/targets/1/approve", {"expected_number": 1}).refused(422, "invalid_request")
    assert operator.get("/pools/lab/targets/1").ok()["approved"] is False
    for body in (None, {}):
        assert operator.post("/pools/lab/targets/1/approve", body).ok()["approved"] is True
    assert other.report("linux 1-1")["operation"]["revision"] == 1
    assert operator.get("/pools").ok()["items"][0]["alarms"] == []
    operator.post("/pools/lab/targets/7/approve").refused(404, "not_found")


def test_target_says_its_files_mirrors_and_what_it_leaves_alone(operator: Api, machine: ApiMachine) -> None:
    operator.patch("/pools/lab", {"excluded_packages": ["linux*"]}).ok()
    machine.report(
        "app 1-1", "linux 1-1", "vim 1-1", "yay 1-1", repository=("app 1-1", "linux 1-1", "vim 1-1"), holds=["v*"]
    )
    body = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert body["mirrors"] == {"core": ["https://mirror.example/core/os/x86_64"]}
    assert (body["files"], body["checksum_conflicts"], len(body["digest"])) == (1, [], 64)
    assert body["unmanaged"] == [
        {"name": "linux", "why": "excluded"},
        {"name": "vim", "why": "held"},
        {"name": "yay", "why": "foreign"},
    ]
    packages = operator.get("/pools/lab/targets/1/packages").ok()
    assert packages["packages"] == [
        {
            "name": "app",
            "version": "1-1",
            "arch": "x86_64",
            "reason": "explicit",
            "repository": "core",
            "filename": "app-1-1-x86_64.pkg.tar.zst",
            "sha256": "a" * 64,
            "size": 1000,
        }
    ]
    assert packages["digest"] == body["digest"]


def test_target_diff_shows_packages_files_and_unmanaged_names(operator: Api, machine: ApiMachine) -> None:
    operator.get("/pools/lab/targets/1/diff").refused(409, "no_target")
    machine.report("app 1-1", "lib 1-1")
    first = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("app 1-1", "lib 2-1", "yay 1-1", repository=("app 1-1 any", "lib 2-1"))
    second = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    body = operator.get("/pools/lab/targets/2/diff?from=1").ok()
    assert (body["from"], body["to"]) == (
        {"number": 1, "digest": first["digest"]},
        {"number": 2, "digest": second["digest"]},
    )
    assert [change["name"] for change in body["changes"]] == ["lib"]
    assert (body["equal"], body["unmanaged_before"]) == (False, [])
    assert body["unmanaged_after"] == [{"name": "yay", "why": "foreign"}]
    back = operator.get("/pools/lab/targets/1/diff").ok()  # from the current target
    assert (back["from"]["number"], back["counts"]["downgrade"]) == (2, 1)
    assert operator.get("/pools/lab/targets/2/diff").ok()["equal"] is True


def test_go_back_makes_a_new_revision_with_the_old_state(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    first = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 2-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    third = operator.post("/pools/lab/go-back", {"number": 1, "expected_number": 2}).ok(201)
    assert (third["number"], third["state"], third["copied_number"]) == (3, first["state"], 1)
    numbers = [revision["number"] for revision in operator.get("/pools/lab/targets").ok()["items"]]
    assert numbers == [3, 2, 1]
    operator.post("/pools/lab/go-back", {"number": 9}).refused(404, "not_found")


def test_promote_takes_the_other_pools_target(operator: Api, machine: ApiMachine) -> None:
    pool_manager.create_pool(name="production", actor="test")
    operator.post("/pools/production/promote", {"source": "lab"}).refused(409, "no_target")
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    body = operator.post("/pools/production/promote", {"source": "lab", "comment": "tested"}).ok(201)
    assert (body["pool"], body["number"], body["promoted_from"], body["copied_number"]) == ("production", 1, "lab", 1)
    assert body["state"] == machine.state


@pytest.mark.parametrize("number", ["0", "-1", "1.0", "1_0", " 1", "x", "99999999999999999999999999", "\u0661"])
def test_get_target_number_that_is_none_4xx(operator: Api, pool: Pool, number: str) -> None:
    answer = operator.get(f"/pools/lab/targets/{number}")
    answer.refused(422, "invalid_request")


def test_get_target_that_is_unknown_404(operator: Api, pool: Pool) -> None:
    operator.get("/pools/lab/targets/1").refused(404, "not_found")


def test_checksum_conflicts_are_listed_and_said_with_the_revision(
    operator: Api, viewer: Api, machine: ApiMachine, pool: Pool
) -> None:
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    rebuilt = factories.reported_repository(factories.repository("linux 1-1"))
    factories.report(factories.endpoint("m2"), factories.state("linux 1-1"), rebuilt)
    checksums.refresh()
    body = viewer.get("/checksum-conflicts").ok()
    (conflict,) = body["items"]
    assert (conflict["name"], conflict["version"], body["next"]) == ("linux", "1-1", None)
    files = {file["sha256"]: file for file in conflict["files"]}
    assert files["a" * 64]["names"] == ["m1"] and files["a" * 64]["revisions"] == ["lab #1"]
    assert files[factories.offered("linux 1-1").sha256]["names"] == ["m2"]
    assert viewer.get("/pools/lab/targets/1").ok()["checksum_conflicts"] == [conflict]


def test_revoked_endpoint_its_pool_says_so_in_the_lists(operator: Api, pool: Pool) -> None:
    machine = ApiMachine("m1", pool, may_set_targets=True)
    machine.report("linux 1-1")
    machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    operator.delete("/endpoints/m1/token").ok(204)
    for body in (operator.get("/pools/lab").ok(), operator.get("/pools").ok()["items"][0]):
        (alarm,) = body["alarms"]
        assert (alarm["alarm"], alarm["endpoint"], alarm["revision_before"]) == ("revoked_source", "m1", None)
