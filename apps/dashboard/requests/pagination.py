"""Which page of a list the request asks for. It must not know what the list shows."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest


def page_of(request: HttpRequest, found: Any, per_page: int, parameter: str = "page") -> Page[Any]:
    """The page that the request asks for; the nearest one when there is no such page."""
    return Paginator(found, per_page).get_page(request.GET.get(parameter))
