"""Migrated databases for real servers, made once and copied."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.support.isolation import once
from tests.support.playground import Playground
from tests.support.postgres import Postgres, running_postgres
from tests.support.server import migrate

Start = Callable[..., AbstractContextManager[Playground]]


@pytest.fixture(scope="session")
def migrated_sqlite() -> Path:
    """Made once for all workers; to be copied, never opened."""
    return once("migrated.sqlite3", lambda path: migrate(f"sqlite:///{path}"))


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the tests of a worker that leave it running, with a migrated database."""
    with running_postgres(unix_socket_directories="/tmp") as server:
        migrate(server.create_database("migrated"))
        yield server


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'database.sqlite3')}"


@pytest.fixture
def postgres_url(shared_postgres: Postgres) -> str:
    """A migrated PostgreSQL database of the test's own, on the shared server."""
    name = f"test_{uuid.uuid4().hex}"
    with shared_postgres.connect() as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE migrated')
    return shared_postgres.url(name)


@pytest.fixture
def playground(tmp_path: Path) -> Start:
    """`with playground(database_url, VARIABLE=value) as server:` a started server, killed at the end."""

    @contextmanager
    def start(database_url: str, **env: object) -> Iterator[Playground]:
        server = Playground(database_url, tmp_path, **env)
        try:
            server.start()
            yield server
        finally:
            server.kill()
            server.log_path.unlink(missing_ok=True)

    return start
