"""A database that can't answer is a 503 with Retry-After on pages."""

from collections.abc import Callable

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from psycopg.errors import UndefinedTable

from apps.lifecycle import failure_reason
from apps.lifecycle.dbpool.facade import DatabaseUnavailable, DbpoolExhausted
from apps.lifecycle.dbpool.middleware import DatabaseUnavailableMiddleware


@pytest.fixture
def middleware() -> DatabaseUnavailableMiddleware:
    respond: Callable[[HttpRequest], HttpResponse] = lambda request: HttpResponse("page")  # noqa: E731
    return DatabaseUnavailableMiddleware(respond)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (DbpoolExhausted("all in use"), "1"),
        (DatabaseUnavailable("down"), "2"),
        (OperationalError("server closed the connection"), "2"),
        (InterfaceError("closed"), "2"),
    ],
)
def test_process_exception_database_error_503(
    middleware: DatabaseUnavailableMiddleware, error: Exception, seconds: str
) -> None:
    response = middleware.process_exception(RequestFactory().get("/"), error)
    assert response is not None
    assert (response.status_code, response["Retry-After"]) == (503, seconds)
    assert response["Cache-Control"] == "no-store"
    assert str(error).encode() not in response.content


def test_process_exception_table_that_is_not_there_yet_503(middleware: DatabaseUnavailableMiddleware) -> None:
    error = ProgrammingError("no such relation")
    error.__cause__ = UndefinedTable("no such relation")
    response = middleware.process_exception(RequestFactory().get("/"), error)
    assert response is not None and response.status_code == 503
    assert middleware.process_exception(RequestFactory().get("/"), ProgrammingError("syntax")) is None


def test_process_exception_error_is_a_part_of_the_requests_own_line(middleware: DatabaseUnavailableMiddleware) -> None:
    request = RequestFactory().get("/")
    middleware.process_exception(request, OperationalError("server closed\n\tthe connection"))
    assert failure_reason.of(request.META) == "OperationalError: server closed the connection"


@pytest.mark.parametrize(
    ("method", "came", "again"),
    [
        ("get", "http://testserver/pools/lab", ""),
        ("post", "http://testserver/pools/lab/sync?x=1#y", "/pools/lab/sync?x=1"),
        ("post", "http://testserver//evil.example/x", "/"),
        ("post", "https://evil.example/x", "/"),
        ("post", "http://[", "/"),
        ("post", "", "/"),
    ],
)
def test_way_on_from_a_form_is_the_page_that_it_was_on(
    middleware: DatabaseUnavailableMiddleware, method: str, came: str, again: str
) -> None:
    """A GET of an address that only takes forms would be refused, and say that nothing was changed."""
    request = getattr(RequestFactory(), method)("/selected/do", headers={"Referer": came})
    response = middleware.process_exception(request, DatabaseUnavailable("down"))
    assert response and f'<a href="{again}">' in response.content.decode()


def test_process_exception_other_error_is_left_alone(middleware: DatabaseUnavailableMiddleware) -> None:
    assert middleware.process_exception(RequestFactory().get("/"), ValueError()) is None
