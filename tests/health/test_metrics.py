"""The metrics: their text, their labels, and their arithmetic over workers that come and go."""

import subprocess
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from apps.fleet import sync_coordinator
from apps.fleet.models import ChecksumConflict
from apps.health.checking.checker import Checker
from apps.health.detailed import fleet_summary
from apps.health.metrics import counters, instruments, worker_memory
from apps.health.metrics.worker_memory import WorkerMemory
from apps.health.wsgi import MeasureLayer
from apps.lifecycle.models import Instance
from apps.lifecycle.shared_memory import layout
from apps.vulnerabilities import fetching
from apps.vulnerabilities.models import TrackerList
from tests import factories
from tests.health.conftest import Get, ask, behind
from tests.vulnerabilities import lists

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text).get((name, frozenset(labels.items())), 0.0)


@pytest.mark.django_db
def test_instances_killed_before_their_shutdown_was_over_are_counted(checker: Checker, get: Get) -> None:
    """Lost ones that were serving were killed, too, but not by their shutdown; a draining one may still end well."""
    for name, phase, minutes in [("a", "stopping", 5), ("b", "draining", 5), ("c", "serving", 5), ("d", "draining", 0)]:
        row = Instance.objects.create(name=name, version="1", phase=phase)
        Instance.objects.filter(id=row.id).update(heartbeat=Now() - timedelta(minutes=minutes))
    fleet_summary.refresh_instances()
    text = get("/metrics").text
    assert value(text, "pacsync_shutdown_overruns") == 2
    assert value(text, "pacsync_instances", state="lost") == 3


@pytest.mark.django_db
def test_metrics_both_texts_are_parsed_by_their_own_parsers(checker: Checker, get: Get) -> None:
    checker.step()
    plain, modern = get("/metrics"), get("/metrics", Accept=OPENMETRICS)
    names = {family.name for family in openmetrics.text_string_to_metric_families(modern.text)}
    assert {"pacsync_ready", "pacsync_healthy", "pacsync_http_requests", "pacsync_lifecycle_phase"} <= names
    assert samples(plain.text)
    assert modern.text.endswith("# EOF\n")


@pytest.mark.django_db
@pytest.mark.needs("promtool")
def test_metrics_promtool_has_nothing_to_say(checker: Checker, get: Get) -> None:
    checker.step()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=get("/metrics").text, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.django_db
def test_metrics_health_and_readiness_are_gauges(checker: Checker, get: Get) -> None:
    before = get("/metrics").text
    checker.step()
    after = get("/metrics").text
    assert value(before, "pacsync_ready") == value(before, "pacsync_healthy") == 0
    assert value(before, "pacsync_not_ready", reason="starting") == 1
    assert value(after, "pacsync_ready") == value(after, "pacsync_healthy") == 1
    assert value(after, "pacsync_health_status", status="healthy") == 1
    assert value(after, "pacsync_health_check_healthy", check="database") == 1
    assert value(after, "pacsync_health_check_duration_seconds_count", check="database") >= 1


def test_metrics_probes_are_counted_and_timed(get: Get) -> None:
    labels = {"route": "/health/live", "method": "GET"}
    before = get("/metrics").text
    for _ in range(5):
        get("/health/live/")
    after = get("/metrics").text
    name = "pacsync_http_requests_total"
    assert value(after, name, status="200", **labels) - value(before, name, status="200", **labels) == 5
    name = "pacsync_http_request_duration_seconds_count"
    assert value(after, name, **labels) - value(before, name, **labels) == 5


def test_metrics_what_strangers_make_up_is_one_label(get: Get) -> None:
    layer = MeasureLayer(behind)
    for number in range(30):
        ask(layer, f"/made-up/{number}", f"METHOD{number}")
    found = {
        labels
        for name, labels in samples(get("/metrics").text)
        if name == "pacsync_http_requests_total" and ("status", "418") in labels
    }
    assert found == {frozenset({("route", "unmatched"), ("method", "other"), ("status", "418")})}


