"""When agents are asked to come again: at their interval, or later and spread while the worker is busy."""

from typing import Any

import pytest

from apps.fleet import poll_advice
from apps.fleet.models.endpoints import OFFLINE_AFTER_POLLS
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.work import load


@pytest.fixture
def in_progress(settings: Any) -> Any:
    """Sets how many requests this worker has, of the 10 that it serves at once."""
    settings.WEB_REQUEST_LIMIT, settings.POLL_SECONDS = 10, 600
    slot = memory.mine()
    before = slot.in_flight
    yield lambda number: setattr(slot, "in_flight", number)
    slot.in_flight = before


@pytest.mark.parametrize("number", [0, 1, 5])
def test_worker_with_little_to_do_advises_the_interval(in_progress: Any, number: int) -> None:
    in_progress(number)
    assert {poll_advice.seconds() for _ in range(50)} == {600}


@pytest.mark.parametrize(("number", "longest"), [(6, 720), (10, 1200), (60, 1200)])
def test_busy_worker_advises_more_and_spreads_it(in_progress: Any, number: int, longest: int) -> None:
    in_progress(number)
    advised = [poll_advice.seconds() for _ in range(500)]
    assert 600 <= min(advised) < 600 + (longest - 600) / 3
    assert longest - (longest - 600) / 3 < max(advised) <= longest
    assert len(set(advised)) > 50


def test_nobody_is_kept_away_until_it_is_offline() -> None:
    assert poll_advice.LONGEST < OFFLINE_AFTER_POLLS


def test_share_counts_those_that_wait(in_progress: Any) -> None:
    in_progress(25)
    assert load.share() == 2.5
