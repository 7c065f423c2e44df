"""The lease of an operation: claim, heartbeat, and what becomes of one that ran out."""

import uuid
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.fleet import clock, exceptions, leases, operation_results, status, sync_coordinator, transitions
from apps.fleet.models import Endpoint, Operation, OperationStatus
from apps.fleet.status import EndpointStatus
from tests import factories
from tests.fleet.operations import expire, heartbeat, pass_deadline, reread

pytestmark = pytest.mark.django_db


def test_claim_same_token_again_gets_the_same_lease() -> None:
    operation, token = factories.queued(), uuid.uuid4()
    first = factories.claim(operation, token)
    again = factories.claim(operation, token)
    assert again.operation.attempt == 1 and again.fetch == first.fetch
    assert again.operation.lease_until >= first.operation.lease_until


def test_claim_lease_lasts_by_the_databases_clock() -> None:
    operation = factories.leased()
    assert operation.lease_until
    left = (operation.lease_until - clock.now()).total_seconds()
    assert leases.LEASE_SECONDS - 30 < left <= leases.LEASE_SECONDS


def test_claim_other_token_while_leased_is_refused() -> None:
    operation = factories.leased()
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)
    assert reread(operation).lease_token == operation.lease_token


def test_claim_expired_lease_passes_to_the_new_token_and_fences_the_old_one() -> None:
    operation = expire(factories.leased())
    new = factories.claim(operation).operation
    assert (new.attempt, new.status) == (2, "leased") and new.lease_token != operation.lease_token
    with pytest.raises(exceptions.LeaseLost):
        heartbeat(operation, token=operation.lease_token)
    with pytest.raises(exceptions.LeaseLost):
        factories.finish(operation)


def test_claim_in_another_state_cancels_the_operation() -> None:
    operation = factories.queued()
    with pytest.raises(exceptions.BaseChanged):
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=operation.endpoint, lease_token=uuid.uuid4(), state="0" * 64
        )
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("cancelled", "base_changed")
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)


def test_claim_of_another_endpoints_operation_is_not_found() -> None:
    operation = factories.queued()
    with pytest.raises(exceptions.NotFound):
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=factories.endpoint(), lease_token=uuid.uuid4(), state="0" * 64
        )
    assert reread(operation).status == "queued"


def test_claim_applying_with_its_token_is_a_repeat_and_expired_is_not_for_others() -> None:
    operation = expire(factories.applying())
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)
    again = factories.claim(operation, operation.lease_token).operation
    assert (again.status, again.attempt) == ("applying", 1)


def test_claim_past_the_deadline_is_refused() -> None:
    operation = factories.queued()
    pass_deadline(operation)
    with pytest.raises(exceptions.NotClaimable):
        factories.claim(operation)


def test_heartbeat_extends_the_lease() -> None:
    operation = factories.leased()
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() + timedelta(seconds=5))
    left = heartbeat(operation).lease_until - clock.now()
    assert left > timedelta(seconds=60)


def test_heartbeat_applying_is_for_good_and_since_the_first() -> None:
    operation = factories.applying()
    later = heartbeat(operation, "leased")
    assert (later.status, later.applying_since) == ("applying", operation.applying_since)
    assert heartbeat(operation, "applying").applying_since == operation.applying_since


def test_heartbeat_expired_while_leased_is_lost_though_nobody_took_it() -> None:
    operation = expire(factories.leased())
    for phase in ("leased", "applying"):
        with pytest.raises(exceptions.LeaseLost):
            heartbeat(operation, phase)
    assert reread(operation).lease_until == operation.lease_until


def test_heartbeat_expired_while_applying_takes_the_lease_up_again() -> None:
    operation = expire(factories.applying())
    assert heartbeat(operation, "applying").lease_until > clock.now()


@pytest.mark.parametrize("state", ["queued", "foreign token", "finished"])
def test_heartbeat_without_the_lease_is_lost(state: str) -> None:
    operation = factories.queued()
    if state == "foreign token":
        factories.leased(operation)
    if state == "finished":
        factories.finish(factories.applying(operation))
    before = Operation.objects.filter(pk=operation.pk).values().get()
    with pytest.raises(exceptions.LeaseLost):
        heartbeat(operation, token=uuid.uuid4())
    assert Operation.objects.filter(pk=operation.pk).values().get() == before


