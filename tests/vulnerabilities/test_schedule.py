"""When the list is fetched, and that only one of several instances does."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from apps.vulnerabilities import fetching, tracker_list
from apps.vulnerabilities.models import TrackerList
from tests.vulnerabilities.lists import GOOD, OTHER
from tests.vulnerabilities.tracker import Handler, Tracker


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
