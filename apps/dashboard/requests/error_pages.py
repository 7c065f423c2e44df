"""The errors that any page can end in, each answered in the same way everywhere. It must not know the pages."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.views.defaults import page_not_found

from apps.dashboard.requests.pool_by_name import PoolMoved, redirect_to_current_name
from apps.fleet.exceptions import ComparisonTooLong, NotFound, StateTooLarge

_PAGES = ("apps.dashboard.", "django.contrib.auth.")


class ErrorPagesMiddleware:
    """Answers what a page raises.

    StateTooLarge and ComparisonTooLong become 422.html, PoolMoved a redirect, the fleet's NotFound 404.html, and a
    method that a page doesn't take 405.html.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not isinstance(response, HttpResponseNotAllowed) or not _is_page(request):
            return response
        page = render(request, "405.html", status=405)
        page["Allow"] = response["Allow"]
        return page

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, PoolMoved):
            return redirect_to_current_name(request, error)
        if isinstance(error, NotFound) and _is_page(request):
            return page_not_found(request, error)
        if not isinstance(error, StateTooLarge | ComparisonTooLong):
            return None
        return render(request, "422.html", {"reason": str(error)}, status=422)


def _is_page(request: HttpRequest) -> bool:
    """Whether the address is a page for people. Addresses for programs answer in their own way."""
    match = request.resolver_match
    return match is not None and getattr(match.func, "__module__", "").startswith(_PAGES)