def test_histogram_buckets_are_cumulative_and_end_with_the_count(get: Get) -> None:
    get("/health/live")
    text = get("/metrics").text
    rows = {
        dict(labels)["le"]: number
        for (name, labels), number in samples(text).items()
        if name == "pacsync_http_request_duration_seconds_bucket"
        and {("route", "/health/live"), ("method", "GET")} <= labels
    }
    ordered = [rows[bound] for bound in sorted(rows, key=float)]
    assert ordered == sorted(ordered)
    count = value(text, "pacsync_http_request_duration_seconds_count", route="/health/live", method="GET")
    assert ordered[-1] == rows["+Inf"] == count > 0


def piece() -> memoryview:
    return memoryview(bytearray(layout.SCRATCH_BYTES))


def test_ledger_taken_over_goes_on_counting() -> None:
    memory = piece()
    first = WorkerMemory(memory)
    with first.lock:
        first.doubles[first.position(b"requests", 1)] += 3
    second = WorkerMemory(memory)  # the worker that replaces the first one
    with second.lock:
        second.doubles[second.position(b"requests", 1)] += 1
        second.doubles[second.position(b"others", 2) + 1] += 5
    assert dict(WorkerMemory(memory).numbers()) == {b"requests": [4.0], b"others": [0.0, 5.0]}


def test_ledger_entry_half_made_by_a_killed_worker_is_not_seen() -> None:
    memory = piece()
    first = WorkerMemory(memory)
    with first.lock:
        first.position(b"whole", 1)
    end = first._words[0]
    first._bytes[end : end + 12] = b"\xff" * 12  # its key, without the word that makes it count
    second = WorkerMemory(memory)
    assert [key for key, _ in second.numbers()] == [b"whole"]
    with second.lock:
        second.doubles[second.position(b"next", 1)] += 1
    assert dict(second.numbers())[b"next"] == [1.0]


def test_ledger_full_drops_new_series_and_keeps_the_old(caplog: pytest.LogCaptureFixture) -> None:
    full = WorkerMemory(piece())
    with full.lock:
        first = full.position(b"first", 1)
        positions = [full.position(b"%d" % number, 64) for number in range(10_000)]
        assert positions[-1] == -1
        assert full.position(b"first", 1) == first
    assert caplog.text.count("no room for more metrics") == 1
    assert len(list(full.numbers())) == sum(position >= 0 for position in positions) + 1


