"""A pool goes back to an earlier target: machines that are off must not install the one that it left."""

import pytest

from apps.fleet import audit, pool_manager, queued_syncs, sync_coordinator, waiting
from apps.fleet.exceptions import NotClaimable
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories
from tests.fleet.operations import fail

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Pool:
    """#1 is `app 1-1`, #2 `app 2-1`; all four are older than both, and a sync to #2 is queued for `three`."""
    pool = factories.pool("desk")
    factories.target(pool, "app 1-1")
    factories.target(pool, "app 2-1")
    for name in ("one", "two", "three", "four"):
        factories.reporting_endpoint(name, pool=pool, state=factories.state("app 0-1"))
    sync("three")
    return Pool.objects.get()


def sync(name: str, actor: str = "user:bob") -> Operation:
    return sync_coordinator.create_operation(endpoint=Endpoint.objects.get(name=name), kind="sync", actor=actor)[0]


def of(name: str) -> Operation:
    return Operation.objects.with_names().get(endpoint__name=name)


def left(pool: Pool, number: int) -> queued_syncs.AffectedSyncs:
    revision = pool.revisions.get(number=number)
    return queued_syncs.affected(pool, revision=revision.pk, of_pool=revision.pool_id)


def test_going_back_cancels_what_nobody_has_begun_and_says_why(desk: Pool) -> None:
    assert left(desk, 1) == queued_syncs.AffectedSyncs(cancelled=["three"], staying=[])
    pool_manager.go_back(pool=desk, number=1, actor="user:ada")
    ended = of("three")
    assert (ended.status, ended.result and ended.result["code"]) == ("cancelled", "pool_went_back")
    assert ended.result and ended.result["message"] == "The pool went back to target #1 before it began."
    event = AuditEvent.objects.get(object=audit.name_of(ended), verb="cancelled")
    assert (event.actor, event.before, event.after) == (
        "user:ada",
        {"status": "queued"},
        {"status": "cancelled", "code": "pool_went_back"},
    )


def test_what_was_begun_and_what_leads_elsewhere_stays(desk: Pool) -> None:
    other = factories.pool("other")
    factories.target(other, "app 2-1")
    factories.reporting_endpoint("o1", pool=other, state=factories.state("app 1-1"))
    sync("o1")
    at_work = factories.applying(sync("one"))
    begun = factories.leased(sync("two"))
    Operation.objects.filter(pk=begun.pk).update(status="queued", lease_token=None, lease_until=None)
    assert left(desk, 1) == queued_syncs.AffectedSyncs(cancelled=["three"], staying=["two"])
    pool_manager.go_back(pool=desk, number=1, actor="user:ada")
    assert [of(name).status for name in ("one", "two", "three", "o1")] == ["applying", "queued", "cancelled", "queued"]
    at_work.refresh_from_db()
    assert at_work.lease_token is not None


def test_what_waits_for_its_next_try_is_cancelled_too(desk: Pool) -> None:
    fail(of("three"), "mirror_failed")
    pool_manager.go_back(pool=desk, number=1, actor="user:ada")
    ended = of("three")
    assert (ended.status, ended.retry_at) == ("cancelled", None)
    assert ended.result and ended.result["message"] == "The pool went back to target #1 before its next try."


def test_revert_that_is_queued_is_no_sync_and_stays(desk: Pool) -> None:
    machine = Endpoint.objects.get(name="one")
    factories.synced(machine)
    sync_coordinator.create_operation(endpoint=machine, kind="revert", actor="user:bob")
    pool_manager.go_back(pool=desk, number=1, actor="user:ada")
    assert Operation.objects.get(kind="revert").status == "queued"


def test_new_target_and_promoted_one_leave_what_people_queued(desk: Pool) -> None:
    assert queued_syncs.affected(desk, revision=None, of_pool=None).staying == ["three"]
    assert left(desk, 2).staying == []
    factories.target(desk, "app 3-1")
    other = factories.pool("other")
    revision = factories.target(other, "app 4-1")
    assert queued_syncs.affected(desk, revision=revision.pk, of_pool=other.pk) == queued_syncs.AffectedSyncs(
        cancelled=[], staying=["three"]
    )
    pool_manager.promote(pool=desk, source=other, actor="user:ada")
    assert of("three").status == "queued"
    desk.refresh_from_db()
    assert queued_syncs.affected(desk, revision=desk.target_id, of_pool=desk.pk).staying == ["three"]
    assert waits(of("three")).text.endswith(" It goes to target #2; the pool's target is #4 now.")


def waits(operation: Operation) -> waiting.Waiting:
    found = waiting.of(operation)
    assert found is not None
    return found


def test_sync_that_was_queued_at_the_moment_of_going_back_is_not_handed_out(desk: Pool) -> None:
    """Its goal was found before, and its row written after: nothing locks the pool meanwhile."""
    pool_manager.go_back(pool=desk, number=1, actor="user:ada")
    late = of("three")
    Operation.objects.filter(pk=late.pk).update(status="queued", finished=None, result=None)
    late = of("three")
    assert waits(late).code == "pool_went_back"
    with pytest.raises(NotClaimable, match="went back to target #1"):
        factories.claim(late)
    assert of("three").status == "cancelled"


def test_confirmed_target_after_a_restore_is_no_going_back(desk: Pool) -> None:
    """It is a new revision that says the same: what leads to the one before is wanted still."""
    target = desk.target
    assert target is not None
    factories.target(desk, "app 2-1")
    desk.revisions.order_by("-number").filter(number=3).update(copied_number=2)
    assert waits(of("three")).code == "next_report"
    factories.claim(of("three"))


def test_many_are_cancelled_in_statements_that_do_not_grow_with_them(
    desk: Pool, django_assert_max_num_queries: object
) -> None:
    state = factories.state("app 0-1")
    for number in range(10):
        factories.reporting_endpoint(f"n{number}", pool=desk, state=state)
        sync(f"n{number}")
    with django_assert_max_num_queries(20):  # type: ignore[operator] # an untyped fixture
        pool_manager.go_back(pool=desk, number=1, actor="user:ada")
    assert Operation.objects.filter(status="cancelled").count() == 11
    assert AuditEvent.objects.filter(verb="cancelled", actor="user:ada").count() == 11
