"""Heads of requests that arrive in pieces, half or together: probes are answered, and nothing is lost."""

import json
import socket
import time

import pytest

from tests.e2e.conftest import Start
from tests.e2e.raw_requests import asked
from tests.support.load import get
from tests.support.wait import until


@pytest.mark.parametrize("gathering", [True, False])
def test_heads_that_drip_on_more_connections_than_threads_probes_answered(
    playground: Start, sqlite_url: str, gathering: bool
) -> None:
    """The negative twin gives each connection to a thread at once: the probe waits for as long as the clients drip."""
    env = {} if gathering else {"PLAYGROUND_WITHOUT_GATHERING": "1"}
    with playground(sqlite_url, WEB_THREADS=4, WEB_QUEUE_SIZE=0, REQUEST_READ_TIMEOUT=60, **env) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        dripping = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        for letter in b"GET /snapshot HTTP/1.1\r\nHost: x\r\nAcc":
            for half in dripping:
                half.sendall(bytes([letter]))
        if gathering:
            for _ in range(3):
                assert get(server.port, "/health/live", timeout=30)[0] == 200
            for half in dripping + silent:  # and none of them has lost anything
                half.sendall(b"ept: */*\r\n\r\n" if half in dripping else b"GET /snapshot HTTP/1.0\r\n\r\n")
                assert half.recv(100)[8:].startswith(b" 200 OK")
        else:
            with pytest.raises(TimeoutError):
                get(server.port, "/health/live", timeout=4)
        for half in dripping + silent:
            half.close()


def test_head_that_drips_is_cut_off_after_the_read_timeout_in_all(playground: Start, sqlite_url: str) -> None:
    """Each byte comes well within the limit; their sum doesn't."""
    with (
        playground(sqlite_url, REQUEST_READ_TIMEOUT=2) as server,
        socket.create_connection(("127.0.0.1", server.port)) as half,
    ):
        half.sendall(b"GET /snapshot HTTP/1.1\r\nX: ")
        half.settimeout(0.2)
        end = time.monotonic() + 20
        while True:
            assert time.monotonic() < end, "it is still served"
            try:
                half.sendall(b"x")
                if half.recv(1) == b"":
                    break
            except TimeoutError:
                pass
            except OSError:
                break
        until(lambda: "a client stalled" in server.log())
        assert "Traceback" not in server.log()


def test_client_that_ends_its_part_in_the_middle_of_a_head_costs_nothing(playground: Start, sqlite_url: str) -> None:
    """Such a socket stays readable though nothing more will come."""
    with (
        playground(sqlite_url, REQUEST_READ_TIMEOUT=60) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as half,
    ):
        half.sendall(b"GET /snapshot HTTP/1.1\r\nHo")
        assert get(server.port, "/health/live")[0] == 200
        half.shutdown(socket.SHUT_WR)
        assert half.recv(1) == b""  # closed at once, not after a minute


def test_two_requests_in_one_packet_both_answered(playground: Start, sqlite_url: str) -> None:
    with (
        playground(sqlite_url) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
    ):
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        answers = b""
        while answers.count(b"HTTP/1.1 200 OK") < 2:
            more = client.recv(4096)
            assert more, answers
            answers += more


REFUSED = [
    ("line", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    ("line without an end", b"GET /" + b"x" * 70_000, 414, "uri_too_long"),
    ("field", b"GET /login HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
    ("fields without an end", b"GET /login HTTP/1.1\r\n" + b"A: xxxx\r\n" * 9000, 431, "headers_too_large"),
    ("not HTTP", b"hello\r\n\r\n", 400, "malformed_request"),
    ("field name", b"GET /login HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", 400, "malformed_request"),
    ("expectation", b"GET /login HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417, "expectation_failed"),
    ("TLS", bytes.fromhex("16030100c8010000c40303") + b"\0" * 50, 400, "tls_on_http_port"),
]


def test_head_that_is_refused_gets_problem_details_at_once_and_one_line(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, REQUEST_READ_TIMEOUT=60) as server:
        for name, sent, status, code in REFUSED:
            with asked(server.port, sent) as client:
                answer = b""
                while piece := client.recv(65536):
                    answer += piece
            start, _, body = answer.partition(b"\r\n\r\n")
            assert start.startswith(f"HTTP/1.1 {status} ".encode()), (name, start)
            assert b"Content-Type: application/problem+json" in start, name
            assert json.loads(body)["code"] == code, name
        assert get(server.port, "/login")[0] == 200
        log = server.log()
        assert log.count("request refused") == len(REFUSED)
        assert "Traceback" not in log and "Invalid request" not in log
