"""Errors outside of views: a database error is a 503 there, too. It must not touch the database."""

import sys

from django.http import HttpRequest, HttpResponse
from django.views.defaults import server_error as django_server_error

from apps.lifecycle.dbpool.middleware import DatabaseUnavailableMiddleware

_unavailable = DatabaseUnavailableMiddleware(lambda request: HttpResponse(status=500))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. A session that can't be saved fails outside of the view, where no middleware sees the error.

    Only this handler does, while the error is being handled.
    """
    error = sys.exc_info()[1]
    response = _unavailable.process_exception(request, error) if isinstance(error, Exception) else None
    return response or django_server_error(request)
