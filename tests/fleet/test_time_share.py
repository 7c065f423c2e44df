"""A share of time: what may be spent at once, and how it comes back. The test turns the clocks."""

import pytest

from apps.fleet import time_share
from apps.fleet.time_share import TimeShare


class Clocks:
    """Takes the place of the module `time`."""

    def __init__(self) -> None:
        self.now, self.worked = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.worked


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(time_share, "time", made)
    return made


def test_what_was_spent_comes_back_as_its_share_of_the_clock(clocks: Clocks) -> None:
    share = TimeShare(0.1, at_once=2)
    for _ in range(4):
        assert share.is_left()
        with share.spending():
            clocks.worked += 0.5
    assert not share.is_left()
    clocks.now += 1
    assert share.is_left()  # a tenth of a second
    with share.spending():
        clocks.worked += 1
    clocks.now += 8
    assert not share.is_left()
    clocks.now += 2
    assert share.is_left()


def test_a_long_pause_saves_up_no_more_than_all_of_it(clocks: Clocks) -> None:
    share = TimeShare(0.1, at_once=2)
    clocks.now += 100_000
    with share.spending():
        clocks.worked += 2
    assert not share.is_left()


def test_time_counts_even_if_the_work_fails(clocks: Clocks) -> None:
    share = TimeShare(0.1, at_once=2)
    with pytest.raises(ZeroDivisionError), share.spending():
        clocks.worked += 2
        1 / 0  # noqa: B018
    assert not share.is_left()
    share.clear()
    assert share.is_left()
