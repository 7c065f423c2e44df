"""What a machine protects on the wire: reported, shown, and which sync it would refuse."""

from typing import Any

import pytest

from tests.api.support import Api, ApiMachine

pytestmark = pytest.mark.django_db
GRUB = {"role": "boot_loader", "why": "it is the last boot loader", "names": ["grub"], "needs": "one", "instead": []}
KERNELS = GRUB | {"role": "kernel", "why": "it is the last kernel", "names": ["linux", "linux-lts"]}
LOST = {"name": "grub", "why": "it is the last boot loader"}


@pytest.fixture
def target(machine: ApiMachine, operator: Api) -> None:
    """The pool's target has `app` and `linux`."""
    machine.report("app 1-1", "linux 1-1")
    operator.post("/pools/lab/targets", {"endpoint": "m1"}).ok(201)


def test_protected_packages_are_shown_and_the_sync_that_would_be_refused(
    machine: ApiMachine, target: None, operator: Api, viewer: Api
) -> None:
    machine.report("app 1-1", "linux 1-1", "grub 1-1")
    assert viewer.get("/endpoints/m1").ok()["protected"] is None
    assert viewer.get("/endpoints/m1/diff").ok()["refused"] == []
    machine.report("app 1-1", "linux 1-1", "grub 1-1", protected=[GRUB, KERNELS])
    detail = viewer.get("/endpoints/m1").ok()
    assert (detail["protected"], detail["refused"]) == ([GRUB, KERNELS], [LOST])
    assert machine.api.get("/me").ok()["refused"] == [LOST]
    assert machine.api.get("/endpoints/m1/diff").ok()["refused"] == [LOST]
    assert viewer.get("/pools/lab/refusals").ok() == {"items": [{"endpoint": "m1", "refused": [LOST]}]}
    operator.patch("/pools/lab", {"excluded_packages": ["grub"]}).ok()
    assert viewer.get("/endpoints/m1/diff").ok()["refused"] == []
    assert viewer.get("/pools/lab/refusals").ok() == {"items": []}


def test_protected_package_with_a_replacement_in_the_target_isnt_refused(
    machine: ApiMachine, target: None, viewer: Api
) -> None:
    old = KERNELS | {"names": ["linux-old"], "instead": ["linux"]}
    each = GRUB | {"needs": "each", "names": ["grub", "app"]}
    installed = ("app 1-1", "linux-old 1-1", "grub 1-1")
    repository = (*installed, "linux 1-1")
    machine.report(*installed, repository=repository, protected=[old])
    assert viewer.get("/pools/lab/refusals").ok() == {"items": []}
    machine.report(*installed, repository=repository, protected=[old | {"instead": ["linux-lts"]}, each])
    refused = machine.api.get("/endpoints/m1/diff").ok()["refused"]
    assert [one["name"] for one in refused] == ["grub", "linux-old"]


def test_protected_of_one_report_is_gone_with_the_next_without(machine: ApiMachine, target: None, viewer: Api) -> None:
    """An older agent took over, for example: nothing is known then."""
    machine.report("app 1-1", "linux 1-1", "grub 1-1", protected=[GRUB])
    machine.report("app 1-1", "linux 1-1", "grub 1-1")
    assert viewer.get("/endpoints/m1").ok()["protected"] is None


@pytest.mark.parametrize(
    "protected",
    [
        {},
        [{}],
        [GRUB | {"needs": "some"}],
        [GRUB | {"names": ["a\nb"]}],
        [GRUB | {"names": ["x"] * 101}],
        [GRUB | {"why": ""}],
        [GRUB | {"more": 1}],
        [GRUB] * 21,
    ],
)
def test_check_in_protected_that_makes_no_sense_422_nothing_recorded(machine: ApiMachine, protected: Any) -> None:
    body = {"seq": 1, "state": "0" * 64, "repositories": [], "protected": protected}
    machine.api.post("/checkin", body).refused(422, "invalid_request")
    assert machine.fresh().last_seen is None
