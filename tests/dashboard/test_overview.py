"""The first page."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from apps.fleet import enrolment, pool_manager, status
from apps.fleet.models import Endpoint
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
    assert "These steps need an operator." in page


def test_overview_pool_without_target_tells_the_next_step(staff: Client) -> None:
    factories.reporting_endpoint("box", pool=factories.pool("lab"), state=factories.state())
    page = text_of(staff)
    assert "It needs the right to set targets, from its enrolment code or from its page." in page
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
    answer = staff.get("/")
    assert {name: count for name, count in answer.context["counts"].items() if count} == dict.fromkeys(
        ("behind", "ahead", "unknown", "offline", "in_sync"), 1
    )
    page = answer.content.decode()
    assert '<a href="/endpoints?pool=-">1 endpoint in no pool</a>. Only endpoints in a pool are synced.' in page


def test_overview_all_well_says_so(staff: Client) -> None:
    factories.target(factories.pool("lab"), "app 1-1")
    said = "No operation has failed. No endpoint is offline, has diverged, or has files that differ"
    assert said in text_of(staff)
    Endpoint.objects.all().delete()
    page = text_of(staff)
    assert "No machine has enrolled yet." in page and "No operation has failed" not in page


def test_overview_what_is_wrong_leads_to_it(staff: Client) -> None:
    pool = factories.pool("lab")
    factories.target(pool, "app 2-1", "lib 2-1")
    factories.endpoint("silent", pool=pool)
    factories.endpoint("quiet", pool=pool)
    factories.reporting_endpoint("odd", pool=pool, state=factories.state("app 1-1", "lib 3-1"))
    page = text_of(staff)
    assert 'href="/endpoints/odd"' in page and "1 package is older and 1 newer." in page
    assert 'href="/endpoints?pool=lab&amp;status=offline"' in page
    assert "quiet and 1 more have not been heard from for three poll intervals." in page
    assert "for <time" in page


def test_overview_ten_of_what_is_wrong_then_all(staff: Client) -> None:
    unreadable = [factories.problem("database_unreadable", "core")]
    for number in range(3):
        pool = factories.pool(f"p{number}")
        factories.target(pool, "app 2-1", "lib 2-1")
        state = factories.state("app 1-1", "lib 3-1")
        factories.reporting_endpoint(f"odd{number}", pool=pool, state=state)
        factories.endpoint(f"silent{number}", pool=pool)
        factories.reporting_endpoint(f"blind{number}", pool=pool, state=factories.state(), examination=unreadable)
        arm = factories.endpoint(f"arm{number}", pool=pool, arch="aarch64")
        factories.report(arm, factories.state("app 2-1 aarch64"))
    shown = staff.get("/").context
    assert (len(shown["attention"]), shown["attention_total"]) == (10, 12)
    assert '<a href="?attention=all">All 12</a>' in text_of(staff)
    assert len(staff.get("/?attention=all").context["attention"]) == 12


def test_overview_the_same_in_many_pools_is_one_thing(staff: Client) -> None:
    for number in range(11):
        state = factories.state(f"app 1-{number + 1}", "lib 3-1")
        pool = factories.pool(f"p{number}")
        factories.target(pool, "app 2-1", "lib 2-1")
        factories.reporting_endpoint(f"odd{number}", pool=pool, state=state)
    shown = staff.get("/").context
    assert len(shown["attention"]) == 1
    assert shown["attention"][0][1] == "/endpoints?status=diverged"


def test_overview_pool_in_one_line(staff: Client) -> None:
    operation = factories.queued()
    pool = operation.endpoint.pool
    assert pool
    page = text_of(staff)
    assert "0 of 1 done" in page and f'href="/operations?pool={pool.name}&amp;status=active"' in page
    assert "1&nbsp;in sync" in page and "1&nbsp;behind" in page
    assert page.count("<rect ") == 2
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', page)]
    assert sum(widths) == 100


def test_overview_many_pools_are_paged_and_found(staff: Client) -> None:
    for number in range(23):
        factories.pool(f"pool{number:02}")
    factories.endpoint("silent", pool=factories.pool("zoo"))
    shown = staff.get("/").context
    assert len(shown["pools"]) == 20 and shown["pool_total"] == 24
    assert [row.name for row, _ in staff.get("/?name=ZO").context["pools"]] == ["zoo"]
    assert [row.name for row, _ in staff.get("/?pools=attention").context["pools"]] == ["zoo"]
    assert "No pool matches." in text_of(staff, "/?name=none")


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
