"""Whose session a request has. It must not know who may do what.

Django gives a session another key when a former SECRET_KEY signed it, and deletes it under its old one. Requests of the
same browser that are under way then have no session, and their answers log the browser out. So a session keeps its key
here, and only its signature is replaced: to a session in the database, its key says nothing about SECRET_KEY (ADR 51).
"""

from functools import partial

from django.contrib import auth
from django.contrib.auth import middleware
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject


def get_user(request: HttpRequest) -> User | AnonymousUser:
    """The request's user, looked up once and kept as `_cached_user`, where Django's middleware has it."""
    if not hasattr(request, "_cached_user"):
        request._cached_user = _look_up(request)  # type: ignore[attr-defined]  # django-stubs leaves it out
    return request._cached_user  # type: ignore[attr-defined,no-any-return]  # as above


def _look_up(request: HttpRequest) -> User | AnonymousUser:
    """`django.contrib.auth.get_user`, for a session that keeps its key."""
    attributes = vars(request.session)
    attributes["cycle_key"] = _keep_key  # get_user calls it for this reason only
    try:
        return auth.get_user(request)
    finally:
        del attributes["cycle_key"]


def _keep_key() -> None:
    """Takes the place of `SessionBase.cycle_key`."""


class AuthenticationMiddleware(middleware.AuthenticationMiddleware):
    """Django's, with `get_user` from here."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(partial(get_user, request))  # type: ignore[assignment]  # it becomes a user
