"""How long a transfer may go on, how large a body may be, what waits where, and what counts as one source."""

import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from apps.lifecycle.gunicorn.worker import pace, spool
from apps.lifecycle.gunicorn.worker.client_addresses import counted_address
from apps.lifecycle.gunicorn.worker.connection import AnswerWriter
from apps.lifecycle.gunicorn.worker.pace import Pace
from apps.lifecycle.gunicorn.worker.spool import IN_MEMORY, Spool
from apps.lifecycle.wsgi import body_limits

KIB = 1024


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


@pytest.fixture
def limits(settings: Any) -> Any:
    settings.REQUEST_READ_TIMEOUT, settings.TRANSFER_MIN_RATE = 30, 1000
    return settings


def test_pace_silence_ends_it(clock: Any, limits: Any) -> None:
    found = Pace(900)
    clock.at += 1
    found.move(1_000_000)
    assert found.ends() == 1000 + 1 + 30


def test_pace_below_the_minimum_rate_ends_though_each_step_is_in_time(clock: Any, limits: Any) -> None:
    found = Pace(900)
    while found.ends() > clock.at:
        clock.at += 5
        found.move(10)
        assert clock.at < 1100
    assert 1020 <= clock.at <= 1030


def test_pace_at_the_minimum_rate_goes_on_until_the_total(clock: Any, limits: Any) -> None:
    found = Pace(900)
    while found.ends() > clock.at:
        clock.at += 5
        found.move(5 * 1000)
    assert clock.at == 1000 + 900


def test_pace_without_limits_never_ends(clock: Any, limits: Any) -> None:
    limits.REQUEST_READ_TIMEOUT = limits.TRANSFER_MIN_RATE = 0
    assert Pace(0).ends() == float("inf")


@pytest.mark.parametrize("sizes", [[1], [IN_MEMORY], [IN_MEMORY, 1], [1, IN_MEMORY, 7, 300_000], [500_000, 3]])
def test_spool_gives_back_what_it_got_in_order(sizes: list[int]) -> None:
    before = spool.total()
    found, sent = Spool(), b""
    for size in sizes:
        data = os.urandom(size)
        found.append(data)
        sent += data
    assert len(found) == len(sent)
    assert spool.total() - before == len(sent)
    got = b""
    while piece := found.read(50_000):
        got += piece
    assert got == sent
    assert len(found) == 0
    found.append(b"again")
    assert found.read(10) == b"again"
    found.close()
    assert spool.total() == before


def test_spool_closed_with_bytes_left_counts_them_no_more() -> None:
    before = spool.total()
    found = Spool()
    found.append(b"x" * 200_000)
    found.read(10)
    found.close()
    assert (spool.total(), len(found)) == (before, 0)


def test_writer_keeps_what_the_client_does_not_take_and_later_bytes_behind_it() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    writer = AnswerWriter(ours)
    data = os.urandom(3_000_000)
    writer.sendall(data[:2_900_000])
    writer.sendall(data[2_900_000:])
    assert len(writer.pending) > 0
    got = b""
    theirs.settimeout(10)
    while len(got) < len(data):
        got += theirs.recv(1 << 20)
        writer.flush()
    assert got == data
    assert not writer.pending
    writer.close()
    theirs.close()


@pytest.mark.parametrize(
    "method,path,shows_who,limit",
    [
        ("PUT", "/api/v1/states/0", True, 20_000 * 210),
        ("PUT", "/api/v1/states/0", False, 64 * KIB),
        ("PUT", "/api/v1/repositories/0", True, 50_000 * 512),
        ("POST", "/api/v1/states/0", True, 1 << 20),
        ("POST", "/api/v1/checkin", True, 1 << 20),
        ("POST", "/api/v1/checkin", False, 64 * KIB),
        ("POST", "/api/v1/enroll", True, 64 * KIB),
    ],
)
def test_body_limit_by_route_and_by_who_sends(method: str, path: str, shows_who: bool, limit: int) -> None:
    assert body_limits.limit_of(method, path, shows_sender=shows_who) == limit


@pytest.mark.parametrize(
    "address,source",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_source_of_an_address(address: str, source: str) -> None:
    assert counted_address(address) == source
