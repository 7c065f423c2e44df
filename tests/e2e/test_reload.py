"""SIGHUP and the replacement of workers by a real gunicorn: the old worker serves until the new one does."""

import json
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.e2e.dbpool_numbers import numbers, watched
from tests.e2e.reloading import SLOW_LOAD, refusals, replaced, workers
from tests.support import release_copy as release
from tests.support.load import Load, get
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.sample import every
from tests.support.wait import until

pytestmark = pytest.mark.timeout(300)  # on a busy machine the trial of a reload alone takes half a minute


# --- no gap -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("count", "preload"), every(2, [(1, "false"), (1, "true"), (2, "true"), (2, "false")]))
def test_sighup_under_load_nothing_lost_and_always_ready(
    playground: Start, sqlite_url: str, count: int, preload: str
) -> None:
    env = {"WEB_CONCURRENCY": count, "PRELOAD_APP": preload, "PLAYGROUND_SLOW_LOAD": SLOW_LOAD}
    with playground(sqlite_url, **env) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        until(lambda: len(workers(server)) == count)
        old = workers(server)
        with (
            Load(server.port, "/sleep/2", clients=5, pause=0.05, keep_alive=False) as load,
            Load(server.port, "/health/ready", clients=1, pause=0.05, keep_alive=False) as ready,
            Load(server.port, "/health/live", clients=1, pause=0.05, keep_alive=False) as live,
        ):
            server.signal(signal.SIGHUP)
            until(lambda: replaced(server, old, count), 120)
            time.sleep(0.5)
        assert (set(load.seen), set(ready.seen), set(live.seen)) == ({200}, {200}, {200})
        assert max(ready.slowest, live.slowest) < SLOW_LOAD - 1  # none waited for a worker to load
        assert server.stop() == 0


def test_sighup_without_overlap_probes_wait_for_the_new_worker(playground: Start, sqlite_url: str) -> None:
    """The negative twin is gunicorn's own reload."""
    env = {"PLAYGROUND_SLOW_LOAD": SLOW_LOAD, "PLAYGROUND_WITHOUT_OVERLAP": 1}
    with playground(sqlite_url, **env) as server:
        old = workers(server)
        with Load(server.port, "/health/live", clients=1, pause=0.05, keep_alive=False) as live:
            server.signal(signal.SIGHUP)
            until(lambda: replaced(server, old, 1), 120)
        assert live.slowest > SLOW_LOAD - 1


@pytest.mark.parametrize("overlap", [True, False])
def test_the_only_worker_reaches_its_limit_of_requests(playground: Start, sqlite_url: str, overlap: bool) -> None:
    """It serves until another one does; the negative twin ends it first, as gunicorn does."""
    env = {"WEB_MAX_REQUESTS": 100, "PLAYGROUND_SLOW_LOAD": SLOW_LOAD}
    twin = {} if overlap else {"PLAYGROUND_WITHOUT_OVERLAP": 1}
    with playground(sqlite_url, **env, **twin) as server:
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        old = workers(server)
        with (
            Load(server.port, "/sleep/2", clients=3, pause=0.05, keep_alive=False) as load,
            Load(server.port, "/health/ready", clients=1, pause=0.05, keep_alive=False) as ready,
        ):
            until(lambda: replaced(server, old, 1), 120)
        if overlap:
            assert (set(load.seen), set(ready.seen)) == ({200}, {200})
            assert ready.slowest < SLOW_LOAD - 1
            assert "asks to be replaced" in server.log()
        else:
            assert ready.slowest > SLOW_LOAD - 1 or set(ready.seen) != {200}


def test_probes_do_not_count_for_the_limit_of_requests(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_MAX_REQUESTS=10) as server:
        for path in ("/health/live", "/health/ready", "/health", "/metrics", "/health/detailed") * 6:
            get(server.port, path)
        assert "asks to be replaced" not in server.log()
        for _ in range(12):
            get(server.port, "/sleep/0")
        until(lambda: "asks to be replaced" in server.log())


def test_sighup_new_workers_cannot_be_started_the_old_ones_serve(sqlite_url: str, tmp_path: Path) -> None:
    """No file for a worker's heartbeat: as good as no process, memory or descriptor."""
    folder, gone = tmp_path / "heartbeats", tmp_path / "gone"
    folder.mkdir()
    server = Playground(sqlite_url, tmp_path, WEB_CONCURRENCY=2)
    server.options = (f"--worker-tmp-dir={folder}",)
    with server.started():
        until(lambda: len(workers(server)) == 2)
        old = workers(server)
        folder.rename(gone)
        server.signal(signal.SIGHUP)
        until(lambda: "A worker can't be started: " in server.log(), 60)
        assert get(server.port, "/health/ready")[0] == 200
        assert workers(server) == old
        gone.rename(folder)
        until(lambda: replaced(server, old, 2), 60)
        assert server.stop() == 0


def test_start_first_worker_cannot_be_started_is_said_in_one_line(sqlite_url: str, tmp_path: Path) -> None:
    server = Playground(sqlite_url, tmp_path)
    server.options = (f"--worker-tmp-dir={tmp_path / 'nowhere'}",)
    try:
        server.launch()
        assert server.process is not None and server.process.wait(60) != 0
        assert "A worker can't be started: " in server.log()
        assert "Traceback" not in server.log()
    finally:
        server.kill()


