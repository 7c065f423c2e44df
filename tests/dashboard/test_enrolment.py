"""The one line that enrols a machine, wherever it is shown; and the code that `make run` prints."""

import io
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils.html import escape
from pytest_django import Settings

from apps.dashboard import enrolment
from apps.fleet import endpoint_manager
from apps.fleet.exceptions import EnrolmentCodeInvalid
from apps.fleet.models import EnrolmentCode

ROOT = Path(__file__).resolve().parents[2]
THIS_MACHINE = "this machine"


@pytest.mark.parametrize("path", ["README.md", "docs/agent.md"])
def test_documents_have_the_line_that_pages_show(path: str) -> None:
    assert enrolment.command("http://SERVER:8080", "CODE") + "\n" in (ROOT / path).read_text()


@pytest.mark.parametrize("path", ["/", "/enrol"])
def test_pages_have_the_address_that_the_browser_used(staff: Client, path: str) -> None:
    page = staff.get(path, headers={"host": "testserver:8443"}).content.decode()
    assert escape(enrolment.command("http://testserver:8443", "CODE")) in page
    assert THIS_MACHINE not in page


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_pages_opened_on_the_server_itself_say_that_others_cannot_reach_it(staff: Client, host: str) -> None:
    assert THIS_MACHINE in staff.get("/enrol", headers={"host": host}).content.decode()


@pytest.mark.parametrize("url", ["http://localhost.lan", "http://128.0.0.1", "https://pacsync.lan"])
def test_is_loopback_other_addresses_are_none(url: str) -> None:
    assert not enrolment.is_loopback(url)


def started() -> str:
    """The code that a start of the server printed."""
    out = io.StringIO()
    call_command("welcome", stdout=out)
    return out.getvalue().rpartition("--code ")[2].split()[0]


@pytest.mark.django_db
def test_welcome_again_the_code_before_is_worthless(settings: Settings) -> None:
    settings.HTTP_PORT = 0  # any free one
    _, other = endpoint_manager.create_enrolment_code(actor="user:ada")
    first, second = started(), started()
    assert EnrolmentCode.objects.count() == 2
    with pytest.raises(EnrolmentCodeInvalid):
        endpoint_manager.enroll(code=first, name="late", arch="x86_64")
    for name, code in (("new", second), ("old", other)):
        assert endpoint_manager.enroll(code=code, name=name, arch="x86_64")[0].name == name


@pytest.mark.django_db
def test_welcome_its_code_lets_the_machines_of_the_quick_start_set_the_target(settings: Settings) -> None:
    settings.HTTP_PORT = 0  # any free one
    endpoint, _ = endpoint_manager.enroll(code=started(), name="good", arch="x86_64")
    assert endpoint.may_set_targets
