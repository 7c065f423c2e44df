"""Why a request was refused or has failed: a part of its line in the access log, not a line of its own.

It must not know who says why, or what the line looks like (apps/lifecycle/gunicorn/log.py).
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from apps.lifecycle.printable import one_line

KEY = "pacsync.reason"
"""The key in the environ. `HttpRequest.META` is the environ itself."""
LONGEST = 300  # characters


def note(request: HttpRequest, reason: object) -> None:
    """Note it for the request's line. The first reason counts: what follows from it says less."""
    if text := one_line(" ".join(str(reason).split()))[:LONGEST]:
        request.META.setdefault(KEY, text)


def of(environ: Mapping[str, Any]) -> str:
    """The reason that was noted, as one line; empty if there is none."""
    return str(environ.get(KEY, ""))


class OneLineForARequest(logging.Filter):
    """Drops what Django logs of an answer with an error status, and notes what is more than the status.

    The exception is an error that nobody expected: it is logged here with its traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request, status = getattr(record, "request", None), getattr(record, "status_code", 0)
        if not isinstance(request, HttpRequest) or not record.name.startswith(("django.request", "django.security")):
            return True
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and status >= 500 and status != 503:
            return True
        if error is not None:
            note(request, error)
        elif record.name.startswith("django.security"):
            note(request, record.getMessage())
        return False
