"""Operations that many ask for, claim, cancel and finish at once: one wins, nobody crashes, nothing is half done."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.fleet import endpoint_manager, leases, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, EndpointState, Operation
from tests import factories
from tests.support.race import MANY, kinds, race

pytestmark = pytest.mark.django_db(transaction=True)


def ready() -> Endpoint:
    """An endpoint that a sync would change."""
    endpoint = factories.reporting_endpoint(pool=factories.pool(), state=factories.state("app 1.0-1"))
    assert endpoint.pool
    factories.target(endpoint.pool, "app 2.0-1")
    return endpoint


def test_create_many_at_once_one_operation_is_made() -> None:
    endpoint = ready()
    results = race(MANY, lambda _: sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")[0])
    assert kinds(results) == {"Operation": 1, "OperationActive": MANY - 1}
    assert Operation.objects.count() == 1


def test_create_many_at_once_with_one_key_all_get_the_one_operation() -> None:
    endpoint = ready()

    def create(_: int) -> tuple[Operation, bool]:
        return sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test", idempotency_key="k")

    results = race(MANY, create)
    assert {operation.pk for operation, _ in results} == {Operation.objects.get().pk}
    assert [made for _, made in results].count(True) == 1


def test_create_one_key_for_many_endpoints_at_once_one_wins() -> None:
    pool = factories.pool()
    factories.target(pool, "app 2.0-1")
    endpoints = [factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1")) for _ in range(8)]
    results = race(
        8,
        lambda number: sync_coordinator.create_operation(
            endpoint=endpoints[number], kind="sync", actor="test", idempotency_key="k"
        ),
    )
    assert kinds(results) == {"tuple": 1, "IdempotencyKeyReused": 7}


def test_claim_many_tokens_at_once_one_gets_the_lease() -> None:
    operation = factories.queued()
    results = race(MANY, lambda _: factories.claim(operation))
    assert kinds(results) == {"Claim": 1, "NotClaimable": MANY - 1}
    assert Operation.objects.get().attempt == 1


def test_claim_one_token_many_times_at_once_is_one_lease() -> None:
    operation, token = factories.queued(), uuid.uuid4()
    results = race(MANY, lambda _: factories.claim(operation, token))
    assert kinds(results) == {"Claim": MANY}
    assert Operation.objects.get().attempt == 1


def test_claim_and_cancel_at_once_it_ends_cancelled_and_is_leased_once_at_most() -> None:
    """A leased operation can be cancelled, too, as long as pacman isn't started."""
    for _ in range(5):
        operation = factories.queued()

        def act(number: int, operation: Operation = operation) -> Any:
            if number % 2:
                return factories.claim(operation)
            return sync_coordinator.cancel(operation=operation, actor="test")

        results = kinds(race(6, act))
        claims = results.pop("Claim", 0)
        assert results == {"Operation": 3, "NotClaimable": 3 - claims} and claims <= 1
        assert Operation.objects.get(pk=operation.pk).status == "cancelled"


def test_finish_many_at_once_all_get_the_one_result() -> None:
    operation = factories.applying()
    results = race(MANY, lambda _: factories.finish(operation))
    assert kinds(results) == {"Operation": MANY}
    assert len({result.finished for result in results}) == 1
    assert AuditEvent.objects.filter(verb="succeeded").count() == 1
    assert EndpointState.objects.filter(endpoint=operation.endpoint_id).count() == 2


def test_expire_and_claim_at_once_no_lease_is_taken_from_its_new_holder() -> None:
    for _ in range(5):
        operation = factories.leased()
        Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - timedelta(seconds=1))

        def act(number: int, operation: Operation = operation) -> Any:
            return leases.expire_leases() if number % 2 else factories.claim(operation)

        results = race(6, act)
        assert sorted(kinds(results))[0] == "Claim" and kinds(results)["Claim"] == 1
        held = Operation.objects.get(pk=operation.pk)
        winner = next(result for result in results if isinstance(result, sync_coordinator.Claim))
        assert (held.status, held.lease_token, held.attempt) == ("leased", winner.operation.lease_token, 2)


def test_expire_many_at_once_each_row_changes_once() -> None:
    operations = [factories.leased() for _ in range(4)]
    Operation.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert sum(race(6, lambda _: leases.expire_leases())) == len(operations)
    assert set(Operation.objects.values_list("status", flat=True)) == {"queued"}


def test_delete_endpoint_and_claim_at_once_one_wins() -> None:
    for _ in range(5):
        operation = factories.queued()

        def act(number: int, operation: Operation = operation) -> Any:
            if number:
                return endpoint_manager.delete_endpoint(endpoint=operation.endpoint, actor="test")
            return factories.claim(operation)

        assert kinds(race(2, act)) in ({"Claim": 1, "OperationActive": 1}, {"NotFound": 1, "NoneType": 1})
