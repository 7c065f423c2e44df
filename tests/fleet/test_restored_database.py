"""A database from a backup: agents have seen revisions that aren't here any more."""

import pytest

from apps.fleet import (
    endpoint_manager,
    exceptions,
    obsolete_operations,
    pool_alarms,
    pool_manager,
    restored_database,
    revisions,
    sync_coordinator,
)
from apps.fleet.endpoint_manager import SeenRevision
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool, TargetRevision
from tests import factories

pytestmark = pytest.mark.django_db
OTHER = "f" * 64


def automatic_pool(**policy: object) -> Pool:
    """A pool on target #1 (`app 1-1`) that brings every endpoint to it, downgrades included."""
    pool = factories.pool(auto_sync=True, conflict_resolution="oldest", **policy)
    factories.target(pool, "app 1-1")
    return pool


def fresh(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.select_related("pool__target").get(pk=endpoint.pk)


def check_in(endpoint: Endpoint, state: str = "app 2-1", **seen: object) -> Operation | None:
    """The operation of the endpoint after it reported this package and the revision that it has seen."""
    endpoint = fresh(endpoint)
    named = SeenRevision(**{"number": 2, "digest": OTHER, **seen})
    return factories.report(endpoint, factories.state(state), seen=named).operation


def identity(pool: Pool) -> SeenRevision:
    pool.refresh_from_db()
    assert pool.target
    return SeenRevision(**revisions.identity(pool.target))


def test_restored_newer_revision_seen_pauses_automatic_sync_before_anything_is_queued() -> None:
    pool = automatic_pool()
    endpoint = factories.endpoint("box1", pool=pool)
    assert check_in(endpoint, number=7) is None
    pool.refresh_from_db()
    assert pool.paused_since is not None
    assert pool.paused_by == {
        "endpoint": "box1",
        "number": 7,
        "digest": OTHER,
        "present": revisions.identity(TargetRevision.objects.get()),
    }
    assert AuditEvent.objects.get(verb="pause_sync").after["number"] == 7
    another = factories.reporting_endpoint(pool=pool, state=factories.state("app 3-1"))
    assert not Operation.objects.filter(endpoint=another).exists()
    (alarm,) = pool_alarms.of([pool])[pool.pk]
    assert (alarm.alarm, alarm.endpoint) == ("unknown_revision", "box1")
    assert "#7" in alarm.text and "#1" in alarm.text


@pytest.mark.parametrize("number", [1, 2])
def test_restored_same_number_with_other_contents_pauses_too(number: int) -> None:
    pool = automatic_pool()
    if number == 2:  # an old number that isn't the current one
        factories.target(pool, "app 9-1")
        number = 1
    check_in(factories.endpoint(pool=pool), number=number)
    pool.refresh_from_db()
    assert pool.paused_since is not None


@pytest.mark.parametrize("behind", [False, True])
def test_restored_revision_that_is_here_pauses_nothing(behind: bool) -> None:
    pool = automatic_pool()
    seen = identity(pool)
    if behind:
        factories.target(pool, "app 9-1")
    endpoint = factories.endpoint(pool=pool)
    assert factories.report(fresh(endpoint), factories.state("app 2-1"), seen=seen).operation is not None
    pool.refresh_from_db()
    assert pool.paused_since is None


def test_restored_next_number_is_above_every_number_seen() -> None:
    pool = automatic_pool()
    check_in(factories.endpoint(pool=pool), number=7)
    check_in(factories.endpoint(pool=pool), number=5)
    check_in(factories.endpoint(pool=pool), number=9)
    assert AuditEvent.objects.filter(verb="pause_sync").count() == 1
    revision = factories.target(pool, "app 4-1")
    assert revision.number == 10
    assert pool.paused_since is not None  # a new target alone confirms nothing
    assert pool_manager.confirm(pool=pool, actor="user:ada").target == revision


def test_restored_confirmed_target_is_a_new_revision_and_automatic_sync_goes_on() -> None:
    pool = automatic_pool()
    one, two = factories.endpoint(pool=pool), factories.endpoint(pool=pool)
    check_in(one, number=7)
    with pytest.raises(exceptions.TargetChanged):
        pool_manager.confirm(pool=pool, actor="user:ada", expected_number=7)
    confirmed = pool_manager.confirm(pool=pool, actor="user:ada", expected_number=1)
    assert confirmed.target and (confirmed.target.number, confirmed.target.copied_number) == (8, 1)
    assert (confirmed.paused_since, confirmed.paused_by) == (None, None)
    assert confirmed.target.state == TargetRevision.objects.get(number=1).state
    queued = check_in(one, number=7)  # it was offline while it was confirmed
    assert queued and queued.revision_id == confirmed.target_id
    assert check_in(two, number=6) is not None
    confirmed.refresh_from_db()
    assert confirmed.paused_since is None
    again = pool_manager.confirm(pool=confirmed, actor="user:ada")
    assert again.target == confirmed.target
    assert AuditEvent.objects.filter(verb="confirm_target").count() == 1


def test_restored_once_more_after_it_was_confirmed_pauses_again() -> None:
    pool = automatic_pool()
    endpoint = factories.endpoint(pool=pool)
    check_in(endpoint, number=7)
    pool_manager.confirm(pool=pool, actor="test")
    assert check_in(endpoint, number=9) is None
    pool.refresh_from_db()
    assert pool.paused_since is not None


def test_restored_automatic_operations_from_the_backup_are_cancelled_and_those_of_people_stay() -> None:
    pool = automatic_pool()
    automatic = factories.reporting_endpoint(pool=pool, state=factories.state("app 2-1"))
    assert Operation.objects.get(endpoint=automatic).author == f"policy:{pool.name}"
    asked = factories.reporting_endpoint(pool=pool, state=factories.state("app 3-1"))
    Operation.objects.filter(endpoint=asked).update(author="user:ada")
    check_in(factories.endpoint(pool=pool), number=7)
    ended = Operation.objects.get(endpoint=automatic)
    assert (ended.status, ended.result and ended.result["code"]) == ("cancelled", obsolete_operations.SYNC_PAUSED)
    assert Operation.objects.get(endpoint=asked).status == "queued"
    pool_manager.confirm(pool=pool, actor="test")
    assert check_in(automatic, number=7) is not None  # not given up: nobody tried it


def test_restored_operation_that_the_policy_queued_at_the_same_moment_is_not_claimed() -> None:
    pool = automatic_pool()
    automatic = factories.reporting_endpoint(pool=pool, state=factories.state("app 2-1"))
    check_in(factories.endpoint(pool=pool), number=7)
    Operation.objects.filter(endpoint=automatic).update(status="queued", finished=None, result=None)
    with pytest.raises(exceptions.NotClaimable, match="is paused"):
        factories.claim(Operation.objects.get(endpoint=automatic))
    ended = Operation.objects.get(endpoint=automatic)
    assert (ended.status, ended.result and ended.result["code"]) == ("cancelled", obsolete_operations.SYNC_PAUSED)


def test_restored_people_may_still_sync_single_endpoints() -> None:
    pool = automatic_pool()
    endpoint = factories.endpoint(pool=pool)
    check_in(endpoint, number=7)
    operation, _ = sync_coordinator.create_operation(endpoint=fresh(endpoint), kind="sync", actor="user:ada")
    assert operation.status == "queued"


def test_restored_pool_without_a_target_gives_numbers_above() -> None:
    pool = factories.pool()
    check_in(factories.endpoint(pool=pool), number=7)
    pool.refresh_from_db()
    assert pool.paused_since is not None
    assert pool_manager.confirm(pool=pool, actor="test").target is None
    assert factories.target(pool, "app 1-1").number == 8


def test_restored_what_another_pool_showed_pauses_nothing_until_it_has_seen_this_one() -> None:
    pool, other = automatic_pool(), automatic_pool()
    endpoint = factories.endpoint(pool=other)
    endpoint_manager.assign(endpoint=endpoint, pool=pool, actor="test")
    check_in(endpoint, number=40)
    pool.refresh_from_db()
    assert pool.paused_since is None and fresh(endpoint).pool_changed
    factories.report(fresh(endpoint), factories.state("app 2-1"), seen=identity(pool))
    assert not fresh(endpoint).pool_changed
    check_in(endpoint, number=40)
    pool.refresh_from_db()
    assert pool.paused_since is not None


def test_restored_absurd_number_does_not_use_the_numbers_up() -> None:
    pool = automatic_pool()
    endpoint = factories.endpoint(pool=pool)
    for _ in range(3):
        check_in(endpoint, number=2**31 - 1)
    pool.refresh_from_db()
    assert pool.highest_number == 1 + restored_database.MAX_AHEAD
    confirmed = pool_manager.confirm(pool=pool, actor="test")
    assert confirmed.target and confirmed.target.number == 2 + restored_database.MAX_AHEAD


def test_restored_unchanged_report_of_the_present_target_takes_no_more_queries(
    django_assert_max_num_queries: object,
) -> None:
    pool = factories.pool()
    factories.target(pool, "app 1-1")
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1-1"))
    seen = identity(pool)
    row = endpoint.repositories.get()
    repositories = [factories.ReportedRepository(name=row.name, digest=row.content_id, mirrors=tuple(row.mirrors))]
    endpoint.token_hash = "h"
    endpoint.save()
    for more in ({}, {"revision_seen": seen}):
        known = Endpoint.objects.select_related("pool__target").get(pk=endpoint.pk)
        with django_assert_max_num_queries(3):  # type: ignore[operator]
            endpoint_manager.check_in(
                endpoint=known,
                seq=known.report_seq + 1,
                state=known.state_id or "",
                repositories=repositories,
                holds=(),
                agent_version="1.0.0",
                **more,
            )


def test_restored_confirming_a_number_approves_no_packages() -> None:
    """An endpoint with the right to set targets can cause the pause: its remedy must not approve its target."""
    pool = automatic_pool()
    TargetRevision.objects.filter(pk=pool.target_id).update(approved=False)
    check_in(factories.endpoint(pool=pool), number=7)
    confirmed = pool_manager.confirm(pool=pool, actor="user:ada")
    assert confirmed.target and confirmed.target.number == 8 and not confirmed.target.approved


def test_pool_made_again_goes_on_counting_where_the_deleted_one_was() -> None:
    """Machines that were in it remember its numbers under its name."""
    pool = factories.pool(name="again")
    for version in ("1-1", "2-1", "3-1"):
        factories.target(pool, f"app {version}")
    Endpoint.objects.filter(pool=pool).update(pool=None)
    pool_manager.delete_pool(pool=pool, actor="user:ada")
    made = pool_manager.create_pool(name="again", actor="user:ada")
    assert factories.target(made, "app 1-1").number == 4
    assert factories.target(pool_manager.create_pool(name="other", actor="user:ada"), "app 1-1").number == 1
