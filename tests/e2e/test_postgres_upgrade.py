"""PostgreSQL's next major version, as docs/operations/maintenance.md describes it: a backup of the old one is restored.

The old version is Debian's, the new one is the Python package's.
"""

import contextlib
import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.support import postgres
from tests.support.backups import Backups
from tests.support.postgres import UNPRIVILEGED, Postgres, program_directory, running_postgres
from tests.support.server import ROOT, Server, manage, migrate, running_server
from tests.support.wait import until

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
REFUSED = "database files are incompatible with server"


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A running server of the old version with a migrated database `pacsync`."""
    if not DEBIAN:
        (pytest.fail if os.environ.get("PACSYNC_REQUIRE_ALL") == "1" else pytest.skip)("apt-get install postgresql")
    with monkeypatch.context() as patch:
        patch.setattr(postgres, "program_directory", lambda: DEBIAN[0])
        server = Postgres()
        server.start()
    try:
        migrate(server.create_database("pacsync"))
        yield server
    finally:
        server.delete()


def everything(url: str) -> dict[str, list[str]]:
    """Each row of each table, and where each sequence is."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        found = {}
        for (name,) in tables:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)))
            found[name] = sorted(str(row[0]) for row in rows)
        sequences = connection.execute("SELECT sequencename || ' ' || last_value FROM pg_sequences").fetchall()
    return found | {"sequences": sorted(str(row[0]) for row in sequences)}


def request(server: Server, method: str, path: str, token: str, body: object = None) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with contextlib.closing(http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_data_of_the_old_version_is_the_same_in_the_new_one_and_pacsync_goes_on(old: Postgres, tmp_path: Path) -> None:
    url = old.url("pacsync")
    token = manage(url, "create_api_token", "kept", "--role", "operator").stdout.split()[-1]
    with running_server(url) as server:
        for name in ("a-1", "B_2", "b-3"):
            assert request(server, "POST", "/api/v1/pools", token, {"name": name})[0] == 201
    before = everything(url)
    assert len(before["fleet_pool"]) == 3
    Backups(url, tmp_path, DEBIAN[0]).make()

    with running_postgres() as new:
        with new.connect() as connection:
            assert connection.info.server_version // 10_000 > int(DEBIAN[0].parent.name), "it is no newer version"
            connection.execute("CREATE DATABASE pacsync TEMPLATE template0")
        restored = new.url("pacsync")
        done = Backups(restored, tmp_path).run("restore")
        assert done.returncode == 0, done.stderr
        assert everything(restored) == before
        assert manage(restored, "migrate", "--check").returncode == 0
        with running_server(restored) as server:
            until(lambda: request(server, "GET", "/health/ready", token)[0] == 200, 90)
            assert request(server, "GET", "/api/v1/pools/b-3", token)[0] == 200
            assert request(server, "POST", "/api/v1/pools", token, {"name": "new"})[0] == 201


def test_new_version_refuses_the_old_ones_files_as_the_page_says_and_leaves_them(old: Postgres) -> None:
    """Somebody only changed the image: the container ends at once, and goes back with the old image."""
    before = everything(old.url("pacsync"))
    assert old.process is not None
    old.process.terminate()  # an orderly stop, as of a container that is replaced
    old.process.wait(60)
    new = [program_directory() / "postgres", "-D", old.data, "-k", old.directory]
    done = subprocess.run(new, user=UNPRIVILEGED, cwd="/", capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert f"FATAL:  {REFUSED}" in done.stderr
    assert REFUSED in (ROOT / "docs" / "operations" / "maintenance.md").read_text()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "program_directory", lambda: DEBIAN[0])
        old.start()
    assert everything(old.url("pacsync")) == before
