"""The bulkhead: a WSGI layer that counts requests in flight and keeps the last threads free for probes.

gthread queues a request that finds no free thread, and a probe behind it. So the application never gets all threads:
beyond the limit a request is refused at once, which frees its thread within a millisecond.
"""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from apps.lifecycle import memory, serving

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RETRY_AFTER = 1  # seconds
BODY = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "busy",
        "detail": "This server has as many requests in progress as it can serve. Try again in a second.",
    }
).encode()


class Bulkhead:
    """`limit` requests at once per worker; None: only count."""

    def __init__(self, application: "WSGIApplication", *, limit: int | None) -> None:
        self.application, self.limit = application, limit

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not serving.active():
            serving.begin()
        slot = memory.mine()
        if not slot.count(1, limit=self.limit):
            return _refuse(start_response)
        try:
            return _Counted(self.application(environ, start_response), slot)
        except BaseException:
            slot.count(-1)
            raise


class _Counted:
    """A response whose request is over when the server closes it."""

    def __init__(self, response: Iterable[bytes], slot: memory.Slot) -> None:
        self._response, self._slot, self._open = response, slot, True

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
                self._slot.count(-1)


def _refuse(start_response: "StartResponse") -> list[bytes]:
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(BODY))),
        ("Retry-After", str(RETRY_AFTER)),
        ("Cache-Control", "no-store"),
    ]
    start_response("503 Service Unavailable", headers)
    return [BODY]
