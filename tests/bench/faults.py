"""The faults of the bench, each done to PacSync and to a plain Django project on the same PostgreSQL.

The plain project has Django's own psycopg pool and django-health-check's view, under plain gunicorn.
"""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench import load
from tests.bench.probes import Probes, probe
from tests.bench.row import Figures, Row
from tests.bench.servers import running_peer
from tests.support.load import Load, get, in_background
from tests.support.playground import Playground
from tests.support.postgres import Postgres, running_postgres
from tests.support.server import Server, migrate
from tests.support.wait import until

FREEZE = 12.0  # seconds


@contextmanager
def pacsync(url: str, **env: object) -> Iterator[Playground]:
    """PacSync with the views of tests/support/playground, ready."""
    with Playground(url, Path(tempfile.mkdtemp(prefix="pacsync-bench-")), **env).started() as server:
        until(lambda: probe(server.port, "/health/ready") == 200)
        yield server


@contextmanager
def database(**options: object) -> Iterator[tuple[Postgres, str]]:
    """A PostgreSQL with a migrated database, and that database's URL."""
    with running_postgres(**options) as postgres:
        url = postgres.create_database("bench")
        migrate(url)
        yield postgres, url


def statements_per_probe() -> Row:
    row = Row("SQL statements per probe", "0")
    with database(log_statement="all", log_min_duration_statement=0) as (postgres, url):

        def logged() -> int:
            return (postgres.directory / "log").read_text(errors="replace").count("LOG:  ")

        def during(port: int, path: str, probes: int, pause: float) -> tuple[int, float]:
            before, began = logged(), time.monotonic()
            for _ in range(probes):
                probe(port, path, timeout=10)
                time.sleep(pause)
            return logged() - before, time.monotonic() - began

        def each(port: int, path: str) -> float:
            """What grows with the probes; the checker and the background loops send theirs by the clock."""
            few, long = during(port, path, 100, 0.1)
            many, short = during(port, path, 1600, 0)
            return max(0.0, round((many - few * short / long) / 1500, 2))

        with pacsync(url) as server:
            row.pacsync = {"statements": each(server.port, "/health/ready")}
        with running_peer(url, "health_check") as peer:
            row.peer = {"statements": each(peer.port, "/")}
    return row


def frozen() -> Row:
    row = Row(
        f"PostgreSQL frozen for {FREEZE:g} s, ten probes a second",
        "slowest 100 ms; readiness 503 within 5 s, 200 within 2 s of the thaw; liveness always 200",
    )
    with database() as (postgres, url):

        def freeze(server: Server, ready_path: str) -> Figures:
            with Probes(server.port, ready_path) as ready, Probes(server.port, "/health/live") as live:
                time.sleep(2)
                began = time.monotonic()
                postgres.freeze()
                time.sleep(FREEZE)
                thawed = time.monotonic()
                postgres.thaw()
                time.sleep(4)
            return {
                "slowest_ms": round(max(ready.slowest, live.slowest) * 1000),
                "readiness_503_after": ready.first(503, began),
                "readiness_200_after_the_thaw": ready.first(200, thawed),
                "liveness_unanswered": f"{live.unanswered} of {len(live.seen)}",
                "readiness_unanswered": f"{ready.unanswered} of {len(ready.seen)}",
            }

        with pacsync(url, WEB_CONCURRENCY=2) as server:
            row.pacsync = freeze(server, "/health/ready")
        with running_peer(url, "health_check") as peer:
            row.peer = freeze(peer, "/")
    return row


def restarted() -> Row:
    row = Row("PostgreSQL restarted under an idle dbpool of 8, then 20 requests", "0 failed, the first within 1 s")
    pool = {"DB_POOL_MIN_SIZE": 8, "DB_POOL_MAX_SIZE": 9}
    with database() as (postgres, url):

        def restart(server: Server) -> Figures:
            asked = [in_background(server.port, "/query/500") for _ in range(8)]
            for request in asked:
                request.join()
            until(lambda: postgres.client_backends("bench") >= 8)
            postgres.restart()
            began = time.monotonic()
            statuses = [get(server.port, "/query", timeout=60)[0]]
            first = time.monotonic() - began
            statuses += [get(server.port, "/query", timeout=60)[0] for _ in range(19)]
            return {"failed": sum(status != 200 for status in statuses), "first_answer_after": round(first, 2)}

        with pacsync(url, **pool) as server:
            row.pacsync = restart(server)
        with running_peer(url, "health_check", **pool) as peer:
            row.peer = restart(peer)
    return row


