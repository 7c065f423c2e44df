"""Every layer that answers 503 says when to try again."""

import signal
import uuid

import pytest

from tests.e2e.conftest import Start
from tests.support.front_door import front_door
from tests.support.load import get, in_background
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.wait import until

LIMITS = {"WEB_THREADS": 8, "WEB_REQUEST_LIMIT": 6, "WEB_QUEUE_SIZE": 1, "WEB_QUEUE_TIMEOUT": 0.2}
DBPOOL = {"DB_POOL_MIN_SIZE": 1, "DB_POOL_MAX_SIZE": 4, "DB_POOL_TIMEOUT": 0.5}
SESSION = {"Cookie": "sessionid=" + "a" * 32}
TOKEN = {"Authorization": "Bearer pst_" + "0" * 40}
NEEDS_THE_DATABASE: list[tuple[str, dict[str, str]]] = [
    ("/", SESSION),
    ("/admin/", SESSION),
    ("/api/v1/pools", SESSION),
    ("/api/v1/pools", TOKEN),
    ("/query", {}),
]
PROBES = ["/health", "/health/ready", "/health/detailed", "/health/detailed?format=html", "/health/components/database"]


def says_when(port: int, path: str, headers: dict[str, str] | None = None) -> bool:
    """Whether the answer is a 503; then it must say when to try again."""
    status, fields, body = get(port, path, headers=headers)
    if status != 503:
        return False
    assert int(fields.get("retry-after", 0)) >= 1, f"{path}: {fields} {body!r}"
    return True


def occupied(server: Playground, path: str, count: int) -> None:
    """So many requests are under way that the next one is refused; they end by themselves."""
    for _ in range(count):
        in_background(server.port, path)
    until(lambda: says_when(server.port, "/query"))
    until(lambda: get(server.port, "/query")[0] == 200, 60)


def test_server_that_is_full_draining_or_without_its_database(playground: Start, postgres: Postgres) -> None:
    with playground(postgres.url(), HEALTH_CHECK_INTERVAL=1, SHUTDOWN_DRAIN_DELAY=5, **LIMITS, **DBPOOL) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        occupied(server, "/query/5000", 3)  # all connections
        occupied(server, "/sleep/5000", 7)  # all threads
        postgres.stop()
        for path in PROBES:
            until(lambda path=path: says_when(server.port, path))
        for path, headers in NEEDS_THE_DATABASE:
            assert says_when(server.port, path, headers), path
        postgres.start()
        until(lambda: get(server.port, "/health/ready")[0] == 200, 60)
        server.signal(signal.SIGTERM)
        until(lambda: says_when(server.port, "/health/ready"))
        server.wait_exit(60)


def test_server_whose_migrations_are_pending(playground: Start, shared_postgres: Postgres) -> None:
    name = f"empty_{uuid.uuid4().hex}"
    with shared_postgres.connect() as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    with playground(shared_postgres.url(name), HEALTH_CHECK_INTERVAL=1) as server:
        until(lambda: b"migrations_pending" in get(server.port, "/health/ready")[2], 60)
        assert says_when(server.port, "/health/ready")
        for path, headers in NEEDS_THE_DATABASE[:-1]:
            assert says_when(server.port, path, headers), path


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_front_door_without_an_instance(playground: Start, sqlite_url: str, accept: str) -> None:
    with playground(sqlite_url) as server, front_door([server.port]) as door:
        server.kill()
        until(lambda: b"o instance" in get(door.port, "/snapshot", headers={"Accept": accept})[2], 60)
        assert says_when(door.port, "/snapshot", {"Accept": accept})
