"""Failures that will pass: the operation is queued again, later and later, and automatic sync goes on."""

import uuid
from datetime import timedelta

import pytest

from apps.fleet import clock, exceptions, leases, pool_manager, sync_coordinator
from apps.fleet.models import AuditEvent, Operation
from tests import factories
from tests.fleet.operations import come_due, fail
from tests.fleet.test_automatic import machine

pytestmark = pytest.mark.django_db
PASSING = ("mirror_failed", "network_failed", "databases_unreadable", "disk_full", "database_locked", "lease_lost")
PASSING += ("attempts_exhausted", "pacman_killed")


def minutes(operation: Operation) -> float:
    assert operation.retry_at
    return (operation.retry_at - clock.now()).total_seconds() / 60


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("code", PASSING)
def test_failure_that_will_pass_is_queued_again_for_later(code: str, began: bool) -> None:
    operation = fail(factories.queued(), code, began=began)
    assert (operation.status, operation.retries, operation.attempt) == ("queued", 1, 0)
    assert operation.result and operation.result["code"] == code
    assert 0.9 < minutes(operation) < 1.3 and operation.applying_since is None and operation.finished is None
    event = AuditEvent.objects.get(verb="requeue")
    assert event.after["code"] == code and event.after["retry_at"].startswith("20")


@pytest.mark.parametrize("code", ["package_unavailable", "untrusted_file", "rehearsal_failed", "interrupted", ""])
def test_failure_that_says_something_is_the_end(code: str) -> None:
    assert fail(factories.queued(), code).status == "failed"


def test_pauses_grow_to_an_hour_and_no_further() -> None:
    operation, seen = factories.queued(), []
    for _ in range(6):
        operation = fail(operation, "mirror_failed")
        seen.append(minutes(operation))
        come_due(operation)
    expected = [1, 5, 15, 60, 60, 60]
    assert all(least - 0.1 < pause < 1.3 * least for pause, least in zip(seen, expected, strict=True)), seen
    assert operation.retries == 6


def test_failure_that_has_changed_the_machine_is_the_end() -> None:
    operation = factories.applying(factories.queued())
    done = factories.finish(operation, factories.state("app 1.5-1"), outcome="failed", code="disk_full")
    assert (done.status, done.retries) == ("failed", 0)


def test_failure_that_reached_the_target_all_the_same_succeeded() -> None:
    assert factories.finish(factories.applying(), outcome="failed", code="disk_full").status == "succeeded"


def test_failure_past_the_deadline_ends_with_its_reason() -> None:
    operation = factories.leased(factories.queued())
    Operation.objects.filter(pk=operation.pk).update(deadline=clock.moved(timedelta(seconds=30)))
    done = factories.finish(operation, operation.base_state, outcome="failed", code="mirror_failed")
    assert done.status == "failed" and done.result and done.result["code"] == "mirror_failed"


def test_what_was_asked_for_on_the_machine_itself_ends_there() -> None:
    endpoint = factories.queued().endpoint
    Operation.objects.all().delete()
    actor = f"endpoint:{endpoint.name}"
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor=actor)
    assert fail(operation, "mirror_failed").status == "failed"


def test_result_that_is_repeated_gets_the_stored_answer() -> None:
    operation = factories.leased(factories.queued())
    token = operation.lease_token
    first = factories.finish(operation, operation.base_state, outcome="failed", code="mirror_failed")
    operation.lease_token = token
    again = factories.finish(operation, operation.base_state, outcome="failed", code="mirror_failed")
    assert (again.retries, again.retry_at, again.status) == (1, first.retry_at, "queued")
    factories.claim(come_due(again))
    with pytest.raises(exceptions.LeaseLost):
        factories.finish(operation, operation.base_state, outcome="failed", code="mirror_failed")


def test_waiting_operation_is_neither_offered_nor_claimed_before_its_time() -> None:
    operation = fail(factories.queued(), "mirror_failed")
    base = operation.base_state
    assert factories.report(operation.endpoint, base).operation is None
    with pytest.raises(exceptions.NotClaimable, match="next try at"):
        factories.claim(operation)
    come_due(operation)
    offered = factories.report(operation.endpoint, base).operation
    assert offered is not None and offered.pk == operation.pk
    claimed = factories.claim(operation).operation
    assert (claimed.status, claimed.retry_at, claimed.retries, claimed.attempt) == ("leased", None, 1, 1)


