"""Automatic sync by a pool's policy."""

import pytest

from apps.fleet import endpoint_manager, exceptions, pool_manager, sync_coordinator
from apps.fleet.models import Endpoint, Operation
from tests import factories

pytestmark = pytest.mark.django_db
TARGET = ("app 2.0-1", "lib 2.0-1")
BEHIND = ("app 1.0-1", "lib 2.0-1")
AHEAD = ("app 3.0-1", "lib 2.0-1")
DIVERGED = ("app 1.0-1", "lib 3.0-1")
EXTRA = (*TARGET, "extra 1-1")


def machine(resolution: str = "manual", *, auto_sync: bool = True, state: tuple[str, ...] = BEHIND) -> Endpoint:
    pool = factories.pool(auto_sync=auto_sync, conflict_resolution=resolution)
    factories.target(pool, *TARGET)
    endpoint = factories.endpoint(pool=pool)
    factories.report(endpoint, factories.state(*state))
    return endpoint


@pytest.mark.parametrize(
    ("resolution", "state", "queued"),
    [
        ("manual", BEHIND, True),
        ("manual", AHEAD, False),
        ("manual", DIVERGED, False),
        ("manual", EXTRA, False),
        ("newest", BEHIND, True),
        ("newest", AHEAD, False),
        ("newest", DIVERGED, False),
        ("newest", EXTRA, True),
        ("oldest", BEHIND, True),
        ("oldest", AHEAD, True),
        ("oldest", DIVERGED, True),
        ("oldest", TARGET, False),
    ],
)
def test_check_in_policy_decides_whether_a_sync_is_queued(
    resolution: str, state: tuple[str, ...], queued: bool
) -> None:
    endpoint = machine(resolution, state=state)
    assert Operation.objects.filter(endpoint=endpoint).exists() is queued


def test_check_in_auto_sync_off_queues_nothing() -> None:
    machine("oldest", auto_sync=False)
    assert not Operation.objects.exists()


def test_check_in_again_while_active_queues_no_second() -> None:
    endpoint = machine()
    assert endpoint.state
    factories.report(endpoint, endpoint.state)
    operation = Operation.objects.get()
    assert operation.author == f"policy:{endpoint.pool}"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_check_in_tried_from_this_state_to_this_revision_is_not_tried_again(end: str) -> None:
    endpoint = machine()
    operation = Operation.objects.get()
    if end == "cancelled":
        sync_coordinator.cancel(operation=operation, actor="anna")
    else:
        factories.finish(factories.applying(operation), endpoint.state, outcome="failed")
    assert endpoint.state and endpoint.pool
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.count() == 1
    pool_manager.go_back(pool=endpoint.pool, number=1, actor="anna")  # another revision: tried again
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.count() == 2


def test_check_in_base_had_changed_and_is_back_is_tried_again() -> None:
    endpoint = machine()
    base = endpoint.state
    assert base
    operation = Operation.objects.get()
    factories.report(endpoint, factories.state("app 1.5-1", "lib 2.0-1"))
    with pytest.raises(Exception, match="no longer in the state"):
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=endpoint, lease_token=operation.pk, state=endpoint.state_id or ""
        )
    factories.report(endpoint, base)
    assert Operation.objects.filter(status="queued", base_state=base).exists()


def test_check_in_new_target_queues_without_any_change_at_the_endpoint() -> None:
    endpoint = machine(state=TARGET)
    assert endpoint.state and endpoint.pool and not Operation.objects.exists()
    factories.target(endpoint.pool, "app 3.0-1", "lib 3.0-1")
    Operation.objects.all().delete()
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.get().endpoint == endpoint


def test_check_in_another_architecture_queues_nothing() -> None:
    pool = factories.pool(auto_sync=True, conflict_resolution="oldest")
    factories.target(pool, *TARGET)
    endpoint = factories.endpoint(pool=pool, arch="aarch64")
    assert factories.report(endpoint, factories.state("app 1.0-1 aarch64")).recorded
    assert not Operation.objects.exists()


def test_check_in_after_the_sync_was_reverted_waits_for_a_new_target() -> None:
    endpoint = machine()
    base = endpoint.state
    assert base and endpoint.pool
    factories.finish(factories.applying(Operation.objects.get()))
    endpoint.refresh_from_db()
    factories.synced(endpoint, kind="revert")
    endpoint.refresh_from_db()
    assert endpoint.state == base
    factories.report(endpoint, base)
    assert not Operation.objects.filter(status="queued").exists()
    pool_manager.go_back(pool=endpoint.pool, number=1, actor="anna")
    factories.report(endpoint, base)
    assert Operation.objects.filter(status="queued").count() == 1


@pytest.mark.parametrize("author", ["policy", "user"])
def test_new_target_cancels_what_the_policy_queued_for_another_one(author: str) -> None:
    """An agent would take it for a server that went back. What a person queued stays."""
    endpoint = machine()
    assert endpoint.state and endpoint.pool
    if author == "user":
        Operation.objects.update(author="user:ada")
    factories.target(endpoint.pool, "app 3.0-1", "lib 3.0-1")
    operation = Operation.objects.get()
    if author == "user":
        assert operation.status == "queued"
        return
    assert (operation.status, (operation.result or {})["code"]) == ("cancelled", "target_changed")
    factories.report(endpoint, endpoint.state)
    queued = Operation.objects.get(status="queued")
    endpoint.pool.refresh_from_db()
    assert queued.revision_id == endpoint.pool.target_id


def test_claim_of_what_the_policy_queued_while_the_target_changed_is_refused() -> None:
    endpoint = machine()
    operation = Operation.objects.get()
    assert endpoint.state and endpoint.pool
    factories.target(endpoint.pool, "app 3.0-1", "lib 3.0-1")
    Operation.objects.update(status="queued", finished=None, result=None)  # it was queued a moment later
    with pytest.raises(exceptions.NotClaimable, match="another target"):
        sync_coordinator.claim(
            operation_id=operation.pk, endpoint=endpoint, lease_token=operation.pk, state=endpoint.state_id or ""
        )
    operation.refresh_from_db()
    assert (operation.status, (operation.result or {})["code"]) == ("cancelled", "target_changed")


def test_revoked_token_cancels_what_is_queued_and_a_new_one_queues_again() -> None:
    endpoint = machine()
    assert endpoint.state
    endpoint_manager.revoke_token(endpoint=endpoint, actor="user:ada")
    operation = Operation.objects.get()
    assert (operation.status, (operation.result or {})["code"]) == ("cancelled", "token_revoked")
    endpoint_manager.rotate_token(endpoint=endpoint, actor="user:ada")
    factories.report(endpoint, endpoint.state)
    assert Operation.objects.filter(status="queued").count() == 1
