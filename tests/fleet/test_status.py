"""The derived status: the table of docs/fleet.md, the clock, and lists without a query for each endpoint."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from apps.fleet import fleet_statuses, goals, pool_manager, status
from apps.fleet.models import Endpoint
from apps.fleet.status import EndpointStatus
from tests import factories

pytestmark = pytest.mark.django_db
TARGET = ("app 2.0-1", "lib 2.0-1 dependency", "tool 1.0-1 any")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (TARGET, "in_sync"),
        (("app 1.0-1", "lib 2.0-1 dependency", "tool 1.0-1 any"), "behind"),
        (("app 3.0-1", "lib 2.0-1 dependency", "tool 1.0-1 any"), "ahead"),
        (("app 3.0-1", "lib 1.0-1 dependency", "tool 1.0-1 any"), "diverged"),
        (("app 2.0-1", "tool 1.0-1 any"), "behind"),
        ((*TARGET, "extra 1-1"), "ahead"),
        (("app 2.0-1", "tool 1.0-1 any", "extra 1-1"), "diverged"),
        (("app 2.0-1", "lib 2.0-1", "tool 1.0-1 any"), "diverged"),
        (("app 2.0-1", "lib 2.0-1 dependency", "tool 1.0-1 x86_64"), "diverged"),
        (("app 1.0-1", "lib 2.0-1 dependency", "tool 1.0-1 any", "extra 1-1"), "behind"),
        (("app 3.0-1", "lib 2.0-1 dependency"), "ahead"),
        (("app 1.0-1", "lib 2.0-1", "tool 1.0-1 any"), "behind"),
        (("app 2.0-1", "lib 2.0-1"), "behind"),
    ],
)
def test_status_these_packages_against_the_target_is(installed: tuple[str, ...], expected: str) -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state(*installed))
    assert status.of_one(endpoint) == expected
    assert (
        status.of_kinds(change.kind for change in goals.sync_goal(endpoint).changes) == expected
    )  # the whole way comes to the same


@pytest.mark.parametrize("missing", ["state", "pool", "target"])
def test_status_without_state_pool_or_target_is_unknown(missing: str) -> None:
    pool = factories.pool()
    if missing != "target":
        factories.target(pool, *TARGET)
    endpoint = factories.endpoint(pool=None if missing == "pool" else pool)
    if missing != "state":
        factories.report(endpoint, factories.state())
    Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now())
    endpoint.refresh_from_db()
    assert status.of_one(endpoint) == EndpointStatus.UNKNOWN


@pytest.mark.parametrize(("polls", "offline"), [(2.8, False), (3.2, True)])
def test_status_silent_for_so_many_poll_intervals_wins_over_all_else(polls: float, offline: bool) -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state(*TARGET))
    silence = timedelta(seconds=polls * settings.POLL_SECONDS)
    Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now() - silence)
    endpoint.refresh_from_db()
    assert status.of_one(endpoint) == (EndpointStatus.OFFLINE if offline else EndpointStatus.IN_SYNC)


def test_status_never_seen_is_offline() -> None:
    endpoint = factories.endpoint()
    assert status.of_one(endpoint) == EndpointStatus.OFFLINE


def test_status_held_foreign_and_excluded_differences_do_not_count() -> None:
    pool = factories.pool(excluded_packages=["lib*"])
    factories.target(pool, "app 2.0-1", "tool 2.0-1", "linux 2-1")
    have = ("app 2.0-1", "lib 1.0-1", "linux 1-1", "tool 2.0-1", "yay 1-1")
    offers = factories.reported_repository(factories.repository("app 1-1", "lib 1-1", "linux 1-1", "tool 1-1"))
    endpoint = factories.endpoint(pool=pool)
    factories.report(endpoint, factories.state(*have), offers, holds=["linux*"])
    assert endpoint.foreign == ["yay"]
    assert status.of_one(endpoint) == EndpointStatus.IN_SYNC
    factories.report(endpoint, factories.state(*have), offers, holds=[])
    assert status.of_one(endpoint) == EndpointStatus.BEHIND


def test_status_foreign_name_that_the_target_has_counts() -> None:
    pool = factories.pool()
    endpoint = factories.endpoint(pool=pool)
    offers = factories.reported_repository(factories.repository("app 1-1"))
    factories.report(endpoint, factories.state("app 1-1", "yay 1-1"), offers)
    assert endpoint.foreign == ["yay"]
    factories.target(pool, "app 1-1", "yay 2-1")
    assert status.of_one(endpoint) == EndpointStatus.BEHIND


def test_status_many_endpoints_takes_a_constant_number_of_queries(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    pools = [factories.pool() for _ in range(2)]
    for pool in pools:
        factories.target(pool, *TARGET)
    states = [factories.state(*TARGET, f"extra {number}-1") for number in range(10)]
    for number in range(20):
        factories.reporting_endpoint(pool=pools[number % 2], state=states[number % 10])
    with django_assert_max_num_queries(6):  # endpoints, clock, pools, known cases, states, package versions
        found = status.of(Endpoint.objects.all())
    assert len(found) == 22 and list(found.values()).count(EndpointStatus.AHEAD) == 20


def test_counts_every_status_is_there() -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    factories.endpoint(pool=pool)
    assert fleet_statuses.counts() == {
        "offline": 1, "unknown": 0, "in_sync": 1, "behind": 0, "ahead": 0, "diverged": 0
    }  # fmt: skip


def test_status_pool_goes_back_changes_without_a_report() -> None:
    pool = factories.pool()
    factories.target(pool, "app 1.0-1")
    factories.target(pool, "app 2.0-1")
    endpoint = factories.reporting_endpoint(pool=pool, state=factories.state("app 1.0-1"))
    assert status.of_one(endpoint) == EndpointStatus.BEHIND
    pool_manager.go_back(pool=pool, number=1, actor="test")
    assert status.of_one(endpoint) == EndpointStatus.IN_SYNC
