"""`Architecture` with several values, as distributions for newer processors have it: with real pacman."""

from pathlib import Path

import pytest

from apps.fleet.alpm.state import InstalledPackage
from tests.support import agent, direct
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"
SEVERAL = {
    "one line": "Architecture = x86_64 x86_64_v3",
    "the level first": "Architecture = x86_64_v3 x86_64",
    "two lines": "Architecture = x86_64_v3\nArchitecture = x86_64",
}


@pytest.fixture
def levels(fleet: Fleet) -> Fleet:
    """Two days of `tool` (x86_64_v3), `lib` (x86_64) and `data` (any); `tool` becomes one for x86_64 in between."""
    for day, number in ((OLD, 1), (NEW, 2)):
        arches = {
            "tool": "x86_64_v3",
            "lib": "x86_64",
            "data": "any",
            "moves": "x86_64" if number == 1 else "x86_64_v3",
        }
        fleet.snapshot(day, [fleet.package(name, f"{number}-1", arch) for name, arch in arches.items()])
        repository = fleet.archive / "repos" / day / "core/os"
        (repository / "x86_64_v3").symlink_to(repository / "x86_64")  # $arch is the first of the values
    return fleet


def machine(fleet: Fleet, name: str, day: str, architecture: str, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with this in its pacman.conf, and all packages of the day."""
    configure = Machine.configure

    def with_architecture(self: Machine, server: str, options: str | None = None) -> None:
        configure(self, server, options)
        self.config.write_text(self.config.read_text().replace("Architecture = x86_64", architecture))

    monkeypatch.setattr(Machine, "configure", with_architecture)
    made = fleet.machine(name, day)
    made.install("tool", "lib", "data", "moves")
    return made


@pytest.mark.parametrize("kind", SEVERAL)
def test_transaction_with_several_architectures_is_exact(
    levels: Fleet, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine(levels, "m1", OLD, SEVERAL[kind], monkeypatch)
    one.go_to(NEW)
    arches = {"tool": "x86_64_v3", "lib": "x86_64", "data": "any", "moves": "x86_64_v3"}
    goal = [InstalledPackage(name, "2-1", arch, "explicit") for name, arch in arches.items()]
    here = direct.agent_of(one)
    run = here.apply(here.prepare(goal, held=()))
    assert run is not None and run.status == 0, run
    assert one.state() == dict.fromkeys(arches, ("2-1", "explicit"))


def test_machine_without_the_level_refuses_its_packages_and_stays_as_it_is(
    site: Site, levels: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = machine(levels, "m2", NEW, SEVERAL["one line"], monkeypatch)
    monkeypatch.undo()
    one = levels.machine("m1", OLD)
    one.install("lib", "data")
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    done = agent.run(one, "sync", "--json")
    assert done.code == 3 and one.state() == before, done
    assert done.last["code"] == "rehearsal_failed" and "architecture" in done.last["message"], done
    assert Path(one.dbpath / "db.lck").exists() is False
