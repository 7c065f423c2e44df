"""docs/health.md and the server name the same metrics, reasons and problems."""

import re
from pathlib import Path

import pytest
from prometheus_client import parser

from apps.health import results, words
from apps.health.checker import Checker
from apps.lifecycle.board import DbpoolSample
from apps.lifecycle.dbpool import write
from apps.lifecycle.tracking import operation_context
from tests.health.conftest import Get

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "health.md").read_text()


@pytest.mark.django_db
def test_documents_metrics_are_those_of_the_server(checker: Checker, get: Get) -> None:
    from apps.health import figures

    checker.step()
    figures.refresh()
    figures.refresh_instances()
    write(DbpoolSample(size=1, max_size=2))
    with operation_context("sync_operation"):
        text = get("/metrics").text
    shown = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in parser.text_string_to_metric_families(text)
    }
    documented = set(re.findall(r"`(pacsync_[a-z_]+)`", TEXT))
    assert shown == documented


def test_documents_reasons_and_problems_are_those_of_the_code() -> None:
    for word in (*results.REASONS, *words.PROBLEMS):
        assert f"`{word}`" in TEXT


def test_page_has_words_for_every_reason() -> None:
    assert set(words.SENTENCES) == {"", *results.REASONS}


def test_alerts_ask_for_metrics_that_exist() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(pacsync_[a-z_]+)\b", rules)}
    assert asked
    assert asked <= set(re.findall(r"`(pacsync_[a-z_]+)`", TEXT))
