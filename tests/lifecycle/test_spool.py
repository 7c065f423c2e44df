"""Bytes that wait, where a file can't take all of them."""

import resource
from collections.abc import Callable, Iterator

import pytest

from apps.lifecycle.gunicorn.worker import spool
from apps.lifecycle.gunicorn.worker.spool import IN_MEMORY, Spool

ROOM = 200_000  # bytes that a file may have


@pytest.fixture
def small_files() -> Iterator[None]:
    """As on a full disk: a write takes what there is room for, and the next one fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def fill(one: Spool, size: int) -> None:
    for _ in range(2 * ROOM // size):
        one.append(b"x" * size)


@pytest.mark.parametrize("size", [1, 1000, 65_536, 2 * ROOM], ids=str)
@pytest.mark.usefixtures("small_files")
def test_no_room_says_so_once_and_can_be_closed(size: int) -> None:
    before, one = spool.total(), Spool()
    with pytest.raises(OSError, match="File too large"):
        fill(one, size)
    one.close()
    assert (spool.total(), len(one)) == (before, 0)


def test_short_and_long_come_out_as_they_went_in() -> None:
    parts = [bytes([number % 256]) * (number * 997 % 40_000) for number in range(30)]
    one = Spool()
    for part in parts:
        one.append(part)
    assert len(one) == sum(map(len, parts)) > IN_MEMORY
    assert b"".join(iter(reading(one, 10_007), b"")) == b"".join(parts)
    one.close()


def reading(one: Spool, size: int) -> Callable[[], bytes]:
    return lambda: one.read(size)
