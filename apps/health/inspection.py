"""For people who debug: readiness without some of the checks, and one component by itself. From memory, as everything.

Orchestrators ask `apps.health.answers`, whose probes this leaves as they are. It must not know the form of a report.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from apps.health import access, answers, combined, details, process, report
from apps.health.access import Level
from apps.health.answers import OK, UNAVAILABLE, Answer, readiness_answer
from apps.health.checks import CHECKS
from apps.health.response import Response
from apps.health.results import Readiness
from apps.lifecycle import phase

Environ = Mapping[str, Any]
COMPONENTS = "/health/components"
NAMES = tuple(item.name for item in CHECKS)


def ready(environ: Environ) -> Response:
    """/health/ready. With `?exclude=NAME`, which may be there more than once, as if these checks didn't exist."""
    text = environ.get("QUERY_STRING")
    return _excluding(environ, str(text)) if text else answers.ready(environ)


def _excluding(environ: Environ, text: str) -> Response:
    excluded = parse_qs(text[:1000], keep_blank_values=True).get("exclude", [])
    if not excluded:  # another parameter, which means nothing here
        return answers.ready(environ)
    if refused := details.limited(environ):
        return refused
    unknown = sorted({name[:50] for name in excluded} - set(NAMES))
    if unknown:
        return refuse(f"There is no check {', '.join(unknown[:10])}. The checks are {', '.join(NAMES)}.")
    return readiness_answer(without(excluded))


def without(excluded: Collection[str]) -> Readiness:
    """The readiness of the instance without these checks. What needs a broken database fails still, unless excluded."""
    own = answers.snapshot()
    if phase.leaving() or not own.complete or own.stalled:
        return Readiness("shutting_down") if phase.leaving() else own.readiness
    outcomes = {component.name: component.outcome for component in combined.health().components}
    checks = tuple(item for item in own.checks if item.name not in excluded)
    return replace(own, checks=checks, outcomes=outcomes, flight=None).readiness


def components(environ: Environ) -> Response:
    """/health/components: every component's status."""
    if refused := _hidden(environ):
        return refused
    process.checker().ask()
    health = combined.health()
    found = {component.name: component.outcome.status for component in health.components}
    return Response(OK, json.dumps({"components": found, "timestamp": answers.timestamp()}).encode())


def component(name: str) -> Answer:
    """What answers /health/components/NAME: 200 while the component works, else 503."""

    def answer(environ: Environ) -> Response:
        if refused := _hidden(environ):
            return refused
        process.checker().ask()
        found = combined.health()[name]
        body = report.check(found) | {"timestamp": answers.timestamp()}
        return Response(OK if found.outcome.status.works else UNAVAILABLE, json.dumps(body).encode())

    return answer


def unknown(_: Environ) -> Response:
    """The answer for a component that there is not."""
    body = {"status": "not_found", "detail": f"The components are {', '.join(NAMES)}."}
    return Response("404 Not Found", json.dumps(body).encode())


def refuse(detail: str) -> Response:
    """The answer to a parameter that makes no sense."""
    return Response("400 Bad Request", json.dumps({"status": "bad_request", "detail": detail}).encode())


def _hidden(environ: Environ) -> Response | None:
    """The refusal for whoever asks too often, or may not see details; None for all others."""
    if refused := details.limited(environ):
        return refused
    if access.level(environ) is not Level.STATUS:
        return None
    return Response("403 Forbidden", b'{"status":"forbidden","details":"private"}')


PATHS = {
    "/health/ready": ready,
    COMPONENTS: components,
    **{f"{COMPONENTS}/{name}": component(name) for name in NAMES},
}
