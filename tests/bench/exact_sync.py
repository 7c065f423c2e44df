"""The bench's exact sync: `pacsync-agent sync` with real pacman, beside the same transaction by bare pacman.

Each is measured with the files in the cache and with downloads from a mirror on loopback, on a disk and in memory. The
agent runs as the Arch package installs it, with a Python that has no module for zstd. After each round pacman takes
both machines back.
"""

import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.row import Row
from tests.bench.sized import WHOLE, Extent
from tests.support import agent
from tests.support.pacman import Fleet, Machine, Package
from tests.support.site import Site, running_site

OLD, NEW = "2025/01/01", "2025/02/01"
MEMORY = Path("/dev/shm")
# Python without the packages of this project: a machine has none of them.
PYTHON = os.path.realpath(sys.executable)


@dataclass(frozen=True)
class Cost:
    """Seconds that passed, and seconds of the processor in the process and all its children."""

    seconds: float
    processor: float


def exact_sync(extent: Extent = WHOLE) -> Row:
    """Three of ten packages have a new version in the target."""
    changed = extent.packages * 3 // 10
    title = f"Exact sync of {changed:,} of {extent.packages:,} packages, beside bare pacman"
    row = Row(title, "1.5 times with the files in the cache, 2 times with downloads", peer={})
    if not shutil.which("pacman"):
        row.pacsync, row.peer = {"skipped": "install pacman"}, None
        return row
    places = [("disk", None), ("memory", MEMORY)] if MEMORY.is_dir() else [("disk", None)]
    for word, place in places:
        with tempfile.TemporaryDirectory(dir=place) as folder, running_site(Path(folder)) as site:
            world = _World(Path(folder), site, extent.packages, changed)
            for downloads in (False, True):
                ours, least = world.measured(max(1, extent.rounds // 3), downloads=downloads)
                _add(row, f"{'downloads' if downloads else 'cache'}_{word}", ours, least)
    return row


def _add(row: Row, what: str, ours: Cost, least: Cost) -> None:
    assert row.peer is not None
    row.pacsync[f"{what}_seconds"] = round(ours.seconds, 2)
    row.pacsync[f"{what}_processor"] = round(ours.processor, 2)
    row.pacsync[f"{what}_times"] = round(ours.seconds / least.seconds, 2)
    row.peer[f"{what}_seconds"] = round(least.seconds, 2)
    row.peer[f"{what}_processor"] = round(least.processor, 2)


class _World:
    """Two equal machines, one with the agent, and the machine whose packages are the target."""

    def __init__(self, folder: Path, site: Site, packages: int, changed: int) -> None:
        fleet = Fleet(folder / "fleet")
        before = [fleet.package(f"package{number:04}", "1.0-1", files=_files(number)) for number in range(packages)]
        after = [fleet.package(f"package{number:04}", "1.1-1", files=_files(number)) for number in range(changed)]
        fleet.snapshot(OLD, before)
        fleet.snapshot(NEW, [*after, *before[changed:]])
        self._fleet = fleet
        self._bare = fleet.machine("bare", OLD, options="ParallelDownloads = 5", trusting=False)
        self._bare.pacman("-U", *(package.path for package in before))
        self._ours, source = _copy(self._bare, "ours"), _copy(self._bare, "source")
        self._new, self._old = after, before[:changed]
        for machine in (self._bare, self._ours, source):
            machine.go_to(NEW)
            _fill_cache(machine, self._old)
        source.pacman("-U", *(package.path for package in after))
        site.enroll(site.pool(), self._ours, source)
        agent.run(source, "set-latest").ok()
        self._start, self._goal = self._bare.state(), source.state()

    def measured(self, rounds: int, *, downloads: bool) -> tuple[Cost, Cost]:
        """The medians of the agent and of bare pacman, in turns."""
        with _mirror(self._fleet.archive) as mirror:
            for machine in (self._bare, self._ours):
                machine.configure(f"{mirror}/repos/{NEW}/$repo/os/$arch")
            costs = [self._round(downloads=downloads) for _ in range(rounds)]
        ours, least = zip(*costs, strict=True)
        return _median(ours), _median(least)

    def _round(self, *, downloads: bool) -> tuple[Cost, Cost]:
        for machine in (self._ours, self._bare):
            for package in self._new:
                (machine.cache / package.path.name).unlink(missing_ok=True)
            if not downloads:
                _fill_cache(machine, self._new)
            if machine.state() != self._start:
                machine.pacman("-U", *(machine.cache / package.path.name for package in self._old))
        files = [self._bare.cache / package.path.name for package in self._new]
        transaction = ("-Su",) if downloads else ("-U", *files)
        os.sync()  # what was prepared is no part of it
        ours = _cost(lambda: agent.run(self._ours, "sync", python=PYTHON).ok())
        os.sync()
        least = _cost(lambda: self._bare.pacman(*transaction))
        assert self._ours.state() == self._bare.state() == self._goal
        return ours, least


def _cost(call: Callable[[], object]) -> Cost:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def _median(costs: tuple[Cost, ...]) -> Cost:
    return Cost(statistics.median(one.seconds for one in costs), statistics.median(one.processor for one in costs))


@contextlib.contextmanager
def _mirror(directory: Path) -> Iterator[str]:
    """The address of an HTTP server with the files of the directory."""
    command = [sys.executable, "-u", "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "127.0.0.1"]
    command += ["--directory", str(directory), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            yield said.partition("(")[2].partition("/)")[0]
        finally:
            process.terminate()


def _files(number: int) -> dict[str, str]:
    return {f"usr/share/package{number:04}/{file}": f"{file} {number}\n" * 50 for file in range(4)}


def _copy(machine: Machine, name: str) -> Machine:
    made = Machine(machine.fleet, name, machine.repos, machine.options, machine.trusting)
    shutil.rmtree(made.root)
    subprocess.run(["cp", "-a", machine.root, made.root], check=True)
    return made


def _fill_cache(machine: Machine, packages: list[Package]) -> None:
    for package in packages:
        shutil.copy(package.path, machine.cache)
