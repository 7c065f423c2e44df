"""The bench's exact sync: `pacsync-agent sync` with real pacman, beside the same transaction by bare `pacman -U`.

All files are in the cache of both machines, so nothing is downloaded. After each round pacman takes both back.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.bench.paired import in_turns
from tests.bench.row import Row
from tests.bench.sized import WHOLE, Extent
from tests.support import agent
from tests.support.pacman import Fleet, Machine, Package
from tests.support.site import Site, running_site

OLD, NEW = "2025/01/01", "2025/02/01"


def exact_sync(extent: Extent = WHOLE) -> Row:
    """Three of ten packages have a new version in the target."""
    changed = extent.packages * 3 // 10
    title = f"Exact sync of {changed:,} of {extent.packages:,} packages, files in the cache, beside bare pacman -U"
    row = Row(title, "1.5 times")
    if not shutil.which("pacman"):
        row.pacsync = {"skipped": "install pacman"}
        return row
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder)) as site:
        ours, least = _measured(Path(folder), site, extent.packages, changed, max(1, extent.rounds // 3))
    row.pacsync = {"seconds": round(ours, 2), "times": round(ours / least, 2)}
    row.peer = {"seconds": round(least, 2)}
    return row


def _measured(folder: Path, site: Site, packages: int, changed: int, rounds: int) -> tuple[float, float]:
    fleet = Fleet(folder / "fleet")
    before = [fleet.package(f"package{number:04}", "1.0-1", files=_files(number)) for number in range(packages)]
    after = [fleet.package(f"package{number:04}", "1.1-1", files=_files(number)) for number in range(changed)]
    fleet.snapshot(OLD, before)
    fleet.snapshot(NEW, [*after, *before[changed:]])
    bare = fleet.machine("bare", OLD)
    bare.pacman("-U", *(package.path for package in before))
    ours, source = _copy(bare, "ours"), _copy(bare, "source")
    new, old = _cached((bare, ours, source), after), _cached((bare, ours, source), before[:changed])
    for machine in (bare, ours, source):
        machine.go_to(NEW)
    source.pacman("-U", *(source.cache / name for name in new))
    site.enroll(site.pool(), ours, source)
    agent.run(source, "set-latest").ok()

    def sync() -> None:
        agent.run(ours, "sync").ok()

    def transaction() -> None:
        bare.pacman("-U", *(bare.cache / name for name in new))

    def take_back() -> None:
        for machine in (ours, bare):
            if machine.state() != start:
                machine.pacman("-U", *(machine.cache / name for name in old))

    start, goal = bare.state(), source.state()
    times = in_turns(sync, transaction, rounds, each=take_back)
    assert ours.state() == bare.state() == goal
    return times


def _files(number: int) -> dict[str, str]:
    return {f"usr/share/package{number:04}/{file}": f"{file} {number}\n" * 50 for file in range(4)}


def _copy(machine: Machine, name: str) -> Machine:
    made = Machine(machine.fleet, name, machine.repos, machine.options, machine.trusting)
    shutil.rmtree(made.root)
    subprocess.run(["cp", "-a", machine.root, made.root], check=True)
    return made


def _cached(machines: tuple[Machine, ...], packages: list[Package]) -> list[str]:
    """Put the files into each machine's cache; their names."""
    for machine in machines:
        for package in packages:
            shutil.copy(package.path, machine.cache)
    return [package.path.name for package in packages]
