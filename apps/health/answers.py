"""What each probe answers, as bytes made from the checker's last results. No I/O, no waiting.

It must not know HTTP methods or headers.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings

from apps.health import combined, process
from apps.health.response import Response
from apps.health.results import DATABASE_UNHEALTHY, Readiness, Snapshot, Status
from apps.lifecycle import instance, memory, phase

Environ = Mapping[str, Any]
Answer = Callable[[Environ], Response]

REMEMBERED = 30.0
"""Seconds for which a worker's word counts that it isn't ready. It is renewed each second meanwhile."""
OK, UNAVAILABLE = "200 OK", "503 Service Unavailable"
_SERVICE = json.dumps({"service": settings.SERVICE_NAME, "version": settings.VERSION}, separators=(",", ":"))[1:-1]

_second: tuple[int, str] = (0, "")


def timestamp() -> str:
    """Now, as RFC 3339 in UTC with Z. Made once a second."""
    global _second
    now = int(time.time())
    if _second[0] != now:
        _second = (now, rfc3339(now))
    return _second[1]


def rfc3339(at: float) -> str:
    """A time in seconds since 1970, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def snapshot() -> Snapshot:
    """The checks' results as of now, and the checker woken when they aren't fresh.

    A worker that has none yet, because it replaces another one, goes by what the other workers have found.
    """
    own = process.checker().ask()
    return own if own.complete else combined.of_the_others() or own


def readiness() -> Readiness:
    """What the lifecycle phase and the checks say together; an instance that leaves is never ready again."""
    return Readiness("shutting_down") if phase.leaving() else agreed(snapshot().readiness)


def agreed(own: Readiness) -> Readiness:
    """The readiness of the instance: what its checks need works when it does for every worker.

    Each worker has its own connections, and a probe comes to any of them: it would flap while they differ.
    """
    if memory.current().workers == 1 or own.reason == "starting":
        return own
    if own.reason:
        memory.mine().show_unready(True)
    elif memory.current().unready(REMEMBERED):
        return combined.unreadiness_of_others() or Readiness(DATABASE_UNHEALTHY)
    return own


def live(_: Environ) -> Response:
    return Response(OK, _with_uptime("alive"))


def ready(_: Environ) -> Response:
    return readiness_answer(readiness())


def readiness_answer(found: Readiness) -> Response:
    if not found.reason:
        return Response(OK, _with_uptime("ready"))
    body: dict[str, object] = {"status": "not_ready", "reason": found.reason}
    if found.dependencies:
        body["dependencies"] = dict(found.dependencies)
    return Response(UNAVAILABLE, json.dumps(body | {"timestamp": timestamp()}, separators=(",", ":")).encode())


def health(_: Environ) -> Response:
    works = snapshot().status is not Status.UNHEALTHY
    body = (
        f'{{"status":"{"healthy" if works else "unhealthy"}",{_SERVICE},'
        f'"uptime_seconds":{instance.uptime_seconds():.2f},"timestamp":"{timestamp()}"}}'
    )
    return Response(OK if works else UNAVAILABLE, body.encode())


def startup(_: Environ) -> Response:
    """Started is: the first round of checks came to a result, whatever it is. Or an outage would restart everybody."""
    started = snapshot().complete
    return Response(OK if started else UNAVAILABLE, _with_uptime("started" if started else "starting"))


_made: dict[str, tuple[int, bytes]] = {}


def _with_uptime(status: str) -> bytes:
    """The body of most answers, made again when its uptime shows another hundredth of a second."""
    uptime = int(instance.uptime_seconds() * 100)
    hundredth, body = _made.get(status, (-1, b""))
    if hundredth != uptime:
        body = f'{{"status":"{status}","uptime_seconds":{uptime / 100:.2f},"timestamp":"{timestamp()}"}}'.encode()
        _made[status] = (uptime, body)
    return body


PROBES: dict[str, Answer] = {
    "/health": health,
    "/health/live": live,
    "/health/ready": ready,
    "/health/startup": startup,
}
