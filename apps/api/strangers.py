"""Asks who announces a large body, before it is read. It must not know how a body is read.

A made-up token or session would else have megabytes kept on the disk before anybody looks at it. The question counts
against the rate limits as the request itself would.
"""

import json
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIRequest
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.http import HttpRequest, HttpResponse

from apps.api.auth import principal_of
from apps.api.problems import problem
from apps.api.rate_limits import PREFIX, RateLimitMiddleware, credential_of
from apps.lifecycle import rates
from apps.lifecycle.forwarded import Proxies


def refused(environ: dict[str, Any]) -> tuple[int, str, str] | None:
    """(status, code, detail) when the WSGI `environ` shows nobody; None when its body may come.

    Also when the database can't be asked at the moment: the request itself then gets that answer. Whoever was found to
    be valid lately isn't asked about again: the request asks, and forgets it if that is over.
    """
    _proxies.take_over(environ)
    request = WSGIRequest(environ | {"PATH_INFO": PREFIX})  # for an API's answer, whatever the path
    credential = credential_of(request)
    if credential is not None and rates.is_known(credential):
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
    return HttpResponse(status=204) if principal_of(request) else problem("token_invalid")


_proxies = Proxies(settings.FORWARDED_ALLOW_IPS)
_sessions: Any = SessionMiddleware(AuthenticationMiddleware(_who))
_ask: Any = RateLimitMiddleware(_sessions)
