"""Old files that pacman kept are found, all of them; what has a reason to be there isn't."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Failed
from apps.agent.pacsync_agent.examination import leftovers
from apps.agent.pacsync_agent.transaction import rehearsal
from apps.agent.pacsync_agent.transaction.machine import Machine as Agent
from tests.support import direct
from tests.support.mtree import with_mtree
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"
LOST = ["usr/lib/app/a", "usr/lib/app/b", "usr/lib/app/c"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="attributes need root")


def world(path: Path, options: str = "") -> Machine:
    """`app` loses files with its new version, and `gone` all of them; `lib` has some of them elsewhere."""
    fleet = Fleet(path)
    files: dict[str, bytes | str] = dict.fromkeys((*LOST, "usr/lib/app/stays", "etc/app.conf"), b"1")
    old = [
        fleet.package("app", "1-1", files=with_mtree(files), backup=["etc/app.conf"]),
        fleet.package("gone", "1-1", files=with_mtree({"usr/share/gone": b"g"})),
    ]
    fleet.snapshot(OLD, old)
    fleet.snapshot(NEW, [fleet.package("app", "2-1", files=with_mtree({"usr/lib/app/stays": b"2"}))])
    machine = fleet.machine("m", OLD, options=options)
    machine.install("app", "gone")
    return machine


def sync(machine: Machine, before_the_look: Callable[[], object] = lambda: None) -> Agent:
    """Bring the machine to NEW as an operation does. Raises Failed."""
    machine.go_to(NEW)
    agent = direct.agent_of(machine)
    goal = direct.packages({"app": ("2-1", "explicit")})
    try:
        prepared = agent.prepare(goal, held=())
        run = agent.apply(prepared)
        assert run is not None and run.status == 0, run
    finally:
        rehearsal.remove_rehearsal(agent.rehearsal_dir)
    before_the_look()
    agent.finish(goal)
    agent.check_files(["app"], None)
    return agent


@pytest.fixture
def immutable(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], None]]:
    made: list[Path] = []

    def make(path: Path) -> None:
        if subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
            pytest.skip("this file system has no attributes")
        made.append(path)

    yield make
    subprocess.run(["chattr", "-i", *made], check=False)


@needs_root
def test_one_file_that_cannot_be_removed_all_that_libalpm_keeps_is_named(
    tmp_path: Path, immutable: Callable[[Path], None]
) -> None:
    machine = world(tmp_path)
    immutable(machine.root / LOST[1])
    with pytest.raises(Failed) as caught:
        sync(machine)
    assert caught.value.code == "files_differ"
    kept = [name for name in LOST if (machine.root / name).exists()]
    assert kept == LOST and "etc/app.conf" not in caught.value.message
    assert all(f"{machine.root / name} (left by an old version)" in caught.value.message for name in kept)
    agent = direct.agent_of(machine)
    assert len(leftovers.known(agent.conf, agent.state_dir)) == len(kept)
    removed, stuck = leftovers.remove(agent.conf, agent.state_dir)
    assert [one.path for one in stuck] == [str(machine.root / LOST[1])] and len(removed) == len(kept) - 1
    assert (machine.root / "usr/lib/app/stays").exists()


def test_nothing_is_left_nothing_is_said(tmp_path: Path) -> None:
    agent = sync(world(tmp_path))
    assert leftovers.known(agent.conf, agent.state_dir) == []


def test_file_that_a_scriptlet_or_hook_made_again_is_no_leftover(tmp_path: Path) -> None:
    """A cache that the old package had in its list, and the new one makes."""
    machine = world(tmp_path)
    agent = sync(machine, lambda: (machine.root / LOST[0]).write_text("cache"))
    assert leftovers.known(agent.conf, agent.state_dir) == []


def test_file_that_pacman_shall_not_touch_is_no_leftover(tmp_path: Path) -> None:
    machine = world(tmp_path, options=f"NoUpgrade = {LOST[0]}")
    (machine.root / "etc/app.conf").write_text("mine")
    sync(machine)
    assert (machine.root / LOST[0]).exists()


def test_file_that_another_package_has_by_a_link_is_no_leftover(tmp_path: Path) -> None:
    """The files went to another directory, and a link leads there from the old one, as from /lib to /usr/lib."""
    fleet = Fleet(tmp_path)
    fleet.snapshot(OLD, [fleet.package("app", "1-1", files=with_mtree({"lib/one": b"1"}))])
    fleet.snapshot(NEW, [fleet.package("app", "2-1", files=with_mtree({"usr/lib/one": b"1"}))])
    machine = fleet.machine("m", OLD)
    machine.install("app")

    def link() -> None:
        shutil.rmtree(machine.root / "lib", ignore_errors=True)
        (machine.root / "lib").symlink_to("usr/lib")
        # As if nothing had changed since it was noted: only the owner speaks for it.
        kept = leftovers.load(machine.root / "var/lib/pacsync-agent")
        later = {path: [name, noted + 3600] for path, (name, noted) in kept["going"].items()}
        assert list(later) == ["lib/one"]
        leftovers.save(machine.root / "var/lib/pacsync-agent", going=later, left={})

    agent = sync(machine, link)
    assert (machine.root / "lib/one").exists()
    assert leftovers.known(agent.conf, agent.state_dir) == []
