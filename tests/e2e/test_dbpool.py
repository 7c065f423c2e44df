"""The dbpool of a real server against a real PostgreSQL that is restarted, locked, starved; and SQLite beside it."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_shutdown import wait_exit
from tests.support.load import Load, get, in_background
from tests.support.pgbouncer import running_pgbouncer
from tests.support.playground import Playground
from tests.support.postgres import Postgres, count_client_backends
from tests.support.wait import until


def database(url: str) -> str:
    return url.rsplit("/", 1)[1]


class Watch(threading.Thread):
    """Counts the backends of a database every few milliseconds; `most` is the highest number seen."""

    def __init__(self, postgres: Postgres, url: str) -> None:
        super().__init__(daemon=True)
        self.postgres, self.url, self.most, self.ended = postgres, url, 0, threading.Event()

    def run(self) -> None:
        with self.postgres.connect() as connection:
            while not self.ended.wait(0.02):
                self.most = max(self.most, count_client_backends(connection, self.url))


@contextmanager
def watched(postgres: Postgres, url: str) -> Iterator[Watch]:
    watch = Watch(postgres, url)
    watch.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        watch.join(5)


def numbers(server: Playground) -> dict[str, int]:
    """The dbpool's numbers, summed over all workers."""
    workers = json.loads(get(server.port, "/board")[2])["workers"]
    samples = [worker["dbpool"] for worker in workers if worker["dbpool"]]
    return {name: sum(sample[name] for sample in samples) for name in samples[0]} if samples else {}


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


def fill(server: Playground, size: int) -> None:
    """Make the dbpool hold `size` idle connections."""
    asked = [in_background(server.port, "/query/500") for _ in range(size)]
    for pending in asked:
        pending.join(20)
        assert pending.status == 200
    until(lambda: numbers(server)["idle"] >= size)


@pytest.mark.parametrize("protected", [True, False])
def test_postgresql_restarted_under_idle_dbpool(playground: Start, postgres: Postgres, protected: bool) -> None:
    """With the check nobody notices; the negative twin answers 503 once for each stale connection of a request."""
    env = {} if protected else {"PLAYGROUND_WITHOUT_CHECK": "1", "PLAYGROUND_WITHOUT_DISCARDING": "1"}
    with playground(
        postgres.url(), DB_POOL_MIN_SIZE=8, DB_POOL_MAX_SIZE=9, HEALTH_CHECK_INTERVAL=3600, **env
    ) as server:
        fill(server, 8)
        postgres.restart()
        statuses = [get(server.port, "/query")[0] for _ in range(21)]
        failed = len([status for status in statuses if status != 200])
        if protected:
            assert failed == 0, statuses
        else:
            assert failed >= 1, statuses


def test_dbpool_exhausted_quick_503_with_retry_after_and_counted(playground: Start, postgres_url: str) -> None:
    with playground(postgres_url, DB_POOL_MIN_SIZE=1, DB_POOL_MAX_SIZE=4, DB_POOL_TIMEOUT=0.5) as server:
        asked = [in_background(server.port, "/query/9000") for _ in range(3)]
        until(lambda: numbers(server).get("active", 0) >= 3)
        began = time.monotonic()
        status, headers, _ = get(server.port, "/query")
        assert (status, headers["retry-after"]) == (503, "1")
        assert time.monotonic() - began < 6  # before the others are through
        assert get(server.port, "/background")[0] == 200  # the last connection is kept for background work
        assert numbers(server)["exhausted"] >= 1
        for pending in asked:
            pending.join(20)
            assert pending.status == 200


def hold(server: Playground, active: int, requests: int) -> None:
    """A long query, once so many connections are in use and so many requests under way.

    One that meets what the instance does by itself at its start, which waits, too, is refused; then it is asked again.
    """
    asked = [in_background(server.port, "/query/28000")]

    def reached() -> bool:
        if asked[-1].status == 503:
            asked.append(in_background(server.port, "/query/28000"))
        workers = json.loads(get(server.port, "/board")[2])["workers"]
        under_way = sum(worker["in_flight"] for worker in workers) - 1  # without this question
        return (numbers(server)["active"], under_way) == (active, requests)

    until(reached)


def test_dbpool_exhausted_max_waiting_refuses_without_waiting(playground: Start, postgres_url: str) -> None:
    budget = {"DB_POOL_MIN_SIZE": 1, "DB_POOL_MAX_SIZE": 2, "DB_POOL_TIMEOUT": 30, "DB_POOL_MAX_WAITING": 1}
    # What the instance does by itself would wait, too.
    quiet = dict.fromkeys(("HEALTH_CHECK_INTERVAL", "DB_POOL_CHECK_INTERVAL", "INSTANCE_HEARTBEAT_INTERVAL"), 3600)
    with playground(postgres_url, **budget, **quiet) as server:
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
            victim = json.loads(get(server.port, "/board")[2])["workers"][0]
            os.kill(victim["pid"], signal.SIGKILL)
            until(lambda: replaced(server, victim["pid"]))
            time.sleep(1)
        assert load.seen["lost"] <= 8  # those that this worker had
        assert watch.most <= 5 + 3  # for a moment PostgreSQL still has the dead worker's backends
        until(lambda: numbers(server)["size"] == shared_postgres.client_backends(postgres_url) <= 5)
        workers = json.loads(get(server.port, "/board")[2])["workers"]
        assert [worker["slot"] for worker in workers] == [0, 1]
        assert numbers(server)["max_size"] == 5


