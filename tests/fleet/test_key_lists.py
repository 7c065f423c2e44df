"""A fleet of any size: no statement has a parameter for each endpoint, and the database counts what is counted."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import Q

from apps.fleet import examination, key_lists, pool_manager, sync_coordinator
from apps.fleet.filters import EndpointFilter
from apps.fleet.fleet_survey import Survey
from apps.fleet.key_lists import IsAmong, among
from apps.fleet.models import Endpoint, Operation
from tests import factories

pytestmark = pytest.mark.django_db
MOST = 60
COUNT = 2 * MOST


@pytest.fixture
def few_parameters() -> Iterator[None]:
    """SQLite takes only MOST parameters, so that few endpoints are too many for a statement with one for each."""
    connection.ensure_connection()
    if connection.vendor != "sqlite":
        yield
        return
    before = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, MOST)
    yield
    connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)


@pytest.fixture
def fleet(few_parameters: None) -> None:
    """COUNT endpoints of a pool have `app`, and a sync that failed, so that automatic sync rests."""
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    state = factories.state("app 1-1")
    for number in range(COUNT):
        made = factories.reporting_endpoint(f"m{number:02}", pool=pool, state=state)
        operation, _ = sync_coordinator.create_operation(endpoint=made, kind="sync", actor="test")
        factories.finish(factories.applying(operation), state=state, outcome="failed", code="pacman_failed")
    pool_manager.change_pool(pool=pool, actor="test", auto_sync=True)


def test_parameters_of_this_sqlite_are_few(few_parameters: None) -> None:
    """What the tests below would run into."""
    keys = list(range(COUNT))
    if connection.vendor == "sqlite":
        with pytest.raises(OperationalError, match="too many SQL variables"):
            Endpoint.objects.filter(pk__in=keys).count()
    assert Endpoint.objects.filter(pk__in=among(Endpoint, keys)).count() == 0


def test_list_that_the_database_made_selects_the_same_rows(fleet: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {key_lists.aggregated('id')} FROM fleet_endpoint WHERE name LIKE 'm0%'")  # noqa: S608 - our own text
        (text,) = cursor.fetchone()
    chosen = Endpoint.objects.filter(name__startswith="m0")
    assert set(Endpoint.objects.filter(IsAmong(text))) == set(chosen)
    others = key_lists.text_of(chosen.filter(name__lt="m05").values_list("pk", flat=True))
    assert set(Endpoint.objects.filter(~Q(IsAmong(others)), IsAmong(text))) == set(chosen.filter(name__gte="m05"))
    both = key_lists.joined([text, key_lists.text_of([Endpoint.objects.get(name="m10").pk])])
    assert Endpoint.objects.filter(IsAmong(both)).count() == chosen.count() + 1
    assert not Endpoint.objects.filter(IsAmong(key_lists.text_of([]))).exists()
    assert key_lists.joined([]) == key_lists.text_of([])


def test_endpoints_with_a_package_are_filtered_however_many_there_are(fleet: None) -> None:
    assert EndpointFilter(package="app", pool="lab").rows().count() == COUNT + 1


def test_failures_and_rests_are_found_however_many_there_are(fleet: None) -> None:
    survey = Survey()
    assert (len(survey.failures), len(survey.rests)) == (COUNT, COUNT)
    keys = list(Operation.objects.values_list("pk", flat=True))
    assert Operation.objects.filter(pk__in=among(Operation, keys)).count() == COUNT
    assert Operation.objects.filter(pk__in=among(Operation, [])).count() == 0


def test_endpoints_whose_files_differ_are_counted_by_the_database(django_assert_num_queries: Any) -> None:
    state = factories.state("app 1-1")
    differ, other = factories.problem("files_differ", "/usr/bin/app"), factories.problem("held_back", "app")
    trap = factories.problem("held_back", '"code": "files_differ"')
    for name, found in {"one": [other, differ], "two": [trap], "three": [], "four": [differ]}.items():
        factories.reporting_endpoint(name, state=state, examination=found)
    factories.endpoint("five")
    with django_assert_num_queries(1):
        assert examination.count_files_differ() == 2
    for wanted, names in ((True, ["four", "one"]), (False, ["five", "three", "two"])):
        found = EndpointFilter(files_differ=wanted).rows()
        assert sorted(found.values_list("name", flat=True)) == names
    assert {one.name: examination.files_differ(one) for one in Endpoint.objects.all()}["two"] is False
