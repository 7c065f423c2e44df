"""Refuses large forms from whoever isn't logged in, before Django parses them. It must not know what a form means.

The API's routes have their own rule (apps/api/requests/guard.py): there the body is read after authentication.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.api.requests.body import ANONYMOUS_LIMIT, content_length, drain

PREFIX = "/api/"


class SmallBodyMiddleware:
    """Comes after authentication. Django's CSRF protection reads the form later, before the view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        large = content_length(request) > ANONYMOUS_LIMIT and not request.path_info.startswith(PREFIX)
        if large and not request.user.is_authenticated:
            drain(request)
            text = f"A form of somebody who is not logged in has at most {ANONYMOUS_LIMIT} bytes.\n"
            return HttpResponse(text, status=413, content_type="text/plain; charset=utf-8")
        return self.get_response(request)
