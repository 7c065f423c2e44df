"""The dbpool of a real server whose PostgreSQL is restarted, frozen, stopped or read-only."""

import json
import signal
import time

import pytest

from tests.e2e.conftest import Start
from tests.e2e.dbpool_numbers import database, fill, numbers
from tests.support.load import get
from tests.support.postgres import Postgres
from tests.support.wait import until


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


def test_postgresql_frozen_at_sigterm_exit_within_timeout(playground: Start, postgres: Postgres) -> None:
    with playground(postgres.url(), SHUTDOWN_TIMEOUT=5) as server:
        assert get(server.port, "/query")[0] == 200
        postgres.freeze()
        try:
            server.signal(signal.SIGTERM)
            server.wait_exit(15)  # the database is frozen for as long as that takes
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
