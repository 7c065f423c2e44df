"""docs/health.md and the server name the same metrics and probe paths."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from prometheus_client import parser

from apps.health import wsgi
from apps.health.checking import results
from apps.health.checking.checker import Checker
from apps.health.checking.readiness_sentences import SENTENCES
from apps.health.command import exit_codes
from apps.health.probes import PROBES
from apps.lifecycle.dbpool.facade import publish_sample
from apps.lifecycle.gunicorn import probe_paths
from apps.lifecycle.shared_memory.snapshots import DbpoolSample
from apps.lifecycle.work.tracked_work import operation_context
from tests.health.conftest import Get

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "health.md").read_text()


@pytest.mark.django_db
def test_documents_metrics_are_those_of_the_server(checker: Checker, get: Get, settings: Any) -> None:
    from apps.health.detailed import fleet_summary
    from tests.vulnerabilities import lists

    settings.SECURITY_TRACKER_URL = lists.URL
    lists.store(lists.entry(1, "app"))
    checker.step()
    fleet_summary.refresh()
    fleet_summary.refresh_instances()
    publish_sample(DbpoolSample(size=1, max_size=2))
    with operation_context("sync_operation"):
        text = get("/metrics").text
    shown = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parser.text_string_to_metric_families(text)
    }
    documented = set(re.findall(r"`((?:pacsync|process)_[a-z_]+)`", TEXT))
    assert shown == documented


def test_paths_of_health_are_where_the_settings_say_and_the_main_loop_knows_the_probes() -> None:
    assert all(settings.HEALTH_PATH.fullmatch(path) for path in wsgi.PATHS)
    for path in ("/healthz", "/metrics2", "/health/nothing", "/api/v1/health", "/health/components/database/x"):
        assert not settings.HEALTH_PATH.fullmatch(path)
    for path in wsgi.PATHS:
        assert probe_paths.is_quick(f"GET {path} HTTP/1.1".encode()) is (path in PROBES)
        assert probe_paths.is_of_health(f"GET {path}?format=json HTTP/1.1".encode())
    for head in ("GET /healthz HTTP/1.1", "GET /?to=/metrics HTTP/1.1", "GET http://a/metrics HTTP/1.1", "", "GET"):
        assert not probe_paths.is_of_health(head.encode())


def test_page_and_command_have_a_sentence_for_every_reason() -> None:
    assert set(SENTENCES) == {"", *results.REASONS}
    assert all(
        said.page and exit_codes.not_ready(reason, {})["message"] == said.command for reason, said in SENTENCES.items()
    )


def test_alerts_ask_for_metrics_that_exist() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b((?:pacsync|process)_[a-z_]+)\b", rules)
    }
    assert asked
    assert asked <= set(re.findall(r"`((?:pacsync|process)_[a-z_]+)`", TEXT))
