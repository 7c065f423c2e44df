"""What any page may end in and is answered the same everywhere: refused comparisons, former names of pools, what the
fleet doesn't have, a page that only takes a form."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.views.defaults import page_not_found

from apps.dashboard.pools_by_name import PoolMoved, moved
from apps.fleet.exceptions import ComparisonTooLong, NotFound, StateTooLarge

_PAGES = ("apps.dashboard.", "django.contrib.auth.")


class ComparisonRefusedMiddleware:
    """Turns StateTooLarge and ComparisonTooLong into the page 422.html, PoolMoved into a redirect, the fleet's NotFound
    into the page 404.html, and a method that a page doesn't take into the page 405.html."""

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
            return moved(request, error)
        if isinstance(error, NotFound) and _is_page(request):
            return page_not_found(request, error)
        if not isinstance(error, StateTooLarge | ComparisonTooLong):
            return None
        return render(request, "422.html", {"reason": str(error)}, status=422)


def _is_page(request: HttpRequest) -> bool:
    """Whether a person's page is at this address; what programs ask answers for itself."""
    match = request.resolver_match
    return match is not None and getattr(match.func, "__module__", "").startswith(_PAGES)
