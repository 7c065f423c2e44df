"""The bulkhead: a WSGI layer that counts requests in flight and keeps the last threads free for probes.

A WSGI server queues a request that finds no free thread, and a probe behind it. So the application never gets all
threads: at most `limit` requests are served at once, and `queue` more wait for their turn in threads of their own. A
request beyond that is refused, and so is one that has waited `patience` seconds. (Why there is a queue at all:
docs/adr/0010.) PacSync's own worker decides before a thread has the request (apps/lifecycle/gunicorn/worker/places.py):
it has counted those that it admits, and the bulkhead only answers those that it refuses.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from apps.lifecycle import failure_reason
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.slots import Slot
from apps.lifecycle.work import serving
from apps.lifecycle.wsgi import admission
from apps.lifecycle.wsgi.admission import Admission

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RETRY_AFTER = 1  # seconds
BODY = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "busy",
        "detail": admission.BUSY,
    }
).encode()


class Bulkhead:
    """`limit` requests at once per worker, and `queue` more that wait at most `patience` seconds."""

    def __init__(self, application: "WSGIApplication", *, limit: int, queue: int = 0, patience: float = 0) -> None:
        self.application, self.most, self.patience = application, limit + queue, patience
        self._places = threading.BoundedSemaphore(limit)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not serving.active():
            serving.begin()
        decided = admission.current()
        if decided is Admission.REFUSED:
            return _refuse(environ, start_response)
        if decided is Admission.ADMITTED:
            return self.application(environ, start_response)
        slot = memory.mine()
        if not slot.count(1, limit=self.most):
            return _refuse(environ, start_response)
        if not self._admit(slot):
            slot.count(-1)
            slot.refuse()
            return _refuse(environ, start_response)
        try:
            return _Counted(self.application(environ, start_response), self._leave)
        except BaseException:
            self._leave()
            raise

    def _admit(self, slot: Slot) -> bool:
        if self._places.acquire(blocking=False):
            return True
        slot.wait(1)
        try:
            return self._places.acquire(timeout=self.patience)
        finally:
            slot.wait(-1)

    def _leave(self) -> None:
        self._places.release()
        memory.mine().count(-1)


class _Counted:
    """A response whose request is over when the server closes it."""

    def __init__(self, response: Iterable[bytes], leave: Callable[[], None]) -> None:
        self._response, self._leave, self._open = response, leave, True

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)

    def close(self) -> None:
        try:
            close = getattr(self._response, "close", None)
            if close:
                close()
        finally:
            if self._open:
                self._open = False
                self._leave()


def _refuse(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    environ[failure_reason.KEY] = "busy"
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(BODY))),
        ("Retry-After", str(RETRY_AFTER)),
        ("Cache-Control", "no-store"),
    ]
    start_response("503 Service Unavailable", headers)
    return [BODY]
