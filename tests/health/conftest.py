"""Fixtures of the health tests: checkers of the test's own, and a client that speaks WSGI to `ProbeLayer` alone."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import OperationalError

from apps.health.checking import process_checker
from apps.health.checking.checker import Checker
from apps.health.checks.registered import RegisteredCheck
from apps.health.wsgi import ProbeLayer
from apps.lifecycle.shared_memory import memory


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


Get = Callable[..., Answer]


def behind(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The application behind the layer: a test sees by its answer that it was asked."""
    start_response("418 I'm a teapot", [("Content-Type", "text/plain")])
    return [b"application"]


def ask(application: Any, path: str, method: str = "GET", **environ: object) -> Answer:
    """One request through a WSGI application. `environ`: Accept="text/html", REMOTE_ADDR="10.0.0.1", …"""
    path, _, query = path.partition("?")
    seen: dict[str, Any] = {}
    headers = {f"HTTP_{name.upper()}" if name[1:].islower() else name: value for name, value in environ.items()}
    request = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REMOTE_ADDR": "198.51.100.7",
        "HTTP_HOST": "10.1.2.3",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        **headers,
    }

    def start(status: str, headers: list[tuple[str, str]]) -> None:
        seen.update(status=int(status[:3]), headers=dict(headers))

    body = b"".join(application(request, start))
    return Answer(seen["status"], seen["headers"], body)


@pytest.fixture
def checker() -> Iterator[Checker]:
    """The process's checker, new and not running: `step()` does one round."""
    process_checker.checker.cache_clear()
    yield process_checker.checker()
    process_checker.checker.cache_clear()


@pytest.fixture
def get(checker: Checker) -> Get:
    """`get("/health/ready", Accept="…")` through `ProbeLayer`."""
    layer = ProbeLayer(behind)
    return lambda path, method="GET", **environ: ask(layer, path, method, **environ)


@pytest.fixture
def leaving() -> Iterator[None]:
    """The instance drains."""
    header = memory.current().header
    header.drain_requested_at = header.started
    yield
    header.drain_requested_at = 0


@pytest.fixture
def broken_database(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the database fails; the database of the test itself works."""

    def fail() -> None:
        raise OperationalError("connection refused")

    database = next(item for item in checker.checks if item.name == "database")
    monkeypatch.setattr(database.check, "run", fail)


@pytest.fixture
def running() -> Iterator[Callable[..., Checker]]:
    """Makes checkers that run by a clock, as by a loop of the lifecycle, and are stopped at the end."""
    made: list[Checker] = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.05):
            for checker in list(made):
                checker.tick()

    def start(*checks: RegisteredCheck, interval: float = 60) -> Checker:
        made.append(Checker(interval=interval, checks=checks))
        made[-1].start()
        return made[-1]

    clock = threading.Thread(target=tick)
    clock.start()
    yield start
    ended.set()
    clock.join()
    for checker in made:
        checker.stop(5)
