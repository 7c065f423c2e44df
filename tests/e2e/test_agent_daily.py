"""The agent in daily life: what it says, and what the server hears, when something of a machine's own is in the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.agent.test_pacman_said import broken_pacman, hook, with_shell
from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """In February `tool` is newer, `conf` and its configuration are gone, and `lib` has another soname."""
    fleet = Fleet(tmp_path)
    make = fleet.package
    conf = make("conf", "1-1", files={"etc/conf": b"theirs\n"}, backup=["etc/conf"])
    fleet.snapshot(OLD, [make("tool", "1-1"), conf, make("lib", "1-1", provides=["lib.so=1-64"])])
    fleet.snapshot(NEW, [make("tool", "2-1"), make("lib", "2-1", provides=["lib.so=2-64"])])
    return fleet


def enrolled(site: Site, fleet: Fleet, *old: str) -> tuple[Machine, Machine, str]:
    """One machine with the `old` packages, another one whose newer packages are the target; the first one's name."""
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    one.install(*old)
    two.install("tool", *(["lib"] if "lib" in old else []))
    name, _ = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, two, name


def status_file(machine: Machine) -> dict[str, Any]:
    found = json.loads((agent.state_dir(machine) / "status.json").read_bytes())
    assert isinstance(found, dict)
    return found


def test_sync_and_revert_renew_the_status_and_name_what_lies_beside_configuration(site: Site, fleet: Fleet) -> None:
    one, _, name = enrolled(site, fleet, "tool", "conf")
    (one.root / "etc/conf").write_text("mine\n")
    assert status_file(one)["target"] is None
    agent.run(one, "diff").ok()
    assert (status_file(one)["status"], status_file(one)["target"]) == ("behind", 1)
    one.go_to(NEW)
    shutil.move(one.cache, one.directory / "aside")
    one.cache.mkdir()
    done = agent.run(one, "sync").ok()
    warning = "warning: No way back to conf 1-1, tool 1-1: no cache and no repository of this machine has their files"
    assert warning in done.out
    assert f"{one.root}/etc/conf.pacsave" in done.out.replace("//", "/")
    assert (status_file(one)["status"], status_file(one)["target"]) == ("in_sync", 1)
    for path in (one.directory / "aside").iterdir():
        shutil.move(path, one.cache / path.name)
    one.go_to(OLD)
    done = agent.run(one, "revert").ok()
    assert "No way back" not in done.out
    saved = f"{one.root}/etc/conf.pacsave is there: your version of {one.root}/etc/conf"
    assert f"warning: {saved}" in done.out
    assert saved in site.operations(name)[0]["result"]["message"]
    assert status_file(one)["status"] == "behind"
    assert one.file("etc/conf") == b"theirs\n" and one.file("etc/conf.pacsave") == b"mine\n"


def test_refusals_reach_the_server_with_cause_remedy_and_log(site: Site, fleet: Fleet) -> None:
    """A download that fails, and a foreign package that needs the old soname."""
    one, two, name = enrolled(site, fleet, "tool", "lib")
    one.install_file(fleet.package("leaf", "1-1", depends=["lib.so=1-64"]))
    one.go_to(NEW)
    for path in fleet.pool.glob("tool-2*"):
        path.rename(path.with_suffix(".away"))
    for path in fleet.archive.glob("repos/2025/02/01/core/os/x86_64/tool-2*"):
        path.rename(path.with_suffix(".away"))
    done = agent.run(one, "sync").refused(3)
    result = site.operations(name)[0]["result"]
    cause, remedy = result["message"], result["hint"]
    assert result["code"] == "package_unavailable" and cause.startswith("tool 2-1 can't be had: file:///"), cause
    assert "tool-2-1-any.pkg.tar.zst" in cause and "mirror" in remedy
    assert cause in done.err and remedy in done.err
    for path in [*fleet.pool.glob("*.away"), *fleet.archive.glob("repos/2025/02/01/core/os/x86_64/*.away")]:
        path.rename(path.with_suffix(".zst"))

    done = agent.run(one, "diff", "--rehearse").refused(3)
    assert "↑ tool" in done.out and "breaks dependency 'lib.so=1-64' required by leaf" in done.err
    before = one.state()
    done = agent.run(one, "sync").refused(3)
    result = site.operations(name)[0]["result"]
    cause, remedy = result["message"], result["hint"]
    assert result["code"] == "rehearsal_failed"
    assert "breaks dependency 'lib.so=1-64' required by leaf" in cause
    assert f"`pacman -R leaf --config {one.config}`" in remedy
    assert "breaks dependency 'lib.so=1-64' required by leaf" in result["log_tail"]
    assert "checking dependencies" in result["log_tail"] or "resolving dependencies" in result["log_tail"]
    assert one.state() == before

    one.pacman("-R", "leaf")
    done = agent.run(one, "diff", "--rehearse", "--exit-code", "--json").refused(10)
    assert done.last["rehearsed"] is True and done.last["files"] == 2
    assert one.state() == {key: value for key, value in before.items() if key != "leaf"}
    assert not (agent.state_dir(one) / "rehearsal").exists()
    assert "Rehearsed: all packages are here" in agent.run(one, "diff", "--rehearse").ok().out
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


