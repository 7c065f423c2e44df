"""Isolates a test run and chooses its database, before Django reads its settings (loaded by `-p tests.database`).

PACSYNC_TEST_DATABASE is `sqlite` (default) or `postgresql`; for the latter TEST_DATABASE_URL may name a server,
else one is started from the package that pip brings. The workers of pytest-xdist share it, and each makes a database.
"""

import atexit
import os

import pytest

from tests.support.isolation import isolate, worker

FOLDER = isolate()
KIND = os.environ.get("PACSYNC_TEST_DATABASE") or "sqlite"
# Whoever asks for one of these fixtures needs the database of the run.
FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}
SETTINGS = {
    "SECRET_KEY": "only-for-tests",
    "ENVIRONMENT": "test",
    "STRUCTURED_LOGGING": "false",
    "DJANGO_SETTINGS_MODULE": "pacsync.settings",
    "HYPOTHESIS_STORAGE_DIRECTORY": str(FOLDER / "hypothesis"),
}
os.environ.update(SETTINGS)


def _postgresql() -> str:
    """The URL of the server, which the first process of the run starts and stops again."""
    named = os.environ.get("TEST_DATABASE_URL") or os.environ.get("PACSYNC_TEST_SERVER")
    if named:
        return named
    from tests.support.postgres import Postgres

    server = Postgres()
    atexit.register(server.delete)
    server.start()
    os.environ["PACSYNC_TEST_SERVER"] = server.url()
    return server.url()


if KIND == "postgresql":
    os.environ["DATABASE_URL"] = _postgresql()
elif KIND == "sqlite":
    os.environ["DATABASE_URL"] = f"sqlite:///{FOLDER}/{worker()}.sqlite3"
else:
    raise SystemExit(f"PACSYNC_TEST_DATABASE must be sqlite or postgresql, not {KIND!r}")


def pytest_report_header() -> str:
    return f"database: {KIND}"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pacsync")
    group.addoption(
        "--database", choices=("with", "without"), help="only the tests that need a database, or the others"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what --database asks for. pytest-django fails a test without a database that opens a connection."""
    wanted = config.getoption("--database")
    if wanted:
        left = [item for item in items if needs_database(item) != (wanted == "with")]
        items[:] = [item for item in items if needs_database(item) == (wanted == "with")]
        config.hook.pytest_deselected(items=left)


def needs_database(item: pytest.Item) -> bool:
    """Whether the test may differ from one database to the other; those with a condition (`skipif`) may, too."""
    if item.get_closest_marker("django_db") or item.get_closest_marker("skipif"):
        return True
    return bool(FIXTURES & set(getattr(item, "fixturenames", ())))
