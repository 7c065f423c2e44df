"""Refusals: one shape, one code each, also for what Django refuses; database faults; nothing leaks."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError
from django.test import Client, RequestFactory
from psycopg_pool import PoolTimeout

from apps.api.requests import errors
from apps.api.requests.codes import CODES
from apps.fleet import exceptions, pool_manager
from apps.fleet.exceptions import FleetError
from apps.fleet.names import validate_name
from apps.lifecycle.dbpool.facade import DatabaseUnavailable, DbpoolExhausted
from tests.api.support import ROOT, Answer, Api, ApiMachine

pytestmark = pytest.mark.django_db


def refusals(kind: type[FleetError] = FleetError) -> Iterator[type[FleetError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from refusals(one)


def test_codes_every_refusal_of_the_domain_has_a_status() -> None:
    assert {kind.code for kind in refusals() if kind.__module__ == exceptions.__name__} <= CODES.keys()


# What no route of an agent answers with.
FOR_OPERATORS = {
    "csrf_failed",
    "pool_not_empty",
    "not_cancellable",
    "invalid_cursor",
    "invalid_pattern",
    "feature_disabled",
    "token_expired",
}


@pytest.mark.parametrize(("document", "left_out"), [("docs/api.md", set()), ("docs/protocol.md", FOR_OPERATORS)])
def test_codes_documents_name_all_of_them_and_no_other(document: str, left_out: set[str]) -> None:
    text = (settings.BASE_DIR / document).read_text()
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", text, re.MULTILINE)
    named = {(int(status), code) for status, cell in rows for code in re.findall(r"`(\w+)`", cell)}
    assert named == {(code.status, name) for name, code in CODES.items() if name not in left_out}


@pytest.mark.parametrize(
    "path", ["/api/v1/none", "/api/v2/pools", "/api/", "/api/v1", "/api/v1/", "/api/v1/pools/a/b/c"]
)
def test_unknown_path_404_problem(path: str, operator: Api) -> None:
    Answer(Client().get(path)).refused(404, "not_found")
    Answer(Client().post(path, headers=operator.headers)).refused(404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/none", f"{ROOT}/pools"])
def test_errors_keep_what_a_browser_must_respect(path: str) -> None:
    """An answer by Django itself becomes a problem; only what was about its body goes."""
    response = Client().put(path)
    assert response.json()["code"] in ("not_found", "method_not_allowed")
    assert "default-src" in response["Content-Security-Policy"] and response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff" and "origin" in response["Vary"]
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "HEAD", "OPTIONS", "NONSENSE", "DELETE"])
def test_method_not_allowed_405_with_allow(method: str) -> None:
    response = Client().generic(method, f"{ROOT}/pools")
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}
    if method != "HEAD":
        assert response.json()["code"] == "method_not_allowed"


def test_host_that_is_not_allowed_400_problem(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["pacsync.example"]
    Answer(Client().get(f"{ROOT}/pools", headers={"Host": "evil.example"})).refused(400, "bad_request")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nonsense",
        '{"name": "lab",}',
        '{"name": NaN}',
        '{"retention": Infinity}',
        '{"name": "lab", "name": "lab"}',
        "[" * 500,
        b"\xff\xfe{\x00}\x00",
        b'{"name": "\xff"}',
        b"\x00",
        '{"name": "a\nb"}',
        "\ufeff{}",
    ],
    ids=lambda body: repr(body)[:20],
)
def test_body_that_is_no_json_400_nothing_made(operator: Api, body: str | bytes) -> None:
    answer = operator.request("POST", "/pools", body)
    assert answer.status in (400, 422)
    answer.refused(*((400, "invalid_json") if body else (422, "invalid_request")))
    assert not pool_manager.Pool.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"]
)
def test_body_of_another_type_415(operator: Api, content_type: str) -> None:
    operator.request("POST", "/pools", '{"name": "lab"}', content_type=content_type).refused(
        415, "unsupported_media_type"
    )


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_body_type_with_parameters_accepted(operator: Api, content_type: str) -> None:
    operator.request("POST", "/pools", '{"name": "lab"}', content_type=content_type).ok(201)


def test_body_over_a_mebibyte_413(operator: Api) -> None:
    operator.post("/pools", {"name": "lab", "description": "x" * (1 << 20)}).refused(413, "too_large")


def test_validation_errors_say_where_and_never_what(operator: Api) -> None:
    secret = "psc_SECRET"
    body = {"uses": secret, "valid_hours": 1.5, secret[:4]: 1, "pool": ["x"]}
    problem = operator.post("/enrolment-codes", body).refused(422, "invalid_request")
    assert {tuple(error["loc"]) for error in problem["errors"]} == {
        ("body", "uses"),
        ("body", "valid_hours"),
        ("body", "psc_"),
        ("body", "pool"),
    }
    assert "SECRET" not in str(problem)


def test_validation_errors_are_sentences_without_expressions(operator: Api, machine: ApiMachine) -> None:
    repository = {"name": "core", "digest": "a" * 64, "mirrors": []}
    for answer, said in (
        (operator.patch("/pools/lab", {"excluded_packages": ["a b"]}), "A pattern has no spaces."),
        (operator.patch("/pools/lab", {"description": "a\nb"}), "It is one line without control characters."),
        (operator.get("/endpoints?pool=a%20b"), str(validate_name.message)),
        (operator.get("/pools/lab/targets/x"), "It is a whole number in decimal digits."),
        (
            machine.api.post("/checkin", {"seq": 1, "state": "a" * 64, "repositories": [repository] * 2}),
            "A repository's name may come once.",
        ),
        (machine.api.post("/checkin", {"seq": 1, "state": "A"}), "A digest has 64 hex digits, in lower case."),
    ):
        [error] = answer.refused(422, "invalid_request")["errors"]
        assert error["message"] == said


def test_unknown_field_with_a_surrogate_in_its_name_422(operator: Api) -> None:
    operator.request("POST", "/pools", '{"name": "lab", "\\ud800": 1}').refused(422, "invalid_request")


@pytest.mark.parametrize(
    "query", ["none=1", "limit=1&limit=2", "limit=", "limit=0", "limit=201", "limit=5.0", "limit=%00"]
)
def test_query_that_makes_no_sense_422(operator: Api, query: str) -> None:
    operator.get(f"/pools?{query}").refused(422, "invalid_request")


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None = None) -> None:
    def fail(**_: object) -> None:
        raise error from cause

    monkeypatch.setattr(pool_manager, "create_pool", fail)


@pytest.mark.parametrize(
    ("error", "cause", "status", "code"),
    [
        (OperationalError("host=db.internal refused"), None, 503, "database_unavailable"),
        (InterfaceError("connection already closed"), None, 503, "database_unavailable"),
        (InternalError("read-only"), psycopg.errors.ReadOnlySqlTransaction(), 503, "database_unavailable"),
        (InternalError("in doubt"), psycopg.errors.InFailedSqlTransaction(), 500, "internal_error"),
        (OperationalError("timeout"), PoolTimeout("2.0 s"), 503, "busy"),
        (OperationalError("deadlock"), psycopg.errors.DeadlockDetected(), 503, "busy"),
        (OperationalError("timeout"), psycopg.errors.QueryCanceled(), 503, "busy"),
        (OperationalError("database is locked"), None, 503, "busy"),
        (IntegrityError("fk"), None, 409, "conflict"),
        (DataError("host=db.internal"), None, 500, "internal_error"),
        (KeyError("host=db.internal"), None, 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_faults_have_their_code_and_no_text_of_theirs(
    operator: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None, status: int, code: str
) -> None:
    raising(monkeypatch, error, cause)
    answer = operator.post("/pools", {"name": "lab"})
    problem = answer.refused(status, code)
    assert "internal" not in problem["detail"] and str(error) not in problem["detail"]
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_request_id_kept_when_sane_else_made(operator: Api) -> None:
    assert operator.get("/pools", X_Request_ID="abc-1.2_3").headers["X-Request-ID"] == "abc-1.2_3"
    for bad in ("a b", "x" * 129, "a\u00e4", "", "a;b"):
        made = operator.get("/pools", X_Request_ID=bad).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made)
    assert Client().get("/api/none")["X-Request-ID"] != Client().get("/api/none")["X-Request-ID"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(DbpoolExhausted("all are in use"), "busy"), (DatabaseUnavailable("none can be made"), "database_unavailable")],
)
def test_dbpool_errors_have_their_own_codes_whatever_caused_them(error: OperationalError, code: str) -> None:
    error.__cause__ = PoolTimeout("after 3 s")
    assert errors.on_database_error(RequestFactory().get("/api/v1/pools"), error).headers["Retry-After"]
    assert errors.is_busy(error) == (code == "busy")
