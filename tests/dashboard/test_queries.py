"""The number of queries of a page doesn't grow with what it shows."""

import re
from collections import Counter
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.fleet import endpoint_manager, pool_manager, status, sync_coordinator, tokens
from apps.fleet.models import Endpoint, Operation, Pool, Role
from tests import factories
from tests.dashboard.pages import PAGES, path_of

# What else the pages can be asked for.
QUERIES = {
    "compare": ["from=revision:lab/1&to=revision:lab/1"],
    "endpoints": ["status=behind", "pool=lab", "last_result=failed&sort=-last_seen"],
    "excluded": ["try=a*"],
    "operations": ["status=active"],
    "package": ["older_than=2&pool=lab"],
    "packages": ["q=none"],
    "preview": ["machines=changes"],
}
# Whose operation a page is about, if not that of `box`.
OPERATIONS_OF = {"cancel_operation": "waits", "run_operation_again": "tried"}
ONE_CONTENT = 'SELECT "fleet_repositorycontent"."packages"'
NO_PAGE_BY_GET = {"selected", "do_selected"}  # they lead to the list of endpoints


def all_pages(client: Client) -> list[str]:
    """The addresses of all pages, of the dashboard and of the admin's lists."""
    about = {name: Operation.objects.get(endpoint__name=OPERATIONS_OF.get(name, "box")) for name in PAGES}
    paths = {name: path_of(name, about[name]) for name in PAGES if name not in NO_PAGE_BY_GET}
    shown = {name: path for name, path in paths.items() if client.get(path).status_code != 405}
    admin_lists = [reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist") for model in site._registry]
    return [
        *shown.values(),
        *(f"{shown[name]}?{query}" for name, queries in QUERIES.items() for query in queries),
        *admin_lists,
    ]


def grow(pool: Pool, count: int) -> None:
    """Endpoints behind, each in a state of its own; every second with an operation. And a pool of its own for each."""
    for number in range(count):
        made = factories.reporting_endpoint(pool=pool, state=factories.state(f"app 1-1.{Endpoint.objects.count()}"))
        if number % 2:
            sync_coordinator.create_operation(endpoint=made, kind="sync", actor="test")
        factories.pool()
    pool_manager.go_back(pool=pool, number=1, actor="test")
    pool.refresh_from_db()


def queries(client: Client, path: str) -> int:
    """How many statements the page takes while no comparison is remembered.

    Contents of repositories don't count: each may have megabytes, so they are read one at a time.
    """
    status.forget()
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200, path
    return sum(not query["sql"].startswith(ONE_CONTENT) for query in seen.captured_queries)


@pytest.fixture
def lab(db: None) -> Pool:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    factories.pool("other", excluded_packages=["vi*"])
    return pool


@pytest.fixture
def whole(lab: Pool) -> Pool:
    """Pool `lab`, with whatever any page is about."""
    factories.synced(factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1")))
    other = Pool.objects.get(name="other")
    factories.target(other, "app 2-1")
    made = {
        name: sync_coordinator.create_operation(
            endpoint=factories.reporting_endpoint(name, pool=other, state=factories.state("app 1-1")),
            kind="sync",
            actor="test",
        )[0]
        for name in OPERATIONS_OF.values()
    }
    sync_coordinator.cancel(operation=made["tried"], actor="test")
    endpoint_manager.create_enrolment_code(actor="test", pool=lab)
    tokens.create_api_token(name="mine", role="viewer", actor="test")
    Pool.objects.filter(pk=lab.pk).update(paused_since=Now(), paused_by={"endpoint": "box", "number": 9})
    return lab


def test_pages_ten_times_the_endpoints_same_number_of_queries(staff: Client, whole: Pool) -> None:
    grow(whole, 3)
    pages = all_pages(staff)
    few = {path: queries(staff, path) for path in pages}
    grow(whole, 27)
    many = {path: queries(staff, path) for path in pages}
    assert {path: count for path, count in many.items() if count > few[path]} == {}
    assert max(few.values()) <= 28, few


@pytest.mark.parametrize("count", [3, 30])
def test_overview_queries_are_as_planned(
    lab: Pool, staff: Client, django_assert_max_num_queries: Any, count: int
) -> None:
    grow(lab, count)
    with django_assert_max_num_queries(26):
        staff.get("/")


def test_endpoint_page_history_grows_same_number_of_queries(staff: Client, lab: Pool) -> None:
    made = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1"))
    factories.synced(made)
    few = queries(staff, "/endpoints/box")
    for number in range(5):
        factories.report(made, factories.state(f"app 1-1.{number}"))
        factories.synced(made)
    assert queries(staff, "/endpoints/box") == few


def test_pages_of_a_large_fleet_are_cut(staff: Client, lab: Pool) -> None:
    state = factories.state("app 1-1")
    Endpoint.objects.bulk_create(
        Endpoint(name=f"big{number:03}", pool=lab, arch="x86_64", state=state, report_seq=1) for number in range(120)
    )
    for path in ("/endpoints", "/endpoints?status=offline", "/pools/lab", "/pools/lab/target"):
        first, third = staff.get(path), staff.get(f"{path}{'&' if '?' in path else '?'}page=3")
        assert len(set(re.findall(rb"/endpoints/(big\d+)", first.content))) <= 50, path
        assert b"big000" in first.content and b"big119" in third.content, path


def test_account_costs_no_more_than_the_session_the_user_and_the_role(db: None) -> None:
    client = Client()
    client.force_login(factories.account("vic", Role.VIEWER))
    assert queries(client, "/enrol") <= 6


def test_operation_page_asks_once_where_its_sync_goes(staff: Client, lab: Pool) -> None:
    box = factories.reporting_endpoint("box", pool=lab, state=factories.state("app 1-1"))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    with CaptureQueriesContext(connection) as seen:
        assert staff.get(f"/operations/{operation.pk}").status_code == 200
    repeated = Counter(query["sql"] for query in seen.captured_queries)
    assert {sql: count for sql, count in repeated.items() if count > 1} == {}
