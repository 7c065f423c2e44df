"""Notes are written later, in batches; what can't be written is kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError

from apps.lifecycle import bookkeeping


@pytest.fixture
def kind() -> Iterator[str]:
    yield "test"
    bookkeeping._writers.pop("test", None)
    bookkeeping._noted.pop("test", None)


@pytest.mark.django_db
def test_flush_each_key_is_written_once(kind: str) -> None:
    written: list[set[Any]] = []
    bookkeeping.register(kind, written.append)
    for key in (1, 2, 1):
        bookkeeping.note(kind, key)
    bookkeeping.flush()
    bookkeeping.flush()
    assert written == [{1, 2}]


@pytest.mark.django_db
def test_flush_database_fails_keys_are_kept(kind: str) -> None:
    written: list[set[Any]] = []

    def fail(keys: set[Any]) -> None:
        raise OperationalError("gone")

    bookkeeping.register(kind, fail)
    bookkeeping.note(kind, 1)
    with pytest.raises(OperationalError):
        bookkeeping.flush()
    bookkeeping.note(kind, 2)
    bookkeeping.register(kind, written.append)
    bookkeeping.flush()
    assert written == [{1, 2}]


def test_note_too_many_are_dropped(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookkeeping, "LIMIT", 3)
    for key in range(10):
        bookkeeping.note(kind, key)
    assert len(bookkeeping._noted[kind]) == 3
