"""What is in pacman's way is named with its owner, and the remedy that is given works: each is followed here.

pacman's own refusal is the input. Where following another remedy would destroy something, a twin shows the damage.
"""

import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases import local_db
from apps.agent.pacsync_agent.errors import Failed
from apps.agent.pacsync_agent.examination import file_conflicts
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.pacman.execution import Run
from apps.agent.pacsync_agent.protection import protection
from tests.support.pacman import Fleet, Package

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"
Files = Mapping[str, bytes | str]

FW_1: Files = {"usr/lib/fw/ad104/gsp": b"x", "usr/lib/fw/ad103": "ad104", "usr/lib/fw/radeon": b"r"}
FW_2: Files = {"usr/share/fw/README": b"x", "usr/lib/fw/radeon": b"r2"}
NVIDIA: Files = {"usr/lib/fw/ad103/gsp": b"x", "usr/lib/fw/ad104": "ad103"}


class World:
    """A machine with the packages `old`, which is to get those of `new`."""

    def __init__(self, path: Path, old: Mapping[str, Files], new: Mapping[str, Files]) -> None:
        self.away, self.fleet = path / "away", Fleet(path)
        packages = [self.fleet.package(name, "1-1", files=files) for name, files in old.items()]
        self.new = [self.fleet.package(name, "2-1", files=files) for name, files in new.items()]
        self.fleet.snapshot(DAY, packages)
        self.machine = self.fleet.machine("m", DAY)
        self.machine.install(*old)
        self.removed: Collection[str] = ()

    def transaction(self) -> Run:
        """pacman, as the agent calls it."""
        paths = [str(package.path) for package in self.new]
        command = ["pacman", "--config", str(self.machine.config), "-U", "--noconfirm", *paths]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return Run(done.returncode, done.stdout + done.stderr)

    def failure(self) -> Failed:
        run = self.transaction()
        assert run.status != 0, run.output
        conf = configuration.read(self.machine.config, None, None)
        owners = protection.owners_by_files(conf.dbpath, conf.root)
        essential = protection.essential(conf.dbpath, local_db.read(conf.dbpath), owners)
        return file_conflicts.failure(run, conf, {*(package.name for package in self.new), *self.removed}, essential)

    def goes_on(self) -> bool:
        """Whether the transaction works now, and leaves every file of every package."""
        run = self.transaction()
        assert run.status == 0, run.output
        return self.is_whole()

    def is_whole(self) -> bool:
        return all(line.endswith(" 0 missing files") for line in self.machine.pacman("-Qk", check=False).splitlines())

    def below(self, path: str) -> Path:
        return self.machine.root / path

    def move_away(self, path: str) -> None:
        shutil.move(self.below(path), self.away)


def test_directory_and_link_change_places_owner_is_removed_first(tmp_path: Path) -> None:
    world = World(tmp_path, {"fw": FW_1}, {"fw": FW_2, "fw-nvidia": NVIDIA})
    failure = world.failure()
    assert "/usr/lib/fw/ad104 exists in filesystem. What is there belongs to fw:" in failure.message
    assert "only when fw is removed first: run `pacman -Rdd fw`" in failure.hint
    world.machine.pacman("-Rdd", "fw")
    assert world.goes_on() and world.below("usr/lib/fw/ad104").is_symlink()


def test_directory_and_link_change_places_moved_away_by_hand_files_are_missing(tmp_path: Path) -> None:
    """The twin: what was advised before the owner was looked up."""
    world = World(tmp_path, {"fw": FW_1}, {"fw": FW_2, "fw-nvidia": NVIDIA})
    world.new[0] = world.fleet.package("fw", "2-1", files=FW_2, depends=["fw-nvidia"])  # so it comes second
    world.move_away("usr/lib/fw/ad104")
    assert world.transaction().status == 0 and not world.is_whole()


def test_directory_becomes_a_file_of_another_package_owner_is_removed_first(tmp_path: Path) -> None:
    """The owner is one that the target doesn't have any more."""
    world = World(tmp_path, {"old": {"usr/lib/thing/a": b"a"}}, {"thing": {"usr/lib/thing": b"t"}})
    world.removed = ["old"]
    assert "`pacman -Rdd old`" in world.failure().hint
    world.machine.pacman("-Rdd", "old")
    assert world.goes_on()


def test_directory_with_files_of_nobody_becomes_a_link_those_are_named(tmp_path: Path) -> None:
    world = World(tmp_path, {"fw": FW_1}, {"fw": {"usr/lib/fw/ad104": "radeon", "usr/lib/fw/radeon": b"r2"}})
    world.below("usr/lib/fw/ad104/mine").write_text("mine")
    failure = world.failure()
    assert failure.message.endswith(f"files that no package owns: {world.below('usr/lib/fw/ad104/mine')}.")
    assert failure.hint.startswith("Move those files")
    world.move_away("usr/lib/fw/ad104/mine")
    assert world.goes_on() and world.below("usr/lib/fw/ad104").is_symlink()


