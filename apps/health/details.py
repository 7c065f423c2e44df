"""/health/detailed and /metrics: who may see what, in which form. It must not know how a form is written."""

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from apps.health import access, exposition, page, process, report
from apps.health.access import Level
from apps.health.negotiation import Form, choose
from apps.health.response import Response
from apps.health.results import Status
from apps.lifecycle import rates

Environ = Mapping[str, Any]
PATIENCE = 0.3
"""Seconds that a report waits for checks newer than a second. A probe or a scrape never does."""
VARY = ("Vary", "Accept, Authorization, Cookie")


def detailed(environ: Environ) -> Response:
    """The answer of /health/detailed, in the form that the reader wants."""
    refused = limited(environ)
    if refused is not None:
        return refused
    level = access.level(environ)
    query = parse_qs(str(environ.get("QUERY_STRING", ""))[:200])
    form = choose(environ.get("HTTP_ACCEPT"), query.get("format", [""])[-1])
    if form is Form.PROMETHEUS:
        process.checker().ask()
        return _metrics(environ, level)
    process.checker().await_round(PATIENCE)
    content = report.status_only() if level is Level.STATUS else report.report(names=level is Level.NAMES)
    # Only these two have the status in their status line: a scrape that fails would hide what is wrong.
    line = "200 OK" if Status(content["status"]).works else "503 Service Unavailable"
    if form is Form.HTML:
        return Response(line, page.render(content), "text/html; charset=utf-8", (VARY, *page.HEADERS))
    return Response(line, json.dumps(content).encode(), headers=(VARY,))


def metrics(environ: Environ) -> Response:
    """The answer of /metrics."""
    refused = limited(environ)
    if refused is not None:
        return refused
    process.checker().ask()
    return _metrics(environ, access.level(environ))


def limited(environ: Environ) -> Response | None:
    """The answer to an address that asks too often, before its token is looked at; None as long as it may ask."""
    address, header = str(environ.get("REMOTE_ADDR", "")), str(environ.get("HTTP_AUTHORIZATION", ""))
    if access.is_listed(address) or (header and rates.is_known(header)):
        return None
    seconds = rates.limits("ANONYMOUS", of="DETAILS").wait(rates.source(address), count=1)
    if not seconds:
        return None
    return Response(
        "429 Too Many Requests", b'{"status":"rate_limited"}', headers=(("Retry-After", str(math.ceil(seconds))),)
    )


def _metrics(environ: Environ, level: Level) -> Response:
    body, media_type = exposition.text(str(environ.get("HTTP_ACCEPT", "")), everything=level is not Level.STATUS)
    return Response("200 OK", body, media_type, (VARY,))
