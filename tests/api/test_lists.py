"""Lists of endpoints, operations and audit events: filters and order; the same as files."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.fleet import paused_automatic_sync, pool_manager, sync_coordinator
from apps.fleet.models import AuditEvent, Endpoint, Pool
from tests import factories
from tests.api.support import Api
from tests.api.test_pagination import walk

pytestmark = pytest.mark.django_db


@pytest.fixture
def fleet(pool: Pool) -> Pool:
    """`box` is behind and its sync was cancelled, `gone` was last seen nine days ago and told of a file that differs,
    `never` was never seen, `stray` is in no pool."""
    factories.target(pool, "app 2-1")
    Endpoint.objects.update(name="source")
    box = factories.reporting_endpoint("box", pool=pool, state=factories.state("app 1-1", "openssl 3-1"))
    operation, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="user:ada")
    sync_coordinator.cancel(operation=operation, actor="user:ada")
    differs = [factories.problem("files_differ", "/usr/bin/app"), factories.problem("reboot_needed", "6.1")]
    factories.reporting_endpoint("gone", pool=pool, state=factories.state("app 2-1"), examination=differs)
    Endpoint.objects.filter(name="gone").update(last_seen=F("last_seen") - timedelta(days=9), agent_version="0.9")
    factories.reporting_endpoint("stray", state=factories.state("app 1-1"))
    factories.endpoint("never", pool=pool)
    return pool


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=O", ["box", "gone", "source"]),
        ("pool=lab&status=behind", ["box"]),
        ("pool=-", ["stray"]),
        ("files_differ=true", ["gone"]),
        ("files_differ=false&pool=lab", ["box", "never", "source"]),
        ("files_differ=true&status=behind", []),
        ("after_sync=reboot_needed", ["gone"]),
        ("after_sync=units_failed", []),
        ("resting=true", []),
        ("resting=false&pool=lab", ["box", "gone", "never", "source"]),
        ("package=openssl", ["box"]),
        ("agent_version=0.9", ["gone"]),
        ("last_result=cancelled", ["box"]),
        ("last_result=never&pool=lab", ["gone", "never", "source"]),
        ("last_result=unhealthy", []),
        ("seen_before=2020-01-01", ["never"]),
        ("seen_after=2020-01-01T00:00:00Z&name=o", ["box", "gone", "source"]),
        ("sort=-name", ["stray", "source", "never", "gone", "box"]),
        ("sort=pool", ["stray", "box", "gone", "never", "source"]),
        ("sort=-pool", ["source", "never", "gone", "box", "stray"]),
        ("sort=last_seen", ["never", "gone", "source", "box", "stray"]),
        ("sort=-last_seen", ["stray", "box", "source", "gone", "never"]),
        ("sort=agent_version", ["never", "gone", "box", "source", "stray"]),
    ],
)
def test_endpoints_filtered_and_sorted_on_every_page(viewer: Api, fleet: Pool, query: str, found: list[str]) -> None:
    for limit in (1, 2, 200):
        assert [one["name"] for one in walk_with(viewer, f"/endpoints?{query}", limit)] == found, limit


def test_endpoints_that_automatic_sync_leaves_alone(viewer: Api, fleet: Pool) -> None:
    pool_manager.change_pool(pool=fleet, actor="test", auto_sync=True, conflict_resolution="newest")
    assert [one["name"] for one in viewer.get("/endpoints?resting=true").ok()["items"]] == ["box"]
    assert "box" not in [one["name"] for one in viewer.get("/endpoints?resting=false").ok()["items"]]
    assert viewer.get("/endpoints/box").ok()["resting"]["why"] == "cancelled"
    paused_automatic_sync.resume(endpoint=Endpoint.objects.get(name="box"), actor="user:ada")
    assert viewer.get("/endpoints?resting=true").ok()["items"] == []


def walk_with(api: Api, path: str, limit: int) -> list[Any]:
    """`walk` for a path that has a query."""
    items, cursor = [], ""
    while True:
        body = api.get(f"{path}&limit={limit}{cursor}").ok()
        items += body["items"]
        assert len(items) < 100
        if body["next"] is None:
            return items
        cursor = f"&cursor={body['next']}"


@pytest.mark.parametrize(
    "query",
    [
        "seen_after=yesterday",
        "seen_before=9999-12-31T23:59:59-23:59",
        "sort=size",
        "last_result=good",
        "pool=a/b",
        "name=%00",
        "status=x",
    ],
)
def test_senseless_filter_is_refused(viewer: Api, query: str) -> None:
    problem = viewer.get(f"/endpoints?{query}").refused(422, "invalid_request")
    assert problem["errors"][0]["loc"] == ["query", query.partition("=")[0]]


def test_cursor_of_another_order_is_refused(viewer: Api, fleet: Pool) -> None:
    cursor = viewer.get("/endpoints?limit=1&sort=pool").ok()["next"]
    viewer.get(f"/endpoints?limit=1&sort=-pool&cursor={cursor}").refused(422, "invalid_cursor")


def test_endpoint_has_its_last_result(viewer: Api, fleet: Pool) -> None:
    box, *others = viewer.get("/endpoints").ok()["items"]
    assert (box["last_result"]["status"], box["last_result"]["kind"]) == ("cancelled", "sync")
    assert [one["last_result"] for one in others] == [None] * 4


def test_endpoint_says_why_and_what_refuses_a_sync(operator: Api, fleet: Pool) -> None:
    box = operator.get("/endpoints/box").ok()
    assert box["why"] == "Compared with target #1, 1 package is older and 1 not in it."
    assert (box["refusal"], box["resting"]) == (None, None)
    factories.report(factories.endpoint("arm", pool=fleet, arch="aarch64"), factories.state("app 1-1 aarch64"))
    arm = operator.get("/endpoints/arm").ok()
    assert arm["status"] == "unknown" and arm["why"].startswith("It is aarch64, and the target of pool lab is for x86")
    assert arm["refusal"] == {"code": "conflict", "detail": "arm is aarch64; the target is for x86_64."}


def test_resting_sync_is_resumed(operator: Api, viewer: Api, fleet: Pool) -> None:
    pool_manager.change_pool(pool=fleet, actor="test", auto_sync=True)
    assert operator.get("/endpoints/box").ok()["resting"]["why"] == "cancelled"
    viewer.post("/endpoints/box/resume", {}).refused(403, "forbidden")
    assert operator.post("/endpoints/box/resume", {}).ok()["resting"] is None
    assert operator.post("/endpoints/box/resume", {}).ok()["resting"] is None
    assert AuditEvent.objects.filter(verb="resume_sync").count() == 1


@pytest.mark.parametrize(
    ("query", "count"),
    [("status=active", 0), ("status=cancelled&name=BO", 1), ("since=2020-01-01", 1), ("until=2020-01-01", 0)],
)
def test_operations_filtered(viewer: Api, fleet: Pool, query: str, count: int) -> None:
    assert len(viewer.get(f"/operations?{query}").ok()["items"]) == count


def test_operations_oldest_first(viewer: Api, fleet: Pool) -> None:
    for name in ("gone", "stray"):
        Endpoint.objects.filter(name=name).update(pool=fleet)
    later, _ = sync_coordinator.create_operation(
        endpoint=Endpoint.objects.get(name="stray"), kind="sync", actor="user:ada"
    )
    found = walk_with(viewer, "/operations?sort=created", 1)
    assert [one["endpoint"] for one in found] == ["box", "stray"] and found[1]["id"] == str(later.pk)


@pytest.mark.parametrize("sort", ["created", "-created"])
def test_operations_every_page_goes_on_behind_the_one_before(viewer: Api, fleet: Pool, sort: str) -> None:
    """Even if the database's clock writes times shorter than they are asked for (SQLite)."""
    made = [Endpoint.objects.get(name=name) for name in ("stray", "box")]
    Endpoint.objects.filter(name="stray").update(pool=fleet)
    for endpoint in made:
        sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor="user:ada")
    found = walk_with(viewer, f"/operations?sort={sort}", 1)
    whole = viewer.get(f"/operations?sort={sort}").ok()["items"]
    assert found == whole and len(whole) == 3


