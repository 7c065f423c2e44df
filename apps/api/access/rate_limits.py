"""Limits requests without a known credential, from each address and from all together (docs/adr/0014).

A valid token or session isn't limited here. Only the database knows which one is valid, so a credential that was found
valid is let in for a day, and a new one until its address has sent too much. Probes and static files never get here. It
must not know what a route does.
"""

import math
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from apps.api.requests import principal
from apps.api.requests.problems import problem
from apps.lifecycle.wsgi import address_rates
from apps.lifecycle.wsgi.address_rates import EVERYBODY, Limit, limits

PREFIX = "/api/"
ENROL = "/api/v1/enroll"
LOGINS = frozenset(("/login", "/admin/login/"))
TRIED_LATELY, FAILED_LATELY = Limit("LOGIN once a minute", 1), Limit("FAILURE once a minute", 1)
"""Whether an address has sent a password, or a wrong credential, within a minute."""
FIRST_TRIES = 4
"""How many times RATE_LIMIT_LOGIN_TOTAL may come a minute that are the first of their address in that minute."""


class RateLimitMiddleware:
    """Comes after static files and headers, and before sessions: a refusal costs no more than this."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # They get here only without `ProbeLayer`, which answers ahead of Django; details have a limit of their own.
        if settings.HEALTH_PATH.fullmatch(request.path_info):
            return self.get_response(request)
        source = address_rates.source(request.META.get("REMOTE_ADDR", ""))
        credential, kind = credential_of(request), kind_of(request)
        if kind != "ANONYMOUS" or credential is None or not address_rates.is_known(credential):
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
    """The request's Authorization header or session cookie, valid or not; None if it has neither."""
    header = request.META.get("HTTP_AUTHORIZATION")
    return header if header is not None else request.COOKIES.get(settings.SESSION_COOKIE_NAME)


def _wait(kind: str, source: str, credential: str | None) -> float:
    """Count the request now if its answer can't show who sent it. Returns the seconds that it has to wait, or 0."""
    if kind == "ANONYMOUS" and credential is not None:  # `_account` counts it if it is nobody's
        return limits(kind).each.wait(source) or _wait_for_failures(source)
    failures = _wait_for_failures(source) if kind != "ANONYMOUS" else 0
    if kind == "LOGIN":
        return failures or _wait_for_login(source)
    return failures or limits(kind).wait(source, count=1)


def _wait_for_failures(source: str) -> float:
    """The total of wrong credentials concerns only addresses that have sent one within a minute."""
    failures = limits("FAILURES")
    seconds = failures.each.wait(source)
    return seconds or (FAILED_LATELY.wait(source) and failures.total.wait(EVERYBODY))


def _wait_for_login(source: str) -> float:
    """Strangers who use up the total can't keep out an address from which somebody has logged in within a day.

    Nor one that hasn't sent a password within a minute: such first tries have a total of their own.
    """
    login = limits("LOGIN")
    if address_rates.is_known(_logins_of(source)):
        return login.each.wait(source, count=1)
    first = TRIED_LATELY.wait(source, count=1) == 0
    total = Limit("LOGIN first tries", FIRST_TRIES * login.total.most) if first else login.total
    return login.each.wait(source, count=1) or total.wait(EVERYBODY, count=1)


def _logins_of(source: str) -> str:
    """The key under which a login from this address is remembered."""
    return f"login from {source}"


def _account(
    request: HttpRequest, response: HttpResponseBase, *, kind: str, source: str, credential: str | None
) -> None:
    """Learn from the answer who sent the request, and count failures. An answer of 500 or more teaches nothing."""
    if response.status_code >= 500:
        return
    if getattr(request, "logged_in", False):
        address_rates.remember(_logins_of(source))
    if credential is not None and is_authenticated(request):
        address_rates.remember(credential)
    elif credential is not None:
        _count_nobody(response, kind=kind, source=source, credential=credential)
    wrong_token = credential is not None and response.status_code == 401
    wrong_code = kind == "ENROLMENT" and response.status_code == 403
    if wrong_token or wrong_code or getattr(request, "login_failed", False):
        limits("FAILURES").add(source)
        FAILED_LATELY.add(source)


def _count_nobody(response: HttpResponseBase, *, kind: str, source: str, credential: str) -> None:
    """Count a request whose credential identified nobody: it is wrong, or its path never asked for it."""
    if response.status_code == 401:
        address_rates.disown(credential)
    if kind == "ANONYMOUS" and not address_rates.is_known(credential):
        limits(kind).add(source)


def is_authenticated(request: HttpRequest) -> bool:
    """Whether the request's token or session was found valid while it was handled. Costs no query."""
    user = getattr(request, "_cached_user", None)  # Django's, once it has looked at the session
    return principal.noted(request) is not None or (user is not None and user.is_authenticated)


def _refuse(request: HttpRequest, seconds: float) -> HttpResponseBase:
    headers = {"Retry-After": str(math.ceil(seconds))}
    if request.path_info.startswith(PREFIX):
        return problem("rate_limited", headers=headers)
    # Without the request: its session hasn't been read yet.
    page = render_to_string("429.html", {"seconds": headers["Retry-After"]})
    return HttpResponse(page, status=429, headers=headers | {"Cache-Control": "no-store"})


def _login_failed(request: HttpRequest | None = None, **signal: object) -> None:
    if request is not None:
        request.login_failed = True  # type: ignore[attr-defined]


def _logged_in(request: HttpRequest, **signal: object) -> None:
    request.logged_in = True  # type: ignore[attr-defined]  # ours, for `_account`


user_logged_in.connect(_logged_in, dispatch_uid="apps.api.access.rate_limits")
user_login_failed.connect(_login_failed, dispatch_uid="apps.api.access.rate_limits")
