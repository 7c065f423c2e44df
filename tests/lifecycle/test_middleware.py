"""A database that can't answer is a 503 with Retry-After on pages."""

from collections.abc import Callable

import pytest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.lifecycle.dbpool import DatabaseUnavailable, DbpoolExhausted
from apps.lifecycle.middleware import DatabaseUnavailableMiddleware


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


def test_process_exception_other_error_is_left_alone(middleware: DatabaseUnavailableMiddleware) -> None:
    assert middleware.process_exception(RequestFactory().get("/"), ValueError()) is None
