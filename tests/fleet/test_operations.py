"""Operations from creation to result, and what their creation refuses."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.fleet import exceptions, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories
from tests.fleet.operations import create, heartbeat, reread

pytestmark = pytest.mark.django_db


def test_sync_whole_way_reaches_the_target() -> None:
    operation = factories.queued()
    assert (operation.status, operation.plan["upgrade"], operation.attempt) == ("queued", 1, 0)
    claim = factories.claim(operation)
    assert claim.operation.status == "leased" and claim.operation.attempt == 1
    assert [(fetch.name, fetch.version) for fetch in claim.fetch] == [("app", "2.0-1")]
    applying = heartbeat(reread(operation), "applying")
    assert applying.status == "applying" and applying.applying_since
    done = factories.finish(applying)
    assert (done.status, done.lease_token, done.result["outcome"]) == ("succeeded", None, "succeeded")
    endpoint = Endpoint.objects.get(pk=operation.endpoint_id)
    assert endpoint.state_id == operation.target_state_id
    assert list(endpoint.history.order_by("seq").values_list("cause", flat=True)) == ["report", "operation"]
    events = AuditEvent.objects.filter(object=f"operation:{operation.pk}").order_by("pk")
    assert list(events.values_list("actor", "verb")) == [("test", "create"), (f"endpoint:{endpoint.name}", "succeeded")]


def test_create_endpoint_without_pool_target_or_state_is_refused() -> None:
    with pytest.raises(exceptions.NoPool):
        create(factories.endpoint())
    pool = factories.pool()
    with pytest.raises(exceptions.NoTarget):
        create(factories.endpoint(pool=pool))
    factories.target(pool, "app 1.0-1")
    with pytest.raises(exceptions.StateUnknown):
        create(factories.endpoint(pool=pool))
    assert not Operation.objects.exists()


def test_create_in_sync_but_for_kept_packages_is_refused() -> None:
    pool = factories.pool(excluded_packages=["linux"])
    factories.target(pool, "app 1.0-1")
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1", "linux 6-1"))
    with pytest.raises(exceptions.AlreadyInSync):
        create(endpoint)


def test_create_sync_that_would_leave_no_package_is_refused() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1")
    Pool.objects.update(excluded_packages=["app"])
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("lib 1.0-1"))
    with pytest.raises(exceptions.Conflict, match="without any package"):
        create(endpoint)
    factories.report(endpoint, factories.state("app 0.9-1", "lib 1.0-1"))
    assert create(endpoint).plan["remove"] == 1


def test_create_another_architecture_is_refused() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1")
    endpoint = factories.endpoint(pool=pool, arch="aarch64")
    factories.report(endpoint, factories.state("app 1.0-1 aarch64"))
    with pytest.raises(exceptions.Conflict) as refusal:
        create(endpoint)
    assert refusal.value.code == "conflict"


def test_create_target_of_another_level_of_the_architecture_is_queued() -> None:
    pool = factories.pool()
    factories.target(pool, "app 2.0-1 x86_64_v3", "lib 1-1 x86_64")
    endpoint = factories.endpoint(pool=pool, arch="x86_64")
    factories.report(endpoint, factories.state("app 1.0-1 x86_64_v3"))
    assert create(endpoint).plan["upgrade"] == 1


def test_create_while_another_is_active_is_refused() -> None:
    operation = factories.queued()
    with pytest.raises(exceptions.OperationActive):
        create(operation.endpoint)
    factories.leased(operation)
    with pytest.raises(exceptions.OperationActive):
        create(operation.endpoint, "revert")


def test_create_same_key_again_returns_the_same_even_when_finished() -> None:
    pool = factories.pool()
    factories.target(pool, "app 2.0-1")
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1"))
    first = create(endpoint, idempotency_key="k")
    assert sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test", idempotency_key="k") == (
        first,
        False,
    )
    factories.finish(factories.applying(first))
    assert create(endpoint, idempotency_key="k") == first
    for other, kind in ((endpoint, "revert"), (factories.endpoint(pool=pool), "sync")):
        with pytest.raises(exceptions.IdempotencyKeyReused):
            create(other, kind, idempotency_key="k")


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "a\0b"])
def test_create_key_that_makes_no_sense_is_invalid(key: str) -> None:
    with pytest.raises(exceptions.Invalid):
        create(factories.endpoint(), idempotency_key=key)


def test_create_unknown_kind_is_invalid() -> None:
    with pytest.raises(exceptions.Invalid):
        create(factories.endpoint(), "purge")


def test_target_moves_on_while_queued_the_operation_keeps_its_revision() -> None:
    operation = factories.queued()
    assert operation.revision
    factories.target(operation.revision.pool, "app 3.0-1")
    assert factories.finish(factories.applying(operation)).revision.number == 1
    assert Pool.objects.get(pk=operation.revision.pool_id).target.number == 2


def test_probe_works() -> None:
    sync_coordinator.probe()


def test_probe_pile_of_overdue_leases_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    operation = factories.leased()
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - timedelta(minutes=11))
    sync_coordinator.probe()
    assert "1 leases ran out" in caplog.text
