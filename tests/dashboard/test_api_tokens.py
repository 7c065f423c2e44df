"""The page of API tokens: people make, see and revoke their own, administrators see all."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from apps.fleet import roles, tokens
from apps.fleet.models import ApiToken, AuditEvent, Role
from tests import factories
from tests.dashboard.messages import said

pytestmark = pytest.mark.django_db
FORM = {"name": "laptop", "role": "viewer", "days": "30"}


def logged_in(name: str, role: Role) -> Client:
    client = Client()
    client.force_login(factories.account(name, role))
    return client


def make(name: str, owner: str | None, role: str = "viewer") -> ApiToken:
    account = User.objects.get(username=owner) if owner else None
    return tokens.create_api_token(name=name, role=role, actor="test", owner=account)[0]


def test_token_made_is_shown_once_belongs_to_the_person_and_works(reader: Client) -> None:
    page = reader.post("/tokens", FORM).content.decode()
    (text,) = set(re.findall(r"pst_[\w-]{43}", page))
    assert "The token is shown only once" in page and "has the role viewer and expires at" in page
    token = ApiToken.objects.get()
    assert token.owner == User.objects.get(username="vic") and token.expires
    assert 29 <= (token.expires - token.created).days <= 30
    assert AuditEvent.objects.get(verb="create", object="token:laptop").actor == "user:vic"
    assert Client().get("/api/v1/pools", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    assert "pst_" not in reader.get("/tokens").content.decode()


def test_token_that_never_expires_is_a_choice(reader: Client) -> None:
    page = reader.post("/tokens", {**FORM, "days": "0"}).content.decode()
    assert "has the role viewer and never expires" in page
    assert ApiToken.objects.get().expires is None


@pytest.mark.parametrize("wrong", [{"role": "operator"}, {"name": "a b"}, {"name": ""}, {"days": "5"}, {"days": "x"}])
def test_token_that_makes_no_sense_or_may_do_too_much_is_not_made(reader: Client, wrong: dict[str, str]) -> None:
    assert reader.post("/tokens", {**FORM, **wrong}).status_code == 422
    assert not ApiToken.objects.exists()


def test_token_name_taken_is_said_at_the_name(reader: Client) -> None:
    make("laptop", None)
    answer = reader.post("/tokens", FORM)
    assert answer.status_code == 422
    assert "There is a token with the name laptop already." in answer.content.decode()


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.VIEWER, {"of-ann"}),
        (Role.OPERATOR, {"of-ann", "nobodys"}),
        (Role.ADMINISTRATOR, {"of-ann", "of-bert", "nobodys"}),
    ],
)
def test_people_see_and_revoke_their_own_and_administrators_all(role: Role, seen: set[str]) -> None:
    client = logged_in("ann", role)
    factories.account("bert", Role.VIEWER)
    for name, owner in (("of-ann", "ann"), ("of-bert", "bert"), ("nobodys", None)):
        make(name, owner)
    page = client.get("/tokens").content.decode()
    assert {name for name in ("of-ann", "of-bert", "nobodys") if f"/tokens/{name}/revoke" in page} == seen
    assert ("no owner" in page) is (role != Role.VIEWER)
    for name in ("of-ann", "of-bert", "nobodys"):
        asked, done = client.get(f"/tokens/{name}/revoke"), client.post(f"/tokens/{name}/revoke")
        assert (asked.status_code, done.status_code) == ((200, 302) if name in seen else (404, 404))
        assert (ApiToken.objects.get(name=name).revoked is not None) is (name in seen)
    revoked = AuditEvent.objects.filter(verb="revoke", actor="user:ann")
    assert {event.object for event in revoked} == {f"token:{name}" for name in seen}


def test_revoking_says_whose_it_is_and_then_that_it_is_done(staff: Client) -> None:
    make("ci", "ada")
    assert "It belongs to ada and was never used." in staff.get("/tokens/ci/revoke").content.decode()
    assert "The API token ci was revoked. The server refuses it now." in said(staff.post("/tokens/ci/revoke"))
    assert "/tokens/ci/revoke" not in staff.get("/tokens").content.decode()


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({}, "expires soon"),
        ({"expires": Now()}, "expired"),
        ({"revoked": Now()}, "revoked"),
        ({"expires": None}, "valid"),
    ],
)
def test_page_says_what_a_token_is_good_for(staff: Client, change: dict[str, Any], label: str) -> None:
    tokens.create_api_token(name="ci", role="viewer", actor="test", days=10)
    if change:
        ApiToken.objects.update(**change)
    (found,) = re.findall(r'class="badge[^>]*>(?:<span[^>]*>.</span>)?([^<]*)<', staff.get("/tokens").content.decode())
    assert found == label


def test_page_says_that_a_token_may_do_less_than_its_role(staff: Client) -> None:
    ann = factories.account("ann", Role.OPERATOR)
    make("ci", "ann", "operator")
    assert "as its owner" not in staff.get("/tokens").content.decode()
    roles.give(user=ann, role=Role.VIEWER, actor="test")
    assert ", now viewer as its owner" in staff.get("/tokens").content.decode()
    User.objects.filter(pk=ann.pk).update(is_active=False)
    page = staff.get("/tokens").content.decode()
    assert ", now none as its owner" in page and "owner deactivated" in page


def test_page_takes_the_same_statements_for_many(staff: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        factories.account(f"user{number}", Role.VIEWER)
        make(f"t{number}", f"user{number}")
    with django_assert_max_num_queries(4):  # the session, the person, how many there are, the tokens
        assert staff.get("/tokens").content.decode().count("/revoke") == 5
