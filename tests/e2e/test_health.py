"""Health of real servers: hosts, workers, kills, drains, and a database that is missing, unmigrated or strange."""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from prometheus_client import parser

from tests.bench.load import with_threads
from tests.support.postgres import Postgres, free_port
from tests.support.server import Server, manage, migrate, running_server
from tests.support.wait import until


class Answer(NamedTuple):
    status: int
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(server: Server, path: str, **headers: str) -> Answer:
    """One request on a connection of its own."""
    started = time.monotonic()
    named = {key.replace("_", "-"): headers[key] for key in headers}
    request = urllib.request.Request(server.url + path, headers=named)  # noqa: S310 - our own loopback address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return Answer(answer.status, answer.read(), time.monotonic() - started)
    except urllib.error.HTTPError as answer:
        with answer:
            return Answer(answer.code, answer.read(), time.monotonic() - started)


def is_ready(server: Server) -> bool:
    return get(server, "/health/ready").status == 200


def reason(server: Server) -> str:
    return str(get(server, "/health/ready").json.get("reason", ""))


def total(server: Server, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    families = parser.text_string_to_metric_families(get(server, "/metrics").body.decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'pacsync.sqlite3'}"


@pytest.fixture
def workers(postgres_url: str) -> Iterator[Server]:
    """An instance with three workers on PostgreSQL, ready."""
    with running_server(postgres_url, WEB_CONCURRENCY=3, DB_POOL_MAX_SIZE=7) as server:
        until(lambda: is_ready(server))
        yield server


def test_probes_of_a_production_server_take_any_host(sqlite_url: str) -> None:
    with running_server(sqlite_url, ENVIRONMENT="production", ALLOWED_HOSTS="pacsync.example") as server:
        until(lambda: is_ready(server))
        for path in ("/health", "/health/live", "/health/ready", "/health/startup", "/health/detailed", "/metrics"):
            assert get(server, path, Host="10.1.2.3").status == 200
            assert get(server, path + "/", Host="10.1.2.3").status == 200
        assert get(server, "/admin/login/", Host="10.1.2.3").status == 400  # whoever else comes needs a known host
        assert get(server, "/health/live", Host="10.1.2.3", X_Forwarded_Proto="http").status == 200


def test_workers_report_is_the_instance_whichever_answers(workers: Server) -> None:
    before = total(workers, "pacsync_http_requests_total", route="/health/live", status="200")
    for _ in range(90):
        assert get(workers, "/health/live").status == 200
    reports = [get(workers, "/health/detailed").json for _ in range(12)]
    for report in reports:
        assert report["status"] == "healthy"
        assert len(report["workers"]) == 3
        assert report["components"]["database"]["max_size"] == 7
        assert report["components"]["database"]["size"] <= 7
    for _ in range(6):  # every worker knows what all of them have counted
        counted = total(workers, "pacsync_http_requests_total", route="/health/live", status="200")
        assert counted - before == 90


def test_worker_killed_takes_nothing_back(workers: Server) -> None:
    for _ in range(60):
        get(workers, "/health/live")
    before = total(workers, "pacsync_http_requests_total", route="/health/live")
    pids = {child.pid for child in psutil.Process(workers.pid).children()}
    os.kill(min(pids), signal.SIGKILL)
    seen = before
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            now = total(workers, "pacsync_http_requests_total", route="/health/live")
            assert get(workers, "/health/ready").status == 200
        except (OSError, http.client.HTTPException):  # the request that the killed worker had accepted
            continue
        assert now >= seen
        seen = now
        time.sleep(0.05)
    assert total(workers, "pacsync_workers") == 3
    assert min(pids) not in {child.pid for child in psutil.Process(workers.pid).children()}
    report = get(workers, "/health/detailed").json
    assert (report["status"], len(report["workers"])) == ("healthy", 3)
    assert report["components"]["database"]["size"] <= 7


def test_metrics_leave_no_file_behind(sqlite_url: str, tmp_path: Path) -> None:
    places = [tmp_path, Path("/dev/shm")]
    with running_server(sqlite_url, WEB_CONCURRENCY=2, TMPDIR=tmp_path) as server:
        until(lambda: is_ready(server))
        assert total(server, "pacsync_http_requests_total") > 0
        server.kill()
        left = [path.name for place in places for path in place.iterdir()]
    # Rehearsals are of agents that other tests killed.
    assert not [name for name in left if "pacsync" in name and "sqlite3" not in name and "rehearsal" not in name]


def test_unmigrated_database_says_so_until_it_is_migrated(sqlite: str) -> None:
    with contextlib.closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))):
        pass  # a file without tables
    with running_server(sqlite) as server:
        until(lambda: reason(server) == "migrations_pending")
        assert get(server, "/health/live").status == get(server, "/health/startup").status == 200
        report = get(server, "/health/detailed").json
        assert report["components"]["migrations"]["status"] == "unhealthy"
        assert set(report["components"]["dependencies"].values()) == {"not_initialized"}
        assert manage(sqlite, "healthcheck").returncode == 1
        migrate(sqlite)
        until(lambda: is_ready(server), 10)
        assert manage(sqlite, "healthcheck", "--url", server.url, "--wait", "5").returncode == 0


