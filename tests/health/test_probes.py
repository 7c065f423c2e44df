"""The four probes, by their fields, ahead of Django's middleware."""

import re
import time
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from apps.health.checking import process_checker
from apps.health.checking.checker import Checker
from apps.health.checking.results import HEALTHY
from apps.health.metrics.worker_memory import WorkerMemory
from apps.health.wsgi import ProbeLayer
from apps.lifecycle.shared_memory import memory
from tests.health.conftest import Get, ask, behind

PROBES = ["/health", "/health/live", "/health/ready", "/health/startup"]
PATHS = [*PROBES, "/health/detailed", "/metrics"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def without_times(body: dict[str, Any]) -> dict[str, Any]:
    """The body with its times taken out, which are of the right form."""
    assert TIMESTAMP.fullmatch(body.pop("timestamp"))
    uptime = body.pop("uptime_seconds", 0.0)
    assert isinstance(uptime, int | float)
    assert uptime >= 0
    return body


@pytest.mark.django_db
def test_health_working_says_healthy_and_what_it_is(checker: Checker, get: Get) -> None:
    checker.step()
    answer = get("/health")
    assert answer.status == 200
    assert set(answer.json) == {"status", "service", "version", "uptime_seconds", "timestamp"}
    assert without_times(answer.json) == {
        "status": "healthy",
        "service": "pacman-sync-utility",
        "version": settings.VERSION,
    }


def test_health_before_the_first_check_is_not_called_healthy(get: Get) -> None:
    answer = get("/health")
    assert (answer.status, answer.json["status"]) == (503, "unhealthy")


def test_live_without_any_check_says_alive(get: Get) -> None:
    answer = get("/health/live")
    assert answer.status == 200
    assert set(answer.json) == {"status", "uptime_seconds", "timestamp"}
    assert without_times(answer.json) == {"status": "alive"}


@pytest.mark.django_db
def test_ready_working_says_ready(checker: Checker, get: Get) -> None:
    checker.step()
    answer = get("/health/ready")
    assert answer.status == 200
    assert set(answer.json) == {"status", "uptime_seconds", "timestamp"}
    assert without_times(answer.json) == {"status": "ready"}


def test_ready_before_the_first_check_says_starting(get: Get) -> None:
    answer = get("/health/ready")
    assert answer.status == 503
    assert without_times(answer.json) == {"status": "not_ready", "reason": "starting"}


@pytest.mark.django_db
@pytest.mark.usefixtures("leaving")
def test_ready_draining_says_shutting_down_while_live_and_health_stay(checker: Checker, get: Get) -> None:
    checker.step()
    answer = get("/health/ready")
    assert answer.status == 503
    assert without_times(answer.json) == {"status": "not_ready", "reason": "shutting_down"}
    assert get("/health/live").status == get("/health").status == get("/health/startup").status == 200


@pytest.mark.django_db
def test_ready_before_the_first_check_goes_by_what_the_replaced_worker_found(get: Get) -> None:
    outcomes = {item.name: [*HEALTHY] for item in process_checker.checker().checks}
    replaced = WorkerMemory([*memory.current().slots()][-1].scratch())  # no worker has this slot any more
    replaced.write_report({"pid": 1, "checks": {"at": time.time(), "outcomes": outcomes, "history": {}}})
    try:
        assert get("/health/ready").status == 200
        replaced.write_report({"pid": 1, "checks": {"at": time.time() - 3600, "outcomes": outcomes, "history": {}}})
        assert get("/health/ready").json["reason"] == "starting"
    finally:
        replaced.write_report(None)


def test_startup_is_starting_until_the_first_round_ended(checker: Checker, get: Get) -> None:
    before = get("/health/startup")
    checker.step()
    after = get("/health/startup")
    assert (before.status, before.json["status"]) == (503, "starting")
    assert (after.status, after.json["status"]) == (200, "started")


@pytest.mark.parametrize("path", PATHS)
def test_paths_head_has_headers_of_get_and_no_body(get: Get, path: str) -> None:
    whole, head = get(path), get(path, "HEAD")
    assert head.body == b""
    assert head.status == whole.status
    assert head.headers.keys() == whole.headers.keys()
    if path in PROBES:
        assert head.headers["Content-Length"] == str(len(whole.body))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_paths_other_method_is_405_with_allow(get: Get, path: str, method: str) -> None:
    answer = get(path, method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.json["status"] == "method_not_allowed"


@pytest.mark.parametrize("path", PATHS)
def test_paths_any_host_and_a_slash_at_the_end_are_answered_and_not_stored(get: Get, path: str) -> None:
    for host in ("10.1.2.3", "[::1]:8080", "evil.example", ""):
        answer = get(path + "/", HTTP_HOST=host)
        assert answer.status in (200, 503)
        assert answer.headers["Cache-Control"] == "no-store"
        assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize("path", ["/", "/healthy", "/health/", "/health/x", "/metrics/x", "/api/v1/health"])
def test_layer_another_path_goes_to_the_application(get: Get, path: str) -> None:
    assert (get(path).status == 418) is (path != "/health/")


@pytest.mark.django_db
@pytest.mark.parametrize("path", PROBES)
def test_probe_answers_without_a_query(
    checker: Checker, get: Get, path: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with CaptureQueriesContext(connection) as captured:
        checker.step()
    assert len(captured) > 0  # those of the checks are seen, so a probe's would be
    with django_assert_num_queries(0):
        assert get(path).status == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_paths_through_django_answer_the_same(checker: Checker, client: Client, path: str) -> None:
    for spelled in (path, path + "/"):
        response = client.get(spelled)
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
    assert client.post(path).status_code == 405


def test_layer_first_probe_begins_serving_once() -> None:
    begun: list[str] = []
    layer = ProbeLayer(behind, begin=lambda: begun.append("begin"))
    assert ask(layer, "/elsewhere").status == 418
    assert begun == []  # the application's own layer does it
    for _ in range(3):
        ask(layer, "/health/live")
    assert begun == ["begin"]


@pytest.mark.django_db
@pytest.mark.usefixtures("leaving", "broken_database")
def test_worker_whose_checks_fail_while_it_drains_still_says_so_to_the_others(checker: Checker) -> None:
    """After `manage.py drain --undo` another worker may get the next probe."""
    checker.step()
    assert memory.current().unready(60)
