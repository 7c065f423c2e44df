"""Rotating a token at both ends, enrolling again, a cloned machine, an approval: with the real agent and server."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.api import call
from tests.support.pacman import Fleet, Machine
from tests.support.server import running_server
from tests.support.site import Site, running_site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"


@pytest.fixture
def box(tmp_path: Path, site: Site) -> tuple[Machine, str]:
    """An enrolled machine, and its name."""
    fleet = Fleet(tmp_path)
    fleet.snapshot(DAY, [fleet.package("tool", "1-1")])
    machine = fleet.machine("box", DAY)
    machine.install("tool")
    (name,) = site.enroll(site.pool(), machine)
    return machine, name


def credentials(machine: Machine) -> dict[str, str]:
    found = json.loads((agent.state_dir(machine) / "credentials.json").read_text())
    assert isinstance(found, dict)
    return found


def status(port: int, token: str) -> int:
    return call(port, token, "GET", "/me").status


# `sent:/me` is after the first use of the new token.
POINTS = ["none", "keeping", "sent:/me/token", "sent:/me"]


@pytest.mark.parametrize("point", POINTS)
def test_rotate_token_killed_at_any_point_leaves_a_token_that_works(
    site: Site, box: tuple[Machine, str], point: str
) -> None:
    machine, name = box
    old = credentials(machine)["token"]
    if point == "keeping":  # as after a power cut before the server knew anything
        path = agent.state_dir(machine) / "credentials.json"
        path.write_text(json.dumps({**credentials(machine), "next_token": "pse_" + "n" * 43}))
    elif point != "none":
        assert agent.run_killed_at(machine, point, "rotate-token").code == -signal.SIGKILL
        assert credentials(machine)["token"] == old and credentials(machine)["next_token"]
    assert agent.run(machine, "status").ok()
    assert "has a new token" in agent.run(machine, "rotate-token").ok().out
    now = credentials(machine)
    assert now["token"] != old and "next_token" not in now
    assert status(site.server.port, old) == 401
    assert status(site.server.port, now["token"]) == 200
    agent.run(machine, "once").ok()
    assert [
        event["actor"] for event in site.call("GET", f"/audit-events?verb=rotate_token&object=endpoint:{name}")["items"]
    ] == [f"endpoint:{name}"]


def test_once_finishes_a_rotation_and_does_one_that_the_server_asks_for(site: Site, box: tuple[Machine, str]) -> None:
    machine, name = box
    first = credentials(machine)["token"]
    assert agent.run_killed_at(machine, "sent:/me/token", "rotate-token").code == -signal.SIGKILL
    assert f"{name} has a new token." in agent.run(machine, "once").ok().out
    second = credentials(machine)["token"]
    site.call("POST", f"/endpoints/{name}/rotation", {})
    agent.run(machine, "once").ok()
    third = credentials(machine)["token"]
    assert len({first, second, third}) == 3
    assert [status(site.server.port, token) for token in (first, second, third)] == [401, 401, 200]
    agent.run(machine, "once").ok()
    assert credentials(machine)["token"] == third


def test_run_goes_on_after_another_agent_rotated_the_token(site: Site, box: tuple[Machine, str]) -> None:
    machine, name = box
    process = agent.start(machine, "run")
    try:
        seen = site.call("GET", f"/endpoints/{name}")["report_seq"]
        until(lambda: site.call("GET", f"/endpoints/{name}")["report_seq"] > seen, 30)
        agent.run(machine, "rotate-token", "--wait", "30").ok()
        seen = site.call("GET", f"/endpoints/{name}")["report_seq"]
        until(lambda: site.call("GET", f"/endpoints/{name}")["report_seq"] > seen, 30)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said


def test_stolen_token_works_before_the_rotation_and_on_no_instance_after_it(
    site: Site, box: tuple[Machine, str]
) -> None:
    machine, name = box
    stolen = credentials(machine)["token"]
    with running_server(site.database_url) as other:
        ports = (site.server.port, other.port)
        assert [status(port, stolen) for port in ports for _ in range(3)] == [200] * 6
        made = site.call("POST", f"/endpoints/{name}/reenrolment-code", {})
        assert [status(port, stolen) for port in ports for _ in range(3)] == [401] * 6
        said = agent.run(machine, "once").refused(4).err
        assert "Enrol again" in said and f"--force --name {name}" in said
        enrol = ("enroll", "--server", site.server.url, "--code", made["code"], "--no-service")
        assert "already" in agent.run(machine, *enrol, "--name", name).refused(3).err
        assert f"add --name {name}" in agent.run(machine, *enrol, "--force", "--name", "other").refused(3).err
        agent.run(machine, *enrol, "--force", "--name", name).ok()
        assert [status(port, stolen) for port in ports] == [401, 401]
        assert status(other.port, credentials(machine)["token"]) == 200
    endpoint = site.call("GET", f"/endpoints/{name}")
    assert (endpoint["token"], endpoint["pool"] is None) == ("active", False)


def test_cloned_machine_is_noticed_kept_from_syncing_and_given_back(site: Site, box: tuple[Machine, str]) -> None:
    machine, name = box
    copy = machine.fleet.machine("copy", DAY)
    copy.install("tool")
    shutil.copytree(agent.state_dir(machine), agent.state_dir(copy), dirs_exist_ok=True)
    agent.run(machine, "set-latest").ok()
    agent.run(copy, "once").ok()
    agent.run(machine, "once").ok()
    assert site.call("GET", f"/endpoints/{name}")["token_shared"] is None
    agent.run(copy, "once").ok()
    said = agent.run(machine, "once").ok().out
    assert f"More than one machine reports as {name}" in said
    assert "token_shared" in agent.run(machine, "sync", "--json").refused(3).out
    made = site.call("POST", f"/endpoints/{name}/reenrolment-code", {})
    agent.run(
        machine,
        "enroll",
        "--force",
        "--server",
        site.server.url,
        "--code",
        made["code"],
        "--name",
        name,
        "--no-service",
    ).ok()
    for _ in range(4):
        agent.run(copy, "once").refused(4)
        assert "More than one" not in agent.run(machine, "once").ok().out
    agent.run(machine, "sync").ok()
    assert site.call("GET", f"/endpoints/{name}")["token_shared"] is None


@pytest.fixture
def strict_site(tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path, REQUIRE_APPROVAL="true") as running:
        yield running


def test_machine_waits_for_approval_and_then_takes_part(strict_site: Site, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "fleet")
    fleet.snapshot(DAY, [fleet.package("tool", "1-1")])
    machine = fleet.machine("box", DAY)
    machine.install("tool")
    enrol = ("enroll", "--server", strict_site.server.url, "--code", strict_site.code(strict_site.pool()))
    done = agent.run(machine, *enrol, "--name", "box", "--no-service").ok()
    assert "once an operator has approved it" in done.out and "Next: an operator approves it, on" in done.out
    assert "waits for an operator's approval" in agent.run(machine, "once").ok().out
    assert "approval_pending" in agent.run(machine, "sync", "--json").refused(4).out
    strict_site.call("POST", "/endpoints/box/approval", {})
    agent.run(machine, "once").ok()
    assert strict_site.call("GET", "/endpoints/box")["state"]
