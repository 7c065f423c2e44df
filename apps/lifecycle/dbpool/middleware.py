"""Answers 503 with Retry-After, instead of 500, when the database can't do its work. The API has its own mapper."""

from collections.abc import Callable

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import TemplateDoesNotExist

from apps.lifecycle import failure_reason, referring_page
from apps.lifecycle.dbpool import thread_limits, write_state
from apps.lifecycle.dbpool.facade import DbpoolExhausted, OutcomeUnknown, is_locked, is_not_migrated, is_unavailable

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
BUSY, UNAVAILABLE = "busy", "database_unavailable"
NOT_WRITABLE, UNKNOWN = "database_not_writable", "outcome_unknown"
TEXTS = {
    BUSY: "The server is busy.",
    UNAVAILABLE: "The database can't be used.",
    NOT_WRITABLE: "The database takes no changes at the moment. Nothing was changed.",
    UNKNOWN: "Nobody knows whether this was carried out. Look before you repeat it.",
}


def code_of(error: BaseException, method: str) -> str:
    """Which of TEXTS answers this database error in a request with this method."""
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    if isinstance(error, DbpoolExhausted) or is_locked(error):
        return BUSY
    write_state.suspect(error)  # here too, because a refused COMMIT passes no execute wrapper
    if method not in SAFE_METHODS and write_state.problem_of(error):
        return NOT_WRITABLE
    return UNAVAILABLE


class DatabaseUnavailableMiddleware:
    """Answers 503 when an error means that the database is unavailable; the page is the template 503.html.

    `problem_code` of such a response is one of TEXTS. It is innermost, and marks requests that may change something.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in SAFE_METHODS:
            return self.get_response(request)
        if write_state.problem() == write_state.COMMIT_TIMED_OUT:
            # Each attempt would hold a connection until its COMMIT is given up. The heartbeat notices when it's over.
            return unavailable(request, NOT_WRITABLE)
        thread_limits.mark_writer(True)
        try:
            return self.get_response(request)
        finally:
            thread_limits.mark_writer(False)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not (is_unavailable(error) or is_not_migrated(error) or write_state.problem_of(error)):
            return None
        failure_reason.note(request, f"{type(error).__name__}: {error}")
        return unavailable(request, code_of(error, request.method or ""), getattr(error, "retry_after", 2))


def again(request: HttpRequest) -> str:
    """Where to try again: the page itself, or for a form, the page of this server that had the form."""
    if request.method in SAFE_METHODS:
        return ""
    return referring_page.page(request) or "/"


def unavailable(request: HttpRequest, code: str, retry_after: int = 2) -> HttpResponse:
    """The 503 page for one of TEXTS, or just the text if even the page needs the database."""
    try:
        response = render(request, "503.html", {"code": code, "again": again(request)}, status=503)
    except (TemplateDoesNotExist, AnyDatabaseError):
        response = HttpResponse(f"{TEXTS[code]} Try again in a moment.\n", content_type="text/plain", status=503)
    response["Retry-After"] = str(retry_after)
    response["Cache-Control"] = "no-store"
    response.problem_code = code  # type: ignore[attr-defined]
    return response
