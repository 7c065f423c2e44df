"""Shutdown of a real gunicorn by real signals: what is waited for, what is left behind, and that cleanup runs."""

import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support.load import Load, get, in_background
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.wait import until

CLEANED = ["async", "first"]  # the playground's tasks in reverse order; the one between them fails


def board(server: Playground) -> dict[str, object]:
    return dict(json.loads(get(server.port, "/board")[2]))


def wait_exit(server: Playground, seconds: float = 30) -> float:
    """Wait for the master's exit, which must be 0; how long it took."""
    assert server.process
    began = time.monotonic()
    assert server.process.wait(seconds) == 0, server.log()
    return time.monotonic() - began


def test_sigterm_drain_serves_new_and_reused_connections_until_it_ends(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=3, WEB_CONCURRENCY=2) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        reused = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        reused.request("GET", "/board")
        assert reused.getresponse().read()
        blocked = in_background(server.port, "/sleep/4500")
        until(lambda: board(server)["workers"] and sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGTERM)
        began = time.monotonic()
        until(lambda: get(server.port, "/health/ready")[0] == 503)
        status, _, body = get(server.port, "/health/ready")
        assert (status, json.loads(body)["reason"]) == (503, "shutting_down")
        assert get(server.port, "/health/live")[0] == 200
        reused.request("GET", "/board")
        answer = reused.getresponse()
        assert json.loads(answer.read())["phase"] == "draining"
        assert answer.getheader("Connection") == "close"
        while time.monotonic() - began < 1.2:
            assert get(server.port, "/board")[0] == 200
            time.sleep(0.05)
        wait_exit(server)
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
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGTERM)
        seen = []
        while slow.is_alive():
            seen.append(asked_again(server.port))
        assert slow.status == 200
        assert set(seen) <= {200, "refused"}, seen
        assert seen[-1] == "refused"
        assert seen.count("refused") > 50, "long before the slow request was done"
        wait_exit(server)


def test_sigterm_idle_no_drain_exits_at_once_with_cleanup_in_reverse_order(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=30) as server:
        server.signal(signal.SIGTERM)
        assert wait_exit(server) < 20  # it doesn't wait for its timeout
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
            half.sendall(b"POST /board HTTP/1.1\r\nHost: x\r\nContent-Le")
            time.sleep(0.3)
            server.signal(signal.SIGTERM)
            wait_exit(server)
        assert server.evidence == CLEANED
        assert server.shutdown_status()["workers_killed"] == 0
    until(lambda: shared_postgres.client_backends(postgres_url) == 0, 3)


def test_sigterm_stuck_request_same_timeout_for_worker_and_master_cleanup_is_lost(
    playground: Start, sqlite_url: str
) -> None:
    """The negative twin: without the worker's own, shorter limit the master kills it before its cleanup."""
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=3, PLAYGROUND_WITHOUT_WORKER_LIMIT="1") as server:
        in_background(server.port, "/sleep/60000")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGTERM)
        wait_exit(server)
        assert server.evidence == []
        assert server.shutdown_status()["workers_killed"] == 1


def test_sigterm_tracked_work_after_the_response_is_waited_for(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        assert get(server.port, "/task/1500")[0] == 200
        server.signal(signal.SIGTERM)
        wait_exit(server)
        assert server.evidence == ["worked", *CLEANED]
        status = server.shutdown_status()
        assert status["waited_for"]["sync_operation"] == 1
        assert status["abandoned"] == {}


def test_sigterm_stuck_work_and_stuck_cleanup_abandoned_within_timeout(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=4, PLAYGROUND_STUCK_CLEANUP="1") as server:
        assert get(server.port, "/task/60000")[0] == 200
        stuck = in_background(server.port, "/sleep/60000")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGTERM)
        assert wait_exit(server) < 30  # of the minute that the stuck ones would take
        status = server.shutdown_status()
        assert status["abandoned"] == {"sync_operation": 1, "requests": 1}
        assert {"failing", "stuck"} <= set(status["cleanup_failed"])
        assert server.evidence == CLEANED
        stuck.join(5)
        assert stuck.status == "lost"


def test_sigint_to_the_process_group_as_ctrl_c_request_is_answered(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=2) as server:
        asked = in_background(server.port, "/sleep/1000")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        os.killpg(server.pid, signal.SIGINT)
        wait_exit(server)
        asked.join(5)
        assert asked.status == 200
        assert server.shutdown_status()["signal"] == "SIGINT"


