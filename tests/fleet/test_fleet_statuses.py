"""Statuses asked of the database: the same as one by one, whatever the chore has compared, and never out of date."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.fleet import endpoint_manager, fleet_statuses, pool_manager, reporting_endpoint, status, status_cases
from apps.fleet.models import Endpoint, Pool, StatusCase
from apps.fleet.models.operations import FILES_DIFFER
from apps.fleet.reasons import Unknown
from apps.fleet.status import EndpointStatus
from tests import factories

pytestmark = pytest.mark.django_db
TARGET = ("app 2.0-1", "lib 2.0-1", "tool 1.0-1")
PACKAGES = ("app 1.0-1", "app 2.0-1", "app 3.0-1", "lib 1.0-1", "lib 2.0-1", "tool 1.0-1", "extra 1-1")


def one_by_one() -> dict[str, EndpointStatus]:
    """From scratch, by endpoint."""
    status.forget()
    known = {case.pk: case for case in StatusCase.objects.all()}
    StatusCase.objects.all().delete()
    found = status.of(Endpoint.objects.all())
    StatusCase.objects.bulk_create(known.values())
    return {endpoint.name: found[endpoint.pk] for endpoint in Endpoint.objects.all()}


def by_database() -> dict[str, EndpointStatus]:
    found: dict[str, EndpointStatus] = {}
    for wanted in EndpointStatus:
        for endpoint in fleet_statuses.with_status(Endpoint.objects.all(), wanted):
            assert endpoint.name not in found
            found[endpoint.name] = wanted
    return found


def by_check_ins() -> dict[int, EndpointStatus]:
    """What each agent would be answered, by the endpoint's primary key."""
    found = {}
    for endpoint in Endpoint.objects.all():
        status.forget()
        read = reporting_endpoint.of_token(endpoint.token_hash or "")
        assert read
        found[read.pk] = status.of_reporting(read)
    return found


def agree() -> None:
    expected = one_by_one()
    assert by_database() == expected
    assert by_check_ins() == status.by_packages(Endpoint.objects.all())
    counted = {name: list(expected.values()).count(name) for name in EndpointStatus}
    assert fleet_statuses.counts() == counted
    for pool in Pool.objects.all():
        names = set(Endpoint.objects.filter(pool=pool).values_list("name", flat=True))
        of_pool = sum(group.count for group in fleet_statuses.groups(pool.pk))
        assert of_pool == len(names)
        rows = Endpoint.objects.filter(pool__name=pool.name).order_by("-name")
        for wanted in EndpointStatus:
            listed = [one.name for one in fleet_statuses.with_status(rows, wanted)]
            assert listed == sorted((name for name in names if expected[name] == wanted), reverse=True)


def change(chance: random.Random) -> None:
    """One thing that somebody does to the fleet, at random."""
    endpoint = chance.choice(list(Endpoint.objects.all()))
    pool = chance.choice(list(Pool.objects.all()))
    what = chance.randrange(9)
    if what < 4:
        chosen = {line.split()[0]: line for line in chance.sample(PACKAGES, chance.randrange(1, len(PACKAGES)))}
        holds = chance.choice([[], [], ["app"], ["l*"]])
        foreign = [name for name in chosen if name == "extra"]
        problem = chance.choice([None, None, "database_unreadable", FILES_DIFFER])
        found = [factories.problem(problem, "core")] if problem else []
        state = factories.state(*sorted(chosen.values()))
        factories.report(endpoint, state, holds=holds, examination=found)
        Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now(), foreign=foreign)
    elif what == 4:
        factories.target(pool, *chance.choice([TARGET, ("app 3.0-1", "lib 1.0-1"), ("tool 1.0-1",)]))
    elif what == 5:
        patterns = chance.choice([[], ["app"], ["ext*", "lib"]])
        Pool.objects.filter(pk=pool.pk).update(excluded_packages=patterns)
    elif what == 6:
        endpoint_manager.assign(endpoint=endpoint, pool=chance.choice([pool, None]), actor="test")
    elif what == 7:
        Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=F("last_seen") - timedelta(days=1))
    else:
        Endpoint.objects.filter(pk=endpoint.pk).update(arch=chance.choice(["x86_64", "aarch64", "x86_64_v3"]))


@pytest.mark.parametrize("seed", range(2))
def test_after_random_changes_the_database_says_what_each_endpoint_says(seed: int, settings: Any) -> None:
    chance = random.Random(seed)
    pools = [factories.pool() for _ in range(3)]
    for pool in pools[:2]:
        factories.target(pool, *TARGET)
    for number in range(6):
        factories.reporting_endpoint(f"m{number}", pool=pools[number % 3], state=factories.state(*TARGET))
    for number in range(90):
        change(chance)
        if number % 3 == 0:
            fleet_statuses.refresh()
        if number % 10 == 0:
            settings.STATE_MAX_PACKAGES = chance.choice([2, 50])
            fleet_statuses.trim()
            agree()
            settings.STATE_MAX_PACKAGES = 50
    fleet_statuses.refresh()
    assert fleet_statuses.refresh() == 0
    agree()


