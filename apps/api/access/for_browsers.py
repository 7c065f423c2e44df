"""Middleware that only a browser needs. A request to the API with a token of ours passes it by.

A page can't send such a token of its own accord, and a request that has one is judged by the token alone, whatever
session comes with it (`apps.api.access.auth`). So it needs no session, no user, no messages and no page's policy.
It must not know who a token belongs to, nor whether it is valid.
"""

from csp.middleware import CSPMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.accounts.middleware import AccountsMiddleware
from apps.fleet import tokens
from apps.lifecycle.session_user import AuthenticationMiddleware

PREFIX = "/api/"
NOTHING = "default-src 'none'; frame-ancestors 'none'"
_TOKENS = tuple(f"Bearer {prefix}" for prefix in (tokens.ENDPOINT, tokens.API))


def has_token(request: HttpRequest) -> bool:
    """Whether the request is one to the API with a token, valid or not."""
    return request.META.get("HTTP_AUTHORIZATION", "").startswith(_TOKENS) and request.path_info.startswith(PREFIX)


class _ForBrowsers:
    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if has_token(request):
            return self.get_response(request)  # type: ignore[attr-defined,no-any-return]  # Django's mixin has it
        return super().__call__(request)  # type: ignore[misc,no-any-return]  # as above


class PolicyForBrowsers(_ForBrowsers, CSPMiddleware):
    """django-csp's, which builds the policy of each answer. The one to a token is a constant, the strictest."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = super().__call__(request)
        if has_token(request):
            response.headers["Content-Security-Policy"] = NOTHING
        return response


class SessionForBrowsers(_ForBrowsers, SessionMiddleware):
    """Django's. Without it `request.session` doesn't exist."""


class UserForBrowsers(_ForBrowsers, AuthenticationMiddleware):
    """Ours. Without it `request.user` doesn't exist."""


class AccountsForBrowsers(_ForBrowsers, AccountsMiddleware):
    """Ours. Without it a session isn't noted as used."""


class MessagesForBrowsers(_ForBrowsers, MessageMiddleware):
    """Django's. Without it no message can be kept for the next page."""
