"""Who may see a page and who may act, as decorators. It must not know what a page shows."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from apps.lifecycle import referring_page

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def reader(view: View[P]) -> View[P]:
    """For every account. Visitors without one are sent to the login page. The response is never cached."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            response = view(request, *args, **kwargs)
        else:
            response = redirect_to_login(_after_login(request))
        add_never_cache_headers(response)
        return response

    return wrapped


def _after_login(request: HttpRequest) -> str:
    """The page to show after the login; for a form that came after the session had ended, the page of the form."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    return referring_page.page(request) or reverse("overview")


def staff(view: View[P]) -> View[P]:
    """For staff accounts; 403 for other accounts."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not request.user.is_staff:
            raise PermissionDenied("Your account is read-only. Only staff accounts can make changes.")
        return view(request, *args, **kwargs)

    return reader(wrapped)


def actor(request: HttpRequest) -> str:
    """The name under which the fleet records what this person does."""
    return f"user:{request.user.get_username()}"
