"""Where automatic sync rests, why, and how somebody lets it go on."""

import pytest
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from apps.fleet import attention, automatic, goals, paused_automatic_sync, pool_manager, sync_coordinator
from apps.fleet.fleet_survey import Survey
from apps.fleet.models import AuditEvent, Endpoint, EndpointState, Operation, Pool, TargetRevision
from tests import factories

pytestmark = pytest.mark.django_db
OLD = ("app 1-1",)


@pytest.fixture
def box() -> Endpoint:
    """An endpoint that is behind, in a pool with automatic sync."""
    pool = factories.pool("lab", auto_sync=True)
    factories.target(pool, "app 2-1")
    made = factories.endpoint("box", pool=pool)
    factories.report(made, factories.state(*OLD))
    return made


def active(endpoint: Endpoint) -> Operation | None:
    return Operation.objects.active().filter(endpoint=endpoint).first()


def cancelled(endpoint: Endpoint) -> Operation:
    operation = active(endpoint)
    assert operation
    return sync_coordinator.cancel(operation=operation, actor="user:ada")


def test_cancelled_sync_rests_until_it_is_resumed(box: Endpoint) -> None:
    operation = cancelled(box)
    factories.report(box, factories.state(*OLD))
    assert active(box) is None
    found = paused_automatic_sync.of_one(box)
    assert found and (found.why, found.operation, found.since) == ("cancelled", operation.pk, operation.finished)
    assert paused_automatic_sync.resume(endpoint=box, actor="user:ada")
    assert paused_automatic_sync.of_one(box) is None and active(box) is None
    factories.report(box, factories.state(*OLD))
    assert active(box)
    event = AuditEvent.objects.get(verb="resume_sync")
    assert (event.actor, event.object, event.before["why"]) == ("user:ada", "endpoint:box", "cancelled")


def test_resumed_sync_that_is_cancelled_again_rests_again(box: Endpoint) -> None:
    cancelled(box)
    paused_automatic_sync.resume(endpoint=box, actor="user:ada")
    factories.report(box, factories.state(*OLD))
    again = cancelled(box)
    found = paused_automatic_sync.of_one(box)
    assert found and found.operation == again.pk


def test_reverted_sync_rests(box: Endpoint) -> None:
    sync = active(box)
    assert sync
    factories.finish(factories.applying(sync))
    revert = factories.synced(box, kind="revert")
    found = paused_automatic_sync.of_one(Endpoint.objects.get(pk=box.pk))
    assert found and (found.why, found.operation) == (paused_automatic_sync.REVERTED, revert.pk)


def test_untried_operation_does_not_rest(box: Endpoint) -> None:
    operation = cancelled(box)
    Operation.objects.filter(pk=operation.pk).update(result={"code": "base_changed"})
    assert paused_automatic_sync.of_one(box) is None


def test_new_target_ends_the_rest(box: Endpoint) -> None:
    cancelled(box)
    assert box.pool
    pool_manager.go_back(pool=box.pool, number=1, actor="test")
    assert paused_automatic_sync.of() == {}


def test_nothing_rests_without_automatic_sync(box: Endpoint) -> None:
    cancelled(box)
    pool_manager.change_pool(pool=Pool.objects.get(), actor="test", auto_sync=False)
    assert paused_automatic_sync.of() == {}


def test_resume_of_what_does_not_rest_changes_nothing(box: Endpoint) -> None:
    assert not paused_automatic_sync.resume(endpoint=box, actor="user:ada")
    box.refresh_from_db()
    assert box.sync_resumed is None
    assert not AuditEvent.objects.filter(verb="resume_sync").exists()


@pytest.mark.parametrize(("code", "why"), [("pacman_failed", "failed"), ("mirror_failed", None), ("disk_full", None)])
def test_failure_that_will_pass_is_no_reason_to_rest(box: Endpoint, code: str, why: str | None) -> None:
    operation = active(box)
    assert operation
    ended = Operation.objects.filter(pk=operation.pk)
    ended.update(status="failed", finished=Now(), result={"code": code})  # as a server without other tries left it
    found = paused_automatic_sync.of_one(box)
    assert (found and found.why) == why
    factories.report(box, factories.state(*OLD))
    assert (active(box) is None) == (why is not None)


def test_revert_whose_files_differ_took_the_sync_back(box: Endpoint) -> None:
    sync = active(box)
    assert sync
    factories.finish(factories.applying(sync))
    revert, _ = sync_coordinator.create_operation(endpoint=box, kind="revert", actor="user:ada")
    factories.finish(factories.applying(revert), outcome="failed", code="files_differ")
    factories.report(box, factories.state(*OLD))
    found = paused_automatic_sync.of_one(box)
    assert found and found.why == "reverted" and active(box) is None


