"""From one sound set of packages to another and back, on real pacman: exact, and each hook runs once, at the end.

PACSYNC_WORLDS is how many worlds there are (default 8).
"""

import os
from pathlib import Path

import pytest

from apps.fleet.alpm.state import InstalledPackage
from tests.support import direct, worlds
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman", "bash-static")
OLD = "2025/01/01"
WORLDS = range(int(os.environ.get("PACSYNC_WORLDS", "8")))


def wanted(goal: list[InstalledPackage]) -> dict[str, tuple[str, str]]:
    return {package.name: (package.version, package.reason) for package in goal}


def move(machine: Machine, goal: list[InstalledPackage]) -> None:
    """Bring the machine to the goal, and see what came of it and what the hook saw."""
    before = machine.state()
    direct.bring(machine, goal)
    after = machine.state()
    assert after == wanted(goal)
    assert machine.problems() == []
    touched = {name for name in before.keys() | after.keys() if before.get(name, ("",))[0] != after.get(name, ("",))[0]}
    dependencies = {name for name, (_, reason) in after.items() if reason == "dependency"}
    assert direct.recorded(machine) == ([(touched, dependencies)] if touched else [])
    assert {path.name for path in direct.local(machine, "sync").iterdir()} == {"core.db"}


@pytest.mark.parametrize("seed", WORLDS)
def test_random_world_both_directions_are_exact_and_hooks_run_once_at_the_end(tmp_path: Path, seed: int) -> None:
    fleet = Fleet(tmp_path)
    world = worlds.make(fleet, seed)
    fleet.snapshot(OLD, [fleet.package("unrelated", "1-1")])
    machine = fleet.machine("m", OLD, options=f"CacheDir = {fleet.pool}")
    direct.record_hooks(machine)
    for goal in (world.first, world.second, world.first, world.second):
        move(machine, goal)
