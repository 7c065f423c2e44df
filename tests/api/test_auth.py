"""Who may do what: tokens, sessions, roles, CSRF."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.api.access.auth import FOR_OPERATORS
from apps.api.api import api
from apps.api.requests.codes import CODES
from apps.fleet.models import ApiToken, Pool
from apps.lifecycle.work import deferred_writes
from tests.api.support import ROOT, Api, ApiMachine, api_token

pytestmark = pytest.mark.django_db


def routes() -> list[tuple[str, str, dict[str, Any]]]:
    paths = api.get_openapi_schema()["paths"]
    return [(method.upper(), path, operation) for path, all_ in paths.items() for method, operation in all_.items()]


def concrete(path: str) -> str:
    path = path.removeprefix(ROOT).replace("{name}", "m1").replace("{number}", "1").replace("{code_id}", "1")
    return path.replace("{digest}", "0" * 64).replace("{operation_id}", "00000000-0000-4000-8000-000000000000")


ALL = [pytest.param(method, path, op, id=f"{method} {path}") for method, path, op in routes()]


@pytest.mark.parametrize(("method", "path", "operation"), ALL)
def test_every_route_without_a_token_401_but_enrolment(method: str, path: str, operation: dict[str, Any]) -> None:
    answer = Api().request(method, concrete(path), "{}")
    if path.endswith("/enroll"):
        answer.refused(422, "invalid_request")
        return
    answer.refused(401, "token_invalid")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path", "operation"), ALL)
def test_every_route_with_the_wrong_kind_of_token_403(
    method: str, path: str, operation: dict[str, Any], viewer: Api, machine: ApiMachine
) -> None:
    """A viewer changes nothing; an endpoint's token is for the agent's routes; nobody else speaks for an endpoint."""
    ways = {name for way in operation.get("security", []) for name in way}
    if "EndpointToken" not in ways and ways:
        machine.api.request(method, concrete(path), "{}").refused(403, "forbidden")
    if (method != "GET" or path.endswith(("/me", "/tokens", "/enrolment-codes"))) and ways:
        viewer.request(method, concrete(path), "{}").refused(403, "forbidden")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer pst_unknown",
        "Bearer pse_unknown",
        "Bearer ",
        "Bearer",
        "bearer",
        "",
        "Basic b3BlcmF0b3I6eA==",
        "Bearer \u00e4",
        "Bearer " + "x" * 5000,
        "Token pst_x",
        "Bearer pst_x pst_y",
        "Bearer psc_code",
    ],
)
def test_token_that_is_none_401(operator: Api, header: str) -> None:
    Api().get("/pools", Authorization=header).refused(401, "token_invalid")


def test_token_scheme_in_any_case_accepted(db: None) -> None:
    Api().get("/pools", Authorization=f"bearer {api_token('viewer')}").ok()


def test_token_revoked_401(operator: Api, db: None) -> None:
    token = Api(api_token("viewer"))
    token.get("/pools").ok()
    operator.delete("/tokens/viewer").ok()
    token.get("/pools").refused(401, "token_invalid")


def test_token_use_noted(operator: Api) -> None:
    operator.get("/pools").ok()
    deferred_writes.flush()
    assert ApiToken.objects.get().last_used is not None


def session(*, staff: bool, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(User.objects.create_user("ann", is_staff=staff))
    return client


def test_session_of_staff_may_change_and_is_named_in_the_audit(db: None) -> None:
    ann = Api(client=session(staff=True))
    ann.post("/pools", {"name": "lab"}).ok(201)
    assert ann.get("/audit-events").ok()["items"][0]["actor"] == "user:ann"


def test_session_of_others_may_read_only(pool: Pool) -> None:
    ann = Api(client=session(staff=False))
    ann.get("/pools").ok()
    for refused, said in (
        (ann.post("/pools", {"name": "x"}), "This account is read-only. Use one with staff status."),
        (ann.get("/tokens"), FOR_OPERATORS),
        (ann.get("/me"), CODES["forbidden"].meaning),
    ):
        assert refused.refused(403, "forbidden")["detail"] == said


def test_token_of_a_viewer_is_told_which_one_may_change(viewer: Api, machine: ApiMachine) -> None:
    for refused, said in (
        (viewer.post("/pools", {"name": "x"}), "This token is read-only. Use one with the role operator."),
        (viewer.post("/operations", {"kind": "sync"}), "This token is read-only. Use one with the role operator."),
        (viewer.get("/enrolment-codes"), FOR_OPERATORS),
        (viewer.get("/me"), CODES["forbidden"].meaning),
        (viewer.post("/checkin", {}), CODES["forbidden"].meaning),
        (machine.api.post("/pools", {"name": "x"}), CODES["forbidden"].meaning),
    ):
        assert refused.refused(403, "forbidden")["detail"] == said


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_session_change_without_csrf_token_403_nothing_made(db: None, content_type: str) -> None:
    ann = Api(client=session(staff=True, csrf=True))
    ann.get("/pools").ok()
    ann.request("POST", "/pools", '{"name": "lab"}', content_type=content_type).refused(403, "csrf_failed")
    assert not Pool.objects.exists()


def test_session_change_with_csrf_token_accepted(db: None) -> None:
    client = session(staff=True, csrf=True)
    client.cookies["csrftoken"] = "x" * 32
    Api(client=client).request("POST", "/pools", '{"name": "lab"}', X_CSRFToken="x" * 32).ok(201)


def test_session_beside_a_wrong_token_401(db: None) -> None:
    Api("pst_wrong", client=session(staff=True)).get("/pools").refused(401, "token_invalid")


def test_endpoint_token_never_in_an_answer_or_the_audit(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    for path in ("/endpoints", "/endpoints/m1", "/audit-events", "/tokens", "/enrolment-codes"):
        text = str(operator.get(path).ok())
        assert machine.token not in text and operator.headers["Authorization"].split()[1] not in text
        assert "hash" not in text
