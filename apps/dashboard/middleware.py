"""What any view may raise and is answered the same everywhere: refused comparisons, former names of pools."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.dashboard.pools_by_name import PoolMoved, moved
from apps.fleet.exceptions import ComparisonTooLong, StateTooLarge


class ComparisonRefusedMiddleware:
    """Turns StateTooLarge and ComparisonTooLong into the page 422.html, PoolMoved into a redirect."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, PoolMoved):
            return moved(request, error)
        if not isinstance(error, StateTooLarge | ComparisonTooLong):
            return None
        return render(request, "422.html", {"reason": str(error)}, status=422)
