"""Shutdown of a real gunicorn by real signals: what is waited for, what is left behind, and that cleanup runs."""

import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import CLEANED, Start
from tests.support.load import get, in_background
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.wait import until


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_drain_serves_new_and_reused_connections_until_it_ends(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=3, WEB_CONCURRENCY=2) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        reused = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        reused.request("GET", "/snapshot")
        assert reused.getresponse().read()
        blocked = in_background(server.port, "/sleep/4500")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        until(lambda: get(server.port, "/health/ready")[0] == 503)
        status, _, body = get(server.port, "/health/ready")
        assert (status, json.loads(body)["reason"]) == (503, "shutting_down")
        assert get(server.port, "/health/live")[0] == 200
        reused.request("GET", "/snapshot")
        answer = reused.getresponse()
        assert json.loads(answer.read())["phase"] == "draining"
        assert answer.getheader("Connection") == "close"
        while time.monotonic() - began < 1.2:
            assert get(server.port, "/snapshot")[0] == 200
            time.sleep(0.05)
        server.wait_exit()
        blocked.join(5)
        assert blocked.status == 200
        status_line = server.shutdown_status()
        assert status_line["signal"] == "SIGTERM"
        assert status_line["drained_seconds"] >= 2.9
        assert status_line["waited_for"]["requests"] >= 1
        assert status_line["abandoned"] == {} and status_line["workers_killed"] == 0


def asked_again(port: int) -> object:
    """The status of a request on a new connection, or what became of it instead."""
    try:
        return get(port, "/sleep/20")[0]
    except ConnectionRefusedError:
        return "refused"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_new_connections_are_answered_or_refused_while_a_request_is_finished(
    playground: Start, sqlite_url: str, workers: int
) -> None:
    """Never accepted by the kernel and reset at the end: whoever is refused can go elsewhere, whatever the method."""
    with playground(sqlite_url, WEB_CONCURRENCY=workers) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        slow = in_background(server.port, "/sleep/4000")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGTERM)
        seen = []
        while slow.is_alive():
            seen.append(asked_again(server.port))
        assert slow.status == 200
        assert set(seen) <= {200, "refused"}, seen
        assert seen[-1] == "refused"
        assert seen.count("refused") > 50, "long before the slow request was done"
        server.wait_exit()


def test_sigterm_idle_no_drain_exits_at_once_with_cleanup_in_reverse_order(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=30) as server:
        server.signal(signal.SIGTERM)
        assert server.wait_exit() < 20  # it doesn't wait for its timeout
        assert server.evidence == CLEANED
        status = server.shutdown_status()
        assert {"first", "failing", "async", "registry", "dbpool"} <= set(status["cleanup_tasks"])
        assert status["cleanup_failed"] == ["failing"]


@pytest.mark.parametrize("preload", ["false", "true"])
def test_sigterm_half_sent_request_cleanup_runs_within_timeout_and_no_backend_is_left(
    playground: Start, postgres_url: str, shared_postgres: Postgres, preload: str
) -> None:
    with playground(postgres_url, SHUTDOWN_TIMEOUT=4, PRELOAD_APP=preload) as server:
        assert get(server.port, "/query")[0] == 200
        with socket.create_connection(("127.0.0.1", server.port)) as half:
            half.sendall(b"POST /snapshot HTTP/1.1\r\nHost: x\r\nContent-Le")
            time.sleep(0.3)
            server.signal(signal.SIGTERM)
            server.wait_exit()
        assert server.evidence == CLEANED
        assert server.shutdown_status()["workers_killed"] == 0
    until(lambda: shared_postgres.client_backends(postgres_url) == 0, 3)


def test_sigterm_stuck_request_same_timeout_for_worker_and_master_cleanup_is_lost(
    playground: Start, sqlite_url: str
) -> None:
    """The negative twin: without the worker's own, shorter limit the master kills it before its cleanup."""
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=3, PLAYGROUND_WITHOUT_WORKER_LIMIT="1") as server:
        in_background(server.port, "/sleep/60000")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGTERM)
        server.wait_exit()
        assert server.evidence == []
        assert server.shutdown_status()["workers_killed"] == 1


