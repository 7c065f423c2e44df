"""Getting the list from a real server or a file: what is taken, what is refused, and that the good list stays."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from apps.fleet import clock
from apps.vulnerabilities import fetching, source, tracker_list
from apps.vulnerabilities.exceptions import ListRefused
from apps.vulnerabilities.models import Advisory, AdvisoryPackage, TrackerList
from tests.vulnerabilities.lists import COPY, encoded, entry
from tests.vulnerabilities.tracker import Handler, Tracker, running_tracker

GOOD = COPY.read_bytes()
OTHER = encoded(*(entry(number, "app") for number in range(1, 9)))


@pytest.fixture
def server(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    """A tracker, which is the source of the list."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running_tracker() as made:
        settings.SECURITY_TRACKER_URL = made.url
        made.serves(GOOD)
        yield made


@pytest.fixture
def good(server: Tracker) -> Tracker:
    """A tracker whose good list is here already, and which can't be told that again."""
    assert fetching.fetch_now()
    return server


def refused(code: str) -> ListRefused:
    """Fetching is refused with this code, everything of the good list stays, and the failure is stored."""
    before = tracker_list.current()
    advisories = list(Advisory.objects.order_by("name").values_list("pk", "name"))
    packages = AdvisoryPackage.objects.count()
    with pytest.raises(ListRefused) as caught:
        fetching.fetch_now()
    assert caught.value.code == code, caught.value
    known = tracker_list.current()
    assert (known.generation, known.digest, known.as_of) == (before.generation, before.digest, before.as_of)
    assert list(Advisory.objects.order_by("name").values_list("pk", "name")) == advisories
    assert AdvisoryPackage.objects.count() == packages
    assert known.is_failing and (known.failure_code, known.failure) == (code, str(caught.value))
    return caught.value


def test_list_is_fetched_and_stored_with_what_is_known_about_it(server: Tracker) -> None:
    server.serves(GOOD, ETag='"one"', Last_Modified="Sat, 01 Jan 2022 00:00:00 GMT")
    assert fetching.fetch_now()
    known = tracker_list.current()
    assert (known.generation, known.advisory_count, known.size) == (1, 8, len(GOOD))
    assert (known.source, known.etag, known.is_failing) == (server.url, '"one"', False)
    assert known.as_of == known.succeeded and clock.now() - known.as_of < timedelta(minutes=1)
    assert Advisory.objects.count() == 8
    # AVG-2640 can't affect.
    assert AdvisoryPackage.objects.count() == 10 and not AdvisoryPackage.objects.filter(package="log4j").exists()
    _, headers = server.asked[0]
    assert headers["user-agent"].startswith("PacSync/") and "if-none-match" not in headers


def test_unchanged_list_costs_a_304_and_is_as_young_as_a_new_one(server: Tracker) -> None:
    server.serves(GOOD, ETag='"one"')
    fetching.fetch_now()
    TrackerList.objects.update(as_of=F("as_of") - timedelta(days=1))
    server.respond = lambda handler: handler.answer(304 if handler.headers["If-None-Match"] == '"one"' else 500)
    assert not fetching.fetch_now()
    known = tracker_list.current()
    assert known.generation == 1 and known.as_of and clock.now() - known.as_of < timedelta(minutes=1)


def test_unchanged_since_a_time_is_asked_where_there_is_no_etag(server: Tracker) -> None:
    server.serves(GOOD, Last_Modified="Sat, 01 Jan 2022 00:00:00 GMT")
    fetching.fetch_now()
    fetching.fetch_now()
    assert server.asked[1][1]["if-modified-since"] == "Sat, 01 Jan 2022 00:00:00 GMT"


def test_conditions_are_not_sent_to_another_address(server: Tracker, settings: Any) -> None:
    server.serves(GOOD, ETag='"one"')
    fetching.fetch_now()
    settings.SECURITY_TRACKER_URL = f"{server.url}.other"
    fetching.fetch_now()
    assert "if-none-match" not in server.asked[1][1]


def test_304_that_nobody_asked_for_is_refused(good: Tracker) -> None:
    good.serves(b"", 304)
    refused("list_refused")


