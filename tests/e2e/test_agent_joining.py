"""Enrolling as the printed line does it: the agent is kept running from then on, and the words say what comes next."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.pacman import Fleet
from tests.support.site import Site, running_site

pytestmark = pytest.mark.needs("pacman", "systemctl")
UNIT = "etc/systemd/system/pacsync-agent.service"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An installed Arch system with systemd and the agent in it, as an installer has it mounted."""
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [fleet.package("tool", "1-1")])
    machine = fleet.machine("m1", "2025/01/01")
    machine.install("tool")
    root = machine.root
    for directory in ("etc/systemd/system", "usr/lib/systemd", "usr/local/bin"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "usr/lib/systemd/systemd").touch()
    lines = machine.config.read_text().splitlines()
    (root / "etc/pacman.conf").write_text("\n".join(line for line in lines if not line.startswith("RootDir")) + "\n")
    shutil.copy(agent.agent_path(), root / "usr/local/bin/pacsync-agent")
    return root


def run(root: Path, *arguments: object, **options: object) -> agent.Done:
    command = [sys.executable, root / "usr/local/bin/pacsync-agent", *arguments]
    command += ["--root", root, "--config", root / "etc/pacman.conf"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=110, cwd="/", **options)  # type: ignore[call-overload]
    return agent.Done(done)


def server(site: Site) -> tuple[str, str]:
    return ("--server", site.server.url)


def test_enroll_installs_the_service_and_ends_with_what_comes_next(site: Site, root: Path, tmp_path: Path) -> None:
    pool = site.pool()
    code = tmp_path / "code"
    code.write_text(site.code(pool) + "\n")
    lines = run(root, "enroll", *server(site), "--code-file", code, "--name", "join-1").ok().out.splitlines()
    assert lines[0] == f"Enrolled as join-1 at {site.server.url}, in pool {pool}. Its packages are reported."
    assert lines[1].startswith("systemd isn't running here, so pacsync-agent.service begins with the next start")
    assert lines[2].startswith(f"Next: pool {pool} needs a target") and f"{site.server.url}/pools/{pool}" in lines[2]
    assert f"`pacsync-agent set-latest --config {root}/etc/pacman.conf --root {root}` here" in lines[2]
    assert "ExecStart=/usr/local/bin/pacsync-agent run\n" in (root / UNIT).read_text()
    assert run(root, "set-latest").ok()


def test_enroll_code_of_the_environment_no_pool_no_service(site: Site, root: Path) -> None:
    code = site.call("POST", "/enrolment-codes", {})["code"]
    environment = os.environ | {"PACSYNC_ENROLMENT_CODE": code}
    options = (*server(site), "--name", "join-2", "--no-service")
    last = run(root, "enroll", *options, "--json", env=environment).ok().last
    assert (last["service"], last["pool"]) == ("none", None)
    assert last["next"].startswith(f"put it into a pool, on {site.server.url}/endpoints/join-2.")
    assert not (root / UNIT).exists()
    said = run(root, "enroll", *options, env=environment).refused(3).err
    assert "`pacsync-agent service install --config" in said


def test_enroll_where_no_service_can_be_enrols_all_the_same(site: Site, root: Path) -> None:
    (root / UNIT).write_text("[Service]\n")
    code = site.code(site.pool())
    done = run(root, "enroll", *server(site), "--code", code, "--name", "join-3").ok()
    assert "Nothing keeps the agent running: somebody else's file is where the service would have its own" in done.out
    (root / UNIT).unlink()
    run(root, "service", "install").ok()


def test_enroll_server_without_tls_is_warned_of_before_anything_is_sent(site: Site, root: Path) -> None:
    """The server is on this machine, at an address that isn't loopback by its letters; it may refuse that name."""
    url = site.server.url.replace("127.0.0.1", "0.0.0.0")
    refused = run(root, "enroll", "--server", url, "--code", "psc_x", "--no-service")
    assert refused.code != 0
    assert refused.out.startswith(f"warning: {url} is reached without TLS")
    plain = run(root, "enroll", *server(site), "--code", "psc_x", "--no-service").refused(4)
    assert "TLS" not in plain.out + plain.err


def test_enroll_code_of_a_file_is_not_in_the_list_of_processes(site: Site, root: Path, tmp_path: Path) -> None:
    """While the agent waits for its code on a pipe, everybody may look."""
    pipe, code = tmp_path / "pipe", site.code(site.pool())
    os.mkfifo(pipe)
    found: list[agent.Done] = []
    options = (*server(site), "--code-file", pipe, "--name", "join-4", "--no-service")
    thread = threading.Thread(target=lambda: found.append(run(root, "enroll", *options)))
    thread.start()
    with pipe.open("w") as writer:  # opens when the agent reads
        shown = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
        writer.write(code)
    thread.join()
    assert "join-4" in shown and code not in shown
    found[0].ok()
