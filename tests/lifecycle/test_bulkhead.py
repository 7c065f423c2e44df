"""The bulkhead: counting, refusing, and giving the place back in every way a request can end."""

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.wsgi import admission
from apps.lifecycle.wsgi.admission import Admission
from apps.lifecycle.wsgi.bulkhead import Bulkhead
from tests.support.wait import until

pytestmark = pytest.mark.usefixtures("served")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, own_memory: Memory) -> None:
    """As if this process had begun to serve long ago: no loop starts."""
    monkeypatch.setattr("apps.lifecycle.work.serving.begin", lambda: None)


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


def call(application: Any) -> tuple[str, dict[str, str], Iterable[bytes]]:
    seen: list[Any] = []
    body = application({}, lambda status, headers, *rest: seen.extend((status, dict(headers))))
    return seen[0], seen[1], body


def test_request_counts_until_the_server_closes_the_response() -> None:
    _, _, body = call(Bulkhead(hello, limit=1))
    assert memory.mine().in_flight == 1
    assert b"".join(body) == b"hello"
    assert memory.mine().in_flight == 1
    body.close()  # type: ignore[attr-defined]
    body.close()  # type: ignore[attr-defined]
    assert memory.mine().in_flight == 0


def test_request_beyond_the_limit_503_busy_with_retry_after() -> None:
    application = Bulkhead(hello, limit=2)
    bodies = [call(application)[2] for _ in range(2)]
    status, headers, body = call(application)
    assert status == "503 Service Unavailable"
    assert headers["Retry-After"] == "1"
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(b"".join(body))["code"] == "busy"
    assert memory.mine().refused == 1
    bodies[0].close()  # type: ignore[attr-defined]
    assert call(application)[0] == "200 OK"


def test_request_beyond_the_limit_waits_for_its_turn() -> None:
    application = Bulkhead(hello, limit=1, queue=1, patience=60)
    _, _, served = call(application)
    found: list[str] = []
    second = threading.Thread(target=lambda: found.append(call(application)[0]))
    second.start()
    until(lambda: memory.mine().waiting == 1)
    assert memory.mine().in_flight == 2
    assert call(application)[0] == "503 Service Unavailable"  # the queue is full
    served.close()  # type: ignore[attr-defined]
    second.join(10)
    assert found == ["200 OK"]
    assert (memory.mine().waiting, memory.mine().refused) == (0, 1)


def test_request_that_has_waited_long_enough_503() -> None:
    application = Bulkhead(hello, limit=1, queue=1, patience=0.01)
    call(application)
    assert call(application)[0] == "503 Service Unavailable"
    assert (memory.mine().in_flight, memory.mine().waiting, memory.mine().refused) == (1, 0, 1)


def test_application_that_raises_gives_its_place_back() -> None:
    def broken(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise ValueError

    with pytest.raises(ValueError):
        call(Bulkhead(broken, limit=1))
    assert memory.mine().in_flight == 0


def test_response_whose_close_raises_gives_its_place_back() -> None:
    class Body(list[bytes]):
        def close(self) -> None:
            raise ValueError

    _, _, body = call(Bulkhead(lambda environ, start: (start("200 OK", []), Body())[1], limit=1))
    with pytest.raises(ValueError):
        body.close()  # type: ignore[attr-defined]
    assert memory.mine().in_flight == 0


def test_request_that_the_worker_has_admitted_passes_and_is_not_counted_again() -> None:
    application = Bulkhead(hello, limit=1)
    call(application)  # takes the only place
    with admission.decided(Admission.ADMITTED):
        status, _, body = call(application)
    assert (status, b"".join(body)) == ("200 OK", b"hello")
    assert (memory.mine().in_flight, memory.mine().refused) == (1, 0)


def test_request_that_the_worker_refuses_503_busy_though_places_are_free() -> None:
    with admission.decided(Admission.REFUSED):
        status, headers, body = call(Bulkhead(hello, limit=1))
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert json.loads(b"".join(body))["code"] == "busy"
    assert (memory.mine().in_flight, memory.mine().refused) == (0, 0)  # the worker has counted it
    assert admission.current() is Admission.UNDECIDED
