"""The page: what is on it, that it needs nothing from elsewhere, and how it writes times."""

import re
import time
from html.parser import HTMLParser

import pytest
from django.db import connection

from apps.health import page
from apps.health.answers import rfc3339
from apps.health.checker import Checker
from apps.health.checks import CHECKS
from apps.lifecycle.tracking import operation_context
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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (12.3, "12 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (86400 * 5 + 3600 * 3, "5 d 3 h"),
        (86400, "1 d"),
    ],
)
def test_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert page.duration(seconds) == text


def test_ago_of_a_time_and_of_none() -> None:
    assert page.ago(rfc3339(time.time() - 125)).startswith("2 min")
    assert page.ago(None) == "not yet"
