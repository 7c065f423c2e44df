"""Clients that send or read slowly, directly at gunicorn: what everybody else gets, and when they are cut off."""

import contextlib
import json
import signal
import socket
import time

import pytest

from tests.e2e.conftest import Serve, Start
from tests.e2e.raw_requests import asked, head
from tests.support.load import Pending, get, in_background
from tests.support.playground import Playground
from tests.support.slow_clients import (
    BEARER,
    TOKEN,
    Kind,
    SlowClients,
    Upload,
    chunked_body,
    make_valid,
    slow_body,
    slow_head,
    slow_reader,
)
from tests.support.wait import until

SMALL = {"WEB_THREADS": 4, "WEB_QUEUE_SIZE": 40, "WEB_QUEUE_TIMEOUT": 5, "REQUEST_READ_TIMEOUT": 60}
KINDS = [
    slow_head(),
    chunked_body(),
    slow_body(1, length=60_000),
    slow_body(17 * 1024, length=60_000),
    slow_body(0, token=True, path="/measure"),
    slow_body(17 * 1024, token=True, path="/measure"),
    slow_body(64 * 1024, token=True, path="/measure"),
    slow_reader("/letters/3000000"),
    slow_reader("/letters/900000", read=0, requests=20),
]


@pytest.fixture
def sqlite_url(sqlite_url: str) -> str:
    """A database in which the token is valid."""
    return make_valid(sqlite_url)


def ids(kind: Kind) -> str:
    return kind.name


def warm(port: int) -> None:
    """The first request of a worker takes long: it loads what Django loads then."""
    assert get(port, "/snapshot", timeout=60)[0] == 200


