"""More requests than an instance serves at once: who waits, in what, who is refused, and that probes pass them by."""

import json
import os
import select
import signal
import socket
import time
from pathlib import Path

from tests.e2e.conftest import Start
from tests.support.load import Pending, get, in_background
from tests.support.server import Server
from tests.support.wait import until

HERD = 300  # connections at once
QUIET = {"WEB_CONCURRENCY": 1, "WEB_THREADS": 4}  # two places


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def waiting(port: int) -> int:
    """Requests that wait for their turn, as the page outside the bulkhead says."""
    return int(json.loads(get(port, "/health/detailed?format=json")[2])["requests"]["waiting"])


def test_requests_that_wait_have_no_threads_and_all_are_served(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, **QUIET, WEB_QUEUE_SIZE=100, WEB_QUEUE_TIMEOUT=60) as server:
        pid = server.workers()[0]["pid"]
        in_background(server.port, "/sleep/0").join(20)
        before = threads(pid)
        asked = [in_background(server.port, "/sleep/150") for _ in range(40)]
        until(lambda: waiting(server.port) >= 30)
        assert threads(pid) <= before + QUIET["WEB_THREADS"]
        assert get(server.port, "/health/ready")[0] == 200
        for pending in asked:
            pending.join(30)
        assert {pending.status for pending in asked} == {200}
        assert waiting(server.port) == 0


def test_request_that_waited_too_long_503_busy_counted_and_logged(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, **QUIET, WEB_QUEUE_SIZE=10, WEB_QUEUE_TIMEOUT=0.3) as server:
        asked = [in_background(server.port, "/sleep/4000") for _ in range(2)]
        until(lambda: server_requests(server.port)["in_flight"] == 2)
        status, headers, body = get(server.port, "/sleep/1")
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert json.loads(body)["code"] == "busy"
        assert None in {pending.status for pending in asked}  # they still have the places
        assert server_requests(server.port) == {"in_flight": 2, "waiting": 0, "refused": 1}
        metrics = get(server.port, "/metrics")[2].decode()
        assert [line for line in metrics.splitlines() if "http_requests_total" in line and 'status="503"' in line]
        for pending in asked:
            pending.join(20)
            assert pending.status == 200
        line = next(one for one in server.lines() if one.get("path") == "/sleep/1")
        assert (line["status"], line["reason"], line["remote"]) == (503, "busy", "127.0.0.1")


def behind_a_herd(server: Server, path: str, last: str) -> tuple[list[socket.socket], Pending]:
    """HERD clients that ask for `path`, and the answer to one that asks for `last` after all of them.

    The worker stands still while all connect: they wait in the kernel's queue in this order.
    """
    pid = server.workers()[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    herd = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(HERD)]
    for client in herd:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    asked = in_background(server.port, last)
    time.sleep(0.5)  # until it has connected
    os.kill(pid, signal.SIGCONT)
    asked.join(20)
    return herd, asked


def test_probe_behind_a_herd_is_answered_before_the_herd(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, **QUIET, WEB_QUEUE_SIZE=HERD, WEB_QUEUE_TIMEOUT=60, WEB_SOURCE_CONNECTIONS=0) as server:
        herd, probe = behind_a_herd(server, "/sleep/10", "/health/live")
        assert probe.status == 200
        assert waiting(server.port) > HERD / 2
        assert {client.recv(12) for client in herd} == {b"HTTP/1.1 200"}
        for client in herd:
            client.close()


def test_request_behind_a_herd_for_metrics_is_answered_before_the_herd(playground: Start, sqlite_url: str) -> None:
    """Pages of health wait only for each other."""
    with playground(sqlite_url, **QUIET, WEB_SOURCE_CONNECTIONS=0) as server:
        herd, asked = behind_a_herd(server, "/metrics", "/sleep/0")
        assert asked.status == 200
        answered, _, _ = select.select(herd, [], [], 0)
        assert len(answered) < HERD / 2
        assert {client.recv(12) for client in herd} == {b"HTTP/1.1 200"}
        for client in herd:
            client.close()


def server_requests(port: int) -> dict[str, int]:
    return dict(json.loads(get(port, "/health/detailed?format=json")[2])["requests"])
