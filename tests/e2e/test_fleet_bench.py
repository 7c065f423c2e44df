"""Each part of `make bench` for the fleet runs for real, with a few endpoints. How long it takes isn't asserted."""

import pytest

from tests.bench.__main__ import FLEET
from tests.bench.sized import Extent, SizedRow

SMALL = Extent(sizes=(12,), rounds=1, packages=30, offered=30, compared=4)


NEED_PACMAN = {"exact-sync"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.needs("pacman")] if name in NEED_PACMAN else []) for name in FLEET]
)
def test_part_of_the_bench_measures_both_sides(name: str) -> None:
    row = FLEET[name](SMALL)
    if isinstance(row, SizedRow):
        assert row.pairs and all(min(pair.pacsync_ms, pair.least_ms, pair.times) > 0 for pair in row.pairs), row
    else:
        assert row.peer and min(map(float, (*row.pacsync.values(), *row.peer.values()))) > 0, row
    assert row.measure in row.text()


def test_sized_row_tells_growth_from_the_smallest_size() -> None:
    row = SizedRow("lists", "quick")
    for size, seconds in ((10, 0.002), (100, 0.003), (1000, 0.008)):
        row.add("first", size, (seconds, 0.001))
    row.add("late", 1000, (0.1, 0.01))
    assert row.growth == {"first": 4.0}
    assert [pair.times for pair in row.pairs] == [2.0, 3.0, 8.0, 10.0]
    lines = row.text().splitlines()
    assert lines[-2].split() == ["first", "2", "1", "2", "3", "1", "3", "8", "1", "8", "4.0"]
    assert lines[-1].split() == ["late", "100", "10", "10"]
