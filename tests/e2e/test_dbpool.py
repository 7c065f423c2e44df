"""The dbpool of a real server against a real PostgreSQL that is locked or starved; and SQLite beside it."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.e2e.dbpool_numbers import database, numbers, watched
from tests.support.load import Load, Pending, get, in_background
from tests.support.pgbouncer import running_pgbouncer
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.wait import until

# What the instance does by itself would take a connection, or wait for one, too.
QUIET = dict.fromkeys(("HEALTH_CHECK_INTERVAL", "DB_POOL_CHECK_INTERVAL", "INSTANCE_HEARTBEAT_INTERVAL"), 3600)


def test_budget_three_workers_under_load_never_exceeded_and_the_report_agrees(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    with (
        playground(postgres_url, WEB_CONCURRENCY=3, WEB_THREADS=8, DB_POOL_MAX_SIZE=7) as server,
        watched(shared_postgres, postgres_url) as watch,
    ):
        with Load(server.port, "/query/20", clients=16, pause=0.002, keep_alive=False) as load:
            time.sleep(4)
        assert load.seen[200] > 5
        assert load.seen["lost"] == 0 and load.seen[500] == 0
        assert watch.most <= 7
        assert watch.most >= 5  # the load does use the budget
        until(lambda: numbers(server).get("active") == 0)
        found = numbers(server)
        assert (found["min_size"], found["max_size"]) == (2, 7)
        until(lambda: numbers(server)["size"] == shared_postgres.client_backends(postgres_url))


def test_budget_not_shared_out_is_exceeded(playground: Start, postgres_url: str, shared_postgres: Postgres) -> None:
    """The negative twin: a dbpool of 7 in each of 3 workers."""
    with (
        playground(
            postgres_url, WEB_CONCURRENCY=3, WEB_THREADS=8, DB_POOL_MAX_SIZE=7, PLAYGROUND_WITHOUT_SHARE="1"
        ) as server,
        watched(shared_postgres, postgres_url) as watch,
        Load(server.port, "/query/20", clients=16, pause=0.002, keep_alive=False),
    ):
        until(lambda: watch.most > 7)


def hold(server: Playground, active: int, requests: int, milliseconds: int = 28_000) -> Pending:
    """A long query, once `active` connections are in use and `requests` requests are under way.

    One that meets what the instance does by itself at its start, or that waits too long for a new connection, is
    refused; then it is asked again.
    """
    asked = [in_background(server.port, f"/query/{milliseconds}")]

    def reached() -> bool:
        if asked[-1].status == 503:
            asked.append(in_background(server.port, f"/query/{milliseconds}"))
        return (numbers(server)["active"], server.in_flight()) == (active, requests)

    until(reached)
    return asked[-1]


def test_dbpool_exhausted_quick_503_with_retry_after_and_counted(playground: Start, postgres_url: str) -> None:
    with playground(postgres_url, DB_POOL_MIN_SIZE=1, DB_POOL_MAX_SIZE=4, DB_POOL_TIMEOUT=0.5, **QUIET) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        asked = [hold(server, number, number, 15_000) for number in (1, 2, 3)]
        began = time.monotonic()
        status, headers, _ = get(server.port, "/query")
        assert (status, headers["retry-after"]) == (503, "1")
        assert time.monotonic() - began < 6  # before the others are through
        assert get(server.port, "/background")[0] == 200  # the last connection is kept for background work
        assert numbers(server)["exhausted"] >= 1
        for pending in asked:
            pending.join(20)
            assert pending.status == 200


def test_dbpool_exhausted_max_waiting_refuses_without_waiting(playground: Start, postgres_url: str) -> None:
    budget = {"DB_POOL_MIN_SIZE": 1, "DB_POOL_MAX_SIZE": 2, "DB_POOL_TIMEOUT": 30, "DB_POOL_MAX_WAITING": 1}
    with playground(postgres_url, **budget, **QUIET) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        # One by one: two that wait for a new connection are too many.
        for active, requests in ((1, 1), (2, 2), (2, 3)):
            hold(server, active, requests)
        until(lambda: numbers(server)["waiting"] >= 1)
        began = time.monotonic()
        assert get(server.port, "/query")[0] == 503
        assert time.monotonic() - began < 6  # before the others are through


@pytest.mark.parametrize("protection", ["main loop", "bulkhead", "none"])
def test_table_locked_sixty_requests_probes_answered(
    playground: Start, postgres_url: str, shared_postgres: Postgres, protection: str
) -> None:
    """The main loop answers probes though requests have all eight threads. Without that the bulkhead keeps two of them
    free, as it does for the other pages of health. The negative twin has neither."""
    full = protection == "bulkhead"
    settings = {"WEB_THREADS": 8, "WEB_REQUEST_LIMIT": 6 if full else 8, "WEB_QUEUE_SIZE": 30 if full else 0}
    if protection != "main loop":
        settings["PLAYGROUND_WITHOUT_PROBES_IN_THE_MAIN_LOOP"] = 1
    with playground(postgres_url, DB_POOL_MAX_SIZE=10, DB_POOL_TIMEOUT=20, **settings) as server:
        assert get(server.port, "/count")[0] == 200
        with shared_postgres.connect(database(postgres_url)) as locker, locker.transaction():
            locker.execute("LOCK TABLE lifecycle_instance IN ACCESS EXCLUSIVE MODE")
            asked = [in_background(server.port, "/count") for _ in range(60)]
            until(lambda: sum(p.status is not None for p in asked) >= 54 or not full)
            time.sleep(1)
            if protection == "none":
                with pytest.raises(TimeoutError):
                    get(server.port, "/health/live", timeout=2)
            else:
                for _ in range(10):
                    assert get(server.port, "/health/live")[0] == 200
            assert None in {pending.status for pending in asked}  # all that while they were held
        for pending in asked:
            pending.join(20)
        if full:
            refused = [pending for pending in asked if pending.status == 503]
            assert len(refused) == 54
            assert {pending.retry_after for pending in refused} == {"1"}


def test_worker_killed_under_load_numbers_and_budget_right_again(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    with (
        playground(postgres_url, WEB_CONCURRENCY=2, DB_POOL_MAX_SIZE=5) as server,
        watched(shared_postgres, postgres_url) as watch,
    ):
        with Load(server.port, "/query/20", clients=8) as load:
            time.sleep(1)
            victim = server.workers()[0]
            os.kill(victim["pid"], signal.SIGKILL)
            until(lambda: replaced(server, victim["pid"]))
            time.sleep(1)
        assert load.seen["lost"] <= 8  # those that this worker had
        assert watch.most <= 5 + 3  # for a moment PostgreSQL still has the dead worker's backends
        until(lambda: numbers(server)["size"] == shared_postgres.client_backends(postgres_url) <= 5)
        workers = server.workers()
        assert [worker["slot"] for worker in workers] == [0, 1]
        assert numbers(server)["max_size"] == 5


def replaced(server: Playground, pid: int) -> bool:
    workers = server.workers()
    return len(workers) == 2 and pid not in {worker["pid"] for worker in workers} and all(w["dbpool"] for w in workers)


def test_worker_killed_in_a_query_its_backend_ends(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    with playground(postgres_url) as server:
        in_background(server.port, "/query/25000")
        running = "state = 'active' AND query LIKE '%%pg_sleep(%%'"
        until(lambda: shared_postgres.client_backends(postgres_url, running) == 1)
        os.kill(server.snapshot()["pid"], signal.SIGKILL)
        until(lambda: shared_postgres.client_backends(postgres_url, running) == 0)


@pytest.mark.parametrize("preload", ["false", "true"])
def test_workers_each_have_their_own_backends(playground: Start, postgres_url: str, preload: str) -> None:
    with playground(postgres_url, WEB_CONCURRENCY=2, DB_POOL_MAX_SIZE=4, PRELOAD_APP=preload) as server:
        with Load(server.port, "/query", clients=6) as load:
            time.sleep(1.5)
        assert set(load.seen) == {200}
        assert server.stop() == 0
        errors = [line["message"] for line in server.lines() if line["level"] == "ERROR"]
        assert set(errors) == {"cleanup task failing failed"}


def test_sigterm_registry_row_is_deleted_and_a_killed_instance_stays_as_lost(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    def rows() -> list[tuple[object, ...]]:
        with shared_postgres.connect(database(postgres_url)) as connection:
            return connection.execute("SELECT name, phase, workers FROM lifecycle_instance").fetchall()

    with playground(postgres_url, WEB_CONCURRENCY=2, INSTANCE_NAME="one", INSTANCE_HEARTBEAT_INTERVAL=0.5) as server:
        until(lambda: rows() == [("one", "serving", 2)])
        server.signal(signal.SIGTERM)
        server.wait_exit()
        assert rows() == []
    with playground(postgres_url, INSTANCE_NAME="two") as server:
        until(lambda: len(rows()) == 1)
        server.kill()
        assert rows() == [("two", "serving", 1)]


@pytest.mark.needs("pgbouncer")
def test_pgbouncer_in_transaction_mode_serves_and_leaks_no_session_state(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    with running_pgbouncer(shared_postgres, database(postgres_url)) as url:
        with playground(url, DB_PGBOUNCER="true", WEB_CONCURRENCY=2) as server:
            with Load(server.port, "/query/5", clients=8) as load:
                time.sleep(1.5)
            assert set(load.seen) == {200}
            until(lambda: get(server.port, "/health/ready")[0] == 200)
            until(lambda: instances(shared_postgres, postgres_url) == 1)
            assert server.stop() == 0
        assert instances(shared_postgres, postgres_url) == 0


def instances(postgres: Postgres, url: str) -> int:
    with postgres.connect(database(url)) as connection:
        return len(connection.execute("SELECT 1 FROM lifecycle_instance").fetchall())


def test_sqlite_several_workers_write_at_once_nothing_fails(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=3) as server:
        with Load(server.port, "/write/load", clients=6) as load:
            time.sleep(3)
        assert set(load.seen) == {200}
        assert load.seen[200] > 20
        server.signal(signal.SIGTERM)
        server.wait_exit()


def test_configuration_fewer_connections_than_workers_refused_with_one_line(tmp_path: Path) -> None:
    env = {"WEB_CONCURRENCY": 3, "DB_POOL_MIN_SIZE": 1, "DB_POOL_MAX_SIZE": 2}
    server = Playground("postgresql://nobody@127.0.0.1:1/none", tmp_path, **env)
    with pytest.raises(AssertionError, match="exit 1"):
        server.start()
    [line] = server.lines()
    assert server.log().count("\n") == 1
    assert line["message"] == (
        "DB_POOL_MAX_SIZE (2) must not be below WEB_CONCURRENCY (3): each worker needs a connection."
    )
    server.log_path.unlink()
