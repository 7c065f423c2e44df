"""Who is asked about before a large body is read, with Django and the real database."""

from io import BytesIO
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.api.access import unauthenticated_bodies
from apps.fleet import tokens
from apps.fleet.models import ApiToken

pytestmark = pytest.mark.django_db


def environ(token: str) -> dict[str, Any]:
    who = {"HTTP_AUTHORIZATION": f"Bearer {token}", "REMOTE_ADDR": "203.0.113.5"}
    return {"REQUEST_METHOD": "PUT", "PATH_INFO": "/api/v1/states/x", "wsgi.input": BytesIO(), **who}


def test_token_that_has_expired_is_told_so_before_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unauthenticated_bodies.connections, "close_all", lambda: None)
    _, text = tokens.create_api_token(name="ann", role="operator", actor="test")
    ApiToken.objects.update(expires=Now())
    found = unauthenticated_bodies.refused(environ(text))
    assert found and found[:2] == (401, "token_expired") and found[2].startswith("The API token ann expired at ")


@pytest.mark.parametrize("valid", [True, False])
def test_database_is_asked_once_about_a_valid_token_and_each_time_about_another(
    monkeypatch: pytest.MonkeyPatch, valid: bool
) -> None:
    monkeypatch.setattr(
        unauthenticated_bodies.connections, "close_all", lambda: None
    )  # the test's transaction is in there
    _, text = tokens.create_api_token(name="ann", role="operator", actor="test")
    asked: list[str] = []
    ask = tokens.authenticate_api_token

    def counted(*, token: str) -> Any:
        asked.append(token)
        return ask(token=token)

    monkeypatch.setattr(tokens, "authenticate_api_token", counted)
    found = [unauthenticated_bodies.refused(environ(text if valid else "pst_made_up")) for _ in range(3)]
    if valid:
        assert (found, len(asked)) == ([None] * 3, 1)
    else:
        assert [one and one[:2] for one in found] == [(401, "token_invalid")] * 3 and len(asked) == 3
