"""The id of the request that a thread works on, in every log line and in the answer: the caller's, or made here.

It must not know what a request is for.
"""

import logging
import re
from contextvars import ContextVar
from uuid import uuid4

from django.core.signals import request_finished

HEADER = "X-Request-ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")
current: ContextVar[str] = ContextVar("request_id", default="-")


def choose(offered: str | None) -> str:
    """The caller's id if it is a short plain word, else a new one: it goes into logs and headers."""
    return offered if offered and _ACCEPTED.fullmatch(offered) else uuid4().hex


def begin(identity: str) -> None:
    """From now on this thread works on that request, until Django signals that it is finished: Django logs late."""
    current.set(identity)


def _end(**signal: object) -> None:
    current.set("-")


request_finished.connect(_end, dispatch_uid="apps.lifecycle.wsgi.request_id")


class RequestIdFilter(logging.Filter):
    """Gives every log record the field `request_id`; `-` outside requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current.get()
        return True
