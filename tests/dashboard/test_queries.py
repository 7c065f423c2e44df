"""The number of queries of a page doesn't grow with what it shows."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.fleet import pool_manager, status, sync_coordinator
from apps.fleet.models import Endpoint, Pool
from tests import factories

PAGES = [
    "/",
    "/pools/lab",
    "/pools/lab/target",
    "/pools/lab/revisions/1",
    "/checksums",
    "/pools/lab/revisions/1/packages",
    "/packages",
    "/packages?q=none",
    "/packages/app",
    "/packages/app?older_than=2&pool=lab",
    "/compare?from=revision:lab/1&to=revision:lab/1",
    "/pools/lab/sync",
    "/pools/lab/preview?machines=changes",
    "/pools/lab/excluded?try=a*",
    "/pools/lab/promote",
    "/pools/other/promote/lab",
    "/endpoints",
    "/endpoints?status=behind",
    "/endpoints?pool=lab",
    "/endpoints?last_result=failed&sort=-last_seen",
    "/audit",
    "/operations",
    "/operations?status=active",
    "/enrol",
    "/admin/fleet/endpoint/",
    "/admin/fleet/endpointstate/",
    "/admin/fleet/endpointrepository/",
    "/admin/fleet/operation/",
    "/admin/fleet/auditevent/",
    "/admin/fleet/pool/",
    "/admin/fleet/targetrevision/",
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
    """How many statements the page takes while no comparison is remembered."""
    status.forget()
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


@pytest.fixture
def lab(db: None) -> Pool:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1")
    factories.pool("other", excluded_packages=["vi*"])
    return pool


def test_pages_ten_times_the_endpoints_same_number_of_queries(staff: Client, lab: Pool) -> None:
    grow(lab, 3)
    few = {path: queries(staff, path) for path in PAGES}
    grow(lab, 27)
    many = {path: queries(staff, path) for path in PAGES}
    assert {path: count for path, count in many.items() if count > few[path]} == {}
    assert max(few.values()) <= 26, few


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


def test_account_costs_no_more_than_the_session_and_the_user(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("vic"))
    assert queries(client, "/enrol") <= 5
