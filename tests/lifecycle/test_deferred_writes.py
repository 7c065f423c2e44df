"""Deferred writes are made later, in batches; what can't be written is kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError

from apps.lifecycle.work import deferred_writes


@pytest.fixture
def kind() -> Iterator[str]:
    yield "test"
    deferred_writes._state.writers.pop("test", None)
    deferred_writes._state.pending.pop("test", None)


@pytest.mark.django_db
def test_flush_each_key_is_written_once(kind: str) -> None:
    written: list[set[Any]] = []
    deferred_writes.register(kind, written.append)
    for key in (1, 2, 1):
        deferred_writes.defer(kind, key)
    deferred_writes.flush()
    deferred_writes.flush()
    assert written == [{1, 2}]


@pytest.mark.django_db
def test_flush_database_fails_keys_are_kept(kind: str) -> None:
    written: list[set[Any]] = []

    def fail(keys: set[Any]) -> None:
        raise OperationalError("gone")

    deferred_writes.register(kind, fail)
    deferred_writes.defer(kind, 1)
    with pytest.raises(OperationalError):
        deferred_writes.flush()
    deferred_writes.defer(kind, 2)
    deferred_writes.register(kind, written.append)
    deferred_writes.flush()
    assert written == [{1, 2}]


@pytest.mark.django_db
def test_defer_too_many_are_dropped(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[set[Any]] = []
    monkeypatch.setattr(deferred_writes, "LIMIT", 3)
    deferred_writes.register(kind, written.append)
    for key in range(10):
        deferred_writes.defer(kind, key)
    deferred_writes.flush()
    assert [len(keys) for keys in written] == [3]
