"""A database that answers and takes no writes: readiness says so, reads work, and it recovers without a restart."""

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_health import get, is_ready
from tests.support import migrated
from tests.support.api import Reply, call
from tests.support.disk import small_disk
from tests.support.migrated import running_postgres
from tests.support.postgres import UNPRIVILEGED, Postgres
from tests.support.server import Server, manage, running_server
from tests.support.wait import until

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    with running_postgres() as made:
        yield made


@contextmanager
def serving(url: str, **env: object) -> Iterator[tuple[Server, str]]:
    """A server that is ready, and an operator's token. An hour between checks: only witnesses wake the checker."""
    done = manage(url, "create_api_token", f"tests-{next(_numbers)}", "--role", "operator")
    assert done.returncode == 0, done.stderr
    with running_server(url, **{"HEALTH_CHECK_INTERVAL": 3600} | env) as server:
        until(lambda: is_ready(server))
        yield server, done.stdout.strip()


def make_pool(server: Server, token: str) -> Reply:
    return call(server.port, token, "POST", "/pools", {"name": f"p{next(_numbers)}", "description": "x" * 450})


def reason(server: Server) -> str | None:
    return get(server, "/health/ready").json.get("reason")


def problem(server: Server) -> str | None:
    checks = {check["name"]: check["problem"] for check in get(server, "/health/detailed").json["checks"]}
    return str(checks["database_writes"])


def assert_reads_go_on(server: Server, token: str) -> None:
    assert call(server.port, token, "GET", "/pools").status == 200
    assert get(server, "/login").status == 200
    assert get(server, "/health/live").status == 200
    assert get(server, "/health/detailed").json["components"]["database"]["status"] == "healthy"


def role(cluster: Postgres, database: str) -> str:
    """A migrated database, and a role with the rights that a server needs: the role's URL."""
    url = cluster.create_database(database)
    with cluster.connect(database) as connection:
        connection.execute(f'CREATE ROLE "{database}" LOGIN')
        connection.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{database}"')
    return url.replace("postgres@", f"{database}@")


@pytest.mark.parametrize("where", ["ALL TABLES IN SCHEMA public", "fleet_pool, fleet_endpoint"])
def test_rights_lost_and_given_back(cluster: Postgres, where: str) -> None:
    """Of the heartbeat's own table, or only of others: then a request's refusal has it looked at."""
    database = f"rights{next(_numbers)}"
    with serving(role(cluster, database), INSTANCE_HEARTBEAT_INTERVAL=1) as (server, token):
        with cluster.connect(database) as connection:
            connection.execute(f'REVOKE INSERT, UPDATE, DELETE ON {where} FROM "{database}"')
            refused = make_pool(server, token)
            assert (refused.status, refused.code) == (503, "database_not_writable")
            until(lambda: reason(server) == "database_not_writable")
            assert problem(server) == "no_right"
            assert_reads_go_on(server, token)
            connection.execute(f'GRANT INSERT, UPDATE, DELETE ON {where} TO "{database}"')
        until(lambda: is_ready(server))
        assert make_pool(server, token).status == 201


FORBIDDING = {
    "reading": ('REVOKE SELECT ON fleet_auditevent FROM "{role}"', 'GRANT SELECT ON fleet_auditevent TO "{role}"'),
    "row security": (
        "CREATE POLICY reading ON fleet_pool FOR SELECT USING (true); ALTER TABLE fleet_pool ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE fleet_pool DISABLE ROW LEVEL SECURITY",
    ),
}


@pytest.mark.parametrize("what", FORBIDDING)
def test_writes_forbidden_in_another_way_are_noticed_too(cluster: Postgres, what: str) -> None:
    database = f"rights{next(_numbers)}"
    forbid, allow = (statement.format(role=database) for statement in FORBIDDING[what])
    with serving(role(cluster, database), INSTANCE_HEARTBEAT_INTERVAL=1) as (server, token):
        with cluster.connect(database) as connection:
            connection.execute(forbid)
            assert make_pool(server, token).status == 503
            until(lambda: reason(server) == "database_not_writable")
            assert problem(server) == "no_right"
            connection.execute(allow)
        until(lambda: is_ready(server))
        assert make_pool(server, token).status == 201


TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not on my watch'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON lifecycle_instance FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_heartbeat_refused_for_a_reason_that_nobody_knows(cluster: Postgres) -> None:
    database = f"rights{next(_numbers)}"
    with serving(role(cluster, database), INSTANCE_HEARTBEAT_INTERVAL=1) as (server, token):
        with cluster.connect(database) as connection:
            connection.execute(TRIGGER)
            until(lambda: reason(server) == "database_not_writable")
            assert problem(server) == "refused"
            assert_reads_go_on(server, token)
            assert "not on my watch" in server.log()
            connection.execute("DROP TRIGGER refuse ON lifecycle_instance")
        until(lambda: is_ready(server))


def test_right_to_use_the_schema_lost_and_given_back(cluster: Postgres) -> None:
    """No table can be seen then; it isn't for want of migrations."""
    database = f"rights{next(_numbers)}"
    with serving(role(cluster, database), HEALTH_CHECK_INTERVAL=1) as (server, _):
        with cluster.connect(database) as connection:
            connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
            until(lambda: reason(server) == "database_right_missing")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        until(lambda: is_ready(server))


def test_rights_lost_nobody_writes_the_heartbeat_notices(cluster: Postgres) -> None:
    database = f"rights{next(_numbers)}"
    with serving(role(cluster, database), INSTANCE_HEARTBEAT_INTERVAL=1) as (server, _):
        with cluster.connect(database) as connection:
            connection.execute(f'REVOKE UPDATE ON ALL TABLES IN SCHEMA public FROM "{database}"')
        until(lambda: reason(server) == "database_not_writable")


def test_rights_lost_without_a_witness_stays_ready(cluster: Postgres) -> None:
    """The twin: no heartbeat is due and no request writes, so nobody knows."""
    database = f"rights{next(_numbers)}"
    with serving(role(cluster, database), INSTANCE_HEARTBEAT_INTERVAL=3600) as (server, _):
        with cluster.connect(database) as connection:
            connection.execute(f'REVOKE UPDATE ON ALL TABLES IN SCHEMA public FROM "{database}"')
        for _ in range(30):
            assert is_ready(server)


def test_disk_full_and_freed(cluster: Postgres, tmp_path: Path) -> None:
    with small_disk(cluster.directory / "tablespace", "64m") as disk:
        folder = disk.path / "database"
        subprocess.run(["install", "-d", "-o", UNPRIVILEGED or "root", "-m", "0700", str(folder)], check=True)
        with cluster.connect() as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
            connection.execute("CREATE DATABASE small TEMPLATE migrated TABLESPACE small")
        url = cluster.url("small")
        with serving(url) as (server, token):
            disk.fill()
            # Pages with room still take rows; then the table must grow.
            refused = until(lambda: (reply := make_pool(server, token)).status == 503 and reply)
            assert refused.code == "database_not_writable", refused.body
            until(lambda: reason(server) == "database_not_writable")
            assert problem(server) == "disk_full"
            assert_reads_go_on(server, token)
            disk.free()
            until(lambda: is_ready(server))
            assert make_pool(server, token).status == 201
        with cluster.connect() as connection:
            connection.execute("DROP DATABASE small WITH (FORCE)")
            connection.execute("DROP TABLESPACE small")


def test_sqlite_disk_full_and_freed(tmp_path: Path) -> None:
    """SQLite's WAL needs room for reading, too: whoever opens the file first makes its shared memory beside it."""
    with small_disk(tmp_path / "disk", "16m") as disk:
        url = migrated.sqlite(disk.path / "db.sqlite3")
        with serving(url) as (server, token):
            disk.fill()
            refused = until(lambda: (reply := make_pool(server, token)).status == 503 and reply)
            assert refused.code in {"database_not_writable", "database_unavailable"}, refused.body
            until(lambda: reason(server) in {"database_not_writable", "database_unhealthy"})
            assert get(server, "/health/live").status == 200
            disk.free()
            until(lambda: is_ready(server))
            assert make_pool(server, token).status == 201