def half_sent() -> Row:
    row = Row(
        "half-sent request at SIGTERM, SHUTDOWN_TIMEOUT=8", "exit 0 within 8 s, cleanup run, no backend in PostgreSQL"
    )
    with database() as (postgres, url), tempfile.TemporaryDirectory() as folder:

        def stop(server: Server, cleaned: Callable[[], bool]) -> Figures:
            assert server.process
            get(server.port, "/query")
            with socket.create_connection(("127.0.0.1", server.port)) as half:
                half.sendall(b"POST /query HTTP/1.1\r\nHost: x\r\nContent-Le")
                time.sleep(0.5)
                began = time.monotonic()
                server.signal(signal.SIGTERM)
                code = server.process.wait(60)
                took = time.monotonic() - began
            return {
                "exit": code,
                "after": round(took, 2),
                "cleanup": cleaned(),
                "backends_left": postgres.client_backends("bench"),
            }

        with pacsync(url, SHUTDOWN_TIMEOUT=8) as server:
            row.pacsync = stop(server, lambda: "first" in server.evidence)
        evidence = Path(folder) / "evidence"
        with running_peer(url, "health_check", "--graceful-timeout=8", PEER_EVIDENCE=evidence) as peer:
            row.peer = stop(peer, evidence.exists)
    return row


def budget() -> Row:
    row = Row("backends with 3 workers and DB_POOL_MAX_SIZE=7 under load", "never more than 7, and the report agrees")
    settings = {"DB_POOL_MIN_SIZE": 3, "DB_POOL_MAX_SIZE": 7}
    with database() as (postgres, url):

        def most(server: Server) -> int:
            with Load(server.port, "/query/20", clients=32, pause=0.001, keep_alive=False):
                end, seen = time.monotonic() + 8, 0
                while time.monotonic() < end:
                    seen = max(seen, postgres.client_backends("bench"))
            return seen

        with pacsync(url, WEB_CONCURRENCY=3, **settings) as server:
            seen = most(server)
            time.sleep(2)
            reported = sum(worker["dbpool"]["size"] for worker in server.workers())
            row.pacsync = {
                "most": seen,
                "reported_then": reported,
                "pg_stat_activity_then": postgres.client_backends("bench"),
            }
        with running_peer(url, "health_check", workers=3, **settings) as peer:
            row.peer = {"most": most(peer)}
    return row


def locked() -> Row:
    row = Row(
        "60 requests held by a locked table for 6 s, 8 threads", "slowest probe 100 ms; surplus 503 with Retry-After"
    )
    with database() as (postgres, url):

        def lock(server: Server) -> Figures:
            get(server.port, "/count")
            with postgres.connect("bench") as locker, locker.transaction():
                locker.execute("LOCK TABLE lifecycle_instance IN ACCESS EXCLUSIVE MODE")
                asked = [in_background(server.port, "/count") for _ in range(60)]
                time.sleep(1)
                with Probes(server.port, "/health/live") as probes:
                    time.sleep(5)
            for request in asked:
                request.join()
            refused = [request for request in asked if request.status == 503]
            return {
                "slowest_ms": round(probes.slowest * 1000),
                "unanswered": f"{probes.unanswered} of {len(probes.seen)}",
                "refused": len(refused),
                "with_retry_after": sum(bool(request.retry_after) for request in refused),
            }

        with pacsync(url, WEB_THREADS=8) as server:
            row.pacsync = lock(server)
        with running_peer(url, "health_check") as peer:
            row.peer = lock(peer)
    return row


def killed() -> Row:
    row = Row("a worker killed with -9 under 8 clients", "its requests only; numbers and budget right again within 2 s")
    with (
        database() as (postgres, url),
        pacsync(url, WEB_CONCURRENCY=2, DB_POOL_MAX_SIZE=6) as server,
        Load(server.port, "/query/20", clients=8, pause=0.01) as running,
    ):
        time.sleep(2)
        victim = psutil.Process(server.pid).children()[0].pid
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()

        def right() -> bool:
            pids = {child.pid for child in psutil.Process(server.pid).children()}
            workers = [worker["dbpool"] for worker in server.workers()]
            sizes = [pool["size"] for pool in workers if pool]
            return victim not in pids and len(sizes) == 2 and sum(sizes) == postgres.client_backends("bench") <= 6

        until(right)
        took = time.monotonic() - began
        time.sleep(2)
        running.stop()
        row.pacsync = {"lost": running.seen["lost"], "of": running.seen.total(), "right_again_after": round(took, 2)}
    return row


def growth() -> Row:
    probes = 200_000
    row = Row(f"{probes:,} probes: before and after", "no growth of memory, threads, descriptors or connections")
    with database() as (postgres, url), pacsync(url) as server:

        def state() -> str:
            process = psutil.Process(server.pid).children()[0]
            memory = process.memory_info().rss / 2**20
            backends = postgres.client_backends("bench")
            rest = f"{process.num_threads()} threads, {process.num_fds()} fds, {backends} backends"
            return f"{memory:.1f} MiB, {rest}"

        load.run(f"{server.url}/health/ready", 5, server.pid)
        before, sent = state(), 0.0
        while sent < probes:
            for path in ("/health/live", "/health/ready"):
                sent += load.run(f"{server.url}{path}", 5, server.pid).rate * 5
        time.sleep(6)  # kept connections are closed
        row.pacsync = {"probes": round(sent), "before": before, "after": state()}
    return row
