"""What goes conflicts with what comes: the entries of the local database, before and after."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases import entry_repair, local_db
from apps.agent.pacsync_agent.errors import Busy
from apps.agent.pacsync_agent.pacman.own_lock import OwnLock
from apps.agent.pacsync_agent.planning import removal_conflicts

OWN = b"%NAME%\nplug\n\n%VERSION%\n1-1\n\n%CONFLICTS%\nplug-git\n\n%PROVIDES%\nsocket\n\n"


def database(directory: Path, *names: str, content: bytes = OWN) -> Path:
    for name in names:
        entry = directory / "local" / f"{name}-1-1"
        entry.mkdir(parents=True)
        (entry / "desc").write_bytes(content)
    (directory / "local" / "ALPM_DB_VERSION").write_text("9\n")
    (directory / "local" / "lost+found").mkdir()
    return directory


def test_conflict_is_added_and_taken_out_to_the_byte(tmp_path: Path) -> None:
    db = database(tmp_path, "plug", "plug-in")
    removal_conflicts.add(db, [local_db.read(db)["plug"]], "app=1:2-1")
    assert local_db.read(db)["plug"].conflicts == ("plug-git", "pacsync-transaction", "app=1:2-1")
    assert local_db.read(db)["plug-in"].conflicts == ("plug-git",)
    found = removal_conflicts.among(local_db.read(db))
    assert [f"{one.name}-{one.version}" for one in found] == ["plug-1-1"]
    removal_conflicts.remove(db, found)
    assert (db / "local/plug-1-1/desc").read_bytes() == OWN
    assert removal_conflicts.among(local_db.read(db)) == []


def test_conflict_added_twice_is_there_once_with_the_last_word(tmp_path: Path) -> None:
    db = database(tmp_path, "plug")
    removal_conflicts.add(db, [local_db.read(db)["plug"]], "app=1-1")
    removal_conflicts.add(db, [local_db.read(db)["plug"]], "app=2-1")
    assert local_db.read(db)["plug"].conflicts == ("plug-git", "pacsync-transaction", "app=2-1")
    removal_conflicts.remove(db, removal_conflicts.among(local_db.read(db)))
    assert (db / "local/plug-1-1/desc").read_bytes() == OWN


def test_conflict_is_taken_out_of_an_entry_that_pacman_wrote_again(tmp_path: Path) -> None:
    """`pacman -D` writes every conflict into one block."""
    merged = OWN.replace(b"plug-git\n", b"plug-git\npacsync-transaction\napp=1-1\n")
    db = database(tmp_path, "plug", content=merged)
    removal_conflicts.remove(db, removal_conflicts.among(local_db.read(db)))
    assert (db / "local/plug-1-1/desc").read_bytes() == OWN


def test_conflict_of_a_package_that_went_in_the_meantime_is_no_error(tmp_path: Path) -> None:
    db = database(tmp_path, "plug")
    removal_conflicts.add(db, [local_db.read(db)["plug"]], "app=1-1")
    found = removal_conflicts.among(local_db.read(db))
    entry = db / "local/plug-1-1/desc"
    entry.unlink()
    removal_conflicts.remove(db, found)
    assert not entry.exists()


def test_lock_of_a_killed_pacman_stays_known_when_the_agent_wants_the_lock_itself(tmp_path: Path) -> None:
    (tmp_path / "db.lck").touch()
    own = OwnLock(tmp_path, tmp_path / "pacman.log")
    own.note((tmp_path / "db.lck").stat())
    with pytest.raises(Busy), entry_repair.locked(tmp_path, own):
        pass
    assert own.is_there(tmp_path)
