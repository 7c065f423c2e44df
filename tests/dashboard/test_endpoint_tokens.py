"""Revoking an endpoint's token and giving it a new one, on its page."""

import re

import pytest
from django.test import Client

from apps.fleet import endpoint_manager
from apps.fleet.models import AuditEvent, Endpoint
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def box() -> Endpoint:
    made = factories.endpoint("box", token="pse_old")
    return endpoint_manager.change_rights(endpoint=made, may_set_targets=True, actor="test")


def page(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def test_revoke_token_asks_then_locks_the_endpoint_out(staff: Client, box: Endpoint) -> None:
    assert "Revoke the token of box?" in page(staff, "/endpoints/box/revoke-token")
    assert endpoint_manager.authenticate(token="pse_old")
    answer = staff.post("/endpoints/box/revoke-token", follow=True)
    assert "The token of box was revoked" in answer.content.decode()
    assert endpoint_manager.authenticate(token="pse_old") is None
    box.refresh_from_db()
    assert (box.token_hash, box.may_set_targets) == (None, False)
    assert AuditEvent.objects.get(verb="revoke_token").actor == "user:ada"


def test_new_token_is_shown_once_with_where_it_goes(staff: Client, box: Endpoint) -> None:
    assert "Give box a new token?" in page(staff, "/endpoints/box/new-token")
    assert endpoint_manager.authenticate(token="pse_old")
    answer = staff.post("/endpoints/box/new-token")
    text = answer.content.decode()
    token = re.search(r"pse_[A-Za-z0-9_-]+", text)
    assert token and endpoint_manager.authenticate(token=token[0]) == box
    assert endpoint_manager.authenticate(token="pse_old") is None
    assert "<code>/var/lib/pacsync-agent/credentials.json</code>" in text
    assert "no-store" in answer["Cache-Control"]
    assert "pse_" not in page(staff, "/endpoints/box")
    assert AuditEvent.objects.get(verb="rotate_token").actor == "user:ada"


def test_endpoint_page_offers_what_makes_sense(staff: Client, reader: Client, box: Endpoint) -> None:
    text = page(staff, "/endpoints/box")
    assert "Revoke the token" in text and "Give a new token" in text
    assert "Give a new token" not in page(reader, "/endpoints/box")
    endpoint_manager.revoke_token(endpoint=box, actor="test")
    text = page(staff, "/endpoints/box")
    assert "Revoke the token" not in text and "Give a new token" in text