@pytest.mark.parametrize("kind", ["sync", "revert"])
def test_somebody_who_asks_meanwhile_gets_a_new_one_at_once(kind: str) -> None:
    machine()
    waiting = fail(Operation.objects.get(), "mirror_failed")
    if kind == "revert":  # nothing to take back: refused, and the waiting one stays
        with pytest.raises(exceptions.NothingToRevert):
            sync_coordinator.create_operation(endpoint=waiting.endpoint, kind=kind, actor="anna")
        waiting.refresh_from_db()
        assert waiting.status == "queued"
        return
    made, new = sync_coordinator.create_operation(
        endpoint=waiting.endpoint, kind=kind, actor="anna", idempotency_key="key"
    )
    waiting.refresh_from_db()
    assert new and made.pk != waiting.pk and made.retry_at is None
    assert (waiting.status, waiting.result["code"], waiting.retry_at) == ("cancelled", "asked_again", None)
    again, new = sync_coordinator.create_operation(
        endpoint=waiting.endpoint, kind=kind, actor="anna", idempotency_key="key"
    )
    assert again.pk == made.pk and not new


def test_operation_that_is_under_way_doesnt_make_way() -> None:
    operation = come_due(fail(factories.queued(), "mirror_failed"))
    factories.claim(operation)
    with pytest.raises(exceptions.OperationActive):
        sync_coordinator.create_operation(endpoint=operation.endpoint, kind="sync", actor="anna")


def test_waiting_operation_can_be_cancelled_and_automatic_sync_gives_up_then() -> None:
    endpoint = machine()
    operation = fail(Operation.objects.get(), "mirror_failed")
    done = sync_coordinator.cancel(operation=operation, actor="anna")
    assert (done.status, done.retry_at) == ("cancelled", None)
    assert endpoint.state
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.count() == 1


@pytest.mark.parametrize(("code", "count"), [("mirror_failed", 2), ("package_unavailable", 1)])
def test_automatic_sync_goes_on_after_a_failure_that_will_pass(code: str, count: int) -> None:
    """Where it ended as failed: somebody had asked for it on the machine, or its deadline had come."""
    endpoint = machine()
    operation = Operation.objects.get()
    Operation.objects.filter(pk=operation.pk).update(author=f"endpoint:{endpoint.name}")
    operation.refresh_from_db()
    assert fail(operation, code).status == "failed" and endpoint.state
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.count() == count


def test_automatic_sync_goes_on_after_a_machine_that_slept_over_the_deadline() -> None:
    endpoint = machine()
    Operation.objects.update(deadline=clock.moved(timedelta(seconds=-1)))
    assert leases.expire_leases() == 1 and Operation.objects.get().status == "lost"
    assert endpoint.state
    factories.report(endpoint, endpoint.state)
    assert sorted(Operation.objects.values_list("status", flat=True)) == ["lost", "queued"]


def test_new_target_takes_the_place_of_a_waiting_automatic_sync() -> None:
    endpoint = machine()
    fail(Operation.objects.get(), "mirror_failed")
    assert endpoint.pool and endpoint.state
    pool_manager.go_back(pool=endpoint.pool, number=1, actor="anna")
    waiting = Operation.objects.get(retries=1)
    assert (waiting.status, waiting.result["code"], waiting.retry_at) == ("cancelled", "target_changed", None)
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.filter(status="queued", retry_at=None).count() == 1


def test_agent_lost_again_and_again_before_it_began_waits_too() -> None:
    operation = factories.queued()
    for _ in range(3):
        factories.claim(operation, uuid.uuid4())
        Operation.objects.update(lease_until=clock.moved(timedelta(seconds=-1)))
        leases.expire_leases()
    operation.refresh_from_db()
    assert (operation.status, operation.retries, operation.result["code"]) == ("queued", 1, "attempts_exhausted")
