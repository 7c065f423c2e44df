"""Which packages are foreign to an endpoint: what its repositories don't have and no operation brought."""

import pytest

from apps.fleet import goals, pool_manager, states, sync_coordinator
from apps.fleet.models import Endpoint
from tests import factories

pytestmark = pytest.mark.django_db
OLD = ("app 1.0-1", "oldc 1.0-1")
NEW = ("app 2.0-1", "newc 1.0-1")


def names(endpoint: Endpoint) -> set[str]:
    endpoint.refresh_from_db()
    assert endpoint.state
    return {package.name for package in states.load(endpoint.state)}


def old_machine(pool: object, *extra: str) -> tuple[Endpoint, object]:
    """A machine on the old snapshot, with its repository."""
    snapshot = factories.reported_repository(factories.repository(*OLD))
    endpoint = factories.endpoint(pool=pool)
    factories.report(endpoint, factories.state(*OLD, *extra), snapshot)
    return endpoint, snapshot


def test_foreign_name_in_no_repository_is_foreign() -> None:
    endpoint, _ = old_machine(None, "yay 12.0-1")
    assert endpoint.foreign == ["yay"]


def test_foreign_another_version_than_the_repositorys_is_not() -> None:
    endpoint = factories.endpoint()
    factories.report(endpoint, factories.state("app 9-1"), factories.reported_repository(factories.repository(*OLD)))
    assert endpoint.foreign == []


def test_foreign_offered_by_the_second_repository_is_not() -> None:
    core = factories.reported_repository(factories.repository("app 1.0-1"))
    extra = factories.reported_repository(factories.repository("oldc 1.0-1"), name="extra")
    endpoint = factories.endpoint()
    factories.report(endpoint, factories.state(*OLD), core, extra)
    assert endpoint.foreign == []


def test_foreign_is_not_what_a_repository_had_while_exactly_this_build_was_installed() -> None:
    endpoint, _ = old_machine(None, "yay 12.0-1")
    newer = factories.reported_repository(factories.repository("app 1.0-1"))
    for state in (factories.state(*OLD, "yay 12.0-1"), factories.state(*OLD, "yay 12.0-1", "other 1-1")):
        factories.report(endpoint, state, newer)
        assert endpoint.dropped == ["oldc"] and "yay" in endpoint.foreign
    factories.report(endpoint, factories.state("app 1.0-1", "oldc 1.0-2"), newer)  # built by the admin, from the AUR
    assert (endpoint.foreign, endpoint.dropped) == (["oldc"], [])


def test_foreign_replaced_by_another_of_the_repository_is_not_also_after_an_operation() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1", "newc 1.0-1")
    endpoint = factories.endpoint(pool=pool)
    newer = factories.reported_repository(factories.repository(*NEW))
    factories.report(endpoint, factories.state(*OLD, "yay 12.0-1"), newer, replaced=["oldc"])
    assert endpoint.foreign == ["yay"]
    factories.synced(endpoint)
    assert names(endpoint) == {"app", "newc", "yay"} and endpoint.foreign == ["yay"]
    factories.synced(endpoint, "revert")
    assert names(endpoint) == {"app", "oldc", "yay"} and endpoint.foreign == ["yay"]


def test_foreign_renamed_by_a_sync_is_not_and_goes_with_the_sync_back() -> None:
    pool = factories.pool()
    factories.target(pool, *OLD)
    factories.target(pool, *NEW)
    endpoint, snapshot = old_machine(pool, "yay 12.0-1")
    factories.synced(endpoint)
    assert names(endpoint) == {"app", "newc", "yay"} and endpoint.foreign == ["yay"]
    pool_manager.go_back(pool=pool, number=1, actor="test")
    factories.report(endpoint, endpoint.state, snapshot)
    assert endpoint.foreign == ["yay"]
    factories.synced(endpoint)
    assert names(endpoint) == {"app", "oldc", "yay"} and endpoint.foreign == ["yay"]


def test_foreign_brought_then_removed_then_installed_by_hand_is_foreign() -> None:
    pool = factories.pool()
    factories.target(pool, *OLD)
    factories.target(pool, *NEW)
    endpoint, snapshot = old_machine(pool)
    factories.synced(endpoint)
    pool_manager.go_back(pool=pool, number=1, actor="test")
    factories.synced(endpoint)
    factories.report(endpoint, factories.state(*OLD, "newc 1.0-1"), snapshot)
    assert endpoint.foreign == ["newc"]


def test_foreign_operation_failed_half_way_what_it_left_is_not() -> None:
    pool = factories.pool()
    factories.target(pool, *NEW)
    endpoint, _ = old_machine(pool, "yay 12.0-1")
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    half = factories.state("app 1.0-1", "newc 1.0-1", "yay 12.0-1")
    assert factories.finish(factories.applying(operation), half, outcome="failed").status == "failed"
    endpoint.refresh_from_db()
    assert endpoint.foreign == ["yay"]


def test_foreign_operation_never_began_has_brought_nothing() -> None:
    pool = factories.pool()
    factories.target(pool, *NEW)
    endpoint, snapshot = old_machine(pool)
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="test")
    sync_coordinator.cancel(operation=operation, actor="test")
    factories.report(endpoint, factories.state(*OLD, "newc 1.0-1"), snapshot)
    assert endpoint.foreign == ["newc"]
    factories.target(pool, *OLD)
    assert "newc" in {package.name for package in goals.sync_goal(reread(endpoint)).packages}


def test_foreign_kept_by_an_operation_stays_foreign_after_it() -> None:
    pool = factories.pool()
    factories.target(pool, "app 2.0-1")
    endpoint, snapshot = old_machine(pool, "yay 12.0-1")
    operation = factories.synced(endpoint)
    assert operation.foreign == ["yay"] and names(endpoint) == {"app", "yay"}
    factories.report(endpoint, factories.state("app 2.0-1", "yay 12.1-1"), snapshot)
    assert endpoint.foreign == ["yay"]


def test_foreign_in_the_pools_target_is_managed() -> None:
    pool = factories.pool()
    endpoint, _ = old_machine(pool, "yay 12.0-1")
    factories.target(pool, *OLD, "yay 13.0-1")
    goal = goals.sync_goal(reread(endpoint))
    assert goal.foreign == [] and [change.kind for change in goal.changes] == ["upgrade"]
    factories.synced(endpoint)
    factories.target(pool, *OLD)  # the target lets go of it: an operation brought this version, so the next takes it
    assert [change.kind for change in goals.sync_goal(reread(endpoint)).changes] == ["remove"]


def test_set_target_foreign_and_excluded_packages_are_left_out() -> None:
    pool = factories.pool(excluded_packages=["linux*"])
    endpoint, _ = old_machine(pool, "yay 12.0-1")
    offers = factories.reported_repository(factories.repository(*OLD, "linux 6-1"))
    factories.report(endpoint, factories.state(*OLD, "linux 6-1", "yay 12.0-1"), offers)
    revision, _ = pool_manager.set_target(pool=pool, endpoint=endpoint, actor="test")
    assert [package.name for package in states.load(revision.state)] == ["app", "oldc"]


def reread(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.with_target().get(pk=endpoint.pk)
