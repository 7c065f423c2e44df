"""Readiness without some checks, and one component by itself: for people who debug."""

import re

import pytest
from django.conf import LazySettings
from django.test import Client
from health_check.exceptions import ServiceWarning

from apps.health.checking.checker import Checker
from apps.health.checks.exceptions import Waits
from apps.health.checks.registered import CHECKS
from apps.health.detailed import fleet_summary
from apps.lifecycle.gunicorn import probe_paths
from tests.health.conftest import Get

NAMES = [item.name for item in CHECKS]


def fail(checker: Checker, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Have this check end with that error."""

    def run() -> None:
        raise error

    monkeypatch.setattr(next(item for item in checker.checks if item.name == name).check, "run", run)


@pytest.mark.django_db
def test_exclude_leaves_out_exactly_the_named_check(
    checker: Checker, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(checker, monkeypatch, "pool_manager", RuntimeError("x"))
    checker.step()
    assert get("/health/ready").json["dependencies"] == {"pool_manager": "unhealthy"}
    answer = get("/health/ready?exclude=pool_manager")
    assert (answer.status, answer.json["status"]) == (200, "ready")
    for name in set(NAMES) - {"pool_manager"}:
        assert get(f"/health/ready?exclude={name}").status == 503, name
    assert get("/health/ready?exclude=dbpool&exclude=pool_manager").status == 200
    assert get("/health/ready?other=pool_manager").status == 503


@pytest.mark.usefixtures("broken_database")
def test_exclude_of_the_database_leaves_what_needs_it(checker: Checker, get: Get) -> None:
    checker.step()
    assert get("/health/ready?exclude=database").json["reason"] == "database_unhealthy"
    query = "&".join(f"exclude={item.name}" for item in CHECKS if item.needs_database or item.name == "database")
    others = get(f"/health/ready?{query}&exclude=dbpool")
    assert others.status == 200, others.text


@pytest.mark.parametrize("query", ["exclude=nonsense", "exclude=", "exclude=database&exclude=Database"])
def test_exclude_of_no_check_is_refused_with_their_names(get: Get, query: str) -> None:
    answer = get(f"/health/ready?{query}")
    assert (answer.status, answer.json["status"]) == (400, "bad_request")
    assert all(name in answer.json["detail"] for name in NAMES)


@pytest.mark.django_db
@pytest.mark.usefixtures("leaving")
def test_exclude_does_not_hide_that_the_instance_leaves(checker: Checker, get: Get) -> None:
    checker.step()
    assert get("/health/ready?exclude=dbpool").json["reason"] == "shutting_down"


def test_exclude_before_the_first_checks_is_starting(get: Get) -> None:
    assert get("/health/ready?exclude=dbpool").json["reason"] == "starting"


@pytest.mark.parametrize(
    ("target", "probe"),
    [
        ("/health/ready", True),
        ("/health/ready/", True),
        ("/health/live?t=1", True),
        ("/health/ready?exclude=dbpool", False),
        ("/health/ready/?t=1&exclude=dbpool", False),
        ("/health/components", False),
        ("/health/detailed", False),
    ],
)
def test_exclude_is_work_for_a_thread_and_a_probe_is_not(target: str, probe: bool) -> None:
    assert probe_paths.is_quick(f"GET {target} HTTP/1.1\r\nHost: exclude=x\r\n\r\n".encode()) is probe


@pytest.mark.django_db
def test_component_has_a_path_of_its_own(checker: Checker, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(checker, monkeypatch, "pool_manager", RuntimeError("secret words"))
    fail(checker, monkeypatch, "endpoint_manager", ServiceWarning("x"))
    checker.step()
    found = {name: get(f"/health/components/{name}") for name in NAMES}
    assert {name for name, answer in found.items() if answer.status == 503} == {"pool_manager"}
    assert all(answer.json["name"] == name for name, answer in found.items())
    assert found["pool_manager"].json["problem"] == "failed"
    assert "secret" not in found["pool_manager"].text
    assert get("/health/components").json["components"] == {
        name: answer.json["status"] for name, answer in found.items()
    }


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/health/components/nonsense", "/health/components/nonsense/"])
def test_component_unknown_is_not_found_and_names_the_others(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert all(name in answer.json()["detail"] for name in NAMES)


def test_component_is_hidden_where_details_are_private(get: Get, settings: LazySettings) -> None:
    settings.HEALTH_DETAIL = "private"
    for path in ("/health/components", "/health/components/database"):
        answer = get(path)
        assert (answer.status, set(answer.json)) == (403, {"status", "details"})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("pool_manager", Waits("x", "waits_for_lock"), "pg_stat_activity"),
        ("dbpool", Waits("x", "waits_for_connection"), "DB_POOL_MAX_SIZE"),
        ("sync_coordinator", RuntimeError("x"), "log"),
    ],
)
def test_page_head_names_the_component_and_what_to_do(
    checker: Checker, get: Get, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, words: str
) -> None:
    fail(checker, monkeypatch, name, error)
    checker.step()
    head = get("/health/detailed?format=html").text.partition('data-live="shutdown"')[0]
    assert name.replace("_", " ").capitalize() in head
    assert words in head
    assert "Apply the migrations" not in head


@pytest.mark.django_db
def test_page_head_names_components_with_the_same_problem_at_once(
    checker: Checker, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pool_manager", "sync_coordinator"):
        fail(checker, monkeypatch, name, RuntimeError("x"))
    checker.step()
    head = get("/health/detailed?format=html").text.partition('data-live="shutdown"')[0]
    assert "Pool manager, sync coordinator:" in head
    assert head.count("<li><strong>") == 1


@pytest.mark.django_db
def test_page_head_names_nothing_while_all_is_well(checker: Checker, get: Get) -> None:
    checker.step()
    assert "faults" not in get("/health/detailed?format=html").text


@pytest.mark.django_db
@pytest.mark.usefixtures("leaving")
def test_page_head_of_a_draining_instance_says_so(checker: Checker, get: Get) -> None:
    checker.step()
    text = get("/health/detailed?format=html").text
    assert "<h1>Draining, healthy</h1>" in text
    assert "<title>Draining, healthy" in text


@pytest.mark.django_db
def test_page_figures_carry_their_age_and_say_that_they_are_from_before_an_outage(
    checker: Checker, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    checker.step()
    fleet_summary.refresh()
    assert re.search(r"Counted (now|1 s ago)\.", get("/health/detailed?format=html").text)
    fail(checker, monkeypatch, "database", RuntimeError("x"))
    checker.step()
    text = get("/health/detailed?format=html").text
    assert "before the database became unusable" in text
    assert "none: it can&#x27;t be used" in text or "none: it can't be used" in text


@pytest.mark.usefixtures("broken_database")
def test_dbpool_is_unhealthy_while_the_database_is_unusable(checker: Checker, get: Get, settings: LazySettings) -> None:
    checker.step()
    found = get("/health/components/dbpool").json
    if settings.DATABASE_TYPE == "postgresql":
        assert (found["status"], found["problem"]) == ("unhealthy", "database_unhealthy")
    else:
        assert found["status"] == "healthy"  # there is none


@pytest.mark.django_db
def test_page_tables_have_captions(checker: Checker, get: Get) -> None:
    checker.step()
    text = get("/health/detailed?format=html").text
    assert text.count("<table") == text.count("<caption") > 0


@pytest.mark.django_db
def test_page_sqlite_names_no_pool_size(checker: Checker, get: Get, settings: LazySettings) -> None:
    checker.step()
    text = get("/health/detailed?format=html").text
    assert ("connections an instance" in text) == (settings.DATABASE_TYPE == "postgresql")
