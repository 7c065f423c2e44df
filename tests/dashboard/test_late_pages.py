"""A late page of a list has what an early one would have in its place, by as many statements."""

from typing import Any

import pytest
from django.test import RequestFactory

from apps.dashboard.requests import pagination
from apps.fleet import sync_coordinator
from apps.fleet.filters import SORTS, EndpointFilter, OperationFilter
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", [*SORTS, "operations"])
def test_late_page_has_the_rows_in_their_place(
    kind: str, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    pools = [factories.pool(name) for name in ("lab", "den")]
    for pool in pools:
        factories.target(pool, "app 2-1")
    for number in range(7):
        pool = pools[number % 2]
        made = factories.reporting_endpoint(f"m{6 - number}", pool=pool, state=factories.state("app 1-1"))
        sync_coordinator.create_operation(endpoint=made, kind="sync", actor="test")
    chosen = OperationFilter() if kind == "operations" else EndpointFilter(sort=kind, pool="lab")
    rows = chosen.rows().order_by(*chosen.order())
    expected = list(rows.all())
    monkeypatch.setattr(pagination, "LATE", 2)
    found = []
    for number in range(1, (len(expected) + 1) // 2 + 1):
        with django_assert_num_queries(2):  # how many there are, the page
            found += pagination.page_of_rows(RequestFactory().get(f"/?page={number}"), rows, 2)
    assert found == expected
    with django_assert_num_queries(2):
        late = pagination.page_of_rows(RequestFactory().get("/?page=99"), rows, 2)
        assert list(late)[-1] == expected[-1]
