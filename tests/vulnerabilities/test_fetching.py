"""Getting the list from a real server: what is taken, what is refused, and that the good list stays."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.fleet import clock
from apps.vulnerabilities import fetching, tracker_list
from apps.vulnerabilities.models import Advisory, AdvisoryPackage, TrackerList
from tests.vulnerabilities.lists import GOOD, OTHER, encoded, entry
from tests.vulnerabilities.refusals import refused
from tests.vulnerabilities.tracker import Tracker


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
