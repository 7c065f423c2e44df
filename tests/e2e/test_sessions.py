"""Sessions that are alive but wrong, with real servers: black holes, frozen instances, a foreign SQLite writer."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Start
from tests.e2e.dbpool_numbers import database, fill, numbers
from tests.support.load import get, in_background
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.proxy import Proxy, running_proxy
from tests.support.wait import until

UNDER_WAY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'"
)
QUIET = {"HEALTH_CHECK_INTERVAL": 3600, "DB_POOL_CHECK_INTERVAL": 3600}


@contextmanager
def through_a_proxy(shared: Postgres, url: str) -> Iterator[tuple[Proxy, str]]:
    with running_proxy(shared.port) as proxy:
        yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}/{database(url)}"


@pytest.mark.parametrize("protected", [True, False])
def test_black_holed_connections_a_request_gets_a_fresh_one(
    playground: Start, postgres_url: str, shared_postgres: Postgres, protected: bool
) -> None:
    """Within the checkout's time; the negative twin, whose check has no limit, isn't answered."""
    env = QUIET if protected else QUIET | {"PLAYGROUND_WITHOUT_CHECK_LIMIT": "1"}
    with (
        through_a_proxy(shared_postgres, postgres_url) as (proxy, url),
        playground(url, DB_POOL_MIN_SIZE=5, DB_POOL_MAX_SIZE=8, DB_POOL_TIMEOUT=6, **env) as server,
    ):
        fill(server, 5)
        proxy.drop_established()
        asked = [in_background(server.port, "/query") for _ in range(6)]
        if protected:
            for pending in asked:
                pending.join(30)
            assert [pending.status for pending in asked] == [200] * 6
            assert get(server.port, "/query")[0] == 200
        else:
            time.sleep(8)
            assert None in [pending.status for pending in asked]


def test_black_holed_and_no_new_connection_503_within_the_checkouts_time(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    with (
        through_a_proxy(shared_postgres, postgres_url) as (proxy, url),
        playground(url, DB_POOL_MIN_SIZE=3, DB_POOL_MAX_SIZE=5, DB_POOL_TIMEOUT=2, **QUIET) as server,
    ):
        fill(server, 3)
        proxy.accepting = False
        proxy.drop_established()
        began = time.monotonic()
        assert get(server.port, "/query")[0] == 503
        assert time.monotonic() - began < 8
        proxy.accepting = True
        until(lambda: get(server.port, "/query")[0] == 200)


def test_black_holed_in_the_middle_of_a_statement_ends_when_the_server_must_have_answered(
    playground: Start, postgres_url: str, shared_postgres: Postgres
) -> None:
    """The proxy acknowledges, as a frozen server does, so that neither tcp_user_timeout nor keepalives end it."""
    with (
        through_a_proxy(shared_postgres, postgres_url) as (proxy, url),
        playground(url, DB_STATEMENT_TIMEOUT=7, **QUIET) as server,
    ):
        asked = in_background(server.port, "/query/6500")
        with shared_postgres.connect() as connection:
            until(lambda: connection.execute(UNDER_WAY, [database(postgres_url)]).fetchone() == (1,))
        proxy.drop_established()
        asked.join(40)
        assert asked.status == 503
        until(lambda: "the server is silent" in server.log())


def test_read_only_that_stays_is_tried_once_a_second_and_reads_go_on(
    playground: Start, postgres: Postgres, postgres_url: str
) -> None:
    """No storm: a database that really is read-only costs one new connection a second."""
    with playground(postgres.url(), DB_POOL_MIN_SIZE=2, DB_POOL_MAX_SIZE=5) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        with postgres.connect() as connection:
            connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            connection.execute("SELECT pg_reload_conf()")
        until(lambda: get(server.port, "/health/ready")[0] == 503)
        pids, began = set(), time.monotonic()
        while time.monotonic() - began < 4:
            status, _, body = get(server.port, "/query")
            assert status == 200
            pids.add(body)
        assert len(pids) <= 5 + 2 * (time.monotonic() - began)
        with postgres.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
        until(lambda: get(server.port, "/write/again")[0] == 200)
        until(lambda: get(server.port, "/health/ready")[0] == 200)


# --- a frozen instance ------------------------------------------------------------------------------------------------


def frozen(pid: int) -> bool:
    return any(child.status() == psutil.STATUS_STOPPED for child in psutil.Process(pid).children())


@pytest.fixture
def two(postgres_url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A database, and the file that freezes the instance that has it before its next COMMIT."""
    yield postgres_url, tmp_path / "freeze"


