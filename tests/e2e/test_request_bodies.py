"""Bodies of requests, directly at gunicorn: which are refused before they are sent, and which are served."""

import json
import socket

import pytest

from tests.e2e.conftest import Serve, Start
from tests.e2e.raw_requests import asked, head
from tests.support.slow_clients import BEARER, TOKEN, Upload, make_valid


@pytest.fixture
def sqlite_url(sqlite_url: str) -> str:
    """A database in which the token is valid."""
    return make_valid(sqlite_url)


def test_body_too_large_is_refused_before_it_is_sent(serving: Serve) -> None:
    cookie = b"Cookie: a=b; sessionid=x\r\n"
    expect = b"Expect: 100-continue\r\n"
    server = serving()
    for refused in (
        head(65537),
        head(65537, fields=b"Cookie: a=b\r\n"),
        head(65537, fields=expect),
        head((64 << 20) + 1, fields=TOKEN),
        head((1 << 20) + 1, path="/snapshot", fields=cookie),
        head(65537, path="/api/v1/enroll", fields=TOKEN),
    ):
        with asked(server.port, refused) as one:
            answer = one.recv(65536)
            assert answer.startswith(b"HTTP/1.1 413 "), (refused, answer)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"
            one.sendall(b"x" * 1_000_000)  # it may be sending; that makes no reset of the answer
    for taken in (head(65536), head(65537, fields=TOKEN), head(1 << 20, fields=cookie + TOKEN)):
        with asked(server.port, taken) as one:
            one.settimeout(0.5)
            with pytest.raises(TimeoutError):
                one.recv(1)


def uploaded(port: int) -> str:
    one = Upload(port, "/measure", b"x" * 100_000, 10_000_000, BEARER)
    one.run()
    return one.status


def test_large_body_of_somebody_unknown_is_refused_before_it_is_sent(playground: Start, sqlite_url: str) -> None:
    """A made-up session is nobody's, either. A rate limit on wrong credentials then answers 429."""
    unknown = b"Authorization: Bearer pst_" + b"1" * 40 + b"\r\n"
    with playground(sqlite_url, RATE_LIMIT_FAILURES=3) as server:
        assert uploaded(server.port) == "200"
        for fields, status, code in (
            (unknown, b"401", "token_invalid"),
            (unknown.replace(b"pst_", b"pse_"), b"401", "token_invalid"),
            (b"Cookie: sessionid=x\r\n", b"401", "token_invalid"),
            (unknown, b"429", "rate_limited"),
        ):
            with asked(server.port, head(65537, fields=fields)) as one:
                answer = one.recv(65536)
                assert answer.startswith(b"HTTP/1.1 " + status), (fields, answer)
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == code
        assert uploaded(server.port) == "200"  # whoever was known before goes on


def all_of(one: socket.socket, size: int) -> bytes:
    """The next answer, whose body has `size` bytes."""
    got = b""
    while len(got.partition(b"\r\n\r\n")[2]) < size:
        piece = one.recv(1 << 20)
        assert piece, got
        got += piece
    return got


def test_expect_continue_is_answered_once_before_the_body(serving: Serve) -> None:
    with asked(serving().port, head(70_000, fields=TOKEN + b"Expect: 100-continue\r\n")) as one:
        assert one.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(b"x" * 70_000)
        answer = all_of(one, 5)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"70000")


def test_body_that_ends_early_is_refused_not_served(serving: Serve) -> None:
    with asked(serving().port, head(1000) + b"x" * 10) as one:
        one.shutdown(socket.SHUT_WR)
        assert one.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_requests_with_bodies_in_one_packet_are_all_served_in_order(serving: Serve) -> None:
    sizes = [0, 1, 5000, 20_000, 60_000, 3]
    packet = b"".join(head(size) + b"x" * size for size in sizes) + b"GET /snapshot HTTP/1.0\r\n\r\n"
    with asked(serving().port, packet) as one:
        got = b""
        while piece := one.recv(65536):
            got += piece
        found = [part.partition(b"\r\n\r\n")[2].partition(b"HTTP/1")[0] for part in got.split(b" 200 OK")[1:]]
        assert [int(text) for text in found[:-1]] == sizes
