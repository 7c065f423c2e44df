"""The one line that enrols a machine, wherever it is shown and whatever it meets; the code that `make run` prints."""

import functools
import hashlib
import http.server
import io
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django.utils.html import escape
from pytest_django import Settings

from apps.agent import build
from apps.fleet import agent_file, endpoint_manager, enrolment
from apps.fleet.exceptions import EnrolmentCodeInvalid
from apps.fleet.models import Endpoint, EnrolmentCode
from tests import factories

ROOT = Path(__file__).resolve().parents[2]
THIS_MACHINE = "address that other machines can't reach"


@pytest.mark.parametrize("path", ["README.md", "docs/agent.md"])
def test_documents_have_the_line_that_pages_show(path: str) -> None:
    assert enrolment.command("https://SERVER", "CODE", "SHA256") + "\n" in (ROOT / path).read_text()


@pytest.mark.parametrize("path", ["/", "/enrol"])
def test_pages_have_the_address_that_the_browser_used(staff: Client, path: str) -> None:
    page = staff.get(path, headers={"host": "testserver:8443"}).content.decode()
    assert escape(enrolment.command("http://testserver:8443", "CODE")) in page
    assert THIS_MACHINE not in page and agent_file.sha256() in page
    assert "http://testserver:8443 is plain HTTP" in page
    page = staff.get(path, headers={"host": "testserver"}, secure=True).content.decode()
    assert escape(enrolment.command("https://testserver", "CODE")) in page and "plain HTTP" not in page


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_pages_opened_on_the_server_itself_say_that_others_cannot_reach_it(staff: Client, host: str) -> None:
    assert THIS_MACHINE in staff.get("/enrol", headers={"host": host}).content.decode()


@pytest.mark.parametrize(
    "url",
    ["http://localhost.lan", "http://128.0.0.1", "http://127.0.0.1.lan", "http://127.lan:80", "https://pacsync.lan"],
)
def test_is_loopback_other_addresses_are_none(url: str) -> None:
    assert not enrolment.is_loopback(url)
    assert enrolment.is_unprotected(url) == url.startswith("http:")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a server that has a file at the agent's address, and that file: it says how it was called."""
    path = tmp_path / "served/agent/pacsync-agent"
    path.parent.mkdir(parents=True)
    path.write_text('#!/bin/sh\necho "called with $*"\n')
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", path
        server.shutdown()


def run_line(directory: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run the line as a shell does, beneath `directory` and without sudo."""
    directory.mkdir(exist_ok=True)
    line = line.removeprefix("sudo ").replace(enrolment.DIRECTORY, str(directory))
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True)


@pytest.mark.needs("curl", "sha256sum")
def test_line_runs_the_agent_that_has_the_checksum(files: tuple[str, Path], tmp_path: Path) -> None:
    url, path = files
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    done = run_line(tmp_path / "bin", enrolment.command(url, "psc_x", right))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"called with enroll --server {url} --code psc_x\n"
    assert [entry.name for entry in (tmp_path / "bin").iterdir()] == ["pacsync-agent"]


@pytest.mark.needs("curl", "sha256sum")
def test_line_runs_nothing_of_another_agent_and_leaves_the_one_that_is_there(
    files: tuple[str, Path], tmp_path: Path
) -> None:
    url, path = files
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    run_line(tmp_path / "bin", enrolment.command(url, "psc_x", right))
    before = path.read_bytes()
    path.write_text("#!/bin/sh\necho taken over\n")
    for line in (enrolment.command(url, "psc_x", right), enrolment.command(f"{url}/none", "psc_x", right)):
        done = run_line(tmp_path / "bin", line)
        assert done.returncode != 0 and "taken over" not in done.stdout
    assert (tmp_path / "bin/pacsync-agent").read_bytes() == before
    assert not (tmp_path / "bin/pacsync-agent.new").stat().st_mode & 0o111


def test_line_over_plain_http_warns_before_anything_else() -> None:
    line = enrolment.command("http://pacsync.lan:8080", "psc_x", "0" * 64)
    # What comes after the warning and the pause is cut off: nothing is fetched in this test.
    first, pause, rest = line.removeprefix("sudo ").partition("sleep 5; ")
    assert pause and "curl" not in first and "curl" in rest
    done = subprocess.run(["sh", "-c", f"{first}exit 7'"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("warning: http://pacsync.lan:8080 is plain HTTP: whoever can read the network")
    for url in ("https://pacsync.lan", "http://127.0.0.1:8080", "http://localhost"):
        assert "warning" not in enrolment.command(url, "psc_x", "0" * 64)


def test_checksum_is_that_of_the_agent_that_is_served(client: Client) -> None:
    assert agent_file.sha256() == hashlib.sha256(build.build()).hexdigest()
    assert client.get("/agent/pacsync-agent.sha256").content.decode().split()[0] == agent_file.sha256()


def heard_of(endpoint: Endpoint, *, enrolled: timedelta, seen: timedelta) -> Endpoint:
    """Enrolled and last seen so long ago."""
    now = timezone.now()
    Endpoint.objects.filter(pk=endpoint.pk).update(created=now - enrolled, last_seen=now - seen)
    endpoint.refresh_from_db()
    return endpoint


def test_endpoint_heard_of_once_and_never_again_says_what_to_do(staff: Client) -> None:
    box = factories.reporting_endpoint("box", state=factories.state())
    hour = timedelta(hours=1)
    heard_of(box, enrolled=hour, seen=hour - timedelta(seconds=5))
    page = staff.get("/endpoints/box").content.decode()
    assert "It enrolled and was never heard from again:" in page and "sudo pacsync-agent service install" in page
    # One that was at work for a while, and one that has just enrolled.
    for enrolled, seen in ((2 * hour, hour), (timedelta(seconds=9), timedelta(seconds=5))):
        heard_of(box, enrolled=enrolled, seen=seen)
        page = staff.get("/endpoints/box").content.decode()
        assert "never heard from again" not in page and "service install" not in page


def test_endpoint_that_never_reported_says_what_to_do(staff: Client) -> None:
    factories.endpoint("mute", pool=factories.pool("lab"))
    page = staff.get("/endpoints/mute").content.decode()
    assert "It has not reported its packages yet." in page and "sudo pacsync-agent service install" in page


def started() -> str:
    """The code that a start of the server printed."""
    out = io.StringIO()
    call_command("welcome", stdout=out)
    return out.getvalue().rpartition("--code ")[2].partition("'")[0]


@pytest.mark.django_db
@pytest.mark.parametrize(("host", "warned"), [("10.11.12.13", True), ("127.0.0.1", False)])
def test_welcome_says_that_the_line_warns_of_plain_http_and_leaves_the_warning_to_it(
    settings: Settings, host: str, warned: bool
) -> None:
    settings.HTTP_PORT, settings.HTTP_HOST = 0, host
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apps.lifecycle.ports.why_unusable", lambda host, port: "")  # it isn't an address of this machine
        call_command("welcome", stdout=out)
    before, _, after = out.getvalue().partition("sudo sh -ec")
    assert ("(It warns first that this is plain HTTP.)" in before) == warned and "whoever can read" not in before
    assert (f"http://{host}:0 is plain HTTP" in after) == warned and "enroll --server" in after


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
