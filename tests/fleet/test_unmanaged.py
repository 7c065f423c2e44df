"""What a target doesn't manage: recorded with why, and left as it is on every endpoint, whatever its databases say."""

import pytest

from apps.fleet import automatic, goals, pool_manager, revisions, status
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.status import EndpointStatus
from tests import factories

pytestmark = pytest.mark.django_db
OLD = ("app 1-1", "base 1-1", "tray 1-1")
NEW = ("app 2-1", "base 2-1")


def machine(pool: Pool, installed: tuple[str, ...], offered: tuple[str, ...], **options: object) -> Endpoint:
    made = factories.endpoint(pool=pool)
    factories.report(
        made, factories.state(*installed), factories.reported_repository(factories.repository(*offered)), **options
    )
    return made


def after_sync(endpoint: Endpoint) -> set[str]:
    endpoint = Endpoint.objects.with_target().get(pk=endpoint.pk)
    return {f"{package.name} {package.version}" for package in goals.sync_goal(endpoint).packages}


def why(pool: Pool) -> dict[str, str]:
    pool.refresh_from_db()
    assert pool.target and pool.target.unmanaged is not None
    return {one["name"]: one["why"] for one in pool.target.unmanaged}


def test_unmanaged_dropped_upstream_is_kept_by_who_has_old_databases_and_who_has_new_ones() -> None:
    pool = factories.pool()
    old, refreshed = machine(pool, OLD, OLD), machine(pool, OLD, NEW)
    lacking = machine(pool, OLD[:2], OLD)
    source = machine(pool, (*NEW, "tray 1-1"), NEW)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert why(pool) == {"tray": "dropped"}
    assert after_sync(old) == after_sync(refreshed) == {"app 2-1", "base 2-1", "tray 1-1"}
    assert after_sync(lacking) == {"app 2-1", "base 2-1"}
    assert set(status.by_packages([old, refreshed, lacking]).values()) == {EndpointStatus.BEHIND}


def test_unmanaged_only_difference_is_no_difference() -> None:
    pool = factories.pool(auto_sync=True, conflict_resolution="oldest")
    source = machine(pool, (*NEW, "tray 1-1"), NEW)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    other = machine(pool, (*NEW, "tray 9-1"), (*NEW, "tray 9-1"))  # another repository of its own has it
    other = Endpoint.objects.with_target().get(pk=other.pk)
    assert status.by_packages([other])[other.pk] == EndpointStatus.IN_SYNC
    assert automatic.wanted(other) is None
    goal = goals.sync_goal(other)
    assert (goal.changes, goal.kept["unmanaged"]) == ([], ["tray"])


def test_unmanaged_name_that_a_sync_left_alone_was_not_brought_by_it() -> None:
    pool = factories.pool()
    old = machine(pool, OLD, OLD)
    source = machine(pool, (*NEW, "tray 1-1"), NEW)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    factories.synced(old)
    factories.report(old, old.state, factories.reported_repository(factories.repository(*NEW)))
    assert old.dropped == ["tray"]
    assert Operation.objects.get().foreign == ["tray"]


def test_dropped_and_removed_at_the_source_goes_whether_databases_were_refreshed_or_not() -> None:
    pool = factories.pool()
    old, refreshed = machine(pool, OLD, OLD), machine(pool, OLD, OLD)
    factories.report(refreshed, refreshed.state, factories.reported_repository(factories.repository(*NEW)))
    source = machine(pool, NEW, NEW)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert why(pool) == {}
    assert after_sync(old) == after_sync(refreshed) == {"app 2-1", "base 2-1"}
    assert set(status.by_packages([old, refreshed]).values()) == {EndpointStatus.BEHIND}


def test_dropped_that_a_machine_was_never_seen_to_have_from_a_repository_stays_everywhere() -> None:
    pool = factories.pool()
    old, refreshed = machine(pool, OLD, OLD), machine(pool, OLD, NEW)
    source = machine(pool, NEW, NEW)
    proposal = pool_manager.propose(pool=pool, endpoint=source)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert proposal.unmanaged == [{"name": "tray", "why": "dropped"}]
    assert why(pool) == {"tray": "dropped"}
    assert after_sync(old) == after_sync(refreshed) == {"app 2-1", "base 2-1", "tray 1-1"}


def test_dropped_that_one_machine_built_again_goes_from_the_others() -> None:
    pool = factories.pool()
    old = machine(pool, OLD, OLD)
    aur = machine(pool, (*OLD[:2], "tray 1-2"), NEW)
    source = machine(pool, NEW, NEW)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert why(pool) == {}
    assert after_sync(old) == {"app 2-1", "base 2-1"}
    assert after_sync(aur) == {"app 2-1", "base 2-1", "tray 1-2"}


def test_unmanaged_reasons_are_recorded_and_foreign_wins() -> None:
    pool = factories.pool(excluded_packages=["linux*", "yay"])
    source = machine(
        pool,
        ("app 1-1", "linux 1-1", "vim 1-1", "yay 1-1", "aurapp 1-1"),
        ("app 1-1", "linux 1-1", "vim 1-1"),
        holds=["vim", "linux"],
    )
    proposal = pool_manager.propose(pool=pool, endpoint=source)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert why(pool) == {"aurapp": "foreign", "linux": "excluded", "vim": "held", "yay": "foreign"}
    assert proposal.unmanaged == pool.target.unmanaged  # type: ignore[union-attr]
    assert [package.name for package in proposal.packages] == ["app"]


def test_unmanaged_package_of_the_present_target_that_upstream_dropped_is_dropped() -> None:
    pool = factories.pool()
    source = machine(pool, OLD, OLD)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    factories.report(
        source, factories.state(*NEW, "tray 1-1"), factories.reported_repository(factories.repository(*NEW))
    )
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    assert why(pool) == {"tray": "dropped"}


def test_foreign_is_not_what_the_repositories_of_the_target_offer() -> None:
    pool = factories.pool()
    source = machine(pool, ("app 2-1",), ("app 2-1", "tool 1-1"))
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    endpoint = machine(pool, ("app 2-1", "tool 1-1", "yay 1-1"), ("app 2-1",))
    assert endpoint.foreign == ["tool", "yay"]
    assert after_sync(endpoint) == {"app 2-1", "yay 1-1"}
    assert status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.AHEAD


def test_foreign_contents_of_the_target_are_gone_it_is_left_alone() -> None:
    pool = factories.pool()
    source = machine(pool, ("app 2-1",), ("app 2-1", "tool 1-1"))
    revision, _ = pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    revision.repositories = [{**one, "digest": "0" * 64} for one in revision.repositories]
    revision.save()
    endpoint = machine(pool, ("app 2-1", "tool 1-1"), ("app 2-1",))
    assert after_sync(endpoint) == {"app 2-1", "tool 1-1"}


def test_revert_brings_back_what_was_there_and_leaves_the_unmanaged_alone() -> None:
    pool = factories.pool()
    old = machine(pool, OLD, OLD)
    source = machine(pool, (*NEW, "tray 1-1"), NEW)
    pool_manager.set_target(pool=pool, endpoint=source, actor="test")
    factories.synced(old)
    old = Endpoint.objects.with_target().get(pk=old.pk)
    assert {f"{one.name} {one.version}" for one in goals.revert_goal(old).packages} == set(OLD)
    assert revisions.unmanaged_names(old.pool.target) == {"tray"}  # type: ignore[union-attr, arg-type]
