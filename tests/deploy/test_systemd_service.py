"""The one line under a real systemd and a real pacman 7: the machine stays, the package takes over, nothing is left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent import build
from apps.fleet import enrolment
from tests.deploy import systemd_endpoint
from tests.deploy.engine import docker, eventually
from tests.deploy.systemd_endpoint import AGENT, Endpoint, manage
from tests.support.pacman import Fleet

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot")]
LEFT = "find /etc/systemd /etc/pacman.d -name '*pacsync*'"


@pytest.fixture(scope="module")
def archive(containers: None) -> Iterator[Fleet]:
    with systemd_endpoint.archive() as made:
        yield made


@pytest.fixture(scope="module")
def server(image: str) -> Iterator[str]:
    with systemd_endpoint.server(image) as made:
        yield made


@pytest.fixture(scope="module")
def bare(archive: Fleet, agent_package: Path, server: str) -> Iterator[Endpoint]:
    with systemd_endpoint.bare(archive, agent_package) as made:
        made.token = manage(server, "create_api_token", "tests", "--role", "operator")
        yield made


@pytest.fixture(scope="module")
def joined(bare: Endpoint, server: str) -> tuple[Endpoint, str]:
    """A machine on which nobody did more than run the line, and what that said."""
    checksum = docker("exec", server, "python", "-c", "from apps.agent.apps import sha256; print(sha256())")
    line = enrolment.command("http://server:8080", manage(server, "create_enrolment_code"), checksum)
    return bare, bare.sh(line.removeprefix("sudo "))


def fragment(machine: Endpoint) -> str:
    return machine.show(AGENT, "FragmentPath")


def test_line_leaves_a_machine_that_stays(joined: tuple[Endpoint, str]) -> None:
    machine, said = joined
    assert "warning: http://server:8080 is plain HTTP" in said
    assert f"{AGENT}.service keeps the agent running" in said and "Next: put it into a pool" in said
    assert machine.systemctl("is-active", AGENT) == "active"
    assert machine.systemctl("is-enabled", AGENT) == "enabled"
    assert fragment(machine) == f"/etc/systemd/system/{AGENT}.service"
    before = machine.reported()
    machine.sh("pacman -S --noconfirm tool")  # the service itself asks once an hour: this is the hook
    eventually(lambda: machine.reported() != before, within=60, what="the server knows of the installation")


def test_install_again_leaves_the_running_agent_alone(joined: tuple[Endpoint, str]) -> None:
    machine, _ = joined
    before = machine.show(AGENT, "MainPID")
    machine.sh(f"{AGENT} service install")
    assert machine.show(AGENT, "MainPID") == before != "0"


def test_enrolled_again_the_agent_speaks_with_its_new_token(joined: tuple[Endpoint, str], server: str) -> None:
    machine, _ = joined
    before = machine.show(AGENT, "MainPID")
    code = manage(server, "create_enrolment_code")
    machine.sh(f"{AGENT} enroll --force --server http://server:8080 --code {code} --name again")
    assert machine.show(AGENT, "MainPID") not in {before, "0"}
    eventually(lambda: "Reporting again to" in machine.journal(AGENT), within=60, what="the new agent reports")


def test_removed_service_leaves_nothing_behind(joined: tuple[Endpoint, str]) -> None:
    machine, _ = joined
    machine.sh(f"{AGENT} service remove")
    assert machine.sh(LEFT) == "" and machine.systemctl("is-active", AGENT) == "inactive"
    assert machine.sh(f"pgrep -f '{AGENT} run'", check=False) == ""
    assert "error" not in machine.sh("pacman -R --noconfirm tool")
    machine.sh(f"{AGENT} service remove && {AGENT} service install")
    assert machine.systemctl("is-active", AGENT) == "active"


def test_package_that_comes_later_takes_over_and_its_removal_stops_the_agent(
    joined: tuple[Endpoint, str], agent_package: Path
) -> None:
    machine, _ = joined
    said = machine.sh(f"pacman -U --noconfirm /built/{agent_package.name}")
    assert "From now on, the agent's service is the one of this package." in said and "error" not in said
    assert fragment(machine) == f"/usr/lib/systemd/system/{AGENT}.service"
    assert machine.systemctl("is-active", AGENT) == "active"
    assert "/usr/bin/pacsync-agent" in machine.show(AGENT, "ExecStart")
    assert machine.sh(LEFT) == f"/etc/systemd/system/multi-user.target.wants/{AGENT}.service"
    machine.sh(f"pacman -R --noconfirm {AGENT}")
    eventually(lambda: machine.sh(f"pgrep -f '{AGENT} run'", check=False) == "", within=60, what="no agent runs")
    assert machine.sh(LEFT) == ""


def test_checksum_of_the_image_is_that_of_this_checkout(server: str) -> None:
    """The image has all that the agent is built from."""
    served = docker("exec", server, "python", "-c", "from apps.agent import build; print(len(build.build()))")
    assert int(served) == len(build.build())
