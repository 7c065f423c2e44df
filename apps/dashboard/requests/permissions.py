"""Who may see a page and who may act, as decorators. It must not know what a page shows."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from apps.fleet import roles
from apps.fleet.models import Role
from apps.fleet.models.roles import allows
from apps.lifecycle import referring_page

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
NO_ROLE = "Your account has no role yet, so it may not see anything here. An administrator can give it one."


def account(view: View[P]) -> View[P]:
    """As `viewer`, for every account, with a role or without: for what is about the account itself."""
    return _for_role(None, view)


def viewer(view: View[P]) -> View[P]:
    """For every account that has a role; 403 for others. Visitors without an account are sent to the login page.

    The response is never cached.
    """
    return _for_role(Role.VIEWER, view)


def operator(view: View[P]) -> View[P]:
    """As `viewer`, for operators and administrators."""
    return _for_role(Role.OPERATOR, view)


def _for_role(needed: Role | None, view: View[P]) -> View[P]:
    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            if needed is not None:
                require(request, needed)
            response = view(request, *args, **kwargs)
        else:
            response = redirect_to_login(_after_login(request))
        add_never_cache_headers(response)
        return response

    return wrapped


def require(request: HttpRequest, needed: Role) -> None:
    """Raises PermissionDenied, which becomes the page 403.html, if the person's role isn't enough."""
    held = roles.role_of(request.user)
    if allows(held, needed):
        return
    if held is None:
        raise PermissionDenied(NO_ROLE)
    raise PermissionDenied(
        f"Your account has the role {held.value}; this needs the role {needed.value}. An administrator can give it."
    )


def _after_login(request: HttpRequest) -> str:
    """The page to show after the login; for a form that came after the session had ended, the page of the form."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    return referring_page.page(request) or reverse("overview")


def actor(request: HttpRequest) -> str:
    """The name under which the fleet records what this person does."""
    return f"user:{request.user.get_username()}"