def test_other_list_replaces_the_one_before(good: Tracker) -> None:
    good.serves(OTHER)
    assert fetching.fetch_now()
    assert set(Advisory.objects.values_list("name", flat=True)) == {f"AVG-{number}" for number in range(1, 9)}
    assert tracker_list.current().generation == 2


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, GOOD, "list_refused"),
        (404, b"", "list_refused"),
        (206, GOOD, "list_refused"),
        (200, b"<html>", "list_not_json"),
        (200, GOOD[:-9], "list_not_json"),
        (200, b"{}", "list_invalid"),
        (200, b"[]", "list_empty"),
        (200, encoded(entry(1, "a"), {"name": "AVG-2"}), "list_invalid"),
        (200, encoded(entry(1, "a"), entry(2, "a"), entry(3, "a")), "list_shrunk"),
    ],
)
def test_bad_answer_is_refused_and_the_good_list_stays(good: Tracker, status: int, body: bytes, code: str) -> None:
    good.serves(body, status)
    refused(code)


def test_list_of_half_as_many_entries_is_taken(good: Tracker) -> None:
    good.serves(encoded(*(entry(number, "a") for number in range(1, 5))))
    assert fetching.fetch_now() and tracker_list.current().advisory_count == 4


def test_shrunk_list_is_taken_if_somebody_says_so(good: Tracker) -> None:
    good.serves(encoded(entry(1, "a")))
    assert fetching.fetch_now(may_shrink=True) and Advisory.objects.count() == 1


def test_failure_is_forgotten_as_current_after_a_success(good: Tracker) -> None:
    good.serves(b"", 500)
    refused("list_refused")
    good.serves(GOOD)
    assert not fetching.fetch_now()
    known = tracker_list.current()
    assert not known.is_failing and known.failure_code == "list_refused"


