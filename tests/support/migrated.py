"""Migrated databases for real servers: made once for a run, then copied. It must not know what is written to them."""

import shutil
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.isolation import once
from tests.support.postgres import Postgres, running
from tests.support.server import migrate

TEMPLATE = "migrated"


def sqlite(path: Path) -> str:
    """Make a migrated SQLite database at `path`; returns its DATABASE_URL."""
    made = once("migrated.sqlite3", lambda first: migrate(f"sqlite:///{first}"))
    return f"sqlite:///{shutil.copy(made, path)}"


class MigratedPostgres(Postgres):
    """A PostgreSQL whose own database is migrated, and each that `create_database` makes."""

    def _make_data(self) -> None:
        made = once("postgresql-migrated", _make_template)
        subprocess.run(["cp", "-a", made / "data", self.data], check=True)

    def create_database(self, name: str) -> str:
        """Make a migrated database; returns its DATABASE_URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
        return self.url(name)


def _make_template(directory: Path) -> None:
    server = Postgres()
    try:
        server.start()
        migrate(server.create_database(TEMPLATE))
        with server.connect("template1") as connection:
            connection.execute("DROP DATABASE postgres")
            connection.execute(f"CREATE DATABASE postgres TEMPLATE {TEMPLATE}")
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)  # an orderly stop: what copies the files has nothing to recover
        assert server.process.wait(timeout=30) == 0, server.log()
        directory.mkdir()
        server.data.rename(directory / "data")
    finally:
        server.delete()


def running_postgres(**options: object) -> AbstractContextManager[MigratedPostgres]:
    """As postgres.running_postgres, with migrated databases."""
    return running(MigratedPostgres(**options))
