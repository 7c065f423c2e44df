"""Lists: filters, order and export links, the same words as the API's; and addresses that lead on."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from apps.dashboard.presentation.attention_links import attention_url
from apps.fleet import pool_manager, sync_coordinator
from apps.fleet.attention import AttentionKind, needs_attention
from apps.fleet.models import AuditEvent, Endpoint, Operation, Pool
from tests import factories


def names(client: Client, query: str) -> list[str]:
    answer = client.get(f"/endpoints?{query}")
    assert answer.status_code == 200
    return [row.endpoint.name for row in answer.context["rows"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["box", "gone", "source", "stray"]),
        ("name=O", ["box", "gone", "source"]),
        ("pool=lab&status=behind", ["box"]),
        ("pool=-", ["stray"]),
        ("package=openssl", ["box"]),
        ("package=open", []),
        ("agent_version=0.9", ["gone"]),
        ("last_result=cancelled", ["box"]),
        ("last_result=never", ["gone", "source", "stray"]),
        ("sort=-name", ["stray", "source", "gone", "box"]),
        ("sort=pool", ["stray", "box", "gone", "source"]),
        ("sort=last_seen&pool=lab", ["gone", "source", "box"]),
        ("seen_before=2020-01-01", []),
        ("status=in_sync&sort=-name", ["source"]),
    ],
)
def test_endpoints_filtered_and_sorted(staff: Client, lab: Pool, query: str, found: list[str]) -> None:
    assert names(staff, query) == found


def test_endpoints_by_when_they_were_seen(staff: Client, lab: Pool) -> None:
    factories.endpoint("never", pool=lab)
    a_day_ago = f"{Endpoint.objects.get(name='box').last_seen - timedelta(days=1):%Y-%m-%d %H:%M}"  # type: ignore[operator]
    assert names(staff, f"seen_before={a_day_ago}") == ["gone", "never"]
    assert names(staff, f"seen_after={a_day_ago}") == ["box", "source", "stray"]


def test_senseless_words_are_left_out_and_said(staff: Client, lab: Pool) -> None:
    page = staff.get("/endpoints?seen_after=yesterday&status=x&sort=size").content.decode()
    assert "seen_after must be a date like 2026-01-15" in page
    assert "status: there is no x." in page and "sort: there is no size." in page
    assert page.count('scope="row"') == 4


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/endpoints?pool=nope", "pool: there is no pool nope. It was ignored."),
        ("/operations?pool=nope", "pool: there is no pool nope. It was ignored."),
        ("/packages/openssl?pool=nope", "pool: there is no pool nope. It was ignored."),
        ("/operations?endpoint=nope", "endpoint: there is no endpoint nope. It was ignored."),
        ("/audit?verb=nope", "verb: there is no nope. It was ignored."),
    ],
)
def test_filter_for_what_is_not_there_is_left_out_and_said(staff: Client, lab: Pool, path: str, said: str) -> None:
    answer = staff.get(path)
    page = answer.content.decode()
    assert said in page and len(answer.context["page"].object_list) > 0
    assert 'value="nope"' not in page


@pytest.mark.parametrize(("list_", "found"), [("endpoints", 3), ("operations", 1), ("packages/openssl", 1)])
def test_filter_for_a_former_name_of_a_pool_finds_the_pool(staff: Client, lab: Pool, list_: str, found: int) -> None:
    pool_manager.change_pool(pool=lab, actor="test", name="factory")
    answer = staff.get(f"/{list_}?pool=lab")
    assert len(answer.context["page"].object_list) == found
    assert "was ignored" not in answer.content.decode() and 'value="factory"' in answer.content.decode()


def test_export_link_has_the_filters_and_leads_to_the_file(staff: Client, lab: Pool) -> None:
    page = staff.get("/endpoints?pool=lab&status=behind&page=1&seen_after=never").content.decode()
    (link,) = re.findall(r'href="(/api/v1/exports/endpoints[^"]*format=csv)"', page)
    assert link == "/api/v1/exports/endpoints?pool=lab&amp;status=behind&amp;format=csv"
    lines = staff.get(link.replace("&amp;", "&")).content.decode().splitlines()
    assert [line.split(",")[0] for line in lines] == ["name", "box"]


def test_sort_links_keep_the_filters_and_turn_round(staff: Client, lab: Pool) -> None:
    page = staff.get("/endpoints?pool=lab&sort=name").content.decode()
    assert 'aria-sort="ascending"><a class="sort" href="?pool=lab&amp;sort=-name">' in page
    assert 'href="?pool=lab&amp;sort=last_seen"' in page
    assert "sort=" not in staff.get("/pools/lab").content.decode()


def test_last_result_shows_in_lists_and_on_the_pool_page(staff: Client, lab: Pool) -> None:
    operation = Operation.objects.get()
    for path in ("/endpoints", "/pools/lab", "/endpoints/box"):
        page = staff.get(path).content.decode()
        assert f"/operations/{operation.pk}" in page and "cancelled" in page, path


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=active", []),
        ("status=cancelled&pool=lab&kind=sync&name=bo&endpoint=box", ["box"]),
        ("kind=revert", []),
        ("name=x&since=2020-01-01", ["box"]),
        ("until=2020-01-01", []),
        ("status=nonsense&sort=created", ["box"]),
    ],
)
def test_operations_filtered(staff: Client, lab: Pool, query: str, found: list[str]) -> None:
    answer = staff.get(f"/operations?{query}")
    assert [operation.endpoint.name for operation in answer.context["page"]] == found


@pytest.mark.parametrize("path", ["", "/revisions/1", "/change?x=1", "/sync"])
def test_renamed_pool_old_address_leads_on(staff: Client, lab: Pool, path: str) -> None:
    pool_manager.change_pool(pool=lab, actor="test", name="cellar")
    pool_manager.change_pool(pool=lab, actor="test", name="attic", description="up")
    pool_manager.change_pool(pool=lab, actor="test", description="high up")
    answer = staff.get(f"/pools/lab{path}")
    assert (answer.status_code, answer["Location"]) == (302, f"/pools/attic{path}")
    assert staff.post("/pools/cellar/delete")["Location"] == "/pools/attic"
    assert Pool.objects.filter(name="attic").exists()


def test_renamed_pool_name_given_again_is_the_new_ones(staff: Client, lab: Pool) -> None:
    pool_manager.change_pool(pool=lab, actor="test", name="cellar")
    again = factories.pool("lab")
    assert staff.get("/pools/lab").context["pool"] == again
    pool_manager.delete_pool(pool=again, actor="test")
    assert staff.get("/pools/lab").status_code == 404


def test_renamed_in_a_circle_ends(staff: Client, db: Any) -> None:
    AuditEvent.objects.create(actor="x", verb="change", object="pool:a", after={"name": "b"})
    AuditEvent.objects.create(actor="x", verb="change", object="pool:b", after={"name": "a"})
    assert staff.get("/pools/a").status_code == 404


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/endpoints/", "/endpoints"),
        ("/endpoints/?pool=lab&x=%2F", "/endpoints?pool=lab&x=%2F"),
        ("/pools/lab/", "/pools/lab"),
        ("/login//", "/login"),
        ("/admin", "/admin/"),
        ("/admin/fleet/pool", "/admin/fleet/pool/"),
        ("/api/v1/pools/", "/api/v1/pools"),
    ],
)
def test_slash_too_many_or_too_few_leads_on(staff: Client, lab: Pool, path: str, target: str) -> None:
    for method in (staff.get, staff.head):
        answer = method(path)
        assert (answer.status_code, answer["Location"]) == (308, target)


@pytest.mark.parametrize("path", ["/nothing/", "/pools/none", "/admin/nothing", "/api/v1", "/api/v1/"])
def test_slash_is_no_way_to_what_is_not_there(staff: Client, lab: Pool, path: str) -> None:
    assert staff.get(path).status_code == 404


def test_slash_leads_to_no_other_host(staff: Client, lab: Pool) -> None:
    for path in ("//endpoints/", "//evil.example/"):
        assert staff.get("/x", PATH_INFO=path).status_code == 404


def test_slash_of_a_post_keeps_it_a_post(staff: Client, lab: Pool) -> None:
    answer = staff.post("/endpoints/box/resume/")
    assert (answer.status_code, answer["Location"]) == (308, "/endpoints/box/resume")


def test_what_needs_attention_leads_to_a_list_of_just_those(staff: Client, lab: Pool) -> None:
    """Of files that differ, whatever the status, and of where automatic sync rests."""
    differs = [factories.problem("files_differ", "/usr/bin/app")]
    for name, package in (("even", "app 2-1"), ("odd", "app 1-1")):
        factories.reporting_endpoint(name, pool=lab, state=factories.state(package), examination=differs)
    for name in ("r1", "r2"):
        made = factories.reporting_endpoint(name, pool=lab, state=factories.state("app 1-1"))
        operation, _ = sync_coordinator.create_operation(endpoint=made, kind="sync", actor="test")
        sync_coordinator.cancel(operation=operation, actor="user:ada")
    Operation.objects.exclude(endpoint__name__in=("r1", "r2")).delete()
    pool_manager.change_pool(pool=lab, actor="test", auto_sync=True)
    found = {item.kind: attention_url(item).partition("?")[2] for item in needs_attention()}
    assert names(staff, found[AttentionKind.FILES_DIFFER]) == ["even", "odd"]
    assert names(staff, found[AttentionKind.RESTING]) == ["r1", "r2"]
    page = staff.get(f"/endpoints?{found[AttentionKind.RESTING]}").content.decode()
    (link,) = re.findall(r'href="(/api/v1/exports/endpoints[^"]*format=csv)"', page)
    assert "resting=true" in link


def test_difference_of_one_that_was_not_compared_is_not_none(staff: Client, lab: Pool, settings: Any) -> None:
    factories.reporting_endpoint("large", pool=lab, state=factories.state("app 1-1", "lib 1-1"))
    settings.STATE_MAX_PACKAGES = 1
    for path in ("/endpoints?name=large", "/pools/lab"):
        page = staff.get(path).content.decode()
        assert '<span class="muted">not compared</span>' in page, path