def test_answer_that_drips_is_cut_off_in_time(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not good.over.wait(0.05):
            handler.wfile.write(b" ")

    good.respond = drip
    began = time.monotonic()
    refused("list_timed_out")
    assert time.monotonic() - began < 10


def test_answer_without_length_that_drips_is_cut_off_too(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the connection is the end of such an answer, so the cut must not pass for the end."""
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(OTHER)
        while not good.over.wait(0.05):
            handler.wfile.write(b" ")

    good.respond = drip
    refused("list_timed_out")


def test_head_that_drips_is_cut_off_too(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not good.over.wait(0.05):
            handler.wfile.write(b"x")

    good.respond = drip
    refused("list_timed_out")


def test_answer_that_is_cut_off_is_refused(good: Tracker) -> None:
    def cut(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(OTHER) + 1))
        handler.end_headers()
        handler.wfile.write(OTHER)
        handler.close_connection = True

    good.respond = cut
    refused("list_unreachable")


@pytest.mark.parametrize("with_length", [True, False])
def test_too_large_answer_is_refused_before_it_is_read_whole(
    good: Tracker, monkeypatch: pytest.MonkeyPatch, with_length: bool
) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 1 << 20)
    sent = 0

    def pour(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header(*(("Content-Length", str(1 << 30)) if with_length else ("Connection", "close")))
        handler.end_headers()
        for _ in range(1 << 14):
            handler.wfile.write(b" " * (1 << 16))
            sent += 1 << 16

    good.respond = pour
    refused("list_too_large")
    assert sent < 1 << 28


def test_nobody_listens_is_refused_with_a_reason(good: Tracker, settings: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings.SECURITY_TRACKER_URL = f"http://127.0.0.1:{free.getsockname()[1]}/all.json?token=secret"
        text = str(refused("list_unreachable"))
    assert "refused" in text and "secret" not in text


def test_redirect_within_the_scheme_is_followed(good: Tracker) -> None:
    def respond(handler: Handler) -> None:
        if handler.path == "/moved":
            handler.answer(200, OTHER)
        else:
            handler.answer(302, Location="/moved")

    good.respond = respond
    assert fetching.fetch_now()


@pytest.mark.parametrize(
    "location", ["https://127.0.0.1/all.json", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,[]"]
)
def test_redirect_to_another_scheme_is_refused(good: Tracker, location: str) -> None:
    good.serves(b"", 302, Location=location)
    refused("list_redirected")


@pytest.mark.parametrize("location", ["/all.json", "http://[::1/", ""])
def test_redirect_that_leads_nowhere_is_refused(good: Tracker, location: str) -> None:
    good.serves(b"", 302, Location=location)
    refused("list_redirected" if location else "list_refused")


def test_file_is_as_old_as_it_was_written(tracker: None, tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(GOOD)
    written = datetime(2026, 1, 2, tzinfo=UTC)
    os.utime(path, (written.timestamp(), written.timestamp()))
    for name in (str(path), f"file:{path}", f"file://{path}"):
        settings.SECURITY_TRACKER_URL = name
        fetching.fetch_now()
        known = tracker_list.current()
        assert (known.as_of, known.source, known.generation) == (written, str(path), 1)


def test_file_from_the_future_is_as_old_as_now(tracker: None, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(GOOD)
    os.utime(path, (time.time() + 9999, time.time() + 9999))
    assert fetching.load_file(str(path))
    as_of = tracker_list.current().as_of
    assert as_of is not None and as_of <= clock.now()


def test_file_that_is_none_is_refused(tracker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b" " * 2000)
    monkeypatch.setattr(source, "MAX_BYTES", 1000)
    codes = {"missing": "unreachable", ".": "unreachable", "fifo": "unreachable", "large": "too_large"}
    for name, code in codes.items():
        with pytest.raises(ListRefused) as caught:
            fetching.load_file(str(tmp_path / name))
        assert caught.value.code == f"list_{code}", name
    assert tracker_list.current().generation == 0 and tracker_list.current().is_failing


def test_chore_fetches_when_it_is_due_and_not_before(server: Tracker, settings: Any) -> None:
    settings.SECURITY_TRACKER_HOURS = 6
    assert fetching.fetch_if_due()
    assert not fetching.fetch_if_due() and len(server.asked) == 1
    TrackerList.objects.update(attempted=F("attempted") - timedelta(hours=5, minutes=59))
    fetching.fetch_if_due()
    assert len(server.asked) == 1
    TrackerList.objects.update(attempted=F("attempted") - timedelta(minutes=2))
    fetching.fetch_if_due()
    assert len(server.asked) == 2


def test_chore_tries_again_a_quarter_of_an_hour_after_a_failure(good: Tracker) -> None:
    good.serves(b"", 500)
    TrackerList.objects.update(
        attempted=F("attempted") - timedelta(days=1), succeeded=F("succeeded") - timedelta(days=1)
    )
    assert not fetching.fetch_if_due() and tracker_list.current().is_failing
    fetching.fetch_if_due()
    assert len(good.asked) == 2
    TrackerList.objects.update(attempted=F("attempted") - timedelta(minutes=16))
    good.serves(OTHER)
    assert fetching.fetch_if_due() and not tracker_list.current().is_failing


def test_chore_off_asks_nobody(server: Tracker, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = ""
    assert not fetching.fetch_if_due() and not server.asked and not TrackerList.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_instances_at_once_only_one_asks(server: Tracker) -> None:
    """While the tracker answers, no transaction is open: the other instance isn't kept waiting."""
    answered = threading.Event()

    def slowly(handler: Handler) -> None:
        answered.wait(20)
        handler.answer(200, GOOD)

    server.respond = slowly
    results: list[bool] = []

    def fetch() -> None:
        try:
            results.append(fetching.fetch_if_due())
        finally:
            connection.close()

    first = threading.Thread(target=fetch)
    first.start()
    while not server.asked:
        time.sleep(0.01)
    second = threading.Thread(target=fetch)
    second.start()
    second.join(20)
    assert results == [False]
    answered.set()
    first.join(20)
    assert results == [False, True] and len(server.asked) == 1


def test_copy_has_every_status_and_severity() -> None:
    entries = json.loads(GOOD)
    assert {one["status"] for one in entries} == {"Vulnerable", "Fixed", "Testing", "Not affected", "Unknown"}
    assert {one["severity"] for one in entries} == {"Critical", "High", "Medium", "Low", "Unknown"}


@pytest.mark.django_db(transaction=True)
def test_many_instances_in_the_same_moment_one_has_the_claim() -> None:
    start, claims = threading.Barrier(4), []

    def claim() -> None:
        try:
            start.wait(20)
            claims.append(tracker_list.claim(timedelta(hours=6)))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(claims) == [False, False, False, True]
