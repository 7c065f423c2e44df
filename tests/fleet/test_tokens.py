"""API tokens: made, used, revoked."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from apps.fleet import exceptions, tokens
from apps.fleet.models import ApiToken, AuditEvent
from apps.lifecycle.work import deferred_writes

pytestmark = pytest.mark.django_db


def make(**options: Any) -> tuple[ApiToken, str]:
    return tokens.create_api_token(**({"name": "ci", "role": "viewer", "actor": "anna"} | options))


def test_create_text_is_returned_once_and_only_its_hash_is_kept() -> None:
    token, text = make()
    assert text.startswith("pst_") and len(text) > 40
    assert text not in repr([*ApiToken.objects.values(), *AuditEvent.objects.values()])
    assert tokens.authenticate_api_token(token=text) == token


@pytest.mark.parametrize("options", [{"name": ""}, {"name": "a\n"}, {"name": "x" * 101}, {"role": "admin"}])
def test_create_that_makes_no_sense_is_refused(options: dict[str, str]) -> None:
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
    user = get_user_model().objects.create_user("bert", is_active=False)
    assert tokens.authenticate_api_token(token=make(name="bert", user=user)[1]) is None


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
