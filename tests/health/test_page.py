"""The page: what is on it, that it needs nothing from elsewhere, and how it writes times."""

import re
import time
from html.parser import HTMLParser

import pytest
from django.db import connection

from apps.health.checking.checker import Checker
from apps.health.checking.results import CheckStatus
from apps.health.checks.registered import CHECKS
from apps.health.detailed import page
from apps.health.detailed.status_badges import CHECK_BADGES, PHASE_BADGES
from apps.health.probes import rfc3339
from apps.lifecycle.work.tracked_work import operation_context
from tests.health.conftest import Get

VOID = {"meta", "link", "img", "br", "rect"}


class Page(HTMLParser):
    """Collects tags, and fails on one that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.django_db
def test_page_shows_every_component_and_the_work(checker: Checker, get: Get) -> None:
    checker.step()
    with operation_context("sync_operation"):
        text = get("/health/detailed", Accept="text/html").text
    Page(text)
    assert "<h1>Healthy</h1>" in text
    assert "Ready for requests." in text
    assert "sync_operation" in text
    for item in CHECKS:
        assert item.name.replace("_", " ") in text


@pytest.mark.django_db
def test_page_dbpool_where_there_is_none_says_so(checker: Checker, get: Get) -> None:
    checker.step()
    text = get("/health/detailed?format=html").text
    assert ("With SQLite there is no dbpool" in text) == (connection.vendor == "sqlite")
    assert '<a href="/">Dashboard</a>' in text


@pytest.mark.django_db
def test_page_loads_nothing_from_elsewhere_and_nothing_inline(checker: Checker, get: Get) -> None:
    checker.step()
    answer = get("/health/detailed?format=html")
    for tag, attributes in Page(answer.text).tags:
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert re.match(r"/(?!/)|\?|#|$", attributes.get(name) or ""), (tag, attributes)
        if tag == "script":
            assert attributes["src"]
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_page_names_in_it_are_escaped(get: Get) -> None:
    with operation_context("<script>alert(1)</script>"):
        text = get("/health/detailed?format=html").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_page_before_the_first_check_and_while_leaving_is_whole(get: Get, leaving: None) -> None:
    text = get("/health/detailed?format=html").text
    Page(text)
    assert "Draining" in text


def test_badge_every_status_and_phase_has_one() -> None:
    assert set(CHECK_BADGES) == set(CheckStatus)
    assert set(PHASE_BADGES) == {*page.PHASES, "lost"}


@pytest.mark.django_db
def test_page_times_are_ages_of_one_unit_and_spans_of_two(checker: Checker, get: Get) -> None:
    checker.step()
    report = get("/health/detailed?format=json").json
    long_ago = rfc3339(time.time() - 7860)
    report["lifecycle"]["since"] = report["checks"][0]["last_check"] = long_ago
    report["checks"][1]["last_check"] = None
    text = page.render(report).decode()
    assert ">2 h ago</time>" in text
    assert ">not yet</time>" in text
    assert "for 2 h 11 min" in text


@pytest.mark.django_db
@pytest.mark.parametrize(("number", "words"), [(0, "0 requests"), (1, "1 request"), (2, "2 requests")])
def test_page_counts_of_one_are_singular(checker: Checker, get: Get, number: int, words: str) -> None:
    checker.step()
    report = get("/health/detailed?format=json").json
    report["requests"]["in_flight"] = number
    text = re.sub("<[^>]+>", "", page.render(report).decode())
    assert f"{words} in flight" in text
