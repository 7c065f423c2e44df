"""The agent where its output goes nowhere, and what it says of a refusal. It knows nothing of its insides."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.pacman import Fleet
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")


def shell(script: str, fleet: Fleet) -> subprocess.CompletedProcess[str]:
    machine = fleet.machine("m", "2025/01/01")
    command = script.format(agent=f"{sys.executable} {agent.agent_path()}", config=machine.config)
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [fleet.package("app", "1-1")])
    return fleet


@pytest.mark.parametrize("redirected", ["", ">&-", ">/dev/full", "2>&-", "</dev/null >/dev/null"])
@pytest.mark.parametrize("options", ["", "--json"])
def test_status_wherever_its_output_goes_no_traceback(fleet: Fleet, redirected: str, options: str) -> None:
    done = shell(f"{{agent}} status {options} --config {{config}} {redirected}", fleet)
    assert done.returncode != 0  # not enrolled
    assert "Traceback" not in done.stdout + done.stderr


def test_server_address_with_broken_brackets_is_refused(fleet: Fleet) -> None:
    done = shell("{agent} enroll --code psc_x --server 'http://[::1' --config {config}", fleet)
    assert done.returncode == 7 and "is not the address of a server" in done.stderr


def test_enroll_reports_the_packages_and_names_a_refused_field(site: Site, fleet: Fleet) -> None:
    machine = fleet.machine("one", "2025/01/01")
    machine.install("app")
    known = ("--server", site.server.url, "--code", "psc_x")
    refused = agent.run(machine, "enroll", *known, "--name", "x" * 5000).refused(3)
    assert "name" in refused.err
    [name] = site.enroll(site.pool(), machine)
    assert site.call("GET", f"/endpoints/{name}")["state"] is not None