@pytest.mark.parametrize(
    ("resolution", "packages", "rests"),
    [
        ("manual", ("app 1-1",), True),
        ("manual", ("app 3-1",), False),
        ("manual", ("app 1-1", "lib 3-1"), False),
        ("newest", ("app 1-1", "extra 1-1"), True),
        ("newest", ("app 3-1",), False),
        ("oldest", ("app 3-1",), True),
    ],
)
def test_nothing_rests_that_the_policy_would_not_sync(resolution: str, packages: tuple[str, ...], rests: bool) -> None:
    pool = factories.pool("lab", conflict_resolution=resolution)
    factories.target(pool, "app 2-1", "lib 2-1")
    box = factories.reporting_endpoint("box", pool=pool, state=factories.state(*packages))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="user:ada")
    sync_coordinator.cancel(operation=operation, actor="user:ada")
    pool_manager.change_pool(pool=pool, actor="test", auto_sync=True)
    box = Endpoint.objects.with_target().get(pk=box.pk)
    found = automatic.rests(box, goals.sync_goal(box).changes)
    assert (found and found.why) == ("cancelled" if rests else None)
    assert [rest.name for rest in Survey().rests] == (["box"] if rests else [])
    # What is said is what happens: once resumed, the next report queues a sync where it rested, and only there.
    paused_automatic_sync.resume(endpoint=box, actor="user:ada")
    factories.report(box, factories.state(*packages))
    assert (active(box) is not None) is rests


def test_nothing_is_said_to_rest_while_the_target_waits_for_approval(box: Endpoint) -> None:
    cancelled(box)
    assert [rest.name for rest in Survey().rests] == ["box"]
    pool_manager.change_pool(pool=Pool.objects.get(), actor="test", endpoint_targets_need_approval=True)
    TargetRevision.objects.update(approved=False)
    assert Survey().rests == []


def synced_box(box: Endpoint) -> Operation:
    """The endpoint after its automatic sync."""
    sync = active(box)
    assert sync
    factories.finish(factories.applying(sync))
    return sync


def test_endpoint_that_was_rolled_back_is_not_pushed_forward_again(box: Endpoint) -> None:
    """It is in the state before its last sync, and no operation brought it there: a snapshot did."""
    sync = synced_box(box)
    factories.report(box, factories.state(*OLD))
    assert active(box) is None
    found = paused_automatic_sync.of_one(box)
    reported = EndpointState.objects.filter(endpoint=box).latest("seq")
    assert found and (found.why, found.operation, found.since) == ("rolled_back", sync.pk, reported.at)
    event = AuditEvent.objects.get(verb="roll_back")
    assert (event.actor, event.object) == ("endpoint:box", "endpoint:box")
    assert event.before == {"operation": str(sync.pk), "state": sync.target_state_id}
    assert event.after == {"state": sync.base_state_id}
    [item] = [item for item in attention.needs_attention() if item.kind == "resting"]
    assert item.endpoint == "box" and "was rolled back on the machine, so automatic sync rests" in item.cause
    factories.report(box, factories.state(*OLD))
    assert active(box) is None and AuditEvent.objects.filter(verb="roll_back").count() == 1


def test_rollback_is_ended_by_resuming(box: Endpoint) -> None:
    synced_box(box)
    factories.report(box, factories.state(*OLD))
    assert paused_automatic_sync.resume(endpoint=box, actor="user:ada")
    factories.report(box, factories.state(*OLD))
    assert active(box)
    # And a second one counts again.
    synced_box(box)
    factories.report(box, factories.state(*OLD))
    assert (found := paused_automatic_sync.of_one(box)) and found.why == "rolled_back"


def test_rollback_is_ended_by_a_new_target(box: Endpoint) -> None:
    synced_box(box)
    factories.report(box, factories.state(*OLD))
    assert box.pool
    factories.target(box.pool, "app 3-1")
    factories.report(box, factories.state(*OLD))
    assert active(box)


def test_rollback_is_ended_by_a_sync_that_somebody_asks_for(box: Endpoint) -> None:
    synced_box(box)
    factories.report(box, factories.state(*OLD))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="user:ada")
    factories.finish(factories.applying(operation))
    assert paused_automatic_sync.of() == {}


def test_other_state_than_before_the_last_sync_is_no_rollback(box: Endpoint) -> None:
    synced_box(box)
    factories.report(box, factories.state("app 1-1", "lib 1-1"))
    assert paused_automatic_sync.of() == {} and active(box)
    assert not AuditEvent.objects.filter(verb="roll_back").exists()


def test_revert_is_no_rollback(box: Endpoint) -> None:
    synced_box(box)
    factories.synced(box, kind="revert")
    found = paused_automatic_sync.of_one(Endpoint.objects.get(pk=box.pk))
    assert found and found.why == "reverted"
    assert not AuditEvent.objects.filter(verb="roll_back").exists()


def test_where_it_rests_is_one_statement(box: Endpoint, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    synced_box(box)
    factories.report(box, factories.state(*OLD))
    with django_assert_num_queries(1):
        assert paused_automatic_sync.of_one(box)
