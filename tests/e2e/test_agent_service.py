"""The agent over time: enrolment, the service, leases that are lost."""

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.two_machines import endpoint_name, two_machines
from tests.support import agent
from tests.support.pacman import Machine
from tests.support.site import Site, running_site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), POLL_SECONDS=3) as running:
        yield running


@pytest.fixture
def pair(site: Site, tmp_path: Path) -> tuple[Machine, Machine]:
    one, two = two_machines(tmp_path)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, two


@pytest.mark.needs("curl")
def test_enrol_line_with_the_served_file_works_and_gives_the_host_name(site: Site, tmp_path: Path) -> None:
    one, _ = two_machines(tmp_path)
    target = tmp_path / "pacsync-agent"
    subprocess.run(["curl", "-fsSo", target, f"{site.server.url}/agent/pacsync-agent"], check=True)
    command = [sys.executable, target, "enroll", "--server", site.server.url, "--code", site.code(site.pool())]
    done = subprocess.run([*command, "--config", one.config], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done
    assert "Enrolled as" in done.stdout


def test_enrol_twice_wrong_code_and_taken_name_are_refused_with_a_sentence(site: Site, tmp_path: Path) -> None:
    one, two = two_machines(tmp_path)
    code = site.code(site.pool())
    server = ("--server", site.server.url)
    done = agent.run(one, "enroll", *server, "--code", "psc_wrong", "--name", "first").refused(4)
    assert "error: " in done.err and "manage.py create_enrolment_code" in done.err
    agent.run(one, "enroll", *server, "--code", code, "--name", "taken-1").ok()
    assert "--force" in agent.run(one, "enroll", *server, "--code", code, "--name", "taken-2").refused(3).err
    done = agent.run(two, "enroll", *server, "--code", code, "--name", "taken-1", "--json").refused(3)
    assert done.last["code"] == "name_taken" and "--name" in done.last["hint"]
    agent.run(two, "sync").refused(4)
    agent.run(two, "enroll", "--server", "ftp://x", "--code", code).refused(7)
    agent.run(two, "enroll", "--code", code).refused(7)
    agent.run(two, "enroll", "--server", site.server.url).refused(2)


def test_revoked_token_is_said_so_and_both_ways_back_work(site: Site, pair: tuple[Machine, Machine]) -> None:
    one, _ = pair
    name = endpoint_name(one)
    pool = site.call("GET", f"/endpoints/{name}")["pool"]
    site.call("DELETE", f"/endpoints/{name}/token")
    for command in ("once", "status", "diff", "sync", "run"):
        said = agent.run(one, command).refused(4).err
        assert f"An operator can make a code with which this machine enrols as {name} again" in said
    credentials = agent.state_dir(one) / "credentials.json"
    known = json.loads(credentials.read_text())
    credentials.write_text(json.dumps(known | {"token": site.call("POST", f"/endpoints/{name}/token")["token"]}))
    agent.run(one, "sync").ok()
    site.call("DELETE", f"/endpoints/{name}")
    assert "run `pacsync-agent enroll --force" in agent.run(one, "once").refused(4).err
    again = ("--force", "--server", site.server.url, "--code", site.code(pool), "--name", name)
    agent.run(one, "enroll", *again).ok()
    agent.run(one, "once").ok()


def test_commands_without_pool_or_target_are_refused_with_the_reason(site: Site, tmp_path: Path) -> None:
    one, _ = two_machines(tmp_path)
    pool = site.pool()
    [name] = site.enroll(pool, one)
    assert agent.run(one, "sync", "--json").refused(3).last["code"] == "no_target"
    assert agent.run(one, "revert", "--json").refused(3).last["code"] == "nothing_to_revert"
    agent.run(one, "diff").refused(3)
    site.call("PUT", f"/endpoints/{name}/pool", {"pool": None})
    for command in ("sync", "diff", "set-latest"):
        last = agent.run(one, command, "--json").refused(3).last
        assert (last["code"], last["hint"]) == ("no_pool", "Assign it to one on the server.")
    assert "no pool" in agent.run(one, "status").ok().out


def test_diff_shows_each_change_and_says_by_its_exit_status(pair: tuple[Machine, Machine]) -> None:
    one, _ = pair
    done = agent.run(one, "diff", "--exit-code").refused(10)
    assert done.out.splitlines() == [
        "1 installation, 1 upgrade, 1 removal",
        "  + extra        1-1",
        "  - gone   1-1",
        "  ↑ tool   1-1 → 2-1",
    ]
    assert agent.run(one, "diff", "--json").ok().last["counts"]["upgrade"] == 1
    waybar = json.loads(agent.run(one, "status", "--waybar").ok().out)
    assert waybar["class"] in {"behind", "diverged"} and waybar["text"] == "3"
    agent.run(one, "sync").ok()
    assert "In sync" in agent.run(one, "diff", "--exit-code").ok().out
    assert json.loads(agent.run(one, "status", "--waybar").ok().out)["text"] == "✓"


def test_run_carries_out_what_is_queued_and_stops_cleanly(site: Site, pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    process = agent.start(one, "run")
    name = endpoint_name(one)
    try:
        until(lambda: site.call("GET", f"/endpoints/{name}")["state"] is not None)
        site.call("POST", "/operations", {"kind": "sync", "endpoint": name})
        until(lambda: site.operations(name)[0]["status"] == "succeeded")
        assert one.state() == two.state()
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert out.rstrip().endswith("Stopped.")


def test_run_that_meets_another_agent_looks_again_before_the_next_poll(
    site: Site, pair: tuple[Machine, Machine]
) -> None:
    """A hook's report, say, at the very moment when the service starts."""
    one, _ = pair
    name = endpoint_name(one)
    site.call("POST", "/operations", {"kind": "sync", "endpoint": name})
    with (agent.state_dir(one) / "agent.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = agent.start(one, "run")
        try:
            assert process.stdout and process.stdout.readline().startswith("Reporting ")
            time.sleep(2)
            assert site.operations(name)[0]["status"] == "queued"
            fcntl.flock(other, fcntl.LOCK_UN)
            until(lambda: site.operations(name)[0]["status"] == "succeeded", 30)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_sync_lease_lost_while_downloading_stops_before_pacman(site: Site, pair: tuple[Machine, Machine]) -> None:
    one, _ = pair
    before = one.state()
    agent.run_killed_at(one, "enter:gather", "sync")
    journal = agent.state_dir(one) / "journal.json"
    operation = json.loads(journal.read_text())["operation"]
    # Somebody else finishes it meanwhile, with the same credentials (a cloned machine).
    token = json.loads((agent.state_dir(one) / "credentials.json").read_text())["token"]
    body = {"lease_token": json.loads(journal.read_text())["token"], "outcome": "failed", "seq": 10**15}
    state = site.call("GET", f"/endpoints/{endpoint_name(one)}")["state"]
    operator, site.token = site.token, token
    site.call("POST", f"/operations/{operation}/result", {**body, "state": state})
    site.token = operator
    agent.run(one, "once").ok()
    assert not journal.exists()
    assert one.state() == before


def test_sync_lease_ran_out_on_a_suspended_machine_goes_on(site: Site, pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    done = agent.run_killed_at(one, "suspended", "sync").ok()
    assert "asking for it again" in done.out
    assert one.state() == two.state()
    assert [operation["status"] for operation in site.operations(endpoint_name(one))] == ["succeeded"]
