"""For people who debug: readiness without some of the checks, and one component by itself. It reads only memory.

Orchestrators use `apps.health.probes`. It must not know the form of a report.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from apps.health import probes
from apps.health.checking import instance_health, process_checker
from apps.health.checking.results import Readiness
from apps.health.checks.registered import CHECKS
from apps.health.detailed import access, handlers, report
from apps.health.detailed.access import Level
from apps.health.probes import OK, UNAVAILABLE, Answer, readiness_answer
from apps.health.response import Response

Environ = Mapping[str, Any]
COMPONENTS = "/health/components"
NAMES = tuple(item.name for item in CHECKS)


def ready(environ: Environ) -> Response:
    """/health/ready. With `?exclude=NAME`, possibly more than once, it answers as if these checks didn't exist."""
    text = environ.get("QUERY_STRING")
    return _excluding(environ, str(text)) if text else probes.ready(environ)


def _excluding(environ: Environ, text: str) -> Response:
    excluded = parse_qs(text[:1000], keep_blank_values=True).get("exclude", [])
    if not excluded:  # another parameter, which means nothing here
        return probes.ready(environ)
    if refused := handlers.limited(environ):
        return refused
    unknown = sorted({name[:50] for name in excluded} - set(NAMES))
    if unknown:
        return refuse(f"There is no check {', '.join(unknown[:10])}. The checks are {', '.join(NAMES)}.")
    return readiness_answer(without(excluded))


def without(excluded: Collection[str]) -> Readiness:
    """The readiness of the instance without these checks. What needs a broken database still fails, unless excluded."""
    own = probes.results()
    if not own.complete or own.stalled:
        return own.readiness
    outcomes = {component.name: component.outcome for component in instance_health.health().components}
    checks = tuple(item for item in own.checks if item.name not in excluded)
    return replace(own, checks=checks, outcomes=outcomes, deadline=None).readiness


def components(environ: Environ) -> Response:
    """/health/components: every component's status."""
    if refused := _hidden(environ):
        return refused
    process_checker.checker().ask()
    health = instance_health.health()
    found = {component.name: component.outcome.status for component in health.components}
    return Response(OK, json.dumps({"components": found, "timestamp": probes.timestamp()}).encode())


def component(name: str) -> Answer:
    """The function that answers /health/components/NAME: 200 if the component works, otherwise 503."""

    def answer(environ: Environ) -> Response:
        if refused := _hidden(environ):
            return refused
        process_checker.checker().ask()
        found = instance_health.health()[name]
        body = report.check(found) | {"timestamp": probes.timestamp()}
        return Response(OK if found.outcome.status.works else UNAVAILABLE, json.dumps(body).encode())

    return answer


def unknown(_: Environ) -> Response:
    """The answer for a component that doesn't exist."""
    body = {"status": "not_found", "detail": f"The components are {', '.join(NAMES)}."}
    return Response("404 Not Found", json.dumps(body).encode())


def refuse(detail: str) -> Response:
    """The answer to an invalid parameter."""
    return Response("400 Bad Request", json.dumps({"status": "bad_request", "detail": detail}).encode())


def _hidden(environ: Environ) -> Response | None:
    """The refusal for a reader who asks too often, or may not see details; None for any other."""
    if refused := handlers.limited(environ):
        return refused
    if access.level(environ) is not Level.STATUS:
        return None
    return Response("403 Forbidden", b'{"status":"forbidden","details":"private"}')


PATHS = {
    "/health/ready": ready,
    COMPONENTS: components,
    **{f"{COMPONENTS}/{name}": component(name) for name in NAMES},
}
