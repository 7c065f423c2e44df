"""What was acknowledged is on the disk: the file system's image is copied as a power cut would leave it, and mounted.

Needs root and a loop device. What a program wrote without fsync is in the kernel's memory, and so not in the image.
"""

import contextlib
import shutil
import sqlite3
import sys
import tempfile
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run
from tests.support import migrated
from tests.support.disk_image import after_a_power_cut, disk_in, loop_devices_work
from tests.support.migrated import MigratedPostgres
from tests.support.postgres import UNPRIVILEGED, Postgres
from tests.support.server import ROOT, environment, running_server

ROWS = 20


pytestmark = [
    pytest.mark.skipif(not loop_devices_work(), reason="mounting an image needs root and a loop device"),
    pytest.mark.timeout(600),
    pytest.mark.alone,  # after half a minute the kernel writes everything back: the twin needs a quick machine
]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system in the image `disk.img`, mounted. Its kernel writes nothing back by itself for a while."""
    with tempfile.TemporaryDirectory(prefix="pacsync-power-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as somebody else
        with disk_in(folder) as place:
            yield place


def settings_with(folder: Path, synchronous: str) -> dict[str, object]:
    """The environment of the project with another `synchronous`, for the negative twin."""
    folder.joinpath("twin_settings.py").write_text(
        textwrap.dedent(f"""
        from pacsync.settings import *

        _options = DATABASES["default"]["OPTIONS"]
        assert "synchronous=FULL" in _options["init_command"]
        _options["init_command"] = _options["init_command"].replace("synchronous=FULL", "synchronous={synchronous}")
        """)
    )
    return {"PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "twin_settings", "WEB_THREADS": 4}


def token_for(url: str, **env: object) -> str:
    arguments = ["manage.py", "create_api_token", "test", "--role", "operator"]
    made = run(sys.executable, *arguments, cwd=ROOT, env=environment(url, **env))
    return next(word for word in made.split() if word.startswith("pst_"))


def make_pools(base: str, token: str) -> int:
    """How many of the pools were answered with 201."""
    count = 0
    for number in range(ROWS):
        request = urllib.request.Request(  # noqa: S310
            f"{base}/api/v1/pools",
            data=b'{"name": "pool-%d"}' % number,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            count += response.status == 201
    return count


@pytest.mark.parametrize(("synchronous", "survive"), [("FULL", True), ("NORMAL", False)])
def test_sqlite_what_was_answered_survives_a_power_cut(
    disk: Path, tmp_path: Path, synchronous: str, survive: bool
) -> None:
    """The negative twin, NORMAL, loses what was answered.

    The reader keeps any connection of the server from being the last one: that one's end would write everything.
    """
    file = disk / "pacsync.sqlite3"
    url, env = migrated.sqlite(file), settings_with(tmp_path, synchronous)
    token = token_for(url, **env)
    run("sync", "-f", disk)
    with running_server(url, **env) as server, contextlib.closing(sqlite3.connect(file)) as reader:
        reader.execute("SELECT count(*) FROM fleet_pool").fetchone()
        assert make_pools(server.url, token) == ROWS
        with (
            after_a_power_cut(disk) as place,
            contextlib.closing(sqlite3.connect(place / "pacsync.sqlite3")) as connection,
        ):
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (found,) = connection.execute("SELECT count(*) FROM fleet_pool").fetchone()
    assert (found == ROWS) is survive, found


@pytest.mark.parametrize("protected", [True, False])
def test_postgresql_what_was_answered_survives_a_power_cut_whatever_the_role_presets(
    disk: Path, tmp_path: Path, protected: bool
) -> None:
    """The role presets synchronous_commit = off. The negative twin says so itself, in DATABASE_URL: that wins."""
    options = {"fsync": "on", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "checkpoint_timeout": "1h"}
    with postgres_on(disk / "pg", **options) as postgres:
        url = postgres.url() + ("" if protected else "?options=-c%20synchronous_commit%3Doff")
        with postgres.connect() as connection:
            connection.execute("ALTER ROLE postgres SET synchronous_commit = off")
            connection.execute("CHECKPOINT")
        token = token_for(url)
        run("sync", "-f", disk)
        with running_server(url, INSTANCE_HEARTBEAT_INTERVAL=3600) as server:
            assert make_pools(server.url, token) == ROWS
            with (
                after_a_power_cut(disk) as place,
                postgres_on(place / "pg", made=True) as survivor,
                survivor.connect() as connection,
            ):
                row = connection.execute("SELECT count(*) FROM fleet_pool").fetchone()
    assert row is not None
    assert (row[0] == ROWS) is protected, row


@contextlib.contextmanager
def postgres_on(folder: Path, *, made: bool = False, **options: object) -> Iterator[Postgres]:
    """A started PostgreSQL whose data directory is in `folder`, or is there already."""
    with contextlib.ExitStack() as stack:
        server = MigratedPostgres(**options)
        stack.callback(server.delete)
        if made:
            shutil.rmtree(server.data)
            (folder / "data" / "postmaster.pid").unlink()
        else:
            folder.mkdir()
            shutil.move(server.data, folder / "data")
            if UNPRIVILEGED:
                run("chown", "-R", UNPRIVILEGED, folder)
        server.data = folder / "data"
        stack.callback(server.stop)
        server.start()
        yield server
