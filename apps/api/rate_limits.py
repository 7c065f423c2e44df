"""Limits what may come from one address, and from all of them, as long as nobody has shown who they are.

It must not know what a route does. Whoever has a valid token or session isn't limited here; the database says which
one is valid, so a credential is let in once it was found to be valid, for a day, and one that is new is let in as long
as its address hasn't sent too much. Probes and static files never get here. (docs/adr/0014.)
"""

import math
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from apps.api.problems import problem
from apps.lifecycle import rates
from apps.lifecycle.rates import limits

PREFIX = "/api/"
# Only without `ProbeLayer`, which answers them ahead of Django; details have their limit in apps/health/details.py.
HEALTH = ("/health", "/metrics")
ENROL = "/api/v1/enroll"
LOGINS = frozenset(("/login", "/admin/login/"))


class RateLimitMiddleware:
    """After static files and what adds headers, before sessions: what is refused costs no more than this."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(HEALTH):
            return self.get_response(request)
        source = rates.source(request.META.get("REMOTE_ADDR", ""))
        credential, kind = credential_of(request), kind_of(request)
        if kind != "ANONYMOUS" or credential is None or not rates.is_known(credential):
            seconds = _wait(kind, source, credential)
            if seconds:
                return _refuse(request, seconds)
        response = self.get_response(request)
        _account(request, response, kind=kind, source=source, credential=credential)
        return response


def kind_of(request: HttpRequest) -> str:
    """Which of the limits the request counts against."""
    if request.method == "POST" and request.path_info == ENROL:
        return "ENROLMENT"
    return "LOGIN" if request.method == "POST" and request.path_info in LOGINS else "ANONYMOUS"


def credential_of(request: HttpRequest) -> str | None:
    """What the request says of who sent it, true or not."""
    header = request.META.get("HTTP_AUTHORIZATION")
    return header if header is not None else request.COOKIES.get(settings.SESSION_COOKIE_NAME)


def _wait(kind: str, source: str, credential: str | None) -> float:
    """Count the request if nothing can show any more who sent it; 0, or how long it has to wait."""
    if kind == "ANONYMOUS" and credential is not None:  # `_account` counts it, should it show nobody
        return limits(kind).each.wait(source) or limits("FAILURES").wait(source, count=0)
    failures = limits("FAILURES").wait(source, count=0) if kind != "ANONYMOUS" else 0
    if kind == "LOGIN" and rates.is_known(_logins_of(source)):  # strangers can't keep it out by using up the total
        return failures or limits(kind).each.wait(source, count=1)
    return failures or limits(kind).wait(source, count=1)


def _logins_of(source: str) -> str:
    """The name under which it is remembered that somebody has logged in from there."""
    return f"login from {source}"


def _account(
    request: HttpRequest, response: HttpResponseBase, *, kind: str, source: str, credential: str | None
) -> None:
    """Learn from the answer who that was, and count what failed. A server that fails learns nothing of anybody."""
    if response.status_code >= 500:
        return
    if getattr(request, "logged_in", False):
        rates.remember(_logins_of(source))
    if credential is not None and is_authenticated(request):
        rates.remember(credential)
    elif credential is not None:
        _count_nobody(response, kind=kind, source=source, credential=credential)
    wrong_token = credential is not None and response.status_code == 401
    wrong_code = kind == "ENROLMENT" and response.status_code == 403
    if wrong_token or wrong_code or getattr(request, "login_failed", False):
        limits("FAILURES").add(source)


def _count_nobody(response: HttpResponseBase, *, kind: str, source: str, credential: str) -> None:
    """Count a request that came with a credential, and showed nobody: another path may not even have asked for it."""
    if response.status_code == 401:
        rates.disown(credential)
    if kind == "ANONYMOUS" and not rates.is_known(credential):
        limits(kind).add(source)


def is_authenticated(request: HttpRequest) -> bool:
    """Whether anybody found out that the request's token or session is valid; nothing is asked for it here."""
    user = getattr(request, "_cached_user", None)  # Django's, once a session was looked at
    return getattr(request, "_principal", None) is not None or (user is not None and user.is_authenticated)


def _refuse(request: HttpRequest, seconds: float) -> HttpResponseBase:
    headers = {"Retry-After": str(math.ceil(seconds))}
    if request.path_info.startswith(PREFIX):
        return problem("rate_limited", headers=headers)
    # Without the request: nobody has looked at its session yet.
    page = render_to_string("429.html", {"seconds": headers["Retry-After"]})
    return HttpResponse(page, status=429, headers=headers | {"Cache-Control": "no-store"})


def _login_failed(request: HttpRequest | None = None, **signal: object) -> None:
    if request is not None:
        request.login_failed = True  # type: ignore[attr-defined]


def _logged_in(request: HttpRequest, **signal: object) -> None:
    request.logged_in = True  # type: ignore[attr-defined]  # ours, for `_account`


user_logged_in.connect(_logged_in, dispatch_uid="apps.api.rate_limits")
user_login_failed.connect(_login_failed, dispatch_uid="apps.api.rate_limits")
