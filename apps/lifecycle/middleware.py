"""A database that can't answer is a 503 with Retry-After on every page, not a 500. The API has its own error mapper."""

import logging
from collections.abc import Callable

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import TemplateDoesNotExist

from apps.lifecycle.dbpool import DbpoolExhausted, is_locked, is_unavailable

logger = logging.getLogger(__name__)


class DatabaseUnavailableMiddleware:
    """Turns an error by which the database is unavailable into 503; the page is the template 503.html."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not is_unavailable(error):
            return None
        busy = isinstance(error, DbpoolExhausted) or is_locked(error)
        logger.warning("%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
        try:
            response = render(request, "503.html", {"busy": busy}, status=503)
        except (TemplateDoesNotExist, AnyDatabaseError):
            text = "The server is busy." if busy else "The database can't be reached."
            response = HttpResponse(f"{text} Try again in a moment.\n", content_type="text/plain", status=503)
        response["Retry-After"] = str(getattr(error, "retry_after", 2))
        response["Cache-Control"] = "no-store"
        return response
