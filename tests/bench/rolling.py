"""Rolling restarts of two instances behind HAProxy under a steady load on kept connections, counted at the clients."""

import contextlib
import http.client
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.faults import database
from tests.bench.probes import probe
from tests.bench.row import Figures, Row
from tests.bench.servers import Peer
from tests.support.haproxy import running_haproxy
from tests.support.playground import Playground
from tests.support.postgres import free_port
from tests.support.server import Server
from tests.support.wait import until

RATE, CLIENTS, ROUNDS = 400, 16, 3
Make = Callable[[int], Server]


class SteadyLoad:
    """RATE requests a second over CLIENTS kept connections; a lost one is any answer but 200, or none."""

    def __init__(self, port: int) -> None:
        self.port, self.sent, self.lost = port, 0, 0
        self.kinds: dict[str, int] = {}
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(CLIENTS)]

    def __enter__(self) -> "SteadyLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        moment = time.monotonic() + number / RATE
        while not self._ended.wait(max(0.0, moment - time.monotonic())):
            moment = max(moment + CLIENTS / RATE, time.monotonic() - 1)  # late ones are made up for, up to a second
            try:
                connection.request("GET", "/query")
                answer = connection.getresponse()
                answer.read()
                kind = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                kind = type(error).__name__
            with self._lock:
                self.sent += 1
                if kind != "200":
                    self.lost += 1
                    self.kinds[kind] = self.kinds.get(kind, 0) + 1


def _restart(make: Make, *, meanwhile: Callable[[], None] | None = None) -> Figures:
    """Start two servers, restart each ROUNDS times under load. `meanwhile` runs in the middle of it."""
    ports = [free_port(), free_port()]
    servers = [make(port) for port in ports]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [server.kill() for server in servers])
        for server in servers:
            server.start()
        front = stack.enter_context(running_haproxy(ports))
        until(lambda: all(probe(front, "/query") == 200 for _ in range(8)))
        time.sleep(1)
        with SteadyLoad(front) as load:
            began = time.monotonic()
            for number in range(ROUNDS):
                for index, port in enumerate(ports):
                    servers[index].stop()
                    servers[index].log_path.unlink(missing_ok=True)
                    servers[index] = make(port)
                    servers[index].start()
                    until(lambda port=port: probe(port, "/query") == 200)  # type: ignore[misc]
                    time.sleep(2)  # HAProxy has it back
                if meanwhile and number == ROUNDS // 2:
                    meanwhile()
                    time.sleep(3)
            took = time.monotonic() - began
    return {"lost": load.lost, "of": load.sent, "per_second": round(load.sent / took), **load.kinds}


def _pacsync(url: str, folder: str) -> Make:
    return lambda port: Playground(url, Path(folder), HTTP_PORT=port, SHUTDOWN_DRAIN_DELAY=2, SHUTDOWN_TIMEOUT=12)


def rolling() -> Row:
    row = Row(f"2 instances behind HAProxy, retries off, {RATE} req/s, {ROUNDS} rolling restarts", "0 lost")
    if not shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        row.pacsync = {"skipped": "install haproxy"}
        return row
    with database() as (postgres, url):
        row.pacsync = _restart(_pacsync(url, str(postgres.directory)))
        row.peer = _restart(lambda port: Peer(url, "health_check", HTTP_PORT=port))
    return row


def rolling_while_postgresql_restarts() -> Row:
    row = Row("the same while PostgreSQL is restarted once", "only requests in flight at that moment")
    if not shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
        row.pacsync = {"skipped": "install haproxy"}
        return row
    with database() as (postgres, url):
        row.pacsync = _restart(_pacsync(url, str(postgres.directory)), meanwhile=postgres.restart)
    return row
