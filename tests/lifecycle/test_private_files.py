"""The SQLite files, the made key and `data/`: private to their owner, whatever the umask is and whatever they were."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.lifecycle import private_files, system_checks
from pacsync.sqlite.base import DatabaseWrapper


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installation, as a clone has it."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    os.chown(folder, -1, os.getgid() or 12345)  # not the group root's
    monkeypatch.setattr(private_files, "DATA", folder)
    return folder


def write(path: Path) -> sqlite3.Connection:
    """Connect as the server does, and write: the connection, which keeps the files beside the database."""
    settings = {"ENGINE": "pacsync.sqlite", "NAME": str(path), "OPTIONS": {}, "CONN_MAX_AGE": 0, "AUTOCOMMIT": True}
    settings |= {"TIME_ZONE": None, "CONN_HEALTH_CHECKS": False, "TEST": {}}
    wrapper: Any = DatabaseWrapper(settings, "private")
    connection: sqlite3.Connection = wrapper.get_new_connection(wrapper.get_connection_params())
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    connection.commit()
    return connection


def test_new_database_is_private_whatever_the_umask_is(data: Path, umask: int) -> None:
    database = data / "it.sqlite3"
    connection = write(database)
    beside = [database.with_name(f"it.sqlite3-{end}") for end in ("wal", "shm")]
    assert [mode(path) for path in (database, *beside)] == [0o600] * 3
    assert mode(data) == 0o700
    connection.close()


def test_database_of_an_earlier_version_is_made_private_with_a_line_for_each_file(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = data / "it.sqlite3"
    write(database).execute("BEGIN IMMEDIATE")
    kept = sqlite3.connect(database)  # so that the files beside it stay
    kept.execute("SELECT * FROM t")
    files = [database, database.with_name("it.sqlite3-wal"), database.with_name("it.sqlite3-shm")]
    for path in files:
        path.chmod(0o644)
    data.chmod(0o755)
    caplog.clear()
    write(database).close()
    assert [mode(path) for path in files if path.exists()] == [0o600] * 3 and mode(data) == 0o700
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        f"other users could read {path}: its mode is {'0700' if path == data else '0600'} now"
        for path in (data, *files)
    )
    caplog.clear()
    write(database).close()
    assert not caplog.records
    kept.close()


def test_folder_elsewhere_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    write(tmp_path / "it.sqlite3").close()
    assert mode(tmp_path) == 0o755 and mode(tmp_path / "it.sqlite3") == 0o600


def test_folder_of_the_image_stays_open_to_the_group_root(data: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give the folder to the group root")
    os.chown(data, -1, 0)
    data.chmod(0o775)
    write(data / "it.sqlite3").close()
    assert mode(data) == 0o770


def test_database_in_memory_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:it?mode=memory"):
        private_files.settle_sqlite(name)
    assert list(tmp_path.iterdir()) == []


def test_key_is_made_private_when_it_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "secret_key"
    key.write_text("k")
    key.chmod(0o644)
    assert private_files.read(key) == "k"
    assert mode(key) == 0o600 and "could read" in caplog.text


def test_check_names_what_this_user_may_not_change(data: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    database = data / "it.sqlite3"
    settings.DATABASE_TYPE = "sqlite"
    monkeypatch.setitem(settings.DATABASES["default"], "NAME", str(database))
    write(database).close()
    assert system_checks.readable_files() == []

    def refused(path: Path, wanted: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    database.chmod(0o640)
    monkeypatch.setattr(Path, "chmod", refused)
    (found,) = system_checks.readable_files()
    assert found.id == "lifecycle.W004" and str(database) in found.msg
    monkeypatch.undo()
    database.chmod(0o600)
