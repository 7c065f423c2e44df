"""A list in a file: how old it is, and what is no file."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.fleet import clock
from apps.vulnerabilities import fetching, source, tracker_list
from apps.vulnerabilities.exceptions import ListRefused
from tests.vulnerabilities.lists import GOOD


def test_file_is_as_old_as_it_was_written(tracker: None, tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(GOOD)
    written = datetime(2026, 1, 2, tzinfo=UTC)
    os.utime(path, (written.timestamp(), written.timestamp()))
    for name in (str(path), f"file:{path}", f"file://{path}"):
        settings.SECURITY_TRACKER_URL = name
        fetching.fetch_now()
        known = tracker_list.current()
        assert (known.as_of, known.source, known.generation) == (written, str(path), 1)


def test_file_from_the_future_is_as_old_as_now(tracker: None, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(GOOD)
    os.utime(path, (time.time() + 9999, time.time() + 9999))
    assert fetching.load_file(str(path))
    as_of = tracker_list.current().as_of
    assert as_of is not None and as_of <= clock.now()


def test_file_that_is_none_is_refused(tracker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b" " * 2000)
    monkeypatch.setattr(source, "MAX_BYTES", 1000)
    (tmp_path / "other").write_text("{}")
    codes = {"missing": "unreachable", ".": "unreachable", "fifo": "unreachable", "large": "too_large"} | {
        "other": "invalid"
    }
    for name, code in codes.items():
        with pytest.raises(ListRefused) as caught:
            fetching.load_file(str(tmp_path / name))
        assert caught.value.code == f"list_{code}" and str(tmp_path) in str(caught.value), name
    assert tracker_list.current().generation == 0
    assert not tracker_list.current().is_failing  # a misspelled path says nothing about the configured source
