"""A database that can't do its work is a 503 with Retry-After on every page, not a 500. The API has its own mapper."""

import logging
from collections.abc import Callable

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import TemplateDoesNotExist

from apps.lifecycle import came_from, dbpool, writes
from apps.lifecycle.dbpool import DbpoolExhausted, OutcomeUnknown, is_locked, is_unavailable

logger = logging.getLogger(__name__)


SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
BUSY, UNAVAILABLE = "busy", "database_unavailable"
NOT_WRITABLE, UNKNOWN = "database_not_writable", "outcome_unknown"
TEXTS = {
    BUSY: "The server is busy.",
    UNAVAILABLE: "The database can't be reached.",
    NOT_WRITABLE: "The database takes no changes at the moment. Nothing was changed.",
    UNKNOWN: "Nobody knows whether this was carried out. Look before you repeat it.",
}


def code_of(error: BaseException, method: str) -> str:
    """Which of TEXTS a database error is, in a request with this method."""
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    if isinstance(error, DbpoolExhausted) or is_locked(error):
        return BUSY
    writes.suspect(error)  # here, too: what a COMMIT is refused for passes no statement
    if method not in SAFE_METHODS and writes.problem_of(error):
        return NOT_WRITABLE
    return UNAVAILABLE


class DatabaseUnavailableMiddleware:
    """Turns an error by which the database is unavailable into 503; the page is the template 503.html.

    `problem_code` of such a response is one of TEXTS. Innermost: it marks the requests that may change something.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in SAFE_METHODS:
            return self.get_response(request)
        if writes.problem() == writes.COMMIT_TIMED_OUT:
            # Each try would hold a connection until its COMMIT is given up. The heartbeat finds out when it's over.
            return unavailable(request, NOT_WRITABLE)
        dbpool.mark_writer(True)
        try:
            return self.get_response(request)
        finally:
            dbpool.mark_writer(False)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not (is_unavailable(error) or writes.problem_of(error)):
            return None
        logger.warning("%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
        return unavailable(request, code_of(error, request.method or ""), getattr(error, "retry_after", 2))


def again(request: HttpRequest) -> str:
    """Where to try again: the page itself; for what a form sent, the page of this server that the form was on."""
    if request.method in SAFE_METHODS:
        return ""
    return came_from.page(request) or "/"


def unavailable(request: HttpRequest, code: str, retry_after: int = 2) -> HttpResponse:
    """The 503 page for one of TEXTS, or that text where even the page needs the database."""
    try:
        response = render(request, "503.html", {"code": code, "again": again(request)}, status=503)
    except (TemplateDoesNotExist, AnyDatabaseError):
        response = HttpResponse(f"{TEXTS[code]} Try again in a moment.\n", content_type="text/plain", status=503)
    response["Retry-After"] = str(retry_after)
    response["Cache-Control"] = "no-store"
    response.problem_code = code  # type: ignore[attr-defined]
    return response
