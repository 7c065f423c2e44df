"""Error pages: the same look, a plain sentence, and no database."""

from typing import Any

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import SuspiciousOperation
from django.db import OperationalError
from django.test import Client

from apps.dashboard.views import overview
from apps.fleet.exceptions import NotFound


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The overview fails with this error."""

    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(overview, "Survey", failing)


@pytest.fixture
def visitor(staff: Client) -> Client:
    staff.raise_request_exception = False
    return staff


def test_fault_of_the_server_is_a_500_page(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, RuntimeError("secret detail"))
    answer = visitor.get("/")
    assert answer.status_code == 500
    page = answer.content.decode()
    assert "Something went wrong here" in page and "secret detail" not in page


def test_database_away_in_a_view_is_a_503_with_retry_after(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, OperationalError("connection refused at 10.0.0.5"))
    answer = visitor.get("/")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1
    page = answer.content.decode()
    assert "The database can't be used" in page and "10.0.0.5" not in page


def test_database_away_outside_of_a_view_is_a_503_too(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise OperationalError("the session can't be saved")

    monkeypatch.setattr(SessionMiddleware, "process_response", failing)
    answer = visitor.get("/")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1


def test_senseless_request_is_a_400_page(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, SuspiciousOperation("no"))
    answer = visitor.get("/")
    assert answer.status_code == 400
    assert "could not understand" in answer.content.decode()


def test_error_pages_ask_no_database(client: Client, django_assert_num_queries: Any, db: None) -> None:
    with django_assert_num_queries(0):
        assert client.get("/nothing").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        f"/packages/{'a' * 256}",
        f"/packages/{'a' * 5000}",
        "/packages/a%2Fb",
        "/endpoints/nobody/packages",
        "/pools/nobody/revisions/1",
    ],
)
def test_what_the_fleet_does_not_have_is_a_404_page(visitor: Client, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.content.decode()


def test_longest_package_name_is_a_page(visitor: Client) -> None:
    assert visitor.get(f"/packages/{'a' * 255}").status_code == 200


def test_not_found_of_the_fleet_in_any_view_is_a_404_page(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, NotFound("There is no such thing."))
    answer = visitor.get("/")
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.content.decode()


@pytest.mark.parametrize("path", ["/endpoints/box/sync", "/logout", "/endpoints/box/resume"])
def test_address_that_only_takes_a_form_is_a_page_that_says_so(visitor: Client, path: str) -> None:
    answer = visitor.get(path)
    assert (answer.status_code, "POST" in answer["Allow"]) == (405, True)
    page = answer.content.decode()
    assert "This address works only with the button that leads to it." in page and "site-header" in page


def test_wrong_method_of_a_program_is_answered_as_before(visitor: Client) -> None:
    assert visitor.post("/agent/pacsync-agent").content == b""
