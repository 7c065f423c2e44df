"""Two WSGI layers. `ProbeLayer` answers probes ahead of everything else; `MeasureLayer` counts and times the rest.

They must not know what an answer says: `apps.health.probes` and `apps.health.detailed.handlers` do.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings

from apps.health.checking import process_checker
from apps.health.detailed import handlers, inspection
from apps.health.metrics import instruments
from apps.health.probes import PROBES
from apps.health.response import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ROUTE = "pacsync.route"
"""The key in the environ for the route's pattern, once Django has found it (`apps.health.middleware`)."""
PATHS = {**PROBES, "/health/detailed": handlers.detailed, "/metrics": handlers.metrics, **inspection.PATHS}
_PATHS = {path + end: path for path in PATHS for end in ("", "/")}
STATIC = urlsplit(settings.STATIC_URL).path
NOT_ALLOWED = Response("405 Method Not Allowed", b'{"status":"method_not_allowed"}', headers=(("Allow", "GET, HEAD"),))


def answer(environ: "WSGIEnvironment", path: str) -> Response:
    """The answer to a request for `path`, one of `PATHS`, with any method."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return NOT_ALLOWED
    return PATHS[path](environ)


class ProbeLayer:
    """Outside Django and the bulkhead: a probe needs no Django, no database and no particular Host.

    `begin` is called with the first probe: a server without gunicorn's hooks has no other moment to start checking.
    """

    def __init__(self, application: "WSGIApplication", begin: Callable[[], None] | None = None) -> None:
        self.application, self._begin = application, begin

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = _PATHS.get(environ["PATH_INFO"])
        if path is None:
            return self.application(environ, start_response)
        started = time.perf_counter()
        if self._begin is not None:
            self._begin()
            self._begin = None
        response = answer(environ, path)
        method = environ["REQUEST_METHOD"]
        start_response(response.status, response.wsgi_headers())
        instruments.count_request(path, method, response.status[:3], time.perf_counter() - started)
        return [b"" if method == "HEAD" else response.body]


class MeasureLayer:
    """Wraps the application: counts and times each request by its route, and wakes the checker on errors."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        started = time.perf_counter()
        status = "500"

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, *rest)

        try:
            return self.application(environ, start)
        finally:
            route = environ.get(ROUTE) or _without_view(environ["PATH_INFO"])
            instruments.count_request(route, environ["REQUEST_METHOD"], status, time.perf_counter() - started)
            if status >= "500":
                process_checker.checker().wake()


def _without_view(path: str) -> str:
    """The route of a request that no view answered: static files come from a middleware."""
    return STATIC if path.startswith(STATIC) else "unmatched"
