"""/health/detailed: exactly the fields of the contract on both databases, and what others never see."""

import time
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import LazySettings

from apps.health.checking import worker_reports
from apps.health.checking.checker import Checker
from apps.health.checks.registered import CHECKS
from apps.health.detailed import fleet_summary
from apps.lifecycle.models import Instance
from apps.lifecycle.shared_memory import instance
from apps.lifecycle.work.tracked_work import operation_context
from tests.health.conftest import Get

TOP = {"status", "service", "version", "timestamp", "uptime_seconds", "environment", "components", "configuration"}
DATABASE = {"status", "type", "response_time_ms", "last_check"}
POOLED = {"size", "min_size", "max_size", "idle_connections", "active_connections"}


@pytest.mark.django_db
def test_detailed_has_every_field_of_the_contract(checker: Checker, get: Get, settings: LazySettings) -> None:
    checker.step()
    answer = get("/health/detailed")
    body = answer.json
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert set(body) >= TOP
    assert body["status"] == "healthy"
    assert (body["service"], body["version"], body["environment"]) == ("pacman-sync-utility", settings.VERSION, "test")
    assert body["components"]["dependencies"] == dict.fromkeys(
        ("pool_manager", "sync_coordinator", "endpoint_manager"), "healthy"
    )
    database = body["components"]["database"]
    assert set(database) >= DATABASE
    assert database["status"] == "healthy"
    assert database["type"] == settings.DATABASE_TYPE
    assert database["response_time_ms"] > 0
    assert database["last_check"].endswith("Z")


@pytest.mark.django_db
def test_detailed_database_has_the_fields_of_its_kind(checker: Checker, get: Get, settings: LazySettings) -> None:
    checker.step()
    database = get("/health/detailed").json["components"]["database"]
    if settings.DATABASE_TYPE == "sqlite":
        assert database["connection_status"] == "connected"
        assert not POOLED & set(database)
    else:
        assert set(database) >= POOLED
        assert (database["min_size"], database["max_size"]) == (settings.DB_POOL_MIN_SIZE, settings.DB_POOL_MAX_SIZE)


@pytest.mark.django_db
def test_detailed_configuration_says_what_is_set(checker: Checker, get: Get, settings: LazySettings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://dashboard.example"]
    settings.ENABLE_REPOSITORY_ANALYSIS = False
    configuration = get("/health/detailed").json["configuration"]
    assert configuration["database_type"] == settings.DATABASE_TYPE
    assert configuration["pool_size"] == f"{settings.DB_POOL_MIN_SIZE}-{settings.DB_POOL_MAX_SIZE}"
    assert configuration["cors_enabled"] is True
    assert configuration["features"] == {"repository_analysis": False, "auto_cleanup": True}


def test_detailed_before_the_first_check_is_a_whole_report(get: Get) -> None:
    answer = get("/health/detailed")
    body = answer.json
    assert (answer.status, body["status"]) == (503, "unhealthy")
    assert set(body) >= TOP
    assert body["readiness"] == {"status": "not_ready", "reason": "starting"}
    assert set(body["components"]["dependencies"].values()) == {"not_initialized"}


@pytest.mark.django_db
def test_detailed_history_has_an_entry_for_each_round(checker: Checker, get: Get) -> None:
    for _ in range(3):
        checker.step()
    checks = get("/health/detailed").json["checks"]
    assert [check["name"] for check in checks] == [item.name for item in CHECKS]
    assert all(len(check["history"]) == 3 for check in checks)
    assert all(entry["status"] == "healthy" for check in checks for entry in check["history"])


@pytest.mark.django_db
def test_detailed_shows_tracked_work_by_name_and_age(get: Get) -> None:
    with operation_context("sync_operation"):
        (work,) = get("/health/detailed").json["tracked_work"]
    assert work["name"] == "sync_operation"
    assert 0 <= work["age_seconds"] < 60
    assert get("/health/detailed").json["tracked_work"] == []


@pytest.mark.usefixtures("leaving")
def test_detailed_shows_the_shutdown_while_it_lasts(get: Get) -> None:
    lifecycle = get("/health/detailed").json["lifecycle"]
    assert lifecycle["phase"] == "draining"
    assert set(lifecycle["shutdown"]) == {"signal", "started", "deadline", "elapsed_seconds", "waiting_for"}


@pytest.mark.django_db
def test_detailed_figures_are_read_in_the_background_only(checker: Checker, get: Get) -> None:
    worker_reports.forget()
    worker_reports.write("checks", {})
    assert get("/health/detailed").json["fleet"] is None
    Instance.objects.create(name="host-1.example", version="1.0.0", phase="serving")
    fleet_summary.refresh()
    fleet_summary.refresh_instances()
    body = get("/health/detailed").json
    assert body["fleet"]["pools"] == 0
    assert body["fleet"]["operations"]["queued"] == body["fleet"]["endpoints"]["in_sync"] == 0
    # This instance has no row in the registry here, and shows itself all the same.
    assert [(row["phase"], row["this"]) for row in body["instances"]] == [("serving", False), ("starting", True)]


def test_detailed_fresh_instance_shows_itself_at_once(checker: Checker, get: Get) -> None:
    worker_reports.forget()
    worker_reports.write("checks", {"outcomes": {}, "history": {}})
    (row,) = get("/health/detailed").json["instances"]
    assert (row["this"], row["lost"], row["phase"], row["workers"]) == (True, False, "starting", 1)
    assert "name" not in row


@pytest.mark.django_db
def test_detailed_registered_instance_is_shown_once(checker: Checker, get: Get) -> None:
    Instance.objects.create(id=instance.identity(), name="host-1.example", version="1.0.0", phase="serving")
    fleet_summary.refresh_instances()
    assert [row["this"] for row in get("/health/detailed").json["instances"]] == [True]


@pytest.mark.django_db
def test_detailed_names_of_machines_are_for_known_readers(checker: Checker, get: Get, settings: LazySettings) -> None:
    Instance.objects.create(name="host-1.example", version="1.0.0", phase="serving")
    fleet_summary.refresh_instances()
    checker.step()
    for form in ("json", "html", "prometheus"):
        assert "host-1" not in get(f"/health/detailed?format={form}").text
    settings.HEALTH_DETAIL_NETWORKS = (ip_network("10.0.0.0/8"),)
    assert get("/health/detailed", REMOTE_ADDR="10.1.1.1").json["instances"][0]["name"] == "host-1.example"


def test_figures_that_are_old_are_not_shown(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_reports.write("fleet", {"pools": 7, "endpoints": {}, "operations": {}})
    assert get("/health/detailed").json["fleet"]["pools"] == 7
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + fleet_summary.EXPIRES + 1)
    assert get("/health/detailed").json["fleet"] is None


@pytest.mark.django_db
def test_detailed_with_a_failing_check_shows_no_word_of_the_error(
    checker: Checker, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode() -> Any:
        raise RuntimeError("password=hunter2 host=db.internal")

    component = next(item for item in CHECKS if item.name == "pool_manager").check
    monkeypatch.setattr(component, "probe", explode)
    checker.step()
    for form in ("json", "html", "prometheus"):
        text = get(f"/health/detailed?format={form}").text
        assert "hunter2" not in text
        assert "db.internal" not in text
    body = get("/health/detailed").json
    assert body["status"] == "unhealthy"
    assert body["components"]["dependencies"]["pool_manager"] == "unhealthy"
    ready = get("/health/ready")
    assert (ready.status, ready.json["reason"]) == (503, "dependencies_not_ready")
    assert ready.json["dependencies"] == {"pool_manager": "unhealthy"}
