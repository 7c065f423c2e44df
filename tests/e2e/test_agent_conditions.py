"""Conditions that a machine may be in: locks, no root, a full disk, signatures, odd file names."""

import fcntl
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.agent.test_build import python39
from tests.e2e.grouped_machines import NEW, OLD, two_machines
from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")


@pytest.fixture
def pair(site: Site, fleet: Fleet) -> tuple[Machine, Machine]:
    one, two = two_machines(fleet)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, two


def test_sync_database_locked_by_a_pacman_is_busy_and_works_afterwards(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    lock = one.dbpath / "db.lck"
    # As libalpm does: the file is open for as long as the lock is held. `cat` waits for its standard input.
    with lock.open("xb") as handle:
        holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=handle)
    done = agent.run(one, "sync", "--json").refused(6)
    assert done.last["code"] == "database_locked" and str(holder.pid) in done.last["message"]
    assert "Another pacman is at work" in agent.run(one, "once", "--wait", "0").ok().out
    agent.run(one, "set-latest").refused(6)
    holder.communicate()
    # Left over, of nobody that the agent knows: it isn't the agent's to remove.
    done = agent.run(one, "sync").refused(6)
    assert str(lock) in done.err and "the last step be to remove the lock" in done.err
    for command in ("diff", "set-latest"):
        assert agent.run(one, command, "--json").refused(6).last["code"] == "database_locked"
    assert lock.exists()
    lock.unlink()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_once_waits_for_a_pacman_that_is_about_to_end(pair: tuple[Machine, Machine]) -> None:
    """A hook that asks systemd for `once` has it started while pacman still holds its lock."""
    one, _ = pair
    lock = one.dbpath / "db.lck"
    with lock.open("xb") as handle:
        holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=handle)
    process = agent.start(one, "once", "--report-only")
    time.sleep(1)
    assert process.poll() is None
    lock.unlink()
    holder.communicate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "revision 1" in out


def test_once_while_another_agent_works_is_a_quiet_no_op(pair: tuple[Machine, Machine]) -> None:
    one, _ = pair
    with (agent.state_dir(one) / "agent.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = agent.run(one, "once", "--quiet").ok()
        assert done.out == "" and done.err == ""
        agent.run(one, "sync", "--wait", "0.2").refused(6)


@pytest.mark.needs("bash-static")
def test_once_in_the_hook_of_a_sync_is_a_quiet_no_op(pair: tuple[Machine, Machine], site: Site) -> None:
    """The pacman hook of a real installation runs `once` while the sync's own pacman is at work."""
    one, two = pair
    one.slow_down(10)
    process = agent.start(one, "sync")
    deadline = time.monotonic() + 60
    while not (one.dbpath / "db.lck").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    done = agent.run(one, "once", "--report-only", "--quiet").ok()
    assert done.out == "" and done.err == ""
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    assert one.state() == two.state()


def test_once_in_the_hook_of_a_manual_pacman_reports_and_carries_nothing_out(
    site: Site, fleet: Fleet, tmp_path: Path
) -> None:
    one, two = two_machines(fleet)
    name, _ = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "once").ok()
    site.call("POST", "/operations", {"kind": "sync", "endpoint": name})
    before = one.state()
    # This process is the pacman: it has the lock file open, and the agent is its child.
    with (one.dbpath / "db.lck").open("xb"):
        done = agent.run(one, "once").ok()
    (one.dbpath / "db.lck").unlink()
    assert "behind" in done.out
    assert site.operations(name)[0]["status"] == "queued"
    assert one.state() == before
    agent.run(one, "once").ok()
    assert one.state() == two.state()


def test_sync_rename_that_the_machines_databases_know_already(site: Site, fleet: Fleet) -> None:
    """Somebody ran `pacman -Sy`: the old name is in no repository any more, but it isn't foreign."""
    new = fleet.package("new", "1-1", provides=["old"], conflicts=["old"], replaces=["old<2"])
    fleet.snapshot(OLD, [fleet.package("old", "1-1")])
    fleet.snapshot(NEW, [new])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", OLD)
    one.install("old")
    two.install("old")
    one.install_file(fleet.package("own", "1-1"))
    one.go_to(NEW)
    two.go_to(NEW)
    two.upgrade()
    name, _ = site.enroll(site.pool(), one, two)
    assert site.call("GET", f"/endpoints/{name}")["foreign"] == ["own"]
    before = one.state()
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert sorted(one.state()) == ["new", "own"]
    agent.run(one, "revert").ok()
    assert one.state() == before


def test_sync_machine_without_packages_gets_them_and_back(site: Site, fleet: Fleet) -> None:
    one, two = two_machines(fleet)
    one.pacman("-R", "tool", "base")
    site.enroll(site.pool(), one, two)
    assert "has no packages at all" in agent.run(one, "set-latest").refused(3).err
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    agent.run(one, "revert").ok()
    assert one.state() == {}


def test_sync_without_root_is_refused_with_what_to_do(pair: tuple[Machine, Machine], tmp_path: Path) -> None:
    one, _ = pair
    python = "/usr/bin/python3"
    if not agent.is_root() or not Path(python).exists():
        pytest.skip("needs root, to become somebody else with a Python that everybody may run")
    for directory in (tmp_path, *tmp_path.parents[:3]):  # a worker of pytest-xdist has a folder of its own
        directory.chmod(0o755)
    shutil.copy(agent.agent_path(), tmp_path / "pacsync-agent")
    agent.run(one, "once").ok()

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, tmp_path / "pacsync-agent", "--config", one.config, *arguments]
        return subprocess.run(command, user=65534, capture_output=True, text=True, cwd="/")

    done = as_nobody("sync")
    assert done.returncode == 7, done
    assert "sudo" in done.stderr and "Traceback" not in done.stderr
    status = as_nobody("status", "--waybar")
    assert status.returncode == 0 and '"class": "behind"' in status.stdout, status
    assert "as of" in as_nobody("status").stdout
    token = agent.state_dir(one) / "credentials.json"
    assert token.stat().st_mode & 0o777 == 0o600