def test_second_sigint_stops_at_once(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=30, SHUTDOWN_DRAIN_DELAY=20) as server:
        in_background(server.port, "/sleep/25000")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        os.killpg(server.pid, signal.SIGINT)
        until(lambda: board(server)["phase"] == "draining")
        os.killpg(server.pid, signal.SIGINT)
        assert wait_exit(server) < 15  # before its drain of 20 s ends
        assert server.evidence == CLEANED
        assert server.shutdown_status()["abandoned"] == {"requests": 1}


def test_sigterm_twice_the_second_changes_nothing(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, SHUTDOWN_DRAIN_DELAY=1) as server:
        asked = in_background(server.port, "/sleep/1500")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGTERM)
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        wait_exit(server)
        asked.join(5)
        assert asked.status == 200
        assert server.shutdown_status()["drained_seconds"] >= 0.9


@pytest.mark.parametrize("gathering", [True, False])
def test_heads_that_drip_on_more_connections_than_threads_probes_answered(
    playground: Start, sqlite_url: str, gathering: bool
) -> None:
    """The negative twin gives each connection to a thread at once: the probe waits for as long as the clients drip."""
    env = {} if gathering else {"PLAYGROUND_WITHOUT_GATHERING": "1"}
    with playground(sqlite_url, WEB_THREADS=4, WEB_QUEUE_SIZE=0, REQUEST_READ_TIMEOUT=60, **env) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        dripping = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        for letter in b"GET /board HTTP/1.1\r\nHost: x\r\nAcc":
            for half in dripping:
                half.sendall(bytes([letter]))
        if gathering:
            for _ in range(3):
                assert get(server.port, "/health/live", timeout=30)[0] == 200
            for half in dripping + silent:  # and none of them has lost anything
                half.sendall(b"ept: */*\r\n\r\n" if half in dripping else b"GET /board HTTP/1.0\r\n\r\n")
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
        half.sendall(b"GET /board HTTP/1.1\r\nX: ")
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
        half.sendall(b"GET /board HTTP/1.1\r\nHo")
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


def test_sighup_workers_replaced_no_request_lost_each_in_a_slot_of_its_own(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=3, PRELOAD_APP="true") as server:

        def workers() -> list[tuple[int, int]]:
            return [(w["slot"], w["pid"]) for w in board(server)["workers"]]  # type: ignore[attr-defined]

        until(lambda: len(workers()) == 3)
        old = {pid for _, pid in workers()}
        with Load(server.port, "/sleep/5", clients=4, pause=0.02) as load:
            server.signal(signal.SIGHUP)
            until(lambda: len(workers()) == 3 and not old & {pid for _, pid in workers()}, 100)
        assert set(load.seen) == {200}
        assert len({slot for slot, _ in workers()}) == 3
        assert server.stop() == 0


def test_ttin_the_number_of_workers_stays_and_the_instance_serves(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url) as server:
        for number in (signal.SIGTTIN, signal.SIGTTOU) * 4:
            server.signal(number)
            time.sleep(0.05)
        until(lambda: "SIGTTOU ignored" in server.log())
        assert get(server.port, "/health/live")[0] == 200
        assert server.log().count("Booting worker") == 1


def test_sighup_then_sigterm_with_a_stuck_request_exit_within_timeout(playground: Start, sqlite_url: str) -> None:
    """gunicorn's reload waits in the master's main loop for the old workers: a shutdown must not wait behind it."""
    with playground(sqlite_url, SHUTDOWN_TIMEOUT=12) as server:
        in_background(server.port, "/sleep/60000")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGHUP)
        until(lambda: "Hang up" in server.log())
        server.signal(signal.SIGTERM)
        wait_exit(server)
        assert server.evidence[-2:] == CLEANED
        status = server.shutdown_status()
        assert status["abandoned"] == {"requests": 1}
        assert status["total_seconds"] < 20  # behind the reload it would be twice the timeout


def test_sigquit_at_once_with_cleanup_and_an_honest_status(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    def rows() -> int:
        with shared_postgres.connect(postgres_url.rsplit("/", 1)[1]) as connection:
            return len(connection.execute("SELECT 1 FROM lifecycle_instance").fetchall())

    with playground(postgres_url, SHUTDOWN_TIMEOUT=30, SHUTDOWN_DRAIN_DELAY=20) as server:
        until(lambda: rows() == 1)
        in_background(server.port, "/query/25000")
        until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 2)  # type: ignore[attr-defined]
        server.signal(signal.SIGQUIT)
        wait_exit(server, 15)  # before the drain is over
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
            until(lambda: sum(w["in_flight"] for w in board(server)["workers"]) >= 5)  # type: ignore[attr-defined]
            server.signal(signal.SIGTERM)
            wait_exit(server)
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
