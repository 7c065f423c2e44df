"""Moments given as text: days and times, in UTC where they name no zone."""

from datetime import UTC, datetime

import pytest

from apps.fleet import time_input
from apps.fleet.exceptions import Invalid


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        (" 2026-11-23T10:00:00Z ", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00:00+02:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23T10:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
    ],
)
def test_moment_is_in_utc(text: str, moment: datetime) -> None:
    assert time_input.parse(text, field="since") == moment


@pytest.mark.parametrize("text", ["2026-02-30", "monday", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_moment_that_is_none_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(Invalid, match="since must be a date like 2026-01-15"):
        time_input.parse(text, field="since")