def replaced(server: Playground, pid: int) -> bool:
    workers = json.loads(get(server.port, "/board")[2])["workers"]
    return len(workers) == 2 and pid not in {worker["pid"] for worker in workers} and all(w["dbpool"] for w in workers)


def test_worker_killed_in_a_query_its_backend_ends(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    with playground(postgres_url) as server:
        in_background(server.port, "/query/25000")
        running = "state = 'active' AND query LIKE '%%pg_sleep(%%'"
        until(lambda: shared_postgres.client_backends(postgres_url, running) == 1)
        os.kill(json.loads(get(server.port, "/board")[2])["pid"], signal.SIGKILL)
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


def test_postgresql_frozen_at_sigterm_exit_within_timeout(playground: Start, postgres: Postgres) -> None:
    with playground(postgres.url(), SHUTDOWN_TIMEOUT=5) as server:
        assert get(server.port, "/query")[0] == 200
        postgres.freeze()
        try:
            server.signal(signal.SIGTERM)
            wait_exit(server, 15)  # the database is frozen for as long as that takes
        finally:
            postgres.thaw()
        assert server.evidence == ["async", "first"]
        assert "registry" in server.shutdown_status()["cleanup_failed"]


def test_postgresql_down_request_503_and_first_after_it_is_back_served(playground: Start, postgres: Postgres) -> None:
    with playground(postgres.url(), DB_POOL_TIMEOUT=60, HEALTH_CHECK_INTERVAL=3600) as server:
        assert get(server.port, "/query")[0] == 200
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        time.sleep(2.5)  # so that the last round is older than a second
        postgres.stop()
        status, _, body = get(server.port, "/health/detailed")
        assert (status, json.loads(body)["status"]) == (503, "unhealthy")  # at the first look
        for _ in range(10):
            status, headers, _ = get(server.port, "/query", timeout=20)  # a third of DB_POOL_TIMEOUT
            assert status == 503 and headers["retry-after"] == "2"
        assert server.log().count("no database connection can be made: ") <= 2  # one for each change, not each request
        until(lambda: numbers(server)["active"] == 0 and numbers(server)["size"] == 0, 10)  # no phantoms
        postgres.start()
        assert get(server.port, "/query")[0] == 200  # the first one
        assert "Traceback" not in server.log().replace("a cleanup task", "")


def test_postgresql_read_only_as_after_a_failover_503_and_served_again(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    def make(read_only: str) -> None:
        with shared_postgres.connect() as connection:
            connection.execute(
                f'ALTER DATABASE "{database(postgres_url)}" SET default_transaction_read_only = {read_only}'
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database(postgres_url)]
            )

    with playground(postgres_url, HEALTH_CHECK_INTERVAL=3600) as server:
        assert get(server.port, "/write/before")[0] == 200
        make("on")
        status, headers, _ = get(server.port, "/write/refused")
        assert (status, headers["retry-after"]) == (503, "2")
        assert get(server.port, "/count")[0] == 200  # reading goes on
        until(lambda: get(server.port, "/health/ready")[0] == 503)
        make("off")
        assert get(server.port, "/write/after")[0] == 200
        until(lambda: get(server.port, "/health/ready")[0] == 200)


def test_sigterm_registry_row_is_deleted_and_a_killed_instance_stays_as_lost(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    def rows() -> list[tuple[object, ...]]:
        with shared_postgres.connect(database(postgres_url)) as connection:
            return connection.execute("SELECT name, phase, workers FROM lifecycle_instance").fetchall()

    with playground(postgres_url, WEB_CONCURRENCY=2, INSTANCE_NAME="one", INSTANCE_HEARTBEAT_INTERVAL=0.5) as server:
        until(lambda: rows() == [("one", "serving", 2)])
        server.signal(signal.SIGTERM)
        wait_exit(server)
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
        wait_exit(server)


def test_configuration_fewer_connections_than_workers_refused_with_one_line(tmp_path: Path) -> None:
    env = {"WEB_CONCURRENCY": 3, "DB_POOL_MIN_SIZE": 1, "DB_POOL_MAX_SIZE": 2}
    server = Playground("postgresql://nobody@127.0.0.1:1/none", tmp_path, **env)
    with pytest.raises(AssertionError, match="exit 1"):
        server.start()
    assert server.log().strip().splitlines() == [
        "pacsync: DB_POOL_MAX_SIZE (2) must not be below WEB_CONCURRENCY (3): each worker needs a connection."
    ]
    server.log_path.unlink()
