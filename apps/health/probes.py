"""What each probe answers: bytes made from the checker's last results. No I/O, no waiting.

It must not know HTTP methods or headers.
"""

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings

from apps.health.checking import instance_health, process_checker
from apps.health.checking.results import DATABASE_UNHEALTHY, CheckResults, CheckStatus, Readiness
from apps.health.response import Response
from apps.lifecycle.shared_memory import instance, memory

Environ = Mapping[str, Any]
Answer = Callable[[Environ], Response]

REMEMBERED = 30.0
"""Seconds for which a worker counts as not ready after it has said so. It repeats that every second while it is so."""
OK, UNAVAILABLE = "200 OK", "503 Service Unavailable"
_SERVICE = json.dumps({"service": settings.SERVICE_NAME, "version": settings.VERSION}, separators=(",", ":"))[1:-1]


def timestamp() -> str:
    """Now, as RFC 3339 in UTC with Z."""
    return _of_second(int(time.time()))


@functools.lru_cache(maxsize=1)
def _of_second(second: int) -> str:
    return rfc3339(second)


def rfc3339(at: float) -> str:
    """A time in seconds since 1970, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def results() -> CheckResults:
    """The checks' results as of now. If they aren't fresh, a round begins.

    A worker that has none yet, because it replaces another one, uses what the other workers have found.
    """
    own = process_checker.checker().ask()
    return own if own.complete else instance_health.newest_results_of_others() or own


def readiness() -> Readiness:
    """Whether requests should come to this instance."""
    return of_instance(results().readiness)


def of_instance(own: Readiness) -> Readiness:
    """The readiness of the instance: it is ready only if the checks of every worker pass.

    Each worker has its own connections, and any of them may get a probe: otherwise the answers would flap.
    """
    if memory.current().workers == 1:
        return own
    if own.by_checks:
        memory.mine().show_unready(True)
    elif not own.reason and memory.current().unready(REMEMBERED):
        return instance_health.unreadiness_of_others() or Readiness(DATABASE_UNHEALTHY)
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
    works = results().status is not CheckStatus.UNHEALTHY
    body = (
        f'{{"status":"{"healthy" if works else "unhealthy"}",{_SERVICE},'
        f'"uptime_seconds":{instance.uptime_seconds():.2f},"timestamp":"{timestamp()}"}}'
    )
    return Response(OK if works else UNAVAILABLE, body.encode())


def startup(_: Environ) -> Response:
    """Started as soon as the first checks have any result: an outage must not make every instance restart."""
    started = results().complete
    return Response(OK if started else UNAVAILABLE, _with_uptime("started" if started else "starting"))


def _with_uptime(status: str) -> bytes:
    """The body of most answers."""
    return _body(status, int(instance.uptime_seconds() * 100))


@functools.lru_cache(maxsize=4)
def _body(status: str, uptime: int) -> bytes:
    """`uptime` is in hundredths of a second; a body is made once for each value that is shown."""
    return f'{{"status":"{status}","uptime_seconds":{uptime / 100:.2f},"timestamp":"{timestamp()}"}}'.encode()


PROBES: dict[str, Answer] = {
    "/health": health,
    "/health/live": live,
    "/health/ready": ready,
    "/health/startup": startup,
}
