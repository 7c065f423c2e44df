"""Which machine an endpoint is, on its page: approving, enrolling again, rotating, more than one machine."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from apps.fleet import endpoint_manager, endpoint_tokens
from apps.fleet.models import AuditEvent, Endpoint
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def box() -> Endpoint:
    return factories.endpoint("box", token="pse_old")


def page(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def mark(**fields: object) -> None:
    Endpoint.objects.filter(name="box").update(**fields)


def test_enrol_again_asks_then_shows_the_code_once(staff: Client, box: Endpoint) -> None:
    assert "Let a machine enrol again as box?" in page(staff, "/endpoints/box/enrol-again")
    assert endpoint_manager.authenticate(token="pse_old")
    answer = staff.post("/endpoints/box/enrol-again")
    text = answer.content.decode()
    code = re.search(r"psc_[A-Za-z0-9_-]+", text)
    assert code and f"--code {code[0]} --name box --force" in text
    assert endpoint_manager.authenticate(token="pse_old") is None
    assert "no-store" in answer["Cache-Control"]
    after = page(staff, "/endpoints/box")
    assert "A machine can enrol again as box until" in after and "psc_" not in after
    assert AuditEvent.objects.get(verb="allow_reenrolment").actor == "user:ada"
    assert endpoint_manager.enroll(code=code[0], name="box", arch="x86_64")[0] == box
    assert "can enrol again as box" not in page(staff, "/endpoints/box")


def test_withdraw_code_asks_then_withdraws(staff: Client, box: Endpoint) -> None:
    _, code = endpoint_tokens.allow_reenrolment(endpoint=box, actor="test")
    assert "Withdraw the code of box?" in page(staff, "/endpoints/box/withdraw-code")
    answer = staff.post("/endpoints/box/withdraw-code", follow=True)
    assert "The code was withdrawn" in answer.content.decode()
    with pytest.raises(Exception, match="unknown, expired or used up"):
        endpoint_manager.enroll(code=code, name="box", arch="x86_64")


def test_rotate_asks_then_asks_the_agent(staff: Client, box: Endpoint) -> None:
    assert "Rotate the token of box?" in page(staff, "/endpoints/box/rotate-token")
    answer = staff.post("/endpoints/box/rotate-token", follow=True)
    text = answer.content.decode()
    assert "box rotates its token at its next check-in" in text and "its agent was asked" in text
    assert endpoint_manager.authenticate(token="pse_old")
    endpoint_manager.revoke_token(endpoint=box, actor="test")
    refused = staff.post("/endpoints/box/rotate-token", follow=True).content.decode()
    assert "The token of box is revoked" in refused


def test_waiting_endpoint_is_approved_on_its_page(staff: Client, reader: Client, box: Endpoint) -> None:
    mark(awaits_approval=True)
    assert "It waits for approval." in page(reader, "/endpoints/box")
    assert "/endpoints/box/approve" not in page(reader, "/endpoints/box")
    assert "/endpoints/box/approve" in page(staff, "/endpoints/box")
    assert "waits for approval" in page(reader, "/endpoints") and "waits for approval" in page(reader, "/")
    answer = staff.post("/endpoints/box/approve", follow=True).content.decode()
    assert "box is approved" in answer and "It waits for approval." not in answer


def test_shared_token_is_shown_with_what_to_do(staff: Client, reader: Client, box: Endpoint) -> None:
    factories.endpoint("other")
    mark(token_shared=timezone.now())
    text = page(staff, "/endpoints/box")
    assert "More than one machine reports as box" in text and "/endpoints/box/enrol-again" in text
    assert "Rotate the token" not in text
    listed = page(reader, "/endpoints?token_shared=true")
    assert "token shared" in listed and "/endpoints/other" not in listed
    assert "token shared" in page(reader, "/")
