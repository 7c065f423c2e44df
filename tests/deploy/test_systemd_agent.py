"""The package of the agent under a real systemd and a real pacman 7: units, hook, timer, and what pacman survives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import systemd_endpoint
from tests.deploy.engine import eventually
from tests.deploy.systemd_endpoint import AGENT, Endpoint, manage
from tests.support.pacman import Fleet

pytestmark = [pytest.mark.timeout(600), pytest.mark.needs("makepkg", "bsdtar", "zstd", "fakeroot")]


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
        yield made


@pytest.fixture(scope="module")
def unenrolled(bare: Endpoint, agent_package: Path) -> tuple[Endpoint, str]:
    """The machine with the package on it, and what pacman said."""
    return bare, bare.sh(f"pacman -U --noconfirm /built/{agent_package.name}")


@pytest.fixture(scope="module")
def endpoint(unenrolled: tuple[Endpoint, str], server: str) -> Endpoint:
    """Enrolled in a pool whose target has `tool` and `held`, which starts its service."""
    machine, _ = unenrolled
    machine.token = manage(server, "create_api_token", "tests", "--role", "operator")
    machine.api("pools", {"name": "p"})
    code = manage(server, "create_enrolment_code", "--pool", "p", "--may-set-targets")
    machine.sh(
        "pacman -S --noconfirm tool held\n"
        f"{AGENT} enroll --server http://server:8080 --code {code}\n{AGENT} once\n{AGENT} set-latest"
    )
    return machine


def test_package_before_enrolment_is_quiet_and_has_its_folder(unenrolled: tuple[Endpoint, str]) -> None:
    machine, said = unenrolled
    assert machine.sh("stat -c '%U %a' /var/lib/pacsync-agent") == "root 755"
    for unit in ("pacsync-agent.service", "pacsync-agent.timer"):
        machine.sh(f"systemctl start {unit}")
        machine.sh(f"systemctl stop {unit}")
    said += machine.sh("pacman -S --noconfirm tool && pacman -R --noconfirm tool")
    assert "error" not in said
    assert machine.sh("systemctl --failed --no-legend") == ""


def test_hook_without_a_running_systemd_is_quiet(unenrolled: tuple[Endpoint, str]) -> None:
    machine, _ = unenrolled
    without = "unshare -m sh -c 'mount -t tmpfs none /run && pacman {} --noconfirm tool'"
    said = machine.sh("\n".join(map(without.format, ("-S", "-R"))))
    assert "Reporting the new packages" in said
    assert "error" not in said
    assert "systemd" not in said


def test_hook_reports_at_once_while_the_service_runs(endpoint: Endpoint) -> None:
    """The service itself asks once an hour."""
    before = endpoint.reported()
    endpoint.sh("pacman -R --noconfirm tool")
    eventually(lambda: endpoint.reported() != before, within=60, what="the server knows of the removal")
    endpoint.sh("pacman -S --noconfirm tool")
    eventually(lambda: endpoint.reported() == before, within=60, what="the server knows of the installation")


def test_stopped_agent_leaves_pacman_at_work_and_the_next_start_finishes(endpoint: Endpoint) -> None:
    endpoint.sync_until_pacman_works()
    endpoint.sh(f"systemctl stop {AGENT}")  # waits for the agent, and the agent doesn't wait for pacman
    assert (endpoint.show(AGENT, "ActiveState"), endpoint.show(AGENT, "Result")) == ("inactive", "success")
    assert endpoint.sh("pgrep -x pacman")
    endpoint.let_pacman_end()
    assert endpoint.sh("pacman -Qq held") == "held"
    endpoint.sh(f"systemctl start {AGENT}")
    eventually(lambda: endpoint.api("endpoints/endpoint")["status"] == "in_sync", within=60, what="it has finished it")


def test_killed_agent_leaves_pacman_alone_and_the_next_one_finishes(endpoint: Endpoint) -> None:
    endpoint.sync_until_pacman_works()
    endpoint.sh(f"kill -9 {endpoint.show(AGENT, 'MainPID')}")
    eventually(lambda: endpoint.show(AGENT, "ActiveState") != "active", within=30, what="systemd has seen it")
    assert endpoint.sh("pgrep -x pacman")
    endpoint.let_pacman_end()
    endpoint.sh(f"systemctl start {AGENT}")
    eventually(lambda: endpoint.api("endpoints/endpoint")["status"] == "in_sync", within=60, what="it has finished it")
    assert endpoint.sh("pacman -Qq held") == "held"


def test_many_starts_within_seconds_are_not_refused(endpoint: Endpoint) -> None:
    """systemd's own limit is five within ten seconds."""
    endpoint.sh(f"for _ in 1 2 3 4 5 6 7; do systemctl restart {AGENT}; systemctl start {AGENT}-report; done")
    assert endpoint.systemctl("--failed", "--no-legend") == ""


def test_timer_beside_the_service_leaves_it_running(endpoint: Endpoint) -> None:
    endpoint.sh(f"systemctl start {AGENT} {AGENT}.timer {AGENT}-once")
    assert endpoint.systemctl("is-active", AGENT, f"{AGENT}.timer").split() == ["active", "active"]
    assert endpoint.show(f"{AGENT}-once", "Result") == "success"


def test_removed_package_stops_its_agent_and_keeps_the_folder(endpoint: Endpoint) -> None:
    endpoint.sh(f"systemctl enable --now {AGENT} {AGENT}.timer && pacman -R --noconfirm {AGENT}")
    eventually(lambda: endpoint.sh(f"pgrep -f '{AGENT} run'", check=False) == "", within=60, what="no agent runs")
    assert endpoint.sh("find /etc/systemd/system -name 'pacsync-agent*'") == ""
    endpoint.sh("test -e /var/lib/pacsync-agent/credentials.json")
