"""The packages of an operation before and after, from the moment it is queued."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.fleet import leases, operation_packages, retention, sync_coordinator
from apps.fleet.models import Endpoint, EndpointState, Operation, State
from apps.fleet.operation_packages import What
from tests import factories
from tests.fleet.operations import expire, pass_deadline

pytestmark = pytest.mark.django_db


def seen(operation: Operation) -> tuple[What, list[tuple[str, str]]]:
    found = operation_packages.of(Operation.objects.get(pk=operation.pk))
    return found.what, [(change.name, change.kind.value) for change in found.changes]


def test_packages_of_a_queued_operation_are_planned_with_what_it_keeps() -> None:
    pool = factories.pool(excluded_packages=["linux*"])
    factories.target(pool, "app 2-1", "lib 2-1", "new 1-1 dependency", "linux 6-2")
    state = factories.state("app 1-1", "lib 1-1", "linux 6-1", "old 1-1", "aur 1-1")
    core = factories.reported_repository(factories.repository("app 1-1", "lib 1-1", "linux 6-1", "old 1-1"))
    endpoint = factories.endpoint(pool=pool)
    factories.report(endpoint, state, core, holds=["lib"])
    Endpoint.objects.filter(pk=endpoint.pk).update(foreign=["aur"])
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    assert seen(operation) == (What.PLANNED, [("app", "upgrade"), ("new", "install"), ("old", "remove")])
    kept = operation_packages.of(operation).kept
    # linux isn't among them: the target of a pool that excludes it doesn't have it either, it is unmanaged there.
    assert (kept["held"], kept["foreign"]) == (["lib"], ["aur"])
    assert [name for names in kept.values() for name in names].count("linux") == 1


def test_packages_stay_planned_until_the_end_and_are_the_states_before_and_after_then() -> None:
    operation = factories.applying()
    assert seen(operation) == (What.PLANNED, [("app", "upgrade")])
    done = factories.finish(operation)
    assert seen(done) == (What.CHANGED, [("app", "upgrade")])
    assert operation_packages.of(done).kept == {"held": [], "foreign": [], "excluded": [], "unmanaged": []}


def test_packages_of_a_failure_in_between_are_those_that_it_left_and_not_its_goal() -> None:
    done = factories.finish(factories.applying(), factories.state("app 1.5-1", "new 1-1"), outcome="failed")
    assert seen(done) == (What.CHANGED, [("app", "upgrade"), ("new", "install")])
    assert done.end_state_id != done.target_state_id


def test_packages_of_a_failure_that_changed_nothing_are_none() -> None:
    operation = factories.applying()
    assert seen(factories.finish(operation, operation.base_state, outcome="failed", code="x")) == (What.CHANGED, [])


@pytest.mark.parametrize("reported", ["app 1.0-1", "app 1.5-1"])
def test_packages_of_a_failure_before_pacman_are_what_it_would_have_changed(reported: str) -> None:
    """Even if somebody else changed the machine meanwhile: that was not the operation."""
    done = factories.finish(factories.leased(), factories.state(reported), outcome="failed", code="x")
    assert seen(done) == (What.NOT_BEGUN, [("app", "upgrade")])


def test_packages_of_a_cancelled_operation_are_what_it_would_have_changed() -> None:
    operation = sync_coordinator.cancel(operation=factories.queued(), actor="test")
    assert seen(operation) == (What.NOT_BEGUN, [("app", "upgrade")])


def test_packages_of_an_operation_lost_while_applying_are_not_known() -> None:
    operation = expire(factories.applying())
    pass_deadline(operation)
    leases.expire_leases()
    assert seen(operation) == (What.NOT_KNOWN, [("app", "upgrade")])


@pytest.mark.parametrize(("reported", "kind"), [("app 2.0-1", "upgrade"), ("app 0.5-1", "downgrade")])
def test_packages_of_an_operation_that_a_report_decided_are_those_of_the_report(reported: str, kind: str) -> None:
    operation = expire(factories.applying())
    factories.report(operation.endpoint, factories.state(reported))
    assert seen(operation) == (What.CHANGED, [("app", kind)])


def test_packages_of_an_operation_from_before_ends_were_kept() -> None:
    succeeded = factories.finish(factories.applying())
    failed = factories.finish(factories.applying(), factories.state("app 1.7-1"), outcome="failed")
    Operation.objects.update(end_state=None)
    assert seen(succeeded) == (What.CHANGED, [("app", "upgrade")])
    assert seen(failed) == (What.NOT_KNOWN, [("app", "upgrade")])


def test_state_that_an_operation_left_is_kept_as_long_as_the_operation() -> None:
    left = factories.state("app 1.5-1", "new 1-1")
    done = factories.finish(factories.applying(), left, outcome="failed")
    factories.report(done.endpoint, factories.state("app 3-1"))
    EndpointState.objects.filter(state=left).delete()
    State.objects.update(created=Now() - timedelta(days=3))
    retention.run()
    assert State.objects.filter(pk=left.pk).exists()
    Operation.objects.filter(pk=done.pk).update(end_state=None)
    retention.run()
    assert not State.objects.filter(pk=left.pk).exists()


def test_packages_whose_end_an_older_instance_removed_are_not_known() -> None:
    done = factories.finish(factories.applying(), factories.state("app 1.5-1"), outcome="failed")
    Operation.objects.filter(pk=done.pk).update(end_state="0" * 64)
    assert seen(done) == (What.NOT_KNOWN, [("app", "upgrade")])
    Operation.objects.filter(pk=done.pk).update(end_state=None)  # SQLite looks at references at the end of a test
