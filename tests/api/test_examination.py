"""The examination of an endpoint on the wire: reported, shown, and what it refuses."""

from typing import Any

import pytest

from apps.fleet.models import TargetRevision
from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db
FOUND = {"code": "half_upgraded", "text": "It is half upgraded.", "names": ["app", "lib"]}


def report(machine: ApiMachine, *problems: dict[str, Any]) -> Any:
    return machine.report("app 1-1", examination={"problems": list(problems)})


def test_examination_is_shown_to_the_machine_and_to_viewers(machine: ApiMachine, viewer: Api) -> None:
    machine.report("app 1-1")
    assert viewer.get("/endpoints/m1").ok()["problems"] is None
    report(machine, FOUND)
    assert viewer.get("/endpoints/m1").ok()["problems"] == [FOUND]
    assert machine.api.get("/me").ok()["problems"] == [FOUND]
    report(machine)
    assert viewer.get("/endpoints/m1").ok()["problems"] == []


def test_set_target_unsound_source_409_with_its_problems_unless_forced(machine: ApiMachine, operator: Api) -> None:
    operator.patch("/endpoints/m1", {"may_set_targets": True}).ok()
    report(machine, FOUND)
    for api in (operator, machine.api):
        problem = api.post("/pools/lab/targets", {"endpoint": "m1"}).refused(409, "unsound_source")
        assert problem["problems"] == [FOUND] and "half upgraded" in problem["detail"]
    assert not TargetRevision.objects.exists()
    operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).ok(201)


def test_set_target_locked_source_409_unless_forced(machine: ApiMachine, operator: Api) -> None:
    report(machine, {"code": "database_locked", "text": "Its package database is locked.", "names": []})
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).refused(409, "unsound_source")
    operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).ok(201)


def test_set_target_broken_source_409_also_when_forced(machine: ApiMachine, operator: Api) -> None:
    report(machine, FOUND | {"code": "broken_entries"})
    operator.post("/pools/lab/targets", {"endpoint": "m1", "force": True}).refused(409, "unsound_source")
    assert not TargetRevision.objects.exists()


def test_sync_databases_unreadable_409(machine: ApiMachine, operator: Api) -> None:
    machine.report("app 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)
    unreadable = {"code": "database_unreadable", "text": "It can't read core.", "names": ["core"]}
    machine.report("app 2-1", examination={"problems": [unreadable]})
    problem = operator.post("/operations", {"kind": "sync", "endpoint": "m1"}).refused(409, "databases_unreadable")
    assert problem["names"] == ["core"]
    machine.api.get("/endpoints/m1/diff").refused(409, "databases_unreadable")


@pytest.mark.parametrize(
    "examination",
    [
        [],
        {"problems": [{}]},
        {"problems": [FOUND | {"code": "No Code"}]},
        {"problems": [FOUND | {"text": "two\nlines"}]},
        {"problems": [FOUND | {"text": ""}]},
        {"problems": [FOUND | {"names": [1]}]},
        {"problems": [FOUND | {"names": ["x"] * 101}]},
        {"problems": [FOUND] * 21},
        {"problems": [FOUND | {"more": 1}]},
    ],
)
def test_check_in_examination_that_makes_no_sense_422_nothing_recorded(machine: ApiMachine, examination: Any) -> None:
    body = {"seq": 1, "state": "0" * 64, "repositories": [], "examination": examination}
    machine.api.post("/checkin", body).refused(422, "invalid_request")
    assert machine.fresh().report_seq == 0