def test_sigterm_tracked_work_after_the_response_is_waited_for(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        assert get(server.port, "/task/1500")[0] == 200
        server.signal(signal.SIGTERM)
        server.wait_exit()
        assert server.evidence == ["worked", *CLEANED]
        status = server.shutdown_status()
        assert status["waited_for"]["sync_operation"] == 1
        assert status["abandoned"] == {}


def test_sigterm_stuck_work_and_stuck_cleanup_abandoned_within_timeout(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=4, PLAYGROUND_STUCK_CLEANUP="1") as server:
        assert get(server.port, "/task/60000")[0] == 200
        stuck = in_background(server.port, "/sleep/60000")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() < 30  # of the minute that the stuck ones would take
        status = server.shutdown_status()
        assert status["abandoned"] == {"sync_operation": 1, "requests": 1}
        assert {"failing", "stuck"} <= set(status["cleanup_failed"])
        assert server.evidence == CLEANED
        stuck.join(5)
        assert stuck.status == "lost"


def test_sigint_to_the_process_group_as_ctrl_c_request_is_answered(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=2) as server:
        asked = in_background(server.port, "/sleep/1000")
        until(lambda: server.in_flight() >= 1)
        os.killpg(server.pid, signal.SIGINT)
        server.wait_exit()
        asked.join(5)
        assert asked.status == 200
        assert server.shutdown_status()["signal"] == "SIGINT"


def test_second_sigint_stops_at_once(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=30, SHUTDOWN_DRAIN_DELAY=20) as server:
        in_background(server.port, "/sleep/25000")
        until(lambda: server.in_flight() >= 1)
        os.killpg(server.pid, signal.SIGINT)
        until(lambda: server.snapshot()["phase"] == "draining")
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait_exit() < 15  # before its drain of 20 s ends
        assert server.evidence == CLEANED
        assert server.shutdown_status()["abandoned"] == {"requests": 1}


def test_second_sigint_after_the_drain_a_cleanup_that_hangs_is_reported(playground: Start, sqlite_url: str) -> None:
    """gunicorn's master kills its workers 2 s after the signal then."""
    env = {"SHUTDOWN_TIMEOUT": 30, "SHUTDOWN_DRAIN_DELAY": 0, "PLAYGROUND_STUCK_CLEANUP": 1}
    with playground(sqlite_url, **env) as server:
        in_background(server.port, "/sleep/25000")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGINT)
        until(lambda: refuses(server.port))
        time.sleep(0.5)  # until gunicorn's loop waits for its workers
        server.signal(signal.SIGINT)
        assert server.wait_exit() < 15
        status = server.shutdown_status()
        assert (status["workers_killed"], status["abandoned"]) == (0, {"requests": 1})
        assert {"failing", "stuck"} <= set(status["cleanup_failed"])
        assert server.evidence == CLEANED


def test_sigterm_twice_the_second_changes_nothing(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=1) as server:
        asked = in_background(server.port, "/sleep/1500")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGTERM)
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        server.wait_exit()
        asked.join(5)
        assert asked.status == 200
        assert server.shutdown_status()["drained_seconds"] >= 0.9


@pytest.mark.parametrize("pause", [0.05, 0.3])
def test_sigterm_then_sigquit_waits_no_longer_and_still_cleans_up(
    playground: Start, sqlite_url: str, pause: float
) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=40) as server:
        assert get(server.port, "/task/60000")[0] == 200
        server.signal(signal.SIGTERM)
        time.sleep(pause)
        server.signal(signal.SIGQUIT)
        assert server.wait_exit() < 15
        status = server.shutdown_status()
        assert (status["workers_killed"], status["abandoned"]) == (0, {"sync_operation": 1})
        assert server.evidence == CLEANED


def test_sigquit_at_once_with_cleanup_and_an_honest_status(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    def rows() -> int:
        with shared_postgres.connect(postgres_url.rsplit("/", 1)[1]) as connection:
            return len(connection.execute("SELECT 1 FROM lifecycle_instance").fetchall())

    with playground(postgres_url, SHUTDOWN_TIMEOUT=30, SHUTDOWN_DRAIN_DELAY=20) as server:
        until(lambda: rows() == 1)
        in_background(server.port, "/query/25000")
        until(lambda: server.in_flight() >= 1)
        server.signal(signal.SIGQUIT)
        server.wait_exit(15)  # before the drain is over
        status = server.shutdown_status()
        assert (status["signal"], status["workers_killed"]) == ("SIGQUIT", 0)
        assert status["abandoned"]["requests"] == 1  # and what the instance did by itself at that moment
        assert status["cleanup_failed"] == ["failing"]
        assert server.evidence == CLEANED
        assert rows() == 0
    until(lambda: shared_postgres.client_backends(postgres_url) == 0, 5)


def test_sigterm_query_stuck_on_a_lock_exit_within_timeout_and_cleanup_is_not_its_victim(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    """The lock holds up requests and the health checks; the row of the registry is in another table's way."""
    name = postgres_url.rsplit("/", 1)[1]
    with playground(postgres_url, SHUTDOWN_TIMEOUT=6, HEALTH_CHECK_INTERVAL=0.5, WEB_CONCURRENCY=2) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        with shared_postgres.connect(name) as locker, locker.transaction():
            locker.execute("LOCK TABLE fleet_pool IN ACCESS EXCLUSIVE MODE")
            for _ in range(4):
                in_background(server.port, "/pools")
            until(lambda: server.in_flight() >= 4)
            server.signal(signal.SIGTERM)
            server.wait_exit()
        status = server.shutdown_status()
        assert status["cleanup_failed"] == ["failing"]
        assert status["workers_killed"] == 0
        assert status["abandoned"]["requests"] == 4
    until(lambda: shared_postgres.client_backends(postgres_url) == 0, 5)


def test_sigterm_while_the_worker_loads_ends_at_once(sqlite_url: str, tmp_path: Path) -> None:
    server = Playground(sqlite_url, tmp_path, PLAYGROUND_SLOW_LOAD=50, SHUTDOWN_TIMEOUT=40)
    try:
        server.launch()
        until(lambda: "Booting worker" in server.log(), 60)
        time.sleep(1)
        began = time.monotonic()
        assert server.stop(timeout=40) == 0
        assert time.monotonic() - began < 20
        assert server.shutdown_status()["workers_killed"] == 0
    finally:
        server.kill()
