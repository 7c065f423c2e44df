"""Directories where packages bring files are found before pacman starts, and only those that pacman can't get past."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Failed
from apps.agent.pacsync_agent.examination import obstructions
from apps.agent.pacsync_agent.examination.obstructions import Obstruction
from tests.support import direct
from tests.support.mtree import with_mtree
from tests.support.pacman import Fleet, Machine

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"
Sets = Mapping[str, Mapping[str, bytes | str]]
X = "usr/lib/x"


def directory(*names: str) -> Callable[[Machine], None]:
    """Put a directory with files of these names into the place of X."""

    def make(machine: Machine) -> None:
        (machine.root / X).unlink()
        (machine.root / X).mkdir()
        for name in names:
            (machine.root / X / name).write_text("mine")

    return make


def nothing(machine: Machine) -> None:
    pass


# (what is installed, what is wanted, what happened on the machine, whether it is refused)
CASES: dict[str, tuple[Sets, Sets, Callable[[Machine], None], bool]] = {
    "full": ({"a": {X: b"1"}}, {"a": {X: b"2"}}, directory("mine"), True),
    "empty": ({"a": {X: b"1"}}, {"a": {X: b"2"}}, directory(), True),
    "link": ({"a": {X: b"1"}}, {"a": {X: "../y"}}, directory(), True),
    "not any more": ({"a": {X: b"1"}}, {"a": {"usr/lib/y": b"2"}}, directory("mine"), False),
    "a directory now": ({"a": {X: b"1"}}, {"a": {f"{X}/in": b"2"}}, directory("mine"), False),
    "from another": ({"a": {X: b"1"}, "b": {}}, {"a": {"usr/lib/y": b"2"}, "b": {X: b"2"}}, directory(), True),
    "from a removed": ({"a": {X: b"1"}}, {"b": {X: b"2"}}, directory(), False),
    "from a removed, full": ({"a": {X: b"1"}}, {"b": {X: b"2"}}, directory("mine"), True),
    "of the package": ({"a": {f"{X}/in": b"1"}}, {"a": {X: b"2"}}, nothing, False),
}


def world(path: Path, old: Sets, new: Sets, options: str = "") -> tuple[Machine, dict[str, tuple[str, str]]]:
    fleet = Fleet(path)
    for day, version, packages in ((OLD, "1-1", old), (NEW, "2-1", new)):
        fleet.snapshot(day, [fleet.package(name, version, files=with_mtree(files)) for name, files in packages.items()])
    machine = fleet.machine("m", OLD, options=options)
    machine.install(*old)
    machine.go_to(NEW)
    return machine, dict.fromkeys(new, ("2-1", "explicit"))


@pytest.mark.parametrize("case", CASES)
def test_directory_is_refused_exactly_where_pacman_would_fail(tmp_path: Path, case: str) -> None:
    old, new, damage, refused = CASES[case]
    machine, goal = world(tmp_path, old, new)
    damage(machine)
    before = machine.state()
    if not refused:
        direct.bring(machine, direct.packages(goal))
        assert machine.state() == goal and machine.altered() == []
        return
    with pytest.raises(Failed) as caught:
        direct.bring(machine, direct.packages(goal))
    place = (
        f"A directory is where package {next(name for name in new if X in new[name])} has a file: {machine.root / X}."
    )
    assert caught.value.code == "file_conflict" and caught.value.message.startswith(place)
    assert caught.value.hint == "Move that directory to another place, with what is in it. Then sync again."
    assert machine.state() == before
    shutil.move(machine.root / X, tmp_path / "away")
    direct.bring(machine, direct.packages(goal))
    assert machine.state() == goal and machine.altered() == []


@pytest.mark.parametrize("case", [case for case, (*_, refused) in CASES.items() if refused])
def test_directory_without_the_look_pacman_fails(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin."""
    old, new, damage, _ = CASES[case]
    machine, goal = world(tmp_path, old, new)
    damage(machine)
    monkeypatch.setattr(obstructions, "check", lambda *_: None)
    run = direct.bring(machine, direct.packages(goal))
    assert run is not None and run.status != 0, run


def test_directory_with_files_of_a_package_that_stays_isnt_just_moved_away(tmp_path: Path) -> None:
    machine, goal = world(tmp_path, {"a": {X: b"1"}}, {"a": {X: b"2"}})
    (machine.root / X).unlink()
    own = machine.fleet.package("own", "1-1", files=with_mtree({f"{X}/plugin": b"p"}))
    machine.install_file(own)
    with pytest.raises(Failed) as caught:
        direct.bring(machine, direct.packages({**goal, "own": ("1-1", "explicit")}))
    assert "belongs to own, which stays as it is" in caught.value.message
    assert "`pacman -R own`" in caught.value.hint and "exclude a in the pool" in caught.value.hint
    machine.pacman("-R", "own")
    shutil.rmtree(machine.root / X, ignore_errors=True)
    direct.bring(machine, direct.packages(goal))
    assert machine.state() == goal and machine.altered() == []


def test_directory_at_a_path_that_isnt_extracted_is_the_admins(tmp_path: Path) -> None:
    machine, goal = world(tmp_path, {"a": {X: b"1"}}, {"a": {X: b"2"}}, options=f"NoExtract = {X}")
    (machine.root / X).mkdir(parents=True)
    direct.bring(machine, direct.packages(goal))
    assert machine.state() == goal and (machine.root / X).is_dir()


def test_directories_are_named_with_their_packages() -> None:
    one, two, other = Obstruction("app", "/a"), Obstruction("app", "/b"), Obstruction("tool", "/c")
    message, hint = _said(one, two)
    assert message.startswith("Directories are where package app has files: /a, /b. ")
    assert hint == "Move those directories to another place, with what is in them."
    assert _said(one, other)[0].startswith("Directories are where packages have files: /a (app), /c (tool). ")


def _said(*found: Obstruction) -> tuple[str, str]:
    error = obstructions.failure(found, ())
    return error.message, error.hint
