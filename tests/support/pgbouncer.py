"""A real PgBouncer in transaction mode in front of a test's PostgreSQL, on a free loopback port."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.isolation import run_folder
from tests.support.postgres import UNPRIVILEGED, Postgres, free_port

CONFIGURATION = """
[databases]
{database} = host=127.0.0.1 port={server} dbname={database} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@contextmanager
def running_pgbouncer(postgres: Postgres, database: str) -> Iterator[str]:
    """The DATABASE_URL through the bouncer, while it runs."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir=run_folder()))
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(CONFIGURATION.format(database=database, server=postgres.port, port=port))
    folder.chmod(0o755)
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or "pgbouncer"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, configuration], user=UNPRIVILEGED, cwd="/", stdout=log, stderr=log)
    url = f"postgresql://postgres@127.0.0.1:{port}/{database}"
    try:
        _wait(url, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(folder)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from error
            time.sleep(0.05)
