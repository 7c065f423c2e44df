"""API tokens: made, used, revoked."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from apps.fleet import exceptions, roles, tokens
from apps.fleet.models import ApiToken, AuditEvent, Role
from apps.lifecycle.work import deferred_writes
from tests import factories

pytestmark = pytest.mark.django_db


def make(**options: Any) -> tuple[ApiToken, str]:
    return tokens.create_api_token(**({"name": "ci", "role": "viewer", "actor": "anna"} | options))


def test_create_text_is_returned_once_and_only_its_hash_is_kept() -> None:
    token, text = make()
    assert text.startswith("pst_") and len(text) > 40
    assert text not in repr([*ApiToken.objects.values(), *AuditEvent.objects.values()])
    assert tokens.authenticate_api_token(token=text) == token


@pytest.mark.parametrize(
    "options", [{"name": ""}, {"name": "a\n"}, {"name": "x" * 101}, {"role": "admin"}, {"days": 0}, {"days": 3651}]
)
def test_create_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(exceptions.Invalid):
        make(**options)


def test_create_name_taken_is_refused() -> None:
    make()
    with pytest.raises(exceptions.NameTaken):
        make()


def test_authenticate_revoked_or_of_an_inactive_user_is_nobody() -> None:
    token, text = make()
    for _ in range(2):
        tokens.revoke_api_token(token=token, actor="anna")
    assert tokens.authenticate_api_token(token=text) is None
    assert AuditEvent.objects.filter(verb="revoke").count() == 1
    ann = factories.account("ann", Role.VIEWER)
    _, text = make(name="ann", owner=ann)
    for active in (True, False, True):
        User.objects.update(is_active=active)
        assert (tokens.authenticate_api_token(token=text) is not None) is active


def test_authenticate_expired_is_refused_by_its_name() -> None:
    token, text = make(days=1)
    assert token.expires and timedelta(hours=23) < token.expires - token.created <= timedelta(days=1, seconds=5)
    assert tokens.authenticate_api_token(token=text) == token
    ApiToken.objects.update(expires=Now())
    with pytest.raises(exceptions.TokenExpired, match="The API token ci expired at"):
        tokens.authenticate_api_token(token=text)
    assert make(name="other")[0].expires is not None and make(name="kept", days=None)[0].expires is None


def test_token_goes_with_its_owner_s_account_and_the_audit_says_so() -> None:
    ann = factories.account("ann", Role.OPERATOR)
    _, text = make(role="operator", owner=ann)
    event = AuditEvent.objects.get(verb="create")
    assert event.after["owner"] == "ann" and event.after["role"] == "operator" and event.after["expires"]
    ann.delete()
    assert tokens.authenticate_api_token(token=text) is None
    event = AuditEvent.objects.get(verb="delete")
    assert (event.object, event.before) == ("token:ci", {"role": "operator", "owner": "ann"})


@pytest.mark.parametrize(
    ("held", "active", "said"),
    [
        (Role.VIEWER, True, "ann has the role viewer, and a token may do no more than its owner"),
        (None, True, "ann has no role, and a token"),
        (Role.OPERATOR, False, "The account ann is deactivated"),
    ],
)
def test_create_role_above_the_owner_s_is_refused(held: Role | None, active: bool, said: str) -> None:
    ann = factories.account("ann", held)
    User.objects.update(is_active=active)
    with pytest.raises(exceptions.Invalid, match=said):
        make(role="operator", owner=User.objects.get())
    assert not ApiToken.objects.exists() and ann.pk


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("held", [None, *Role])
def test_token_may_do_what_its_owner_may_now_and_no_more(
    role: Role, held: Role | None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ann = factories.account("ann", Role.ADMINISTRATOR)
    _, text = make(role=role, owner=ann)
    roles.give(user=ann, role=held, actor="test")
    with django_assert_num_queries(1):
        found = tokens.authenticate_api_token(token=text)
        assert found
        assert found.role_now == (None if held is None else min(role, held, key=list(Role).index))


def test_token_made_with_another_may_do_no_more_and_expires_no_later() -> None:
    first = tokens.authenticate_api_token(token=make(role="operator", days=10)[1])
    assert first
    for number, days in enumerate((90, None)):
        made, _ = make(name=f"t{number}", role="operator", days=days, made_with=first)
        assert made.expires == first.expires
    assert make(name="short", days=1, made_with=first)[0].expires < first.expires  # type: ignore[operator]
    with pytest.raises(exceptions.Invalid, match="may do more than itself: operator"):
        make(name="more", role="administrator", made_with=first)


def test_status_is_the_first_reason_for_which_a_token_is_refused() -> None:
    token, _ = make(days=30, owner=factories.account("ann", Role.VIEWER))
    seen = []
    for change in (
        {},
        {"expires": Now() + timedelta(days=13)},
        {"expires": Now()},
        {"owner__is_active": False},
        {"revoked": Now()},
    ):
        if change.pop("owner__is_active", None) is False:
            User.objects.update(is_active=False)
        ApiToken.objects.filter(pk=token.pk).update(**change or {"role": "viewer"})
        seen.append(ApiToken.objects.with_status().get().status)
    assert seen == ["active", "expires_soon", "expired", "owner_inactive", "revoked"]


def test_tokens_that_somebody_sees_are_their_own_then_nobody_s_then_all() -> None:
    ann, bert = (factories.account(name, Role.ADMINISTRATOR) for name in ("ann", "bert"))
    for owner, role in ((ann, "viewer"), (bert, "viewer"), (None, "operator"), (None, "administrator")):
        make(name=f"{owner or 'nobody'}-{role}", role=role, owner=owner)
    seen = {role: sorted(ApiToken.objects.of(ann.pk, role).values_list("name", flat=True)) for role in Role}
    assert seen[Role.VIEWER] == ["ann-viewer"]
    assert seen[Role.OPERATOR] == ["ann-viewer", "nobody-operator"]
    assert len(seen[Role.ADMINISTRATOR]) == 4
    assert [token.name for token in ApiToken.objects.of(None, Role.OPERATOR)] == ["nobody-operator"]
    assert not ApiToken.objects.of(None, Role.VIEWER).exists()


@pytest.mark.parametrize("text", ["", "pst_", "pse_x", "pst_\ud800\0"])
def test_authenticate_any_other_text_is_nobody(text: str) -> None:
    make()
    assert tokens.authenticate_api_token(token=text) is None


def test_authenticate_last_used_is_written_later_once_a_minute(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    token, text = make()
    tokens.authenticate_api_token(token=text)
    token.refresh_from_db()
    assert token.last_used is None
    deferred_writes.flush()
    token.refresh_from_db()
    first = token.last_used
    with django_assert_num_queries(1):
        tokens.authenticate_api_token(token=text)
    deferred_writes.flush()
    token.refresh_from_db()
    assert first and token.last_used == first
    ApiToken.objects.update(last_used=Now() - timedelta(seconds=61))
    with django_assert_num_queries(1):
        tokens.authenticate_api_token(token=text)
    deferred_writes.flush()
    token.refresh_from_db()
    assert token.last_used and token.last_used >= first
