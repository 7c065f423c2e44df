"""Targets: set from an endpoint, promote, go back, compare and set."""

import pytest

from apps.fleet import pool_manager
from apps.fleet.models import Pool, TargetRevision
from tests.api.support import Api, Machine

pytestmark = pytest.mark.django_db


def test_set_target_from_endpoint_is_revision_1(operator: Api, machine: Machine) -> None:
    machine.report("linux 1-1")
    body = operator.post("/pools/lab/targets", {"endpoint": "m1", "comment": "good"}).ok(201)
    assert (body["pool"], body["number"], body["state"]) == ("lab", 1, machine.state)
    assert (body["source_endpoint"], body["author"], body["comment"]) == ("m1", "token:operator", "good")
    assert (body["copied_number"], body["promoted_from"]) == (None, None)
    assert operator.get("/pools/lab/targets/1").ok() == body
    assert operator.get("/pools/lab").ok()["target"] == 1


def test_set_target_again_200_the_same_revision_and_forced_a_new_one(operator: Api, machine: Machine) -> None:
    machine.report("linux 1-1")
    first = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    assert operator.post("/pools/lab/targets", {"endpoint": "m1", "expected_number": 1}).ok(200) == first
    assert operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).ok(201)["number"] == 2


def test_set_target_expected_number_that_is_old_409_nothing_made(operator: Api, machine: Machine) -> None:
    machine.report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1", "expected_number": 0}).ok(201)
    problem = operator.post("/pools/lab/targets", {"endpoint": "m1", "expected_number": 0}).refused(
        409, "target_changed"
    )
    assert problem["number"] == 1
    assert TargetRevision.objects.count() == 1


def test_set_target_endpoint_that_never_reported_409(operator: Api, machine: Machine) -> None:
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).refused(409, "state_unknown")


def test_set_target_endpoint_of_another_pool_409(operator: Api, pool: Pool) -> None:
    Machine("other").report("linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "other"}).refused(409, "conflict")


def test_set_target_unknown_pool_or_endpoint_404(operator: Api, machine: Machine) -> None:
    operator.post("/pools/none/targets", {"endpoint": "m1"}).refused(404, "not_found")
    operator.post("/pools/lab/targets", {"endpoint": "none"}).refused(404, "not_found")


def test_set_target_by_the_endpoint_itself_allowed(machine: Machine) -> None:
    machine.report("linux 1-1")
    assert machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)["author"] == "endpoint:m1"


def test_set_target_by_an_endpoint_for_others_403_nothing_made(machine: Machine, pool: Pool) -> None:
    machine.report("linux 1-1")
    Machine("m2", pool).report("linux 2-1")
    pool_manager.create_pool(name="other", actor="test")
    machine.api.post("/pools/lab/targets", {"endpoint": "m2"}).refused(403, "forbidden")
    machine.api.post("/pools/other/targets", {"endpoint": "m1"}).refused(403, "forbidden")
    assert not TargetRevision.objects.exists()


def test_set_target_by_endpoint_where_policy_forbids_403(operator: Api, machine: Machine) -> None:
    machine.report("linux 1-1")
    operator.patch("/pools/lab", {"endpoints_may_set_target": False}).ok()
    machine.api.post("/pools/lab/targets", {"endpoint": "m1"}).refused(403, "forbidden")


def test_go_back_makes_a_new_revision_with_the_old_state(operator: Api, machine: Machine) -> None:
    machine.report("linux 1-1")
    first = operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    machine.report("linux 2-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    third = operator.post("/pools/lab/go-back", {"number": 1, "expected_number": 2}).ok(201)
    assert (third["number"], third["state"], third["copied_number"]) == (3, first["state"], 1)
    numbers = [revision["number"] for revision in operator.get("/pools/lab/targets").ok()["items"]]
    assert numbers == [3, 2, 1]
    operator.post("/pools/lab/go-back", {"number": 9}).refused(404, "not_found")


def test_promote_takes_the_other_pools_target(operator: Api, machine: Machine) -> None:
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