# --- the budget of connections ----------------------------------------------------------------------------------------
# The twin has room to open more only where not all connections are open already.
@pytest.mark.parametrize(("permits", "least"), [(True, 1), pytest.param(True, 4, marks=pytest.mark.long), (False, 1)])
def test_sighup_old_and_new_workers_share_the_budget(
    playground: Start, postgres_url: str, shared_postgres: Postgres, permits: bool, least: int
) -> None:
    env = {"WEB_CONCURRENCY": 2, "DB_POOL_MIN_SIZE": least, "DB_POOL_MAX_SIZE": 4, "DB_POOL_TIMEOUT": 20}
    twin = {} if permits else {"PLAYGROUND_WITHOUT_PERMITS": 1}
    with (
        playground(postgres_url, HEALTH_CHECK_INTERVAL=1, **env, **twin) as server,
        watched(shared_postgres, postgres_url) as watch,
    ):
        until(lambda: get(server.port, "/health/ready")[0] == 200)
        until(lambda: len(workers(server)) == 2)
        with (
            Load(server.port, "/query/100", clients=5, pause=0.05, keep_alive=False) as load,
            Load(server.port, "/health/ready", clients=1, pause=0.05, keep_alive=False) as ready,
        ):
            old = workers(server)
            server.signal(signal.SIGHUP)
            until(lambda: replaced(server, old, 2), 150)
        if permits:
            assert watch.most <= 4
            assert (set(load.seen), set(ready.seen)) == ({200}, {200}), (load.refused, ready.refused)
            until(lambda: numbers(server)["size"] == shared_postgres.client_backends(postgres_url) <= 4)
        else:
            assert watch.most > 4


def has_budget(server: Playground, connections: int) -> bool:
    return numbers(server).get("max_size") == connections


def test_sighup_with_other_numbers_they_hold_afterwards(
    playground: Start, postgres_url: str, shared_postgres: Postgres, tmp_path: Path
) -> None:
    count, most = tmp_path / "workers", tmp_path / "connections"
    count.write_text("1\n")
    most.write_text("3\n")
    env = {"WEB_CONCURRENCY_FILE": count, "DB_POOL_MAX_SIZE_FILE": most, "DB_POOL_MIN_SIZE": 1}
    with playground(postgres_url, **env) as server:
        until(lambda: numbers(server).get("max_size") == 3)
        for new_count, new_most in ((3, 7), (1, 2)):
            old = workers(server)
            count.write_text(f"{new_count}\n")
            most.write_text(f"{new_most}\n")
            server.signal(signal.SIGHUP)
            until(partial(replaced, server, old, new_count), 120)
            with (
                watched(shared_postgres, postgres_url) as watch,
                Load(server.port, "/query/20", clients=12, pause=0.002, keep_alive=False) as load,
            ):
                time.sleep(2)
            assert set(load.seen) <= {200, 503}
            assert watch.most <= new_most
            until(partial(has_budget, server, new_most))
        count.write_text("40\n")
        most.write_text("50\n")
        server.signal(signal.SIGHUP)
        until(lambda: refusals(server), 120)
        assert "40 workers don't fit" in refusals(server)[0]


def test_sighup_from_one_worker_to_eight_in_steps(playground: Start, sqlite_url: str, tmp_path: Path) -> None:
    """There is room beside the new workers, too: each step is followed by a reload that changes nothing."""
    count = tmp_path / "workers"
    count.write_text("1")
    with playground(sqlite_url, WEB_CONCURRENCY_FILE=count) as server:
        for new in (4, 4, 8, 8):
            old = workers(server)
            count.write_text(str(new))
            server.signal(signal.SIGHUP)
            until(lambda old=old, new=new: refusals(server) or replaced(server, old, new), 120)  # type: ignore[misc]
            assert refusals(server) == []
        assert server.stop() == 0


# --- code -------------------------------------------------------------------------------------------------------------
def test_sighup_loads_new_code_and_new_settings(sqlite_url: str, tmp_path: Path) -> None:
    root = release.copy(tmp_path / "release")
    with release.ReleasePlayground(root, sqlite_url, tmp_path).started() as server:
        old = workers(server)
        views, settings = root / "tests/support/playground/urls.py", root / "pacsync/__init__.py"
        views.write_text(views.read_text().replace('"slept"', '"slept well"'))
        settings.write_text(settings.read_text().replace("1.0.0", "9.9.9"))
        server.signal(signal.SIGHUP)
        until(lambda: replaced(server, old, 1), 120)
        assert get(server.port, "/sleep/0")[2] == b"slept well"
        assert json.loads(get(server.port, "/health")[2])["version"] == "9.9.9"
        assert server.stop() == 0


BROKEN_IN_A_WORKER_ONLY = """
import sys
if not sys.modules["apps.lifecycle.gunicorn.reload.trial_mode"].mode.is_on:
    raise SystemExit(3)
"""


def test_worker_that_cannot_start_after_a_good_trial_the_old_one_serves_until_one_can(
    sqlite_url: str, tmp_path: Path
) -> None:
    root = release.copy(tmp_path / "release")
    with release.ReleasePlayground(root, sqlite_url, tmp_path).started() as server:
        old = workers(server)
        urls = root / "pacsync/urls.py"
        good = urls.read_text()
        urls.write_text(good + BROKEN_IN_A_WORKER_ONLY)
        with Load(server.port, "/health/live", clients=1, pause=0.05, keep_alive=False) as live:
            server.signal(signal.SIGHUP)
            until(lambda: server.log().count("The workers that serve continue") >= 2, 120)
            assert workers(server) & old
            urls.write_text(good)
            until(lambda: replaced(server, old, 1), 120)
        assert set(live.seen) == {200}
        assert server.stop() == 0
