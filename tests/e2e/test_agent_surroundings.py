"""However the agent was started, and wherever the database is by now: it works, and its files can be read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


@pytest.fixture
def one(site: Site, tmp_path: Path) -> Machine:
    """A machine that is behind its target and not enrolled yet; its code is in `tmp_path`."""
    fleet = Fleet(tmp_path)
    fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1")])
    made, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    for machine in (made, two):
        machine.install("tool")
    pool = site.pool()
    site.enroll(pool, two)
    agent.run(two, "set-latest").ok()
    (tmp_path / "code").write_text(site.code(pool))
    return made


def test_umask_deleted_directory_and_empty_environment_it_works_and_can_be_read(
    site: Site, one: Machine, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        gone.mkdir()
        command = [sys.executable, str(agent.agent_path()), *arguments, "--config", str(one.config)]
        started = ["/bin/sh", "-c", 'umask 077; rmdir "$PWD"; exec env -i "$@"', "sh", *command]
        return subprocess.run(started, cwd=gone, capture_output=True, text=True, timeout=110)

    code = (tmp_path / "code").read_text()
    done = run("enroll", "--server", site.server.url, "--code", code, "--name", f"odd-{os.getpid()}")
    assert done.returncode == 0, done.stderr
    done = run("sync")
    assert (done.returncode, one.state()["tool"][0]) == (0, "2-1"), done.stdout + done.stderr
    directory = agent.state_dir(one)
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert directory.stat().st_mode & 0o777 == 0o755
    assert modes["status.json"] == 0o644
    assert modes["credentials.json"] == 0o600
    assert (one.dbpath / "local/tool-2-1").stat().st_mode & 0o777 == 0o755
    assert all((path / "desc").stat().st_mode & 0o444 == 0o444 for path in (one.dbpath / "local").glob("tool-*"))
    done = run("status", "--root", "mnt")
    assert (done.returncode, "directory doesn't exist any more, so --root leads nowhere" in done.stderr) == (7, True)


def test_database_that_was_moved_is_still_the_same_machine(site: Site, one: Machine, tmp_path: Path) -> None:
    code = (tmp_path / "code").read_text()
    name = f"moved-{os.getpid()}"
    agent.run(one, "enroll", "--server", site.server.url, "--code", code, "--name", name).ok()
    moved = one.root / "data/pacman"
    moved.parent.mkdir()
    shutil.move(one.dbpath, moved)
    one.config.write_text(one.config.read_text().replace(f"DBPath = {one.dbpath}", f"DBPath = {moved}"))
    assert name in agent.run(one, "once").ok().out
    agent.run(one, "sync").ok()
    assert "tool 2-1" in one.pacman("-Q")
    # Another machine's database, beside one that is there: never the same machine.
    other = shutil.copytree(moved, one.root / "other")
    assert "not enrolled" in agent.run(one, "once", "--dbpath", other).refused(4).err
