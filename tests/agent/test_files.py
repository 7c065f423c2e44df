"""Errors of the agent's own writing name the file that was to be written, never the one in between."""

import errno
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.system import files


def test_write_into_a_directory_that_is_not_there_names_the_target(tmp_path: Path) -> None:
    path = tmp_path / "none/status.json"
    with pytest.raises(FileNotFoundError) as caught:
        files.write_json(path, {})
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)


def test_write_over_a_directory_names_the_target_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.write_atomically(path, b"x")
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    assert list(tmp_path.iterdir()) == [path]


def test_write_to_a_disk_that_is_full_names_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        files.write_atomically(tmp_path / "status.json", b"x")
    assert caught.value.filename == str(tmp_path / "status.json")


def test_place_names_the_target(tmp_path: Path) -> None:
    part, target = tmp_path / "part", tmp_path / "target"
    part.write_bytes(b"x")
    target.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.place(part, target)
    assert (caught.value.filename, caught.value.filename2) == (str(target), None)