def test_equal_endpoints_are_one_case_and_the_next_process_compares_nothing(django_assert_num_queries: Any) -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    for number in range(5):
        factories.reporting_endpoint(f"box{number}", pool=pool, state=factories.state("app 1.0-1"))
    assert fleet_statuses.refresh() == 1
    status.forget()
    with django_assert_num_queries(3):  # pools, endpoints, known cases
        found = status.by_packages(Endpoint.objects.filter(name__startswith="box"))
    assert set(found.values()) == {EndpointStatus.BEHIND}
    assert StatusCase.objects.get().kinds == {"upgrade": 1, "install": 2}


def test_a_list_by_status_takes_few_statements_once_everything_is_compared(django_assert_num_queries: Any) -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    for number in range(5):
        factories.reporting_endpoint(f"m{number}", pool=pool, state=factories.state("app 1.0-1"))
    fleet_statuses.refresh()
    with django_assert_num_queries(3):  # clock, keys, endpoints
        assert len(fleet_statuses.with_status(Endpoint.objects.all(), EndpointStatus.BEHIND)) == 5
    with django_assert_num_queries(3):  # clock, silent ones, the others
        assert {(group.status, group.count) for group in fleet_statuses.groups()} == {
            (EndpointStatus.BEHIND, 5),
            (EndpointStatus.IN_SYNC, 1),
        }


def test_groups_say_why_a_status_is_unknown_before_and_after_it_is_compared(settings: Any) -> None:
    pool, bare = factories.pool(), factories.pool("bare")
    factories.target(pool, *TARGET)
    factories.reporting_endpoint("stray", state=factories.state("app 1.0-1"))
    factories.reporting_endpoint("early", pool=bare, state=factories.state("app 1.0-1"))
    factories.reporting_endpoint("other", pool=pool, state=factories.state("app 1.0-1"))
    Endpoint.objects.filter(name="other").update(arch="aarch64")
    factories.reporting_endpoint("blind", pool=pool, state=factories.state("app 1.1-1"))
    Endpoint.objects.filter(name="blind").update(examination=[factories.problem("database_unreadable", "core")])
    factories.reporting_endpoint("large", pool=pool, state=factories.state("app 1-1", "b 1-1", "c 1-1", "d 1-1"))
    settings.STATE_MAX_PACKAGES = 3
    expected = {
        "stray": Unknown.NO_POOL,
        "early": Unknown.NO_TARGET,
        "other": Unknown.OTHER_ARCHITECTURE,
        "blind": Unknown.DATABASES_UNREADABLE,
        "large": Unknown.NOT_COMPARED,
    }
    for _ in range(2):
        assert {one.first: one.unknown for one in fleet_statuses.groups() if one.unknown} == expected
        fleet_statuses.refresh()


def test_result_by_other_rules_does_not_count_and_is_found_again() -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    factories.reporting_endpoint("m1", pool=pool, state=factories.state("app 1.0-1", "lib 1.0-1"))
    assert fleet_statuses.refresh() == 1
    right = StatusCase.objects.get().verdict
    StatusCase.objects.update(key="of another release", rules=99, verdict="ahead")
    status_cases.forget()
    assert fleet_statuses.counts()[EndpointStatus(right)] == 1
    assert fleet_statuses.refresh() == 1 and StatusCase.objects.count() == 2
    assert fleet_statuses.counts()[EndpointStatus(right)] == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="about PostgreSQL's planner")
def test_each_join_with_cases_is_without_nested_loops_whatever_the_statistics_say() -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    for number in range(30):
        factories.reporting_endpoint(f"m{number}", pool=pool, state=factories.state(f"app 1.{number}-1"))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE fleet_endpoint, fleet_statuscase")  # many endpoints and not one case
    with CaptureQueriesContext(connection) as captured:
        assert fleet_statuses.refresh() == 30
        fleet_statuses.trim()
        fleet_statuses.counts()
        assert len(fleet_statuses.with_status(Endpoint.objects.all(), EndpointStatus.BEHIND)) == 30
    joins = [one["sql"] for one in captured.captured_queries if "fleet_statuscase AS known" in one["sql"]]
    assert len(joins) == 5  # the chore looks twice
    with connection.cursor() as cursor:
        for statement in joins:
            cursor.execute(statement.replace("off; ", "off; EXPLAIN ", 1))
            cursor.nextset()
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Hash" in plan and "Nested Loop" not in plan
        cursor.execute("SHOW enable_nestloop")
        assert cursor.fetchone() == ("on",)


def test_trim_keeps_what_an_endpoint_has_and_what_is_young() -> None:
    pool = factories.pool()
    factories.target(pool, *TARGET)
    factories.reporting_endpoint("m", pool=pool, state=factories.state("app 1.0-1"))
    fleet_statuses.refresh()
    factories.target(pool, "app 3.0-1")
    fleet_statuses.refresh()
    assert fleet_statuses.trim() == 0
    StatusCase.objects.update(created=Now() - timedelta(days=1))
    assert fleet_statuses.trim() > 0
    pool.refresh_from_db()
    assert {case.revision for case in StatusCase.objects.all()} == {pool.target_id}
    pool_manager.go_back(pool=pool, number=1, actor="test")
    assert fleet_statuses.refresh() > 0