def test_audit_events_filtered(viewer: Api, fleet: Pool) -> None:
    assert [one["verb"] for one in viewer.get("/audit-events?text=POOL:").ok()["items"]] == ["set_target", "create"]
    assert viewer.get("/audit-events?until=2020-01-01").ok()["items"] == []
    assert len(walk_with(viewer, "/audit-events?since=2020-01-01", 2)) == AuditEvent.objects.count()


def rows_of(api: Api, path: str) -> tuple[list[dict[str, str]], Any]:
    """The rows of a CSV file, and its headers."""
    answer = api.client.get(f"/api/v1{path}", headers=api.headers)
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    return list(csv.DictReader(io.StringIO(answer.content.decode()))), answer.headers


def test_export_csv_has_a_line_for_each(viewer: Api, fleet: Pool) -> None:
    rows, headers = rows_of(viewer, "/exports/endpoints?pool=lab&sort=-name")
    assert headers["Content-Disposition"] == 'attachment; filename="pacsync-endpoints.csv"'
    assert "Link" not in headers
    assert [row["name"] for row in rows] == ["source", "never", "gone", "box"]
    assert (rows[3]["status"], rows[3]["last_result.status"], rows[3]["may_set_targets"]) == (
        "behind",
        "cancelled",
        "false",
    )
    assert (rows[1]["last_seen"], rows[1]["last_result.status"]) == ("", "")


@pytest.mark.parametrize("list_", ["endpoints", "operations", "audit-events"])
def test_export_json_lines_are_the_items_of_the_list(viewer: Api, fleet: Pool, list_: str) -> None:
    answer = viewer.client.get(f"/api/v1/exports/{list_}?format=jsonl", headers=viewer.headers)
    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    found = [json.loads(line) for line in answer.content.decode().splitlines()]
    expected = walk(viewer, f"/{list_}", 200)
    for item in expected:
        for part in ("log_tail", "difference"):
            (item.get("result") or {}).pop(part, None)
    assert found == expected and found


