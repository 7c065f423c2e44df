"""Ages, durations and moments in words."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from apps.lifecycle.ages import age, ago, duration, moment_text

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (timedelta(seconds=0.4), "now"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(hours=48), "2 d"),
        (timedelta(days=59), "59 d"),
        (timedelta(days=92), "3 months"),
        (timedelta(days=1000), "2 years"),
    ],
)
def test_age_each_size_in_its_unit(past: timedelta, words: str) -> None:
    assert age(NOW - past, NOW) == words


def test_ago_past_and_future_differ() -> None:
    assert ago(NOW - timedelta(hours=3), NOW) == "3 h ago"
    assert ago(NOW + timedelta(hours=3), NOW) == "in 3 h"
    assert ago(NOW, NOW) == "now"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (5, "5 s"),
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
    assert duration(seconds) == text


def test_moment_is_in_utc_whatever_its_own_zone() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert moment_text(local) == "2026-01-15 10:30 UTC"
    assert moment_text(None) == "never"
