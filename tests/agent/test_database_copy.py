"""The copy of the local database for a rehearsal: whole, in memory where that is safe, and gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.pacman import database_copy, lock_check

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def dbpath(tmp_path: Path) -> Path:
    entry = tmp_path / "pacman/local/app-1-1"
    entry.mkdir(parents=True)
    (entry.parent / "ALPM_DB_VERSION").write_text("9\n")
    for name in ("desc", "files", "mtree", "install"):
        (entry / name).write_text(name * 50_000)
    return tmp_path / "pacman"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "agent").mkdir()
    return tmp_path / "agent/rehearsal"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in memory that takes the place of /run."""
    if not SHARED_MEMORY.is_dir() or lock_check.file_system(SHARED_MEMORY) != "tmpfs":
        pytest.skip("needs /dev/shm in memory")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as found:
        monkeypatch.setattr(database_copy, "IN_MEMORY", (Path(found),))
        yield Path(found)


def check_copy(copy: Path) -> None:
    local = copy / "db/local"
    assert {str(path.relative_to(local)) for path in local.rglob("*")} == {
        "ALPM_DB_VERSION",
        "app-1-1",
        "app-1-1/desc",
        "app-1-1/files",
    }
    assert (local / "app-1-1/files").read_text() == "files" * 50_000
    assert list((copy / "root").iterdir()) == list((copy / "hooks").iterdir()) == []


def test_copy_is_in_memory_for_its_owner_alone_and_is_removed(dbpath: Path, directory: Path, memory: Path) -> None:
    copy = database_copy.make(dbpath, directory)
    assert copy.parent == memory and copy.stat().st_mode & 0o777 == 0o700
    check_copy(copy)
    check_copy(database_copy.make(dbpath, directory))  # what an agent that was killed left is replaced
    database_copy.remove(directory)
    assert not directory.exists() and list(memory.iterdir()) == []


def test_copy_without_room_in_memory_is_in_the_agents_directory(
    dbpath: Path, directory: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_copy, "SHARE", 1 << 60)
    assert database_copy.make(dbpath, directory) == directory
    check_copy(directory)
    assert list(memory.iterdir()) == []


def test_copy_on_a_disk_is_in_the_agents_directory(
    dbpath: Path, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lock_check.file_system(tmp_path) == "tmpfs":
        pytest.skip("the tests are in memory here")
    monkeypatch.setattr(database_copy, "IN_MEMORY", (tmp_path,))
    assert database_copy.make(dbpath, directory) == directory


@pytest.mark.parametrize("kind", ["link", "directory"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_place_in_memory_that_somebody_else_made_is_neither_used_nor_removed(
    kind: str, dbpath: Path, directory: Path, memory: Path
) -> None:
    place = database_copy.make(dbpath, directory)
    shutil.rmtree(place)
    theirs = memory / "theirs"
    theirs.mkdir()
    if kind == "link":
        place.symlink_to(theirs)
    else:
        place.mkdir()
        (place / "file").touch()
        os.chown(place, 12345, 12345)
    assert database_copy.make(dbpath, directory) == directory
    database_copy.remove(directory)
    assert list(theirs.iterdir()) == [] and (place.is_symlink() or (place / "file").exists())