@pytest.mark.needs("bash-static")
def test_hook_that_failed_reaches_the_server_by_name(site: Site, fleet: Fleet) -> None:
    one, two, name = enrolled(site, fleet, "tool")
    with_shell(one)
    hook(one, "image", "PostTransaction", "echo 'no space on the ESP'\nexit 1")
    text = (one.directory / "hooks/image.hook").read_text()
    (one.directory / "hooks/image.hook").write_text(text.replace("Install", "Upgrade"))
    done = agent.run(one, "sync").ok()
    said = "the hook image.hook (Doing image) failed: no space on the ESP"
    assert f"warning: {said}" in done.out and "with warnings" in done.out
    assert f"Warning: {said}." in site.operations(name)[0]["result"]["message"]
    assert one.state() == two.state()


@pytest.mark.needs("bash-static")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_pacman_runs_is_answered_and_the_second_leaves_pacman_alone(
    site: Site, fleet: Fleet, presses: int
) -> None:
    one, two, name = enrolled(site, fleet, "tool")
    one.slow_down(20 if presses == 1 else 30)
    process = agent.start(one, "sync")
    until(lambda: (one.dbpath / "db.lck").exists(), seconds=100)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    if presses == 2:
        time.sleep(2.5)
        os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=110)
    assert "pacman is at work and must not be stopped: it continues" in out
    if presses == 1:
        assert process.returncode == 0 and "In sync with pool" in out
    else:
        assert process.returncode == 128 + signal.SIGINT and "the next start finishes the work" in out
        assert (agent.state_dir(one) / "journal.json").exists()
        agent.run(one, "once", "--wait", "100").ok()
    assert one.state() == two.state()
    assert [operation["status"] for operation in site.operations(name)] == ["succeeded"]


@pytest.mark.parametrize("broken", [("pacman", "pacman-conf"), ("pacman",)])
def test_pacman_that_does_not_start_is_called_that_and_the_machine_goes_on_reporting(
    site: Site, fleet: Fleet, tmp_path: Path, broken: tuple[str, ...]
) -> None:
    one, two, name = enrolled(site, fleet, "tool")
    agent.run(one, "once").ok()
    path = f"{broken_pacman(tmp_path / 'bin', *broken)}:{os.environ['PATH']}"
    site.call("POST", "/operations", {"kind": "sync", "endpoint": name})

    def run(*arguments: str) -> agent.Done:
        command = [sys.executable, str(agent.agent_path()), *arguments, "--config", str(one.config)]
        environment = {**os.environ, "PATH": path}
        return agent.Done(
            subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment, cwd="/")
        )

    seen = site.call("GET", f"/endpoints/{name}")["last_seen"]
    done = run("once", "--json")
    assert done.code == 7 and done.last["code"] == "pacman_unusable", done
    assert "libalpm.so.99" in done.last["message"] and "configuration" not in done.last["message"]
    [operation] = site.operations(name)
    assert (operation["status"], operation["result"]["code"]) == ("failed", "pacman_unusable")
    done = run("once").ok()
    assert "behind" in done.out
    found = site.call("GET", f"/endpoints/{name}")
    assert found["last_seen"] > seen
    if "pacman-conf" in broken:
        assert found["problems"][0]["code"] == "pacman_unusable"
        assert "  pacman doesn't start here: " in run("status").ok().out
    # With pacman-conf alive, what was examined before with these very packages still counts for set-latest.
    for command in ("sync", "set-latest") if "pacman-conf" in broken else ("sync",):
        assert run(command, "--json").refused(7).last["code"] == "pacman_unusable"
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert not [one for one in site.call("GET", f"/endpoints/{name}")["problems"] if one["code"] == "pacman_unusable"]
