"""The places and turns of a worker: who begins at once, waits, or is refused, and that the numbers always fit."""

import time
from collections.abc import Callable

import pytest
from django.test import override_settings

from apps.lifecycle.gunicorn.worker.places import Places, Turns
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory
from tests.support.wait import until

pytestmark = pytest.mark.usefixtures("own_memory")


class Requests:
    """Asks for places, and notes what becomes of each request, by its name."""

    def __init__(self) -> None:
        self.places, self.begun, self.refused = Places(), "", ""

    def ask(self, names: str) -> None:
        for name in names:
            self.places.ask(self._noted("begun", name), self._noted("refused", name))

    def end(self) -> None:
        """One of those that have begun ends."""
        assert self.places.serve(lambda: "answer") == "answer"
        self.places.leave()

    def _noted(self, what: str, name: str) -> Callable[[], None]:
        return lambda: setattr(self, what, getattr(self, what) + name)


def numbers() -> tuple[int, int, int]:
    slot = memory.mine()
    return slot.in_flight, slot.waiting, slot.refused


@override_settings(WEB_REQUEST_LIMIT=2, WEB_QUEUE_SIZE=2, WEB_QUEUE_TIMEOUT=60)
def test_two_places_and_a_queue_of_two_the_fifth_is_refused_at_once() -> None:
    requests = Requests()
    requests.ask("abcde")
    assert (requests.begun, requests.refused) == ("ab", "e")
    assert numbers() == (4, 2, 1)
    assert requests.places.are_taken


@override_settings(WEB_REQUEST_LIMIT=1, WEB_QUEUE_SIZE=3, WEB_QUEUE_TIMEOUT=60)
def test_place_that_becomes_free_is_for_whoever_has_waited_longest() -> None:
    requests = Requests()
    requests.ask("abc")
    requests.end()
    assert (requests.begun, numbers()) == ("ab", (2, 1, 0))
    requests.end()
    requests.end()
    assert (requests.begun, numbers()) == ("abc", (0, 0, 0))
    assert not requests.places.are_taken
    requests.ask("d")
    assert requests.begun == "abcd"


@override_settings(WEB_REQUEST_LIMIT=1, WEB_QUEUE_SIZE=3, WEB_QUEUE_TIMEOUT=0.05)
def test_requests_that_have_waited_too_long_are_refused_and_counted() -> None:
    requests = Requests()
    assert requests.places.seconds_left() == float("inf")
    requests.ask("abc")
    assert 0 < requests.places.seconds_left() <= 0.05
    until(lambda: requests.places.seconds_left() == 0)
    requests.places.refuse_overdue(until=time.monotonic())  # no time is left in this round
    assert requests.refused == ""
    time.sleep(0.05)  # c came after b
    requests.places.refuse_overdue(until=time.monotonic() + 60)
    assert (requests.refused, numbers()) == ("bc", (1, 0, 2))
    requests.end()
    assert (requests.begun, numbers()) == ("a", (0, 0, 2))


@override_settings(WEB_REQUEST_LIMIT=1, WEB_QUEUE_SIZE=0, WEB_QUEUE_TIMEOUT=60)
def test_without_a_queue_the_second_request_is_refused(own_memory: Memory) -> None:
    requests = Requests()
    requests.ask("ab")
    assert (requests.begun, requests.refused) == ("a", "b")


@override_settings(WEB_REQUEST_LIMIT=1, WEB_QUEUE_SIZE=1, WEB_QUEUE_TIMEOUT=60)
def test_request_whose_work_fails_is_no_longer_in_flight() -> None:
    requests = Requests()
    requests.ask("a")
    with pytest.raises(ZeroDivisionError):
        requests.places.serve(lambda: 1 / 0)
    requests.places.leave()
    assert (numbers(), requests.places.are_taken) == ((0, 0, 0), False)


def test_two_turns_at_once_the_others_come_in_order() -> None:
    turns, begun = Turns(2), []
    for name in "abcd":
        turns.ask(lambda name=name: begun.append(name))
    assert begun == ["a", "b"]
    turns.leave()
    assert begun == ["a", "b", "c"]
    for _ in range(3):
        turns.leave()
    assert begun == ["a", "b", "c", "d"]
    turns.ask(lambda: begun.append("e"))
    assert begun[-1] == "e"
