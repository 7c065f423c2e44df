"""Authenticates a request with a large body before the body is read. It must not know how a body is read.

Otherwise a made-up token or session could fill the disk with megabytes before it is checked. The check counts against
the rate limits as the request itself would.
"""

import json
from typing import Any

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIRequest
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.http import HttpRequest, HttpResponse

from apps.api.access.auth import principal_of
from apps.api.access.rate_limits import PREFIX, RateLimitMiddleware, credential_of
from apps.api.requests.problems import problem
from apps.fleet.exceptions import TokenExpired
from apps.lifecycle.session_user import AuthenticationMiddleware
from apps.lifecycle.wsgi import address_rates
from apps.lifecycle.wsgi.forwarded_address import Proxies


def refused(environ: dict[str, Any]) -> tuple[int, str, str] | None:
    """(status, code, detail) if the WSGI `environ` identifies nobody; None if its body may come.

    The body may also come if the database can't be asked at the moment: then the request itself gets that answer. A
    credential that was recently found valid isn't checked here again; the request checks it.
    """
    _proxies.take_over(environ)
    request = WSGIRequest(environ | {"PATH_INFO": PREFIX})  # for an API's answer, whatever the path
    credential = credential_of(request)
    if credential is not None and address_rates.is_known(credential):
        return None
    try:
        response = _ask(request)
    except AnyDatabaseError:
        return None
    finally:
        connections.close_all()
    if response.status_code < 400:
        return None
    found = json.loads(response.content)
    return response.status_code, found["code"], found["detail"]


def _who(request: HttpRequest) -> HttpResponse:
    try:
        return HttpResponse(status=204) if principal_of(request) else problem("token_invalid")
    except TokenExpired as error:
        return problem(error.code, str(error))


_proxies = Proxies(settings.FORWARDED_ALLOW_IPS)
_sessions: Any = SessionMiddleware(AuthenticationMiddleware(_who))
_ask: Any = RateLimitMiddleware(_sessions)
