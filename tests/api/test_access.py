"""Enrolment codes, API tokens and the audit through the API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from apps.fleet import enrolment, tokens
from apps.fleet.models import ApiToken, EnrolmentCode, Pool, Role
from apps.lifecycle.work import deferred_writes
from tests import factories
from tests.api.support import Api

pytestmark = pytest.mark.django_db


def test_enrolment_code_shown_once_and_works(operator: Api, pool: Pool) -> None:
    body = operator.post("/enrolment-codes", {"pool": "lab", "uses": 2, "valid_hours": 48}).ok(201)
    assert body["code"].startswith("psc_")
    assert (body["pool"], body["uses"], body["used"], body["author"]) == ("lab", 2, 0, "token:operator")
    assert body["line"] == enrolment.command("http://testserver", body["code"])
    left = datetime.fromisoformat(body["expires"]) - datetime.now(UTC)
    assert timedelta(hours=47) < left <= timedelta(hours=48, minutes=1)
    Api().post("/enroll", {"code": body["code"], "name": "m1", "arch": "x86_64"}).ok(201)
    (listed,) = operator.get("/enrolment-codes").ok()["items"]
    assert listed["used"] == 1 and "code" not in listed


@pytest.mark.parametrize(
    "body",
    [
        {"uses": 0},
        {"uses": -1},
        {"uses": 10_001},
        {"uses": "1"},
        {"uses": True},
        {"valid_hours": 0},
        {"valid_hours": 8761},
        {"valid_hours": 1.5},
        {"pool": 7},
        {"code": "psc_mine"},
    ],
)
def test_enrolment_code_that_makes_no_sense_422_nothing_made(operator: Api, body: Any) -> None:
    operator.post("/enrolment-codes", body).refused(422, "invalid_request")
    assert not EnrolmentCode.objects.exists()


def test_enrolment_code_for_an_unknown_pool_404(operator: Api) -> None:
    operator.post("/enrolment-codes", {"pool": "none"}).refused(404, "not_found")


def test_enrolment_code_deleted_enrols_nobody(operator: Api) -> None:
    body = operator.post("/enrolment-codes", {}).ok(201)
    operator.delete(f"/enrolment-codes/{body['id']}").ok(204)
    operator.delete(f"/enrolment-codes/{body['id']}").refused(404, "not_found")
    request = {"code": body["code"], "name": "m1", "arch": "x86_64"}
    Api().post("/enroll", request).refused(403, "enrolment_code_invalid")


def test_enrolment_code_expired_403(operator: Api) -> None:
    body = operator.post("/enrolment-codes", {}).ok(201)
    EnrolmentCode.objects.update(expires="2020-01-01T00:00:00Z")
    request = {"code": body["code"], "name": "m1", "arch": "x86_64"}
    Api().post("/enroll", request).refused(403, "enrolment_code_invalid")


def test_token_shown_once_works_and_is_listed(operator: Api) -> None:
    body = operator.post("/tokens", {"name": "ci", "role": "viewer"}).ok(201)
    assert body["token"].startswith("pst_")
    Api(body["token"]).get("/pools").ok()
    deferred_writes.flush()
    listed = {item["name"]: item for item in operator.get("/tokens").ok()["items"]}
    assert listed["ci"]["role"] == "viewer" and listed["ci"]["last_used"] and "token" not in listed["ci"]
    operator.post("/tokens", {"name": "ci", "role": "viewer"}).refused(409, "name_taken")


def test_token_name_or_role_that_is_none_422(operator: Api) -> None:
    operator.post("/tokens", {"name": "a/b", "role": "viewer"}).refused(422, "invalid_name")
    operator.post("/tokens", {"name": "ci", "role": "root"}).refused(422, "invalid_request")


def test_token_made_with_another_belongs_to_the_same_person_and_lasts_no_longer(db: None) -> None:
    ann = factories.account("ann", Role.OPERATOR)
    first, text = tokens.create_api_token(name="first", role="operator", actor="test", owner=ann, days=10)
    body = Api(text).post("/tokens", {"name": "second", "role": "viewer", "expires_days": None}).ok(201)
    assert (body["owner"], body["role"], body["role_now"], body["status"]) == (
        "ann",
        "viewer",
        "viewer",
        "expires_soon",
    )
    assert first.expires
    lost = first.expires - datetime.fromisoformat(body["expires"])
    assert timedelta() <= lost < timedelta(milliseconds=1)  # what JSON has of a time
    Api(text).post("/tokens", {"name": "third", "role": "administrator"}).refused(422, "invalid_request")


def test_token_expires_after_90_days_as_told_or_never(operator: Api) -> None:
    ApiToken.objects.update(expires=None)
    for days, sent in ((90, {}), (1, {"expires_days": 1}), (None, {"expires_days": None})):
        body = operator.post("/tokens", {"name": f"t{days}", "role": "viewer", **sent}).ok(201)
        left = body["expires"] and datetime.fromisoformat(body["expires"]) - datetime.now(UTC)
        assert (round(left / timedelta(days=1)) if left else None) == days
    for wrong in (0, 3651, "1", 1.5):
        body = {"name": "wrong", "role": "viewer", "expires_days": wrong}
        operator.post("/tokens", body).refused(422, "invalid_request")


@pytest.mark.parametrize("by", ["token", "session"])
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMINISTRATOR])
def test_tokens_of_others_are_seen_and_revoked_by_administrators_only(role: Role, by: str, db: None) -> None:
    ann, bert = factories.account("ann", role), factories.account("bert", Role.VIEWER)
    _, text = tokens.create_api_token(name="of-ann", role=role, actor="test", owner=ann)
    tokens.create_api_token(name="of-bert", role="viewer", actor="test", owner=bert)
    client = Client()
    client.force_login(ann)
    asking = Api(text) if by == "token" else Api(client=client)
    all_ = role == Role.ADMINISTRATOR
    assert [one["name"] for one in asking.get("/tokens").ok()["items"]] == ["of-ann", "of-bert"][: 1 + all_]
    answer = asking.delete("/tokens/of-bert")
    assert answer.ok()["revoked"] if all_ else answer.refused(404, "not_found")


def test_session_of_a_viewer_makes_and_revokes_a_token_of_their_own(db: None) -> None:
    client = Client()
    client.force_login(factories.account("ann", Role.VIEWER))
    ann = Api(client=client)
    body = ann.post("/tokens", {"name": "mine", "role": "viewer"}).ok(201)
    assert body["owner"] == "ann"
    Api(body["token"]).get("/pools").ok()
    ann.post("/tokens", {"name": "more", "role": "operator"}).refused(422, "invalid_request")
    assert ann.delete("/tokens/mine").ok()["status"] == "revoked"
    Api(body["token"]).get("/pools").refused(401, "token_invalid")


def test_token_revoked_stays_listed(operator: Api) -> None:
    operator.post("/tokens", {"name": "ci", "role": "viewer"}).ok(201)
    first = operator.delete("/tokens/ci").ok()
    assert first["revoked"] and operator.delete("/tokens/ci").ok() == first
    operator.delete("/tokens/none").refused(404, "not_found")


def test_audit_lists_changes_and_filters(operator: Api, viewer: Api) -> None:
    operator.post("/pools", {"name": "lab"}).ok(201)
    operator.patch("/pools/lab", {"description": "x"}).ok()
    events = viewer.get("/audit-events?object=pool:lab").ok()["items"]
    assert [event["verb"] for event in events] == ["change", "create"]
    assert events[0]["after"] == {"description": "x"}
    assert viewer.get("/audit-events?actor=nobody").ok()["items"] == []
    assert len(viewer.get("/audit-events?actor=token:operator&verb=create").ok()["items"]) == 1


@pytest.mark.parametrize("path", ["/tokens", "/enrolment-codes", "/audit-events"])
def test_lists_take_the_same_statements_for_many(
    operator: Api, path: str, pool: Pool, django_assert_num_queries: Any
) -> None:
    for number in range(4):
        operator.post("/tokens", {"name": f"t{number}", "role": "viewer"}).ok(201)
        operator.post("/enrolment-codes", {"pool": "lab"}).ok(201)
    with django_assert_num_queries(2):
        assert len(operator.get(path).ok()["items"]) >= 4