@pytest.mark.parametrize("new", [NVIDIA, {"usr/lib/fw/radeon": b"n"}], ids=["link", "file"])
def test_owner_that_stays_is_removed_for_good_or_the_other_excluded(tmp_path: Path, new: Files) -> None:
    """A foreign or held package: after `-Rdd` a sync would not bring it back."""
    world = World(tmp_path, {"own": FW_1}, {"other": new})
    failure = world.failure()
    assert "belongs to own, which stays as it is" in failure.message
    assert "`pacman -R own`" in failure.hint and "exclude other in the pool" in failure.hint
    world.machine.pacman("-R", "own")
    assert world.goes_on()


def test_link_in_the_place_of_an_owned_directory_is_put_back(tmp_path: Path) -> None:
    """Somebody moved a directory to a larger disk. To remove its owner would not remove the link."""
    world = World(tmp_path, {"fw": FW_1}, {"extra": {"usr/lib/fw/extra": b"e"}, "fw": {**FW_1, "usr/lib/fw/new": b""}})
    shutil.move(world.below("usr/lib/fw"), world.below("data"))
    world.below("usr/lib/fw").symlink_to("../../data")
    failure = world.failure()
    assert "but the machine has a link there" in failure.message and "Rdd" not in failure.hint
    world.below("usr/lib/fw").unlink()
    shutil.move(world.below("data"), world.below("usr/lib/fw"))
    assert world.goes_on()


def test_files_of_nobody_are_moved_away(tmp_path: Path) -> None:
    world = World(tmp_path, {"fw": FW_1}, {"tool": {"usr/bin/tool": b"t"}})
    world.below("usr/bin").mkdir(parents=True)
    world.below("usr/bin/tool").write_text("mine")
    failure = world.failure()
    assert failure.message.endswith("No package owns them.")
    assert failure.hint == "Move them to another place. Then sync again."
    world.move_away("usr/bin/tool")
    assert world.goes_on() and world.away.read_text() == "mine"


def test_files_of_a_lost_database_entry_stay_where_they_are(tmp_path: Path) -> None:
    """Moved away as if they were nobody's, the system would lose a library that it runs by."""
    libraries = {f"usr/lib/libc-{number}.so": b"so" for number in range(6)}
    world = World(tmp_path, {"fw": FW_1, "libc": libraries}, {"libc": libraries})
    shutil.rmtree(world.machine.dbpath / "local/libc-1-1")
    failure = world.failure()
    assert "don't move its files" in failure.hint
    assert "`pacman -S --dbonly libc`, then `pacsync-agent sync --repair`" in failure.hint
    world.machine.pacman("-S", "--dbonly", "libc")
    assert world.goes_on()


def test_several_kinds_at_once_each_has_its_paths_and_its_remedy(tmp_path: Path) -> None:
    """ "No package owns them" of all paths had the owned directory moved away as well, and its files were missing."""
    world = World(tmp_path, {"fw": FW_1}, {"fw": FW_2, "fw-nvidia": NVIDIA, "tool": {"usr/bin/tool": b"t"}})
    world.below("usr/bin").mkdir(parents=True)
    world.below("usr/bin/tool").write_text("mine")
    failure = world.failure()
    assert f"No package owns {world.below('usr/bin/tool')}. What is there belongs to fw:" in failure.message
    assert failure.hint.startswith("Move those that no package owns to another place. Then: pacman can make this")
    world.move_away("usr/bin/tool")
    world.machine.pacman("-Rdd", "fw")
    assert world.goes_on() and world.below("usr/lib/fw/ad104").is_symlink()


def test_file_in_two_packages_of_the_target_names_both(tmp_path: Path) -> None:
    world = World(tmp_path, {"fw": FW_1}, {"a": {"usr/bin/a": b"a"}, "b": {"usr/bin/a": b"b"}})
    failure = world.failure()
    assert "/usr/bin/a exists in both 'a' and 'b'" in failure.message
    assert "Exclude one of a, b in the pool" in failure.hint
    world.new.pop()
    assert world.goes_on()


def test_owner_that_pacman_needs_isnt_taken_away_even_for_a_moment(tmp_path: Path) -> None:
    """`pacman` needs `glibc`, and that needs the package in the way."""
    fleet = Fleet(tmp_path)
    packages: list[Package] = [
        fleet.package("pacman", "1-1", files={"usr/bin/pacman": b"p"}, depends=["libc.so>=2"]),
        fleet.package("glibc", "1-1", files={"usr/lib/libc": b"c"}, provides=["libc.so=2"], depends=["tzdata"]),
    ]
    world = World(tmp_path, {"tzdata": {"usr/share/zone/a": b""}}, {"x": {"usr/share/zone": b"x"}})
    world.removed = ["tzdata"]
    assert "`pacman -Rdd tzdata`" in world.failure().hint
    world.machine.pacman("-U", *(package.path for package in packages))
    failure = world.failure()
    assert "belongs to tzdata" in failure.message and failure.hint.startswith("Don't remove tzdata.")


def test_many_files_in_the_way_the_message_stays_short(tmp_path: Path) -> None:
    world = World(tmp_path, {"fw": FW_1}, {"tool": {f"usr/bin/{number}": b"" for number in range(300)}})
    world.below("usr/bin").mkdir(parents=True)
    for number in range(300):
        world.below(f"usr/bin/{number}").touch()
    failure = world.failure()
    assert failure.message.endswith("and 290 more. No package owns them.") and len(failure.message) < 3000
