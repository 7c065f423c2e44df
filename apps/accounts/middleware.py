"""Notes that a session was used, and whose request this is. It must not know what a request is about."""

from collections.abc import Callable
from contextvars import ContextVar

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.accounts import session_end

AUTOMATIC = "HTTP_X_AUTOMATIC"
"""In the requests of a page that asks for itself again: nobody is using it, as far as one knows."""
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class AccountsMiddleware:
    """Comes after authentication."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _request.set(request)
        try:
            response = self.get_response(request)
        finally:
            _request.reset(token)
        if AUTOMATIC not in request.META and _looked_up(request) is not None:
            session_end.used(request.session)
        return response


def current_user() -> User | None:
    """Whose request is under way in this thread; None outside of requests, and for nobody's."""
    request = _request.get()
    return _looked_up(request) if request is not None else None


def _looked_up(request: HttpRequest) -> User | None:
    """The user, if the request was found to have one. Costs no query."""
    user = getattr(request, "_cached_user", None)  # Django's, once it has looked at the session
    return user if user is not None and user.is_authenticated else None
