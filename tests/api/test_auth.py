"""Who may do what: tokens, sessions, roles, CSRF."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from apps.api.access.auth import FOR_OPERATORS
from apps.api.api import api
from apps.api.requests.codes import CODES
from apps.fleet import roles, tokens
from apps.fleet.models import ApiToken, Pool, Role
from apps.lifecycle.work import deferred_writes
from tests import factories
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
def test_every_route_with_an_endpoint_token_403_where_it_is_for_people(
    method: str, path: str, operation: dict[str, Any], machine: ApiMachine
) -> None:
    """An endpoint's token is for the agent's routes; nobody else speaks for an endpoint."""
    ways = {name for way in operation.get("security", []) for name in way}
    if "EndpointToken" not in ways and ways:
        machine.api.request(method, concrete(path), "{}").refused(403, "forbidden")


def needed(method: str, path: str, operation: dict[str, Any], *, by: str) -> Role | None:
    """The role that a person needs for this route, with a token or a session; None: no role is enough."""
    ways = {name for way in operation["security"] for name in way}
    if "ApiToken" not in ways:
        return None
    if path.startswith(f"{ROOT}/tokens"):
        return Role.VIEWER if by == "session" else Role.OPERATOR
    return Role.OPERATOR if method != "GET" or path.endswith("/enrolment-codes") else Role.VIEWER


class Person:
    """`ann`, with a token whose role is the highest, and a session."""

    def __init__(self) -> None:
        self.account = factories.account("ann", Role.ADMINISTRATOR)
        self.token, self.text = tokens.create_api_token(
            name="ann", role="administrator", actor="test", owner=self.account
        )
        self.client = Client()
        self.client.force_login(self.account)

    def give(self, role: Role | None) -> None:
        roles.give(user=self.account, role=role, actor="test")

    def by(self, way: str) -> Api:
        return Api(self.text) if way == "token" else Api(client=self.client)


@pytest.fixture
def ann(db: None) -> Person:
    return Person()


def refusal(api: Api, method: str, path: str) -> tuple[int, str] | None:
    """Status and code of a 401 or 403; None for any other answer. (An export isn't JSON.)"""
    answer = api.client.generic(method, ROOT + path, "{}", "application/json", headers=api.headers)
    return (answer.status_code, answer.json()["code"]) if answer.status_code in (401, 403) else None


PEOPLE = [route for route in ALL if route.values[2].get("security")]


@pytest.mark.parametrize(("method", "path", "operation"), PEOPLE)
def test_every_route_with_every_role_403_where_it_is_not_enough(
    method: str, path: str, operation: dict[str, Any], machine: ApiMachine, ann: Person
) -> None:
    """A token with the role of an administrator may do what its owner may now, and no more."""
    for role in (None, *Role):
        ann.give(role)
        for way in ("token", "session"):
            if path.startswith(f"{ROOT}/tokens"):  # the token of the next turn must still be there
                path = path.replace("{name}", "none")
            least = needed(method, path, operation, by=way)
            enough = None not in (least, role) and list(Role).index(role) >= list(Role).index(least)  # type: ignore[arg-type]
            wanted = None if enough else (403, "forbidden")
            assert refusal(ann.by(way), method, concrete(path)) == wanted, (role, way)


@pytest.mark.parametrize(("method", "path", "operation"), PEOPLE)
def test_every_route_with_a_token_that_has_ended_401(
    method: str, path: str, operation: dict[str, Any], machine: ApiMachine, ann: Person
) -> None:
    """The token of somebody who left, an expired one, a revoked one, and one that went with the account."""
    api = ann.by("token")
    api.get("/pools").ok()
    ApiToken.objects.update(expires=Now())
    assert refusal(api, method, concrete(path)) == (401, "token_expired")
    User.objects.update(is_active=False)
    assert refusal(api, method, concrete(path)) == (401, "token_invalid")
    User.objects.update(is_active=True)
    ApiToken.objects.update(expires=None)
    api.get("/pools").ok()
    tokens.revoke_api_token(token=ann.token, actor="test")
    assert refusal(api, method, concrete(path)) == (401, "token_invalid")
    ApiToken.objects.update(revoked=None)
    api.get("/pools").ok()
    ann.account.delete()
    assert refusal(api, method, concrete(path)) == (401, "token_invalid")


def test_token_expired_says_since_when_and_what_to_do(operator: Api) -> None:
    ApiToken.objects.update(expires="2026-01-15T10:30:00Z")
    refused = operator.get("/pools").refused(401, "token_expired")
    assert refused["detail"] == (
        "The API token operator expired at 2026-01-15 10:30 UTC. Make a new one: on the page /tokens, or with "
        "manage.py create_api_token."
    )


def test_token_of_somebody_whose_role_is_lower_now_is_told_so(ann: Person) -> None:
    ann.give(Role.VIEWER)
    detail = ann.by("token").post("/pools", {"name": "lab"}).refused(403, "forbidden")["detail"]
    assert detail.startswith("This token is read-only: its role, or its owner's, is viewer.")
    ann.give(None)
    detail = ann.by("token").get("/pools").refused(403, "forbidden")["detail"]
    assert detail == "The owner of this token has no role any more. An administrator can give one."
    detail = ann.by("session").get("/pools").refused(403, "forbidden")["detail"]
    assert detail == "Your account has no role. An administrator can give it one."


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


def session(role: Role, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(factories.account("ann", role))
    return client


def test_session_of_an_operator_may_change_and_is_named_in_the_audit(db: None) -> None:
    ann = Api(client=session(Role.OPERATOR))
    ann.post("/pools", {"name": "lab"}).ok(201)
    assert ann.get("/audit-events").ok()["items"][0]["actor"] == "user:ann"


def test_session_of_a_viewer_may_read_only(pool: Pool) -> None:
    ann = Api(client=session(Role.VIEWER))
    ann.get("/pools").ok()
    for refused, said in (
        (
            ann.post("/pools", {"name": "x"}),
            "Your account has the role viewer, which may only read. This needs the role operator.",
        ),
        (ann.get("/enrolment-codes"), FOR_OPERATORS),
        (ann.get("/me"), CODES["forbidden"].meaning),
    ):
        assert refused.refused(403, "forbidden")["detail"] == said


def test_token_of_a_viewer_is_told_which_one_may_change(viewer: Api, machine: ApiMachine) -> None:
    for refused, said in (
        (
            viewer.post("/pools", {"name": "x"}),
            "This token is read-only: its role, or its owner's, is viewer. Use one with the role operator.",
        ),
        (
            viewer.post("/operations", {"kind": "sync"}),
            "This token is read-only: its role, or its owner's, is viewer. Use one with the role operator.",
        ),
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
    ann = Api(client=session(Role.OPERATOR, csrf=True))
    ann.get("/pools").ok()
    ann.request("POST", "/pools", '{"name": "lab"}', content_type=content_type).refused(403, "csrf_failed")
    assert not Pool.objects.exists()


def test_session_change_with_csrf_token_accepted(db: None) -> None:
    client = session(Role.OPERATOR, csrf=True)
    client.cookies["csrftoken"] = "x" * 32
    Api(client=client).request("POST", "/pools", '{"name": "lab"}', X_CSRFToken="x" * 32).ok(201)


def test_session_beside_a_wrong_token_401(db: None) -> None:
    Api("pst_wrong", client=session(Role.OPERATOR)).get("/pools").refused(401, "token_invalid")


def test_endpoint_token_never_in_an_answer_or_the_audit(operator: Api, machine: ApiMachine) -> None:
    machine.report("linux 1-1")
    for path in ("/endpoints", "/endpoints/m1", "/audit-events", "/tokens", "/enrolment-codes"):
        text = str(operator.get(path).ok())
        assert machine.token not in text and operator.headers["Authorization"].split()[1] not in text
        assert "hash" not in text