def test_unreachable_database_at_the_start_is_not_ready_but_alive() -> None:
    with running_server(f"postgresql://pacsync:hunter2@127.0.0.1:{free_port()}/pacsync") as server:
        until(lambda: reason(server) == "database_unhealthy")
        assert get(server, "/health/live").status == get(server, "/health/startup").status == 200
        assert get(server, "/health").status == 503
        assert get(server, "/health/components/dbpool").status == 503
        assert get(server, "/health/ready?exclude=dbpool").status == 503
        for form in ("json", "html", "prometheus", "openmetrics"):
            body = get(server, f"/health/detailed?format={form}").body
            assert b"hunter2" not in body
            assert b"Connection refused" not in body
        done = manage("sqlite:////nonexistent", "healthcheck", "--url", server.url)
        assert (done.returncode, done.stderr) == (1, "")
        assert "database_unhealthy" in done.stdout


def test_drain_is_shutting_down_while_everything_is_served(sqlite_url: str) -> None:
    with running_server(sqlite_url, SHUTDOWN_DRAIN_DELAY=3, WEB_CONCURRENCY=2) as server:
        until(lambda: is_ready(server))
        server.signal(signal.SIGTERM)
        until(lambda: reason(server) == "shutting_down", 2)
        assert get(server, "/health/live").status == get(server, "/health").status == 200
        report = get(server, "/health/detailed").json
        assert report["lifecycle"]["phase"] == "draining"
        assert report["lifecycle"]["shutdown"]["signal"] == "SIGTERM"
        assert total(server, "pacsync_lifecycle_phase", phase="draining") == 1
        assert total(server, "pacsync_shutdown_duration_seconds") > 0


def test_many_probes_let_nothing_grow(shared_postgres: Postgres, postgres_url: str) -> None:
    """20,000 probes: hours of a kubelet and two load balancers, in some seconds."""
    with running_server(postgres_url, DB_POOL_MAX_SIZE=3, DB_POOL_MIN_SIZE=1) as server:
        until(lambda: is_ready(server))
        for path in ("/health/ready", "/metrics"):
            with_threads(server.url + path, 2)  # every path was taken once, and threads are there
        (worker,) = psutil.Process(server.pid).children()
        before = worker.memory_info().rss, worker.num_threads(), worker.num_fds()
        asked = 0.0
        while asked < 20_000:
            for path in ("/health/ready", "/health/live", "/health"):
                figures = with_threads(server.url + path, 2)
                assert figures.errors == 0
                asked += figures.rate * 2
        assert total(server, "pacsync_http_requests_total") >= 20_000
        time.sleep(0.5)
        assert worker.memory_info().rss - before[0] < 8_000_000
        assert worker.num_threads() <= before[1] + 2
        assert worker.num_fds() <= before[2] + 4
        until(lambda: shared_postgres.client_backends(postgres_url) <= 3)