@contextmanager
def frozen_instance(url: str, order: Path, path: str, **env: object) -> Iterator[Playground]:
    """An instance that is frozen in the middle of the request `path`."""
    folder = order.parent / "frozen"
    folder.mkdir(exist_ok=True)
    server = Playground(url, folder, PLAYGROUND_FREEZE=order, INSTANCE_HEARTBEAT_INTERVAL=3600, **QUIET, **env)
    try:
        server.start()
        until(lambda: get(server.port, "/query")[0] == 200)
        order.touch()
        in_background(server.port, path)
        until(lambda: frozen(server.pid))
        server.signal(signal.SIGSTOP)
        order.unlink()
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGCONT)
        server.kill()
        server.log_path.unlink(missing_ok=True)


@pytest.mark.parametrize("protected", [True, False])
def test_frozen_chore_is_taken_over_and_check_ins_do_not_wait(
    playground: Start, two: tuple[str, Path], protected: bool
) -> None:
    """PostgreSQL ends its transaction; the negative twin's lock is never given back."""
    url, order = two
    env: dict[str, object] = {"DB_IDLE_IN_TRANSACTION_TIMEOUT": 2 if protected else 0}
    with playground(url, **QUIET) as other, frozen_instance(url, order, "/chore/expire_leases", **env):
        if protected:
            until(lambda: get(other.port, "/chore/expire_leases")[2] == b"ran", 30)
        else:
            end = time.monotonic() + 6
            while time.monotonic() < end:
                assert get(other.port, "/chore/expire_leases")[2] == b"locked"


@contextmanager
def written(server: Playground) -> Iterator[None]:
    """There is a row that can be changed."""
    assert get(server.port, "/write/same")[0] == 200
    yield


@pytest.mark.parametrize("protected", [True, False])
def test_row_of_a_frozen_instance_others_are_refused_in_seconds(
    playground: Start, two: tuple[str, Path], protected: bool
) -> None:
    """With lock_timeout whoever waits gets 503 and goes; without it they take the dbpool, and reads fail with them."""
    url, order = two
    wait = 1 if protected else 0
    with (
        playground(url, DB_LOCK_TIMEOUT=wait, DB_POOL_MAX_SIZE=4, DB_POOL_TIMEOUT=1, **QUIET) as other,
        written(other),
        frozen_instance(url, order, "/update/same", DB_IDLE_IN_TRANSACTION_TIMEOUT=0),
    ):
        asked = [in_background(other.port, "/update/same") for _ in range(3)]
        if protected:
            for pending in asked:
                pending.join(20)
            assert [(pending.status, bool(pending.retry_after)) for pending in asked] == [(503, True)] * 3
            assert get(other.port, "/query")[0] == 200
        else:
            until(lambda: numbers(other).get("active", 0) >= 3)
            assert get(other.port, "/query")[0] == 503


# --- SQLite -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protected", [True, False])
def test_sqlite_write_lock_of_another_program_reads_go_on_and_writes_are_refused(
    playground: Start, sqlite_url: str, protected: bool
) -> None:
    """The negative twin's writes take every thread for 20 s, and reads are refused."""
    env = {"WEB_THREADS": 8, "WEB_QUEUE_TIMEOUT": 0.2, "DB_SQLITE_TIMEOUT": 2, **QUIET}
    if not protected:
        env["PLAYGROUND_WITHOUT_WRITERS_LIMIT"] = "1"
    with playground(sqlite_url, **env) as server:
        until(lambda: get(server.port, "/count")[0] == 200)
        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as foreign:
            foreign.isolation_level = None
            foreign.execute("BEGIN IMMEDIATE")
            asked = [in_background(server.port, f"/write/w{number}") for number in range(12)]
            if not protected:
                time.sleep(1)
                assert get(server.port, "/count")[0] == 503
                return
            for pending in asked:
                pending.join(20)
            assert {(pending.status, bool(pending.retry_after)) for pending in asked} == {(503, True)}
            late = [in_background(server.port, f"/write/x{number}") for number in range(30)]
            assert [get(server.port, "/count")[0] for _ in range(20)] == [200] * 20
            for pending in late:
                pending.join(20)
                assert pending.status == 503
            until(lambda: b"write_lock_held" in get(server.port, "/health/detailed")[2])
            assert get(server.port, "/health/ready")[0] == 200
            foreign.execute("ROLLBACK")
        until(lambda: get(server.port, "/write/again")[0] == 200)
