"""PostgreSQL frozen, restarted, asked for too much: what probes do then, and what an ordinary health view does."""

import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.bench.servers import running_peer
from tests.e2e.test_health import Answer, get, is_ready
from tests.support.migrated import running_postgres
from tests.support.postgres import Postgres
from tests.support.server import Server, running_server
from tests.support.wait import until


class Watch:
    """Asks a path every 0.1 s from a thread; `answers` is (time, answer)."""

    def __init__(self, server: Server, path: str) -> None:
        self.answers: list[tuple[float, Answer]] = []
        self.failures: list[BaseException] = []
        self._server, self._path = server, path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self.answers.append((time.monotonic(), get(self._server, self._path)))
            except OSError as error:
                self.failures.append(error)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def saw(self, status: int, after: float) -> bool:
        """Whether an answer with this status came after `after`, of time.monotonic()."""
        return any(at > after and answer.status == status for at, answer in list(self.answers))

    @property
    def median(self) -> float:
        times = sorted(answer.seconds for _, answer in self.answers)
        return times[len(times) // 2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """A PostgreSQL to freeze and stop, with a migrated database."""
    with running_postgres() as made:
        yield made


@pytest.fixture(scope="module")
def server(cluster: Postgres) -> Iterator[Server]:
    # An hour between background checks: only probes and errors begin rounds.
    with running_server(cluster.url(), WEB_CONCURRENCY=2, HEALTH_CHECK_INTERVAL=3600) as made:
        until(lambda: is_ready(made))
        yield made


@pytest.mark.alone
def test_frozen_postgresql_makes_no_probe_slow(cluster: Postgres, server: Server) -> None:
    with Watch(server, "/health/ready") as ready, Watch(server, "/health/live") as live:
        until(lambda: len(live.answers) >= 10 and ready.saw(200, 0))
        frozen = time.monotonic()
        cluster.freeze()
        try:
            until(lambda: ready.saw(503, frozen))
            report = until(lambda: unhealthy_report(server))
            time.sleep(6)  # long enough that a probe which waited for the database would stand out
        finally:
            thawed = time.monotonic()
            cluster.thaw()
        until(lambda: ready.saw(200, thawed))
    assert report.status == 503
    assert report.json["components"]["database"]["status"] == "unhealthy"
    assert {answer.status for _, answer in live.answers} == {200}
    assert not ready.failures + live.failures
    assert max(answer.seconds for _, answer in ready.answers + live.answers) < (thawed - frozen) / 2
    assert max(ready.median, live.median) < (thawed - frozen) / 50


def unhealthy_report(server: Server) -> Answer | None:
    """The report, once it says so: until then another worker may answer, or one between two checks."""
    report = get(server, "/health/detailed")
    return report if report.json["readiness"].get("reason") == "database_unhealthy" else None


def test_frozen_postgresql_holds_an_ordinary_health_view(cluster: Postgres) -> None:
    """The twin: the same freeze is seen by a view that asks the database in the request."""
    with running_peer(cluster.url(), "health_check") as peer:
        cluster.freeze()
        try:
            with pytest.raises(OSError), urllib.request.urlopen(peer.url, timeout=4):  # noqa: S310
                pass
        finally:
            cluster.thaw()


def test_restarted_postgresql_is_ready_again_at_once(cluster: Postgres, server: Server) -> None:
    with Watch(server, "/health/ready") as ready, Watch(server, "/health/live") as live:
        until(lambda: ready.saw(200, 0))
        stopped = time.monotonic()
        cluster.stop()
        until(lambda: ready.saw(503, stopped))
        cluster.start()
        back = time.monotonic()
        # Far below the hour between background checks: the probes themselves begin rounds.
        until(lambda: ready.saw(200, back))
    assert {answer.status for _, answer in live.answers} == {200}
    assert not ready.failures + live.failures


def test_error_of_a_request_wakes_the_checker(cluster: Postgres, server: Server) -> None:
    """Nobody probes: a request that fails is what makes the next probe know. Without one it would say ready."""
    time.sleep(1.5)
    cluster.stop()
    time.sleep(2)
    assert is_ready(server)  # the twin: an old result, because nothing has failed yet
    cluster.start()
    until(lambda: is_ready(server))
    time.sleep(2)
    cluster.stop()
    for _ in range(6):  # both workers
        assert get(server, "/api/v1/pools", Authorization="Bearer pst_x").status >= 500
    time.sleep(3)
    try:
        assert not is_ready(server)
    finally:
        cluster.start()


def statements(postgres: Postgres) -> int:
    """How many statements the server has logged."""
    return (postgres.directory / "log").read_text(errors="replace").count("LOG:  ")


def test_probes_send_no_sql() -> None:
    with running_postgres(log_statement="all", log_min_duration_statement=0) as postgres:
        url = postgres.create_database("pacsync")
        with running_server(url, HEALTH_CHECK_INTERVAL=3600) as server:
            until(lambda: is_ready(server))
            before, started = statements(postgres), time.monotonic()
            for _ in range(400):
                assert get(server, "/health/ready").status == 200
            rounds = (time.monotonic() - started) * 2 + 2  # at most one in half a second
            sent = statements(postgres) - before
            assert sent < rounds * 60  # a round, the loops beside it; none of it for a probe
            quick = statements(postgres)
            for _ in range(300):
                get(server, "/health/live")
            assert statements(postgres) - quick < 300  # those of the loops beside it; each probe would send one or more
        with running_peer(url, "health_check") as peer:
            before = statements(postgres)
            for _ in range(30):
                urllib.request.urlopen(peer.url, timeout=10).close()  # noqa: S310
            assert statements(postgres) - before >= 30  # the twin: what a probe sends is seen
