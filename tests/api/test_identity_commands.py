"""`manage.py endpoint_token` and `approve_endpoint`."""

from typing import Any

import pytest
from django.core.management import CommandError

from apps.fleet import endpoint_manager
from apps.fleet.models import AuditEvent, Endpoint
from tests import factories
from tests.api.commands import document, said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept_connection")]


@pytest.fixture
def box() -> Endpoint:
    return factories.endpoint("box", pool=factories.pool("lab"), token="pse_old")


def test_endpoint_token_enrol_again_prints_a_code_that_works(box: Endpoint) -> None:
    code = said("endpoint_token", "box", "--enrol-again").strip()
    assert endpoint_manager.authenticate(token="pse_old") is None
    assert endpoint_manager.enroll(code=code, name="box", arch="x86_64")[0] == box
    assert AuditEvent.objects.get(verb="allow_reenrolment").actor == "console"


def test_endpoint_token_enrol_again_prints_the_line(box: Endpoint) -> None:
    found = document("endpoint_token", "box", "--enrol-again", "--server", "https://pacsync.lan", "--valid-hours", "2")
    assert (found["name"], found["code"][:4]) == ("box", "psc_")
    assert f"enroll --server https://pacsync.lan --code {found['code']} --name box --force" in found["line"]
    assert said("endpoint_token", "box", "--enrol-again", "--server", "https://pacsync.lan").startswith("sudo sh -ec")


def test_endpoint_token_withdraws_requests_and_revokes(box: Endpoint) -> None:
    assert "rotates the token at its next check-in" in said("endpoint_token", "box", "--rotate")
    box.refresh_from_db()
    assert box.rotation_requested
    code = said("endpoint_token", "box", "--enrol-again").strip()
    said("endpoint_token", "box", "--withdraw-code")
    assert "refuses the machine" in said("endpoint_token", "box", "--revoke")
    with pytest.raises(CommandError, match="is revoked"):
        said("endpoint_token", "box", "--rotate")
    with pytest.raises(Exception, match="unknown, expired or used up"):
        endpoint_manager.enroll(code=code, name="box", arch="x86_64")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("box",), "required"),
        (("nobody", "--revoke"), "no endpoint 'nobody'"),
        (("box", "--revoke", "--server", "https://x"), "go with --enrol-again only"),
        (("box", "--enrol-again", "--valid-hours", "0"), "must be between 1"),
        (("box", "--enrol-again", "--server", "ftp://x"), "not the address of a server"),
    ],
)
def test_endpoint_token_refuses_in_one_line(box: Endpoint, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        said("endpoint_token", *arguments)
    assert endpoint_manager.authenticate(token="pse_old")


def test_approve_endpoint_lists_approves_and_refuses(box: Endpoint) -> None:
    assert "No endpoint waits for approval." in said("approve_endpoint")
    Endpoint.objects.bulk_create(Endpoint(name=f"m{n}", arch="x86_64", awaits_approval=True) for n in range(4))
    assert "m0: enrolled for no pool" in said("approve_endpoint")
    assert Endpoint.objects.filter(awaits_approval=True).count() == 4
    assert said("approve_endpoint", "m0").strip() == "m0: approved."
    assert said("approve_endpoint", "m1", "--refuse").strip() == "m1: refused and forgotten."
    assert "nothing was changed" in said("approve_endpoint", "box", "--refuse")
    found = document("approve_endpoint", "--all")
    assert [(one["name"], one["outcome"]) for one in found["endpoints"]] == [("m2", "approved"), ("m3", "approved")]
    assert list(Endpoint.objects.order_by("name").values_list("name", flat=True)) == ["box", "m0", "m2", "m3"]


@pytest.mark.parametrize("arguments", [("box", "--all"), ("--refuse",), ("--all", "--refuse")])
def test_approve_endpoint_senseless_options_are_refused(box: Endpoint, arguments: Any) -> None:
    with pytest.raises(CommandError, match="Name an endpoint"):
        said("approve_endpoint", *arguments)