def test_requests_with_every_method_to_every_route_leave_room_for_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A scanner needs no login to send them."""
    memory = WorkerMemory(piece())
    with memory.lock:
        for number in range(500):
            for method in (*sorted(instruments.METHODS), "PROPFIND"):
                for status in ("200", "302", "404", "405"):
                    assert min(instruments._bind(memory, f"/a/route/of/a/usual/length/{number}", method, status)) >= 0
        for status in range(200, 600):
            assert min(instruments._bind(memory, "/new", "POST", str(status))) >= 0
        assert instruments.CHECKS.position(memory, ("database", "unhealthy")) >= 0
    instruments._requests.clear()
    assert "no room for more metrics" not in caplog.text
    kept = [key.decode().split("\x1f")[1:] for key, _ in memory.numbers() if key.startswith(b"pacsync_http_requests")]
    assert ["other", "POST", "503"] in kept and not [key for key in kept if key[0] == "/new"]


def test_report_being_written_is_no_report() -> None:
    written = WorkerMemory(piece())
    assert written.read_report() is None
    written.write_report({"a": [1, "ä"]})
    assert written.read_report() == {"a": [1, "ä"]}
    written._report[10:12] = b"xx"
    assert written.read_report() is None


def test_totals_add_up_the_workers() -> None:
    memories = [piece(), piece(), piece()]
    for amount, memory in enumerate(memories[:2], 1):
        one = WorkerMemory(memory)
        with one.lock:
            one.doubles[one.position(b"both", 1)] += amount
    assert worker_memory.totals(memories) == {b"both": [3.0]}


def test_meters_every_name_is_documented_once() -> None:
    assert len(counters.METERS) >= 6
    assert all(meter.documentation.endswith(".") for meter in counters.METERS.values())


@pytest.mark.django_db
def test_alarms_of_pools_and_checksums_are_counted(checker: Checker, get: Get) -> None:
    pool = factories.pool(auto_sync=True, endpoint_targets_need_approval=True)
    factories.target(pool, "app 1-1")
    pool.revisions.update(approved=False)
    ChecksumConflict.objects.create(name="app", version="1-1", arch="any", files=[])
    factories.reporting_endpoint(
        state=factories.state("app 1-1"), examination=[factories.problem("files_differ", "app")]
    )
    factories.reporting_endpoint(
        state=factories.state("app 1-1"),
        examination=[factories.problem("modes_differ", "app"), factories.problem("reboot_needed", "6.1")],
    )
    box = factories.reporting_endpoint(pool=pool, state=factories.state("app 0-1"))
    sync, _ = sync_coordinator.create_operation(endpoint=box, kind="sync", actor="test")
    factories.finish(factories.applying(sync), code="health_check_failed")
    fleet_summary.refresh()
    text = get("/metrics").text
    assert value(text, "pacsync_fleet_endpoints_unhealthy") == 1
    assert value(text, "pacsync_fleet_endpoints_files_differ") == 1
    assert value(text, "pacsync_fleet_endpoints_after_sync", left="reboot_needed") == 1
    assert value(text, "pacsync_fleet_endpoints_after_sync", left="units_failed") == 0
    assert value(text, "pacsync_fleet_pool_alarms", alarm="unapproved_target") == 1
    assert value(text, "pacsync_fleet_pool_alarms", alarm="revoked_source") == 0
    assert value(text, "pacsync_fleet_checksum_conflicts") == 1


@pytest.mark.django_db
def test_vulnerable_endpoints_are_counted_with_the_age_of_the_list(checker: Checker, get: Get, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = lists.URL
    factories.reporting_endpoint(state=factories.state("app 1-1"))
    factories.endpoint()
    fleet_summary.refresh()
    text = get("/metrics").text
    assert value(text, "pacsync_fleet_vulnerable_endpoints", severity="not_compared") == 1
    assert "pacsync_fleet_vulnerability_list_age_seconds" not in text
    lists.store_and_compare(lists.entry(1, "app", severity="Critical"))
    as_of = F("as_of") - timedelta(hours=5)
    TrackerList.objects.update(as_of=as_of)
    fleet_summary.refresh()
    text = get("/metrics").text
    assert value(text, "pacsync_fleet_vulnerable_endpoints", severity="critical") == 1
    assert value(text, "pacsync_fleet_vulnerable_endpoints", severity="unreported") == 1
    assert value(text, "pacsync_fleet_vulnerable_endpoints", severity="none") == 0
    assert 17_990 < value(text, "pacsync_fleet_vulnerability_list_age_seconds") < 18_600
    assert value(text, "pacsync_fleet_vulnerability_list_failing") == 0
    assert value(text, "pacsync_fleet_vulnerability_list_last_failure_timestamp_seconds") == 0


@pytest.mark.django_db
def test_failure_to_get_the_list_is_a_metric(checker: Checker, get: Get, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = "/nowhere/all.json"
    assert not fetching.fetch_if_due()
    fleet_summary.refresh()
    text = get("/metrics").text
    assert value(text, "pacsync_fleet_vulnerability_list_failing") == 1
    assert value(text, "pacsync_fleet_vulnerability_list_last_failure_timestamp_seconds") > time.time() - 600


@pytest.mark.django_db
def test_vulnerabilities_are_no_metrics_while_they_are_off(checker: Checker, get: Get) -> None:
    lists.store_and_compare(lists.entry(1, "app"))
    fleet_summary.refresh()
    assert "vulnerab" not in get("/metrics").text