def test_heartbeat_unknown_phase_is_invalid() -> None:
    with pytest.raises(exceptions.Invalid):
        heartbeat(factories.leased(), "done")


def test_expire_leased_is_queued_again_three_times_then_for_later() -> None:
    operation = factories.queued()
    for attempt in (1, 2, 3):
        assert reread(operation).status == "queued"
        factories.claim(operation)
        assert leases.expire_leases() == 0
        expire(operation)
        assert operation.attempt == attempt and leases.expire_leases() == 1
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("queued", "attempts_exhausted")
    assert (operation.attempt, operation.retries) == (0, 1) and operation.retry_at > clock.now()
    assert leases.expire_leases() == 0


def test_expire_applying_waits_for_the_report_until_the_deadline() -> None:
    operation = expire(factories.applying())
    assert leases.expire_leases() == 0
    pass_deadline(operation)
    assert leases.expire_leases() == 1
    operation = reread(operation)
    assert (operation.status, operation.result["code"]) == ("lost", "deadline_passed")


def test_expire_past_the_deadline_with_a_live_lease_goes_on() -> None:
    operation = factories.applying()
    pass_deadline(operation)
    assert leases.expire_leases() == 0
    assert factories.finish(operation).status == "succeeded"


def test_expire_queued_past_the_deadline_is_lost() -> None:
    operation = factories.queued()
    pass_deadline(operation)
    assert leases.expire_leases() == 1 and reread(operation).status == "lost"


@pytest.mark.parametrize(
    ("reported", "attempt", "status", "code"),
    [
        ("app 2.0-1", 1, "succeeded", "judged_by_report"),
        ("app 1.0-1", 1, "queued", None),
        ("app 1.0-1", 3, "failed", "lost_applying"),
        ("app 1.5-1", 1, "failed", "state_differs"),
    ],
)
def test_report_after_the_lease_was_lost_while_applying_decides(
    reported: str, attempt: int, status: str, code: str | None
) -> None:
    operation = expire(factories.applying())
    Operation.objects.filter(pk=operation.pk).update(attempt=attempt)
    factories.report(operation.endpoint, factories.state(reported))
    operation = reread(operation)
    assert (operation.status, (operation.result or {}).get("code")) == (status, code)
    if code == "state_differs":
        assert operation.result["difference"]["counts"]["upgrade"] == 1


@pytest.mark.parametrize("reported", ["app 2.0-1", "app 1.0-1", "app 1.5-1"])
def test_report_of_a_locked_machine_decides_nothing_until_the_lock_is_gone(reported: str) -> None:
    """Its agent goes on with the operation then."""
    operation = expire(factories.applying())
    locked = factories.problem("database_locked")
    factories.report(operation.endpoint, factories.state(reported), examination=[locked])
    assert reread(operation).status == "applying"
    factories.report(operation.endpoint, factories.state(reported), examination=[])
    assert reread(operation).status != "applying"


def test_report_while_the_lease_lives_decides_nothing() -> None:
    operation = factories.applying()
    factories.report(operation.endpoint, factories.state("app 1.5-1"))
    assert reread(operation).status == "applying"
    assert factories.finish(operation).status == "succeeded"


def test_judge_lease_extended_in_the_meantime_is_left_alone() -> None:
    read = expire(factories.applying())
    heartbeat(read, "applying")
    result = operation_results.server_result("failed", "state_differs", "")
    assert not transitions.queue_again(read)
    assert not transitions.end(read, status=OperationStatus.FAILED, actor="server", result=result, only_if_lost=True)
    assert reread(read).status == "applying"


def test_heartbeat_and_claim_endpoint_is_online(db: None) -> None:
    operation = factories.queued()
    for act in (lambda: factories.leased(operation), lambda: heartbeat(reread(operation), "applying")):
        Endpoint.objects.update(last_seen=Now() - timedelta(days=1))
        assert status.of_one(reread(operation).endpoint) == EndpointStatus.OFFLINE
        act()
        assert status.of_one(reread(operation).endpoint) != EndpointStatus.OFFLINE


def test_heartbeat_of_a_lost_lease_is_a_sign_of_life_too(db: None) -> None:
    operation = factories.leased()
    Endpoint.objects.update(last_seen=None)
    with pytest.raises(exceptions.LeaseLost):
        heartbeat(operation, token=uuid.uuid4())
    assert status.of_one(reread(operation).endpoint) != EndpointStatus.OFFLINE
