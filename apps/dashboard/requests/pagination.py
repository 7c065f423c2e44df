"""Which page of a list the request asks for. It must not know what the list shows."""

from contextlib import suppress
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

LATE = 1000
"""Rows that come before a late page."""


def page_of(request: HttpRequest, found: Any, per_page: int, parameter: str = "page") -> Page[Any]:
    """The page that the request asks for; the nearest one when there is no such page."""
    return _NearestPaginator(found, per_page).get_page(request.GET.get(parameter))


def page_of_rows(request: HttpRequest, found: QuerySet[Any], per_page: int) -> Page[Any]:
    """The same of rows of a table, with what is joined to them. As quick for a late page."""
    return _RowPaginator(found, per_page).get_page(request.GET.get("page"))


class _NearestPaginator(Paginator):  # type: ignore[type-arg] # it has no type parameter while it runs
    """The page before the first one is the first one. Django would take the last one, as after the last."""

    def validate_number(self, number: Any) -> int:
        with suppress(TypeError, ValueError):
            number = max(1, int(number))
        return super().validate_number(number)


class _RowPaginator(_NearestPaginator):
    """The database joins and reads every row that comes before a page. For a late one it first looks for its keys."""

    def page(self, number: int | str) -> Page[Any]:
        page = super().page(number)
        before = (page.number - 1) * self.per_page
        rows = self.object_list
        if before >= LATE and isinstance(rows, QuerySet):
            page.object_list = rows.filter(pk__in=rows.values("pk")[before : before + self.per_page])
        return page
