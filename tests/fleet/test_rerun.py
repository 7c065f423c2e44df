"""Running an operation again: a new one of the same kind, or a clear reason why not."""

from collections.abc import Callable

import pytest

from apps.fleet import exceptions, rerun, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories
from tests.fleet.operations import fail

pytestmark = pytest.mark.django_db


def again(operation: Operation, key: str | None = None) -> tuple[Operation, bool]:
    fresh = Operation.objects.select_related("endpoint__pool__target__state", "endpoint__state", "reverts").get(
        pk=operation.pk
    )
    return rerun.run_again(operation=fresh, actor="user:ada", idempotency_key=key)


def failed() -> Operation:
    operation = factories.applying()
    return factories.finish(operation, operation.base_state, outcome="failed", code="pacman_failed")


def cancelled() -> Operation:
    return sync_coordinator.cancel(operation=factories.queued(), actor="test")


@pytest.mark.parametrize("make", [failed, cancelled])
def test_sync_run_again_is_a_new_one_to_the_present_target(make: Callable[[], Operation]) -> None:
    operation = make()
    factories.target(Pool.objects.get(), "app 3.0-1")
    made, new = again(operation)
    assert new and made.pk != operation.pk and made.revision and made.revision.number == 2
    assert (made.kind, made.status, made.author) == ("sync", "queued", "user:ada")
    operation.refresh_from_db()
    assert operation.status in ("failed", "cancelled")
    event = AuditEvent.objects.get(verb="run_again")
    assert (event.actor, event.object) == ("user:ada", f"operation:{operation.pk}")
    assert event.after == {"operation": str(made.pk)}


def test_sync_run_again_with_the_same_key_is_one_operation() -> None:
    operation = failed()
    (made, new), (same, second) = again(operation, "k"), again(operation, "k")
    assert (new, second) == (True, False) and made == same
    assert AuditEvent.objects.filter(verb="run_again").count() == 1


def test_operation_of_a_kind_without_a_rule_is_not_taken_for_a_revert() -> None:
    operation = failed()
    operation.kind = "cleanup"
    with pytest.raises(exceptions.Invalid, match="A cleanup can't be run again"):
        rerun.goal(operation)


def test_operation_that_waits_for_its_next_try_makes_way() -> None:
    operation = fail(factories.queued(), "mirror_failed")
    made, _ = again(operation)
    operation.refresh_from_db()
    assert (operation.status, operation.result and operation.result["code"]) == ("cancelled", "asked_again")
    assert (made.status, made.retry_at) == ("queued", None)


@pytest.mark.parametrize("make", [factories.queued, factories.leased, factories.applying])
def test_operation_that_has_not_ended_is_not_run_again(make: Callable[[], Operation]) -> None:
    operation = make()
    with pytest.raises(exceptions.OperationActive):
        again(operation)
    assert Operation.objects.count() == 1 and not AuditEvent.objects.filter(verb="run_again").exists()


def test_operation_of_an_endpoint_that_has_another_one_is_not_run_again() -> None:
    operation = failed()
    sync_coordinator.create_operation(endpoint=operation.endpoint, kind="sync", actor="test")
    with pytest.raises(exceptions.OperationActive):
        again(operation)
    with pytest.raises(exceptions.OperationActive):
        rerun.goal(Operation.objects.get(pk=operation.pk))


def test_sync_that_would_change_nothing_is_not_run_again() -> None:
    operation = factories.finish(factories.applying())
    with pytest.raises(exceptions.AlreadyInSync):
        again(operation)
    with pytest.raises(exceptions.AlreadyInSync):
        rerun.goal(Operation.objects.get(pk=operation.pk))


def reverted() -> tuple[Operation, Operation]:
    """A sync from `app 1.0-1` to `app 2.0-1`, and a revert of it that failed and changed nothing."""
    synced = factories.finish(factories.applying())
    endpoint = Endpoint.objects.get(pk=synced.endpoint_id)
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="revert", actor="test")
    return synced, factories.finish(factories.applying(operation), synced.target_state, outcome="failed", code="x")


def test_revert_run_again_goes_to_the_same_state() -> None:
    synced, revert = reverted()
    made, _ = again(revert)
    assert (made.kind, made.reverts, made.target_state_id) == ("revert", synced, synced.base_state_id)


def test_revert_that_succeeded_is_run_again_to_the_same_state_and_not_further_back() -> None:
    first = factories.finish(factories.applying())
    endpoint = Endpoint.objects.get(pk=first.endpoint_id)
    factories.target(Pool.objects.get(), "app 3.0-1")
    second = factories.synced(endpoint)
    revert = factories.synced(endpoint, "revert")
    assert revert.reverts == second
    with pytest.raises(exceptions.AlreadyInSync):
        again(revert)
    factories.report(endpoint, factories.state("app 2.5-1"))  # somebody's own upgrade
    made, _ = again(revert)
    assert (made.reverts, made.target_state_id) == (second, second.base_state_id)
    assert second.base_state_id != first.base_state_id


def test_revert_of_a_sync_that_another_one_followed_is_not_run_again() -> None:
    _, revert = reverted()
    factories.target(Pool.objects.get(), "app 3.0-1")
    factories.synced(Endpoint.objects.get(pk=revert.endpoint_id))
    with pytest.raises(exceptions.NothingToRevert, match="synced since"):
        again(revert)


def test_revert_of_a_sync_that_is_not_kept_any_more_is_not_run_again() -> None:
    _, revert = reverted()
    Operation.objects.filter(pk=revert.pk).update(reverts=None)
    with pytest.raises(exceptions.NothingToRevert, match="no longer stored"):
        again(revert)
