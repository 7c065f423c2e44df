"""The buckets in the shared memory: how many fit, how fast they fill up again, and who shares them."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from apps.lifecycle.shared_memory import layout, memory
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.wsgi import address_rates
from apps.lifecycle.wsgi.address_rates import Limit, Limits


@pytest.fixture
def clock(own_memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The monotonic time that the buckets see; a machine that was just booted."""
    now = [5.0]
    monkeypatch.setattr(address_rates, "monotonic", lambda: now[0])
    yield now


def admitted(limit: Limit, source: str, tries: int) -> int:
    return sum(limit.wait(source, count=1) == 0 for _ in range(tries))


@pytest.mark.parametrize("most", [1, 7, 60, 1500])
def test_bucket_holds_as_many_as_a_minute_allows_and_no_more(clock: list[float], most: int) -> None:
    assert admitted(Limit("a", most), "x", most + 50) == most


def test_bucket_fills_up_at_its_rate_and_says_how_long_that_takes(clock: list[float]) -> None:
    limit = Limit("a", 60)
    assert admitted(limit, "x", 60) == 60
    assert limit.wait("x", count=1) == pytest.approx(1)
    clock[0] += 0.5
    assert limit.wait("x", count=1) == pytest.approx(0.5)
    clock[0] += 0.5
    assert admitted(limit, "x", 5) == 1
    clock[0] += 3600
    assert admitted(limit, "x", 100) == 60


def test_other_sources_and_other_kinds_have_buckets_of_their_own(clock: list[float]) -> None:
    assert admitted(Limit("a", 5), "x", 10) == 5
    assert admitted(Limit("a", 5), "y", 10) == 5
    assert admitted(Limit("b", 5), "x", 10) == 5


def test_looking_counts_nothing_and_says_when_it_is_full(clock: list[float]) -> None:
    limit = Limit("a", 2)
    assert [limit.wait("x") for _ in range(10)] == [0] * 10
    assert admitted(limit, "x", 3) == 2
    assert limit.wait("x") == pytest.approx(30)


def test_what_has_happened_already_is_counted_even_if_it_is_one_too_many(clock: list[float]) -> None:
    limit = Limit("a", 3)
    for _ in range(10):
        limit.add("x")
    assert limit.wait("x") == pytest.approx(20)
    clock[0] += 61
    assert admitted(limit, "x", 10) == 3


def test_limit_of_zero_is_none(clock: list[float]) -> None:
    limit = Limit("a", 0)
    limit.add("x")
    assert admitted(limit, "x", 1000) == 1000
    assert not any(memory.current().shared_area().cast("d"))


def test_total_limits_all_sources_together(clock: list[float]) -> None:
    limits = Limits(Limit("a", 10), Limit("a", 25))
    assert [sum(limits.wait(source, count=1) == 0 for _ in range(20)) for source in "xyz"] == [10, 10, 5]


def test_counts_hold_for_all_processes_of_the_instance(clock: list[float]) -> None:
    limit = Limit("a", 10)
    pid = os.fork()
    if not pid:
        os._exit(admitted(limit, "x", 6))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 6
    assert admitted(limit, "x", 10) == 4


def test_busy_sources_don_t_slow_down_others(clock: list[float]) -> None:
    """A thousand exhausted ones: a word of another's may be among theirs, hardly ever both."""
    limit = Limit("a", 5)
    for number in range(1000):
        admitted(limit, f"busy {number}", 6)
    assert sum(admitted(limit, f"quiet {number}", 5) == 5 for number in range(200)) >= 190  # 199 on average


def test_credential_is_known_for_a_day_or_until_it_fails(clock: list[float]) -> None:
    assert not address_rates.is_known("Bearer a")
    address_rates.remember("Bearer a")
    assert address_rates.is_known("Bearer a") and not address_rates.is_known("Bearer b")
    clock[0] += address_rates.KNOWN_FOR - 1
    assert address_rates.is_known("Bearer a")
    clock[0] += 2
    assert not address_rates.is_known("Bearer a")
    address_rates.remember("Bearer a")
    address_rates.disown("Bearer a")
    assert not address_rates.is_known("Bearer a")


def test_names_of_any_characters_have_a_place(clock: list[float]) -> None:
    for name in ("", "\udcff", "\0", "ä" * 10_000):
        address_rates.remember(name)
        assert address_rates.is_known(name)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "None"),
        ("unix:", "None"),
    ],
)
def test_source_is_an_address_and_of_ipv6_its_network(address: str, source: str) -> None:
    assert address_rates.source(address) == source


def test_shared_area_is_behind_the_slots(own_memory: Memory) -> None:
    slots = list(own_memory.slots())
    own_memory.shared_area()[:] = b"\xff" * layout.SHARED_AREA_BYTES
    last: Any = slots[-1].scratch()
    assert not any(last) and not any(slot.pid for slot in slots[1:])
    assert len(own_memory.shared_area()) == layout.SHARED_AREA_BYTES
