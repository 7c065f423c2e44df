"""The only synchronous standby is gone: COMMIT waits for ever. What do other requests, probes and the client see?"""

import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.e2e.test_health import get, is_ready
from tests.e2e.test_race import Caller, report
from tests.support.api import Calls, call
from tests.support.migrated import running_postgres
from tests.support.postgres import Postgres
from tests.support.server import Server, manage, running_server
from tests.support.wait import until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    with running_postgres() as made:
        yield made


@pytest.fixture(scope="module")
def token(cluster: Postgres) -> str:
    done = manage(cluster.url(), "create_api_token", "tests", "--role", "operator")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def standby_is_gone(cluster: Postgres, gone: bool) -> None:
    """Name a standby that isn't there (or none): then each COMMIT waits for it."""
    with cluster.connect() as connection:
        name = "'nobody'" if gone else "''"
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = {name}")
        connection.execute("SELECT pg_reload_conf()")
    until(lambda: standby_of(cluster) == ("nobody" if gone else ""))


def standby_of(cluster: Postgres) -> object:
    """What a new connection sees; the others have been told before it was let in."""
    with cluster.connect() as connection:
        found = connection.execute("SHOW synchronous_standby_names").fetchone()
        return found and found[0]


@pytest.fixture
def standby(cluster: Postgres) -> Iterator[None]:
    """Back again at the end of each test."""
    yield
    standby_is_gone(cluster, False)
    with cluster.connect() as connection:  # what a twin left hanging
        connection.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")


def reason(server: Server) -> str | None:
    return get(server, "/health/ready").json.get("reason")


def pools(prefix: str, count: int) -> list[tuple[str, object]]:
    return [("/pools", {"name": f"{prefix}-{number}"}) for number in range(count)]


def test_standby_gone_reads_go_on_and_writes_are_refused(cluster: Postgres, token: str, standby: None) -> None:
    with running_server(cluster.url(), DB_COMMIT_TIMEOUT=4, HEALTH_CHECK_INTERVAL=3600) as server:
        until(lambda: is_ready(server))
        standby_is_gone(cluster, True)
        calls = Calls(server.port, token, "POST", pools("stuck", 20))
        reads = []
        while not (len(calls.replies) == 20 and len(reads) > 10):
            reads.append(call(server.port, token, "GET", "/pools"))
            time.sleep(0.1)
        replies = calls.wait()
        # Each read was answered while the writes hung, and none waited for them.
        assert {reply.status for reply in reads} == {200}, [reply.body for reply in reads if reply.status != 200]
        assert {reply.status for reply in replies} == {503}
        assert {reply.code for reply in replies} <= {"outcome_unknown", "busy", "database_not_writable"}
        assert "outcome_unknown" in {reply.code for reply in replies}
        # And readiness says it; further writes are refused before they hold a connection.
        until(lambda: reason(server) == "database_not_writable", 30)
        refused = call(server.port, token, "POST", "/pools", {"name": "later"})
        assert (refused.status, refused.code) == (503, "database_not_writable")
        report = get(server, "/health/detailed").json
        assert report["components"]["database"]["status"] == "healthy"
        found = {check["name"]: check["problem"] for check in report["checks"]}
        assert found["database_writes"] == "commit_timed_out"
        metrics = get(server, "/metrics").body.decode()
        assert "pacsync_database_writable 0.0" in metrics
        assert 'pacsync_database_write_problem{problem="commit_timed_out"} 1.0' in metrics
        standby_is_gone(cluster, False)
        until(lambda: is_ready(server), 30)
        assert call(server.port, token, "POST", "/pools", {"name": "afterwards"}).status == 201


def test_outcome_unknown_of_a_new_pool_a_repeat_says_that_the_name_is_taken(
    cluster: Postgres, token: str, standby: None
) -> None:
    with running_server(cluster.url(), DB_COMMIT_TIMEOUT=1, HEALTH_CHECK_INTERVAL=3600) as server:
        until(lambda: is_ready(server))
        standby_is_gone(cluster, True)
        first = call(server.port, token, "POST", "/pools", {"name": "unknown"})
        assert (first.status, first.code) == (503, "outcome_unknown")
        standby_is_gone(cluster, False)
        until(lambda: is_ready(server), 30)
        # PostgreSQL has committed it on this server: neither "created" nor "refused" would have been true.
        assert call(server.port, token, "GET", "/pools/unknown").status == 200
        assert call(server.port, token, "POST", "/pools", {"name": "unknown"}).code == "name_taken"


def test_outcome_unknown_of_an_operation_a_repeat_with_its_key_gets_the_stored_one(
    cluster: Postgres, token: str, standby: None
) -> None:
    with running_server(cluster.url(), DB_COMMIT_TIMEOUT=1, HEALTH_CHECK_INTERVAL=3600) as server:
        until(lambda: is_ready(server))
        operator = Caller(server, token)
        operator.ok("POST", "/pools", {"name": "keyed"})
        code = operator.ok("POST", "/enrolment-codes", {"pool": "keyed"})["code"]
        machine = Caller(
            server, operator.ok("POST", "/enroll", {"code": code, "name": "m1", "arch": "x86_64"})["token"]
        )
        report(machine, 1, "linux 2-1")
        operator.ok("POST", "/pools/keyed/targets", {"endpoint": "m1", "expected_number": 0})
        report(machine, 2, "linux 1-1")
        standby_is_gone(cluster, True)
        body = {"kind": "sync", "idempotency_key": "the-key"}
        status, answer = machine.call("POST", "/operations", body)
        assert (status, answer["code"]) == (503, "outcome_unknown")
        standby_is_gone(cluster, False)
        until(lambda: is_ready(server), 30)
        status, stored = machine.call("POST", "/operations", body)
        assert (status, stored["status"]) == (200, "queued")
        assert [item["id"] for item in operator.ok("GET", "/operations?endpoint=m1")["items"]] == [stored["id"]]


def test_standby_gone_without_the_limit_nothing_ends(cluster: Postgres, token: str, standby: None) -> None:
    """The twin: no limit in sight, and a client that gives up by itself."""
    with running_server(cluster.url(), DB_COMMIT_TIMEOUT=3600, INSTANCE_HEARTBEAT_INTERVAL=3600) as server:
        until(lambda: is_ready(server))
        standby_is_gone(cluster, True)
        assert call(server.port, token, "POST", "/pools", {"name": "for-ever"}, timeout=8).status == 0
        standby_is_gone(cluster, False)


def test_frozen_during_commit_connection_is_dropped(cluster: Postgres, token: str, standby: None) -> None:
    with running_server(cluster.url(), DB_COMMIT_TIMEOUT=1, HEALTH_CHECK_INTERVAL=3600) as server:
        until(lambda: is_ready(server))
        standby_is_gone(cluster, True)
        calls = Calls(server.port, token, "POST", pools("frozen", 1))
        with psycopg.connect(cluster.url(), autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: watcher.execute(waiting).fetchone() != (0,))
        cluster.freeze()
        try:
            replies = calls.wait(30)
        finally:
            cluster.thaw()
        assert [reply.code for reply in replies] == ["outcome_unknown"], server.log()
