"""The first page."""

from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from apps.dashboard import enrolment
from apps.fleet import pool_manager, status
from tests import factories


def text_of(client: Client, path: str = "/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


@pytest.mark.django_db
def test_overview_anonymous_goes_to_login(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/login?next=/")


def test_overview_nothing_yet_tells_the_first_step(staff: Client) -> None:
    page = text_of(staff)
    assert 'href="/create-pool"' in page
    assert escape(enrolment.command("http://testserver", "CODE")) in page


def test_overview_nothing_yet_reader_gets_no_button(reader: Client) -> None:
    page = text_of(reader)
    assert 'href="/create-pool"' not in page
    assert "These steps need a staff account." in page


def test_overview_pool_without_target_tells_the_next_step(staff: Client) -> None:
    factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state())
    page = text_of(staff)
    assert "if it has the right to that: from its enrolment code, or given on its page." in page
    assert 'href="/pools/lab/target"' in page


def test_overview_target_set_shows_no_first_steps(staff: Client) -> None:
    factories.target(factories.pool("lab"), "app 1-1")
    assert "First steps" not in text_of(staff)


def test_overview_fleet_counts_by_derived_status(staff: Client) -> None:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1", "libfoo 1-1")
    factories.reporting_endpoint("behind", pool=pool, state=factories.state("app 1-1", "libfoo 1-1"))
    factories.reporting_endpoint("ahead", pool=pool, state=factories.state("app 3-1", "libfoo 1-1"))
    factories.endpoint("silent", pool=pool)
    factories.reporting_endpoint("stray", state=factories.state())
    shown = staff.get("/").context
    assert {name: count for name, count in shown["counts"].items() if count} == dict.fromkeys(
        ("behind", "ahead", "unknown", "offline", "in_sync"), 1
    )
    assert shown["unassigned_total"] == 1
    assert [row.endpoint.name for row in shown["unassigned"]] == ["stray"]


def test_overview_large_pool_shows_the_worst_first(staff: Client) -> None:
    pool = factories.pool("lab")
    revision = factories.target(pool, "app 2-1")
    for number in range(12):
        factories.reporting_endpoint(f"good{number:02}", pool=pool, state=revision.state)
    factories.reporting_endpoint("zz-behind", pool=pool, state=factories.state("app 1-1"))
    section = staff.get("/").context["pools"][0]
    assert section["total"] == 14
    assert len(section["rows"]) == 10
    assert "zz-behind" in [row.endpoint.name for row in section["rows"]]


def test_overview_active_operation_is_listed(staff: Client) -> None:
    operation = factories.queued()
    page = text_of(staff)
    assert f"/operations/{operation.pk}" in page
    assert "Active operations" in page


def test_overview_names_are_escaped(staff: Client) -> None:
    pool_manager.create_pool(name="lab", actor="test", description="<script>alert(1)</script>")
    assert "<script>alert" not in text_of(staff, "/pools/lab")


def test_differences_endpoints_counted_as_a_sync_would(db: Any) -> None:
    pool = factories.pool("lab", excluded_packages=["kept*"])
    factories.target(pool, "app 2-1", "libfoo 1-1", "new 1-1")
    state = factories.state("app 1-1", "libfoo 1-1 dependency", "extra 1-1", "kept-a 1-1")
    made = factories.reporting_endpoint("box", pool=pool, state=state)
    counts = status.differences([made, factories.endpoint("silent", pool=pool)])
    assert counts == {made.pk: {"install": 1, "upgrade": 1, "downgrade": 0, "remove": 1, "replace": 0, "reason": 1}}