@pytest.mark.parametrize("list_", ["endpoints", "operations", "audit-events"])
def test_export_goes_on_in_the_next_file(viewer: Api, fleet: Pool, list_: str) -> None:
    whole, _ = rows_of(viewer, f"/exports/{list_}")
    found: list[Any] = []
    path = f"/exports/{list_}?limit=1"
    while path and len(found) < 100:
        rows, headers = rows_of(viewer, path)
        found += rows
        link = headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link[len("</api/v1") :].partition(">")[0]
    assert found == whole


def test_export_makes_no_formula_of_a_text(viewer: Api, fleet: Pool) -> None:
    AuditEvent.objects.create(actor='=HYPERLINK("http://x")', verb="+1", object="@x", before={"a": [1]})
    rows, _ = rows_of(viewer, "/exports/audit-events?object=@x")
    assert (rows[0]["actor"], rows[0]["verb"]) == ('\'=HYPERLINK("http://x")', "'+1")
    assert rows[0]["before"] == '{"a": [1]}'


@pytest.mark.parametrize("before", ["\n", " ", "\t", "\r\n", "\u00a0 ", "\v", "\u2003\n "])
def test_export_makes_no_formula_of_a_sign_behind_white_space(viewer: Api, fleet: Pool, before: str) -> None:
    AuditEvent.objects.create(actor="user:ada", verb=f"{before}=1+1", object="odd")
    rows, _ = rows_of(viewer, "/exports/audit-events?object=odd")
    assert rows[0]["verb"].startswith("'") and rows[0]["verb"].endswith("=1+1")


@pytest.mark.parametrize("text", ["\nx", "\tx", "\rx"])
def test_export_marks_what_begins_with_a_control_character(viewer: Api, fleet: Pool, text: str) -> None:
    AuditEvent.objects.create(actor="user:ada", verb=text, object="odd")
    rows, _ = rows_of(viewer, "/exports/audit-events?object=odd")
    assert rows[0]["verb"].startswith("'")


def test_export_needs_a_reader(fleet: Pool) -> None:
    for list_ in ("endpoints", "operations", "audit-events"):
        Api().get(f"/exports/{list_}").refused(401, "token_invalid")


def test_fleet_says_what_is_wrong(viewer: Api, fleet: Pool) -> None:
    body = viewer.get("/fleet").ok()
    assert body["status"] == "attention"
    assert body["counts"] == {"in_sync": 1, "behind": 1, "ahead": 0, "diverged": 0, "unknown": 1, "offline": 2}
    (item,) = body["attention"]
    assert (item["kind"], item["severity"], item["object"], item["count"]) == ("offline", "warn", "pool:lab", 2)
    (pool,) = body["pools"]
    assert (pool["name"], pool["endpoints"], pool["target"], pool["running"]) == ("lab", 4, 1, None)


def test_fleet_counts_endpoints_whose_files_differ_beside_those_in_sync(viewer: Api, fleet: Pool) -> None:
    differs = [factories.problem("files_differ", "/usr/bin/app")]
    factories.report(Endpoint.objects.get(name="source"), factories.state("app 2-1"), examination=differs)
    factories.report(Endpoint.objects.get(name="box"), factories.state("app 1-1"), examination=differs)
    body = viewer.get("/fleet").ok()
    assert (body["counts"]["in_sync"], body["files_differ"]) == (1, 1)
    assert [(one["counts"]["in_sync"], one["files_differ"]) for one in body["pools"]] == [(1, 1)]
    assert {item["kind"]: item["count"] for item in body["attention"]}["files_differ"] == 2


def test_fleet_all_well(viewer: Api, pool: Pool) -> None:
    factories.target(pool, "app 2-1")
    body = viewer.get("/fleet").ok()
    assert (body["status"], body["attention"]) == ("ok", [])


def test_renamed_pool_reader_is_led_on_and_writer_told(operator: Api, pool: Pool) -> None:
    pool_manager.change_pool(pool=pool, actor="test", name="cellar")
    for rest in ("", "/targets?limit=1"):
        answer = operator.client.get(f"/api/v1/pools/lab{rest}", headers=operator.headers)
        assert (answer.status_code, answer.headers["Location"]) == (308, f"/api/v1/pools/cellar{rest}")
    problem = operator.patch("/pools/lab", {"description": "x"}).refused(404, "not_found")
    assert problem["detail"] == "The pool lab is called cellar now."
    operator.get("/pools/none").refused(404, "not_found")


def test_slash_at_the_end_leads_on_with_the_method(operator: Api) -> None:
    answer = operator.client.post(
        "/api/v1/pools/", json.dumps({"name": "x"}), content_type="application/json", headers=operator.headers
    )
    assert (answer.status_code, answer.headers["Location"]) == (308, "/api/v1/pools")
    assert not Pool.objects.exists()
    operator.get("/nothing/").refused(404, "not_found")
