"""A batch in whose middle the database takes no more changes: what was done stays, and the page says how much."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from apps.fleet import pool_manager, sync_coordinator
from apps.fleet.models import Operation
from tests import factories
from tests.dashboard.confirming import fields, seen
from tests.dashboard.messages import said

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = ["a", "b", "c"]


def read_only(on: bool) -> None:
    """This connection takes no changes any more, or takes them again."""
    postgresql = f"SET default_transaction_read_only = {'on' if on else 'off'}"
    with connection.cursor() as cursor:
        cursor.execute(postgresql if connection.vendor == "postgresql" else f"PRAGMA query_only = {int(on)}")


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """`cut_off(2)`: from the second operation on, the database is read-only."""
    create, calls = sync_coordinator.create_operation, []

    def cut(at: int) -> None:
        def counted(**arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == at:
                read_only(True)
            return create(**arguments)

        monkeypatch.setattr(sync_coordinator, "create_operation", counted)

    yield cut
    read_only(False)


@pytest.fixture
def lab() -> None:
    pool = factories.pool("lab")
    good = factories.reporting_endpoint("good", pool=pool, state=factories.state("app 2-1"))
    pool_manager.set_target(pool=pool, endpoint=good, actor="test")
    for number, name in enumerate(NAMES):
        factories.reporting_endpoint(name, pool=pool, state=factories.state(f"app 1-{number}"))


def test_ticked_machines_that_were_not_reached_are_named(
    staff: Client, lab: None, cut_off: Callable[[int], None]
) -> None:
    form = fields(staff.post("/selected", {"action": "sync", "endpoint": NAMES}), "/selected/do")
    cut_off(2)
    answer = staff.post("/selected/do", form)
    assert answer.status_code == 302
    assert "1 operation created." in said(answer)
    assert "Left out: b, c. The database failed before this one's turn." in said(answer)
    assert Operation.objects.get().endpoint.name == "a"


def test_sync_all_counts_what_was_not_reached_as_waiting(
    staff: Client, lab: None, cut_off: Callable[[int], None]
) -> None:
    form = seen(staff, "/pools/lab/sync")
    cut_off(2)
    answer = staff.post("/pools/lab/sync", form)
    assert answer.status_code == 302
    assert "1 operation created" in said(answer) and "2 more are waiting: press Sync all again." in said(answer)
    assert "The database failed before all of them were queued." in said(answer)
    assert Operation.objects.count() == 1


def test_database_that_fails_before_the_first_is_the_page_that_says_so(
    staff: Client, lab: None, cut_off: Callable[[int], None]
) -> None:
    form = seen(staff, "/pools/lab/sync")
    cut_off(1)
    assert staff.post("/pools/lab/sync", form).status_code == 503
    assert not Operation.objects.exists()
