"""What ends outside of a view: a database error there is a 503 too. It must not touch the database."""

import sys

from django.http import HttpRequest, HttpResponse
from django.views.defaults import server_error as django_server_error

from apps.lifecycle.middleware import DatabaseUnavailableMiddleware

_unavailable = DatabaseUnavailableMiddleware(lambda request: HttpResponse(status=500))


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500. A session that can't be saved is no view's fault, so no middleware sees the error; Django's handler
    for uncaught ones does, while it is being handled."""
    error = sys.exc_info()[1]
    answer = _unavailable.process_exception(request, error) if isinstance(error, Exception) else None
    return answer or django_server_error(request)
