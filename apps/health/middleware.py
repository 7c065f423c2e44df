"""Records the route's pattern for the metrics: `api/v1/pools/{name}` is one route, however many pools there are.

It must not know what is measured.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.health.wsgi import ROUTE


class RouteMiddleware:
    """May be anywhere in MIDDLEWARE."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        if request.resolver_match is not None:
            # request.META is the WSGI environ itself, which MeasureLayer still has when the answer is ready.
            request.META[ROUTE] = "/" + request.resolver_match.route.removeprefix("^").removesuffix("$")