def answers(port: int) -> bool:
    """Whether a page is served within ten seconds."""
    try:
        return get(port, "/snapshot", timeout=10)[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_slow_clients_hold_nobody_up(serving: Serve, kind: Kind) -> None:
    server = serving(**SMALL)
    with SlowClients(server.port, kind, 30):
        for _ in range(3):
            assert get(server.port, "/health/live", timeout=10)[0] == 200
            assert answers(server.port)


@pytest.mark.parametrize("kind", [KINDS[3], KINDS[5], KINDS[7], KINDS[8]], ids=ids)
def test_slow_clients_in_gunicorns_threads_hold_everybody_up(serving: Serve, kind: Kind) -> None:
    """The negative twin."""
    server = serving(PLAYGROUND_WITHOUT_GATHERING="1", **SMALL)
    with SlowClients(server.port, kind, 30):
        time.sleep(1)
        assert not answers(server.port)


def ended(one: socket.socket, kind: Kind, server: Playground, seconds: float) -> bool:
    """Whether a client of this kind is cut off within these seconds, though it does something all the time."""
    one.settimeout(0.1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
            if kind.drip:
                one.sendall(kind.drip)
            else:
                one.recv(kind.read)
        except TimeoutError:
            pass
        except OSError:
            return True
        if "request refused: request_timeout" in server.log() or "in the middle of an answer" in server.log():
            return True
    return False


RATE = {"REQUEST_READ_TIMEOUT": 2, "REQUEST_BODY_TIMEOUT": 0, "RESPONSE_TIMEOUT": 0}  # silence, and so the grace: 2 s
TOTAL = {"TRANSFER_MIN_RATE": 0, "REQUEST_BODY_TIMEOUT": 2, "RESPONSE_TIMEOUT": 2}
NEITHER = {"TRANSFER_MIN_RATE": 0, "REQUEST_BODY_TIMEOUT": 0, "RESPONSE_TIMEOUT": 0, "REQUEST_READ_TIMEOUT": 60}


@pytest.mark.parametrize("limits", [RATE, TOTAL])
def test_body_that_drips_is_cut_off_with_408(playground: Start, sqlite_url: str, limits: dict[str, int]) -> None:
    kind = slow_body(10, length=60_000)
    with playground(sqlite_url, **limits) as server, asked(server.port, kind.first) as one:
        assert ended(one, kind, server, 30)
        one.settimeout(20)
        answer = one.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        problem = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (problem["status"], problem["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("limits", [RATE, TOTAL])
def test_answer_that_is_taken_byte_by_byte_is_cut_off(
    playground: Start, sqlite_url: str, limits: dict[str, int]
) -> None:
    kind = slow_reader("/letters/9000000")
    with playground(sqlite_url, **limits) as server, asked(server.port, kind.first, window=2048) as one:
        assert ended(one, kind, server, 30)
        one.settimeout(20)
        with pytest.raises(ConnectionResetError):  # after what the kernel has; an end would look like a whole answer
            while one.recv(1 << 16):
                pass


@pytest.mark.parametrize("kind", [slow_body(10, length=60_000), slow_reader("/letters/9000000")], ids=ids)
def test_without_limits_a_drip_goes_on(serving: Serve, kind: Kind) -> None:
    """The negative twin: each step is within its limit."""
    server = serving(**NEITHER)
    with asked(server.port, kind.first, window=2048) as one:
        assert not ended(one, kind, server, 8)


def test_honest_slow_uploads_finish_beside_slow_clients(serving: Serve) -> None:
    body = b"x" * 300_000
    kind = slow_body(17 * 1024, token=True, path="/measure")
    server = serving(**SMALL)
    with SlowClients(server.port, kind, 30):
        uploads = [Upload(server.port, "/measure", body, 60_000, BEARER) for _ in range(20)]
        for upload in uploads:
            upload.start()
        for upload in uploads:
            upload.join(60)
        assert [upload.status for upload in uploads] == ["200"] * 20


def test_large_answers_reach_a_client_that_pauses_whole_and_in_order(playground: Start, sqlite_url: str) -> None:
    one_request = b"GET /letters/3000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    with playground(sqlite_url, WEB_THREADS=2) as server:
        warm(server.port)
        with asked(server.port, one_request * 5, window=65536) as one:
            time.sleep(1)
            assert answers(server.port)
            got = b""
            while len(got) < 5 * 3_000_000:
                piece = one.recv(1 << 20)
                assert piece
                got += piece
    assert got.count(b"HTTP/1.1 200 OK") == 5
    assert got.count(b"x") >= 5 * 3_000_000


def test_sigterm_body_on_its_way_and_answer_not_taken_are_waited_for(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=20) as server:
        warm(server.port)
        upload = Upload(server.port, "/measure", b"x" * 100_000, 40_000, BEARER)
        with asked(server.port, b"GET /letters/9000000 HTTP/1.1\r\nHost: x\r\n\r\n", window=65536) as reader:
            upload.start()
            time.sleep(1)
            server.signal(signal.SIGTERM)
            time.sleep(1)
            got = 0
            while piece := reader.recv(1 << 20):
                got += len(piece)
        upload.join(30)
        assert got > 9_000_000
        assert upload.status == "200"
        assert server.process is not None
        server.process.wait(30)
        assert {"request_bodies", "answers"} <= set(server.shutdown_status()["waited_for"])


def test_too_many_bytes_that_wait_end_the_slowest(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_SPOOL_LIMIT=1 << 20) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(asked(server.port, head(8 << 20, fields=TOKEN))) for _ in range(4)]
        for number, one in enumerate(held):
            one.sendall(b"x" * (100_000 * (number + 1)))
        time.sleep(6)  # from now on they have a rate
        with contextlib.suppress(OSError):
            held[3].sendall(b"x" * 400_000)
        answer = held[0].recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in answer
        assert answers(server.port)


@pytest.mark.parametrize("limit", [5, 0])
def test_connections_of_one_address_are_limited(playground: Start, sqlite_url: str, limit: int) -> None:
    """The negative twin has no limit."""
    with playground(sqlite_url, WEB_SOURCE_CONNECTIONS=limit, FORWARDED_ALLOW_IPS="192.0.2.1") as server:
        held = [in_background(server.port, "/sleep/6000") for _ in range(5)]
        until(lambda: in_flight(server.port) >= 5)
        try:
            status = get(server.port, "/snapshot")[0]
        except OSError:
            status = 0
        assert status == (429 if limit else 200)
        assert in_flight(server.port) >= 5
        waited(held)


def in_flight(port: int) -> int:
    """Requests in flight, asked from another address."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.9", 0)) as one:
        one.sendall(b"GET /snapshot HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := one.recv(65536):
            answer += piece
    workers = json.loads(answer.partition(b"\r\n\r\n")[2])["workers"]
    return sum(int(worker["in_flight"]) for worker in workers) - 1


def waited(held: list[Pending]) -> None:
    for one in held:
        one.join(30)
        assert one.status == 200