def test_sync_package_larger_than_the_disk_is_refused(site: Site, fleet: Fleet) -> None:
    one, two = two_machines(fleet)
    huge = fleet.package("huge", "1-1", size=10**17)
    fleet.snapshot(NEW, [huge], repo="extra")
    two.repos = ("core", "extra")
    two.go_to(NEW)
    two.install("huge")
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    before = one.state()
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "disk_full"
    assert one.state() == before


def test_sync_local_signatures_required_still_works(site: Site, fleet: Fleet) -> None:
    """The agent verifies what it brings by the repository's level; that of local files mustn't stop it."""
    one, two = two_machines(fleet)
    gone = fleet.package("gone", "1-1")
    one.install_file(gone)
    fleet.snapshot(OLD, [fleet.package("tool", "1-1"), fleet.package("base", "1-1"), gone])
    one.go_to(OLD, options="SigLevel = Never\nLocalFileSigLevel = Required")
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_file_names_that_are_not_ascii_are_unpacked(site: Site, fleet: Fleet) -> None:
    one, two = two_machines(fleet)
    name = "usr/share/certs/Főtanúsítvány.pem"
    two.install_file(fleet.package("certs", "1-1", files={name: b"certificate"}))
    fleet.snapshot(NEW, [fleet.package("certs", "1-1", files={name: b"certificate"})], repo="extra")
    two.repos = ("core", "extra")
    two.go_to(NEW)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.file(name) == b"certificate"
    assert one.problems() == []


def test_sync_python_39_is_exact(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    agent.run(one, "sync", python=python39()).ok()
    assert one.state() == two.state()
    agent.run(one, "revert", python=python39()).ok()
    assert "tool" in one.state() and "extra" not in one.state()


def test_sync_on_a_terminal_shows_progress_on_one_line(pair: tuple[Machine, Machine]) -> None:
    one, two = pair
    leader, follower = pty.openpty()
    command = [sys.executable, str(agent.agent_path()), "sync", "--config", str(one.config)]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, cwd="/")
    os.close(follower)
    said = b""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        try:
            said += os.read(leader, 65536)
        except OSError:
            break
    assert process.wait(timeout=30) == 0, said
    text = said.decode()
    for phase in ("Rehearsing", "Downloading 3 of 3", "Applying", "Verifying"):
        assert f"\r\x1b[K{phase}" in text, text
    assert text.rstrip().endswith("(1 installation, 2 upgrades)."), text
    assert one.state() == two.state()


def test_two_roots_on_one_host_have_directories_of_their_own(site: Site, fleet: Fleet, tmp_path: Path) -> None:
    one, _ = two_machines(fleet)
    other = tmp_path / "elsewhere"
    shutil.copytree(one.dbpath, other)
    agent.run(one, "enroll", "--server", site.server.url, "--code", site.code(site.pool()), "--name", "own-1").ok()
    known = ("--server", site.server.url, "--code", site.code(site.pool()))
    agent.run(one, "enroll", "--dbpath", other, *known, "--name", "own-2").ok()
    directories = sorted(path.name for path in (one.root / "var/lib").iterdir())
    assert len([name for name in directories if name.startswith("pacsync-agent")]) == 2
    given = tmp_path / "given"
    agent.run(one, "enroll", "--state-dir", given, *known, "--name", "own-3").ok()
    assert (given / "credentials.json").exists()


def make_key(directory: Path) -> None:
    """A keyring as pacman-key makes it, with a trusted key of its own."""
    subprocess.run(["pacman-key", "--gpgdir", directory, "--init"], check=True, capture_output=True)


def sign(directory: Path, path: Path) -> None:
    Path(f"{path}.sig").unlink(missing_ok=True)
    subprocess.run(["gpg", "--homedir", directory, "--batch", "--detach-sign", path], check=True, capture_output=True)


@pytest.mark.needs("gpg", "pacman-key")
def test_sync_repository_that_requires_signatures(site: Site, fleet: Fleet) -> None:
    one, two = two_machines(fleet)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    one.go_to(OLD, options="SigLevel = Required DatabaseNever")
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "signature_missing"
    gnupg = one.directory / "gnupg"
    make_key(gnupg)
    packages = sorted(path for path in fleet.archive.rglob("*.zst") if not path.is_symlink())
    for path in packages:
        sign(gnupg, path)
        shutil.copy(f"{path}.sig", fleet.pool)
    # A good signature of another file, beside the package in the cache; the mirror has none.
    tool, base = (next(path for path in packages if path.name.startswith(name)) for name in ("tool-2", "base-1"))
    right = (fleet.pool / f"{tool.name}.sig").rename(fleet.pool / "right")
    shutil.copy(tool, one.cache)
    shutil.copy(f"{base}.sig", one.cache / f"{tool.name}.sig")
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "signature_invalid" and "tool 2-1" in done.last["message"]
    right.rename(fleet.pool / f"{tool.name}.sig")
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    shutil.rmtree(gnupg, ignore_errors=True)
