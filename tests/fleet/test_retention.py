"""Clean-up: what goes, and what never goes."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from apps.fleet import goals, pool_manager, retention, states
from apps.fleet.models import (
    Endpoint,
    EndpointRepository,
    EndpointState,
    Operation,
    PackageVersion,
    RepositoryContent,
    State,
)
from tests import factories

pytestmark = pytest.mark.django_db


def age(model: Any, days: float = 2) -> None:
    model.objects.update(created=Now() - timedelta(days=days))


def test_clean_unreferenced_and_old_goes_with_its_package_versions() -> None:
    factories.state("gone 1-1", "shared 1-1")
    factories.repository("gone 1-1")
    kept = factories.reporting_endpoint(state=factories.state("shared 1-1"))
    age(State)
    age(RepositoryContent)
    removed = retention.clean()
    assert (removed["states"], removed["repositories"], removed["versions"]) == (1, 1, 1)
    assert list(State.objects.values_list("pk", flat=True)) == [kept.state_id]
    assert list(PackageVersion.objects.values_list("name", flat=True)) == ["shared"]


def test_clean_unreferenced_but_young_stays() -> None:
    factories.state("young 1-1")
    factories.repository("young 1-1")
    for model in (State, RepositoryContent):
        age(model, 0.9)
    assert not any(retention.clean().values()) and PackageVersion.objects.count() == 1


def test_clean_referenced_by_anything_stays_whole() -> None:
    operation = factories.finish(factories.applying(factories.queued()))
    endpoint = operation.endpoint
    factories.report(endpoint, factories.state("app 3.0-1"))
    assert endpoint.pool
    pool_manager.set_target(pool=endpoint.pool, endpoint=endpoint, actor="test")
    age(State)
    before = set(State.objects.values_list("pk", flat=True))
    retention.clean()
    assert set(State.objects.values_list("pk", flat=True)) == before
    assert all(len(states.load(state)) == state.package_count for state in State.objects.all())


def test_clean_each_single_reference_keeps_a_state() -> None:
    operation = factories.queued()
    endpoint, target = operation.endpoint, operation.target_state
    assert endpoint.pool and target
    age(State)
    for keep in ("base", "target"):
        field = {"base_state": operation.base_state} if keep == "base" else {"target_state": target}
        Operation.objects.filter(pk=operation.pk).update(**({"base_state": target, "target_state": target} | field))
        Endpoint.objects.update(state=None)
        EndpointState.objects.all().delete()
        retention.clean()
        (state,) = field.values()
        assert State.objects.filter(pk=state.pk).exists()


def test_clean_contents_of_recent_revisions_stay_and_of_old_ones_go() -> None:
    pool = factories.pool()
    first = factories.target(pool, "app 1-1").repositories[0]["digest"]
    second = factories.target(pool, "app 2-1").repositories[0]["digest"]
    EndpointRepository.objects.all().delete()
    age(RepositoryContent)
    assert retention.clean()["repositories"] == 0
    retention.REVISIONS_WITH_CONTENTS, kept = 1, retention.REVISIONS_WITH_CONTENTS
    try:
        assert retention.clean()["repositories"] == 1
    finally:
        retention.REVISIONS_WITH_CONTENTS = kept
    assert list(RepositoryContent.objects.values_list("pk", flat=True)) == [second] != [first]


def test_clean_history_beyond_the_pools_retention_goes_oldest_first() -> None:
    endpoint = factories.endpoint(pool=factories.pool(retention=3))
    other = factories.endpoint()
    for number in range(6):
        factories.report(endpoint, factories.state(f"app {number}-1"))
        factories.report(other, factories.state(f"app {number}-1"))
    assert retention.clean()["history"] == 3
    assert sorted(endpoint.history.values_list("seq", flat=True)) == [4, 5, 6]
    assert other.history.count() == 6  # in no pool: the default, 50


def test_clean_old_operations_go_but_never_what_a_revert_needs() -> None:
    done = factories.finish(factories.applying(factories.queued()))
    endpoint = done.endpoint
    fields = {"endpoint": endpoint, "kind": "sync", "base_state": done.base_state, "target_state": done.target_state}
    Operation.objects.bulk_create(
        Operation(**fields, status="failed", author="test", deadline=Now(), finished=Now(), created=Now())
        for _ in range(retention.OPERATIONS_KEPT + 5)
    )
    Operation.objects.filter(pk=done.pk).update(created=Now() - timedelta(days=9))
    assert retention.clean()["operations"] == 5
    assert goals.newest_unreverted(endpoint) == done
    assert retention.clean()["operations"] == 0


def test_clean_switched_off_removes_nothing(settings: Settings) -> None:
    settings.AUTO_CLEANUP_OLD_STATES = False
    factories.state("gone 1-1")
    age(State)
    assert retention.clean() == {} and State.objects.exists()


def test_clean_one_run_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_CONTENTS", 2)
    for number in range(5):
        factories.state(f"gone {number}-1")
    age(State)
    assert [retention.clean()["states"] for _ in range(4)] == [2, 2, 1, 0]
    assert not PackageVersion.objects.exists()


def test_remove_versions_of_a_state_that_came_while_looking_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = states.intern([("late", "1-1", "any"), ("gone", "1-1", "any")])
    factories.state("basic 1-1")
    look = retention._used_by

    def used_then_upload(scanned: set[str]) -> Any:
        used = look(scanned)
        if not State.objects.filter(digest="0" * 64).exists():
            packed = states.pack([ids["late", "1-1", "any"] << 1])
            State.objects.create(digest="0" * 64, arch="any", package_count=1, packages=packed)
        return used

    monkeypatch.setattr(retention, "_used_by", used_then_upload)
    assert retention.remove_versions() == 1
    assert set(PackageVersion.objects.values_list("name", flat=True)) == {"late", "basic"}
