"""What an operation waits for, in each case."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.fleet import leases, sync_coordinator, waiting
from apps.fleet.models import Endpoint, Operation, Pool
from tests import factories
from tests.fleet.operations import come_due, expire, fail, heartbeat, pass_deadline

pytestmark = pytest.mark.django_db


def waits(operation: Operation) -> waiting.Waiting:
    found = waiting.of(Operation.objects.with_names().get(pk=operation.pk))
    assert found is not None
    return found


def test_queued_operation_waits_for_the_next_report() -> None:
    assert waits(factories.queued()) == waiting.Waiting(
        code="next_report", text="It begins with the machine's next report."
    )


def test_queued_operation_of_an_offline_machine_waits_for_the_machine() -> None:
    operation = factories.queued()
    Endpoint.objects.filter(pk=operation.endpoint_id).update(last_seen=Now() - timedelta(hours=1))
    found = waits(operation)
    assert (found.code, found.until) == ("offline", operation.deadline)
    assert found.since == Endpoint.objects.get(pk=operation.endpoint_id).last_seen


def test_failure_that_passes_waits_for_its_next_try_and_then_for_a_report() -> None:
    operation = fail(factories.queued(), "mirror_failed")
    assert (waits(operation).code, waits(operation).until) == ("next_try", operation.retry_at)
    assert waits(come_due(operation)).code == "next_report"


def test_locked_database_is_what_it_waits_for() -> None:
    found = waits(fail(factories.queued(), "database_locked"))
    assert found.code == "database_locked" and "lock of the machine's package database" in found.text


def test_operation_after_one_that_was_lost_with_pacman_at_work_may_wait_for_that() -> None:
    lost = expire(factories.applying())
    pass_deadline(lost)
    leases.expire_leases()
    operation, _ = sync_coordinator.create_operation(endpoint=lost.endpoint, kind="sync", actor="test")
    assert waits(operation).code == "another_operation"
    Operation.objects.filter(pk=lost.pk).update(applying_since=None)
    assert waits(operation).code == "next_report"


def test_operation_that_will_be_cancelled_says_so_before_the_machine_asks() -> None:
    operation = factories.queued()
    factories.report(operation.endpoint, factories.state("app 1.5-1"))
    assert waits(operation).code == "base_changed"
    assert "It is cancelled when the machine asks for it." in waits(operation).text


def test_operation_of_a_policy_that_has_another_target_says_so() -> None:
    operation = factories.queued()
    factories.target(Pool.objects.get(), "app 3.0-1")
    assert waits(operation).code == "next_report"
    Operation.objects.filter(pk=operation.pk).update(author=f"policy:{operation.endpoint.pool}")
    assert waits(operation).code == "target_changed"


def test_operation_of_a_machine_without_a_token_says_so() -> None:
    operation = factories.queued()
    Endpoint.objects.filter(pk=operation.endpoint_id).update(token_hash=None, revoked=Now())
    assert waits(operation).code == "token_revoked"


@pytest.mark.parametrize(
    ("make", "says"), [(factories.leased, "gets the operation again"), (factories.applying, "next report")]
)
def test_operation_whose_agent_is_silent_says_since_when(make: object, says: str) -> None:
    operation = expire(make())  # type: ignore[operator]
    found = waits(operation)
    assert found.code == "agent_silent" and says in found.text
    assert operation.lease_until and found.since == operation.lease_until - timedelta(seconds=leases.LEASE_SECONDS)


def test_operation_at_work_waits_for_nothing_but_what_its_agent_says() -> None:
    operation = factories.leased()
    assert waiting.of(operation) is None
    progress = {"phase": "downloading", "waiting": "mirror.example (429 Too Many Requests), 20 s"}
    sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,
        phase="leased",
        progress=progress,
    )
    assert waits(operation).text == "The machine waits for mirror.example (429 Too Many Requests), 20 s."
    heartbeat(operation, "applying")
    assert waiting.of(Operation.objects.get(pk=operation.pk)) is None


def test_operation_that_ended_waits_for_nothing() -> None:
    assert waiting.of(factories.finish(factories.applying())) is None
