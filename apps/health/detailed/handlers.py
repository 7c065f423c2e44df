"""Answers /health/detailed and /metrics: decides what the reader may see, and in which form.

It must not know how a form is written.
"""

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from apps.health.checking import process_checker
from apps.health.checking.results import CheckStatus
from apps.health.detailed import access, exposition, page, report
from apps.health.detailed.access import Level
from apps.health.detailed.negotiation import OPENMETRICS, Form, choose
from apps.health.response import Response
from apps.lifecycle.wsgi import address_rates

Environ = Mapping[str, Any]
PATIENCE = 0.3
"""Seconds that a report waits for checks newer than a second. A probe or a scrape never waits."""
EXACTLY = {Form.PROMETHEUS: "text/plain", Form.OPENMETRICS: OPENMETRICS}
"""The Accept header that stands for what `?format=` wants."""
UNKNOWN_FORM = Response(
    "400 Bad Request",
    json.dumps({"status": "bad_request", "detail": f"format is one of {', '.join(Form)}."}).encode(),
)
REPEATED_FORM = Response(
    "400 Bad Request",
    json.dumps({"status": "bad_request", "detail": "format is given more than once: give it once."}).encode(),
)
VARY = ("Vary", "Accept, Authorization, Cookie")


def detailed(environ: Environ) -> Response:
    """The answer of /health/detailed, in the form that the reader wants."""
    refused = limited(environ)
    if refused is not None:
        return refused
    query = parse_qs(str(environ.get("QUERY_STRING", ""))[:200], keep_blank_values=True)
    given = query.get("format", [])
    wanted = given[0] if given else None
    accept = str(environ.get("HTTP_ACCEPT", ""))
    if len(given) > 1:
        return REPEATED_FORM
    if wanted is not None and wanted not in list(Form):
        return UNKNOWN_FORM
    level = access.level(environ)
    form = choose(accept, wanted or "")
    if form in (Form.PROMETHEUS, Form.OPENMETRICS):
        process_checker.checker().ask()
        return _metrics(accept if wanted is None else EXACTLY[form], level)
    process_checker.checker().await_round(PATIENCE)
    content = report.status_only() if level is Level.STATUS else report.report(names=level is Level.NAMES)
    # Only these two say it in their status line: a scrape that fails would hide what is wrong.
    line = "200 OK" if CheckStatus(content["status"]).works else "503 Service Unavailable"
    if form is Form.HTML:
        return Response(line, page.render(content), "text/html; charset=utf-8", (VARY, *page.HEADERS))
    return Response(line, json.dumps(content).encode(), headers=(VARY,))


def metrics(environ: Environ) -> Response:
    """The answer of /metrics."""
    refused = limited(environ)
    if refused is not None:
        return refused
    process_checker.checker().ask()
    return _metrics(str(environ.get("HTTP_ACCEPT", "")), access.level(environ))


def limited(environ: Environ) -> Response | None:
    """The answer to an address that asks too often, before its token is looked at. None if it may ask."""
    address, header = str(environ.get("REMOTE_ADDR", "")), str(environ.get("HTTP_AUTHORIZATION", ""))
    if access.is_listed(address) or (header and address_rates.is_known(header)):
        return None
    seconds = address_rates.limits("ANONYMOUS", of="DETAILS").wait(address_rates.source(address), count=1)
    if not seconds:
        return None
    return Response(
        "429 Too Many Requests", b'{"status":"rate_limited"}', headers=(("Retry-After", str(math.ceil(seconds))),)
    )


def _metrics(accept: str, level: Level) -> Response:
    body, media_type = exposition.text(accept, level)
    return Response("200 OK", body, media_type, (VARY,))
