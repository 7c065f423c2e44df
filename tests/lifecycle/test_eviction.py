"""What is discarded after which finding, without a database."""

import time

import pytest

from apps.lifecycle.dbpool.postgresql import eviction
from apps.lifecycle.dbpool.postgresql.eviction import Eviction, EvictionPolicy


@pytest.fixture(autouse=True)
def retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again by itself in the time that a test takes."""
    monkeypatch.setattr(eviction, "RETRY", 3600)


def opened() -> float:
    return time.monotonic()


def test_read_only_session_empties_the_dbpool_once_and_its_equals_are_discarded() -> None:
    policy = EvictionPolicy()
    old, older = opened(), opened()
    assert policy.answered(old, read_only=True) is Eviction.EMPTY
    assert policy.answered(older, read_only=True) is Eviction.DISCARD
    assert policy.evicted(old)


def test_read_only_that_stays_new_sessions_are_kept_until_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = EvictionPolicy()
    policy.answered(opened(), read_only=True)
    assert [policy.answered(opened(), read_only=True) for _ in range(100)] == [Eviction.KEEP] * 100
    monkeypatch.setattr(eviction, "RETRY", 0)
    assert policy.answered(opened(), read_only=True) is Eviction.DISCARD  # one session, not all


def test_writable_session_after_read_only_ones_empties_the_dbpool_of_them() -> None:
    policy = EvictionPolicy()
    first, kept = opened(), None
    policy.answered(first, read_only=True)
    kept = opened()
    assert policy.answered(kept, read_only=True) is Eviction.KEEP
    assert policy.answered(opened(), read_only=False) is Eviction.KEEP_AND_EMPTY
    assert policy.answered(kept, read_only=True) is Eviction.DISCARD
    assert policy.answered(opened(), read_only=False) is Eviction.KEEP


def test_answer_of_an_old_session_proves_nothing_about_the_new_ones() -> None:
    policy = EvictionPolicy()
    old = opened()
    policy.answered(opened(), read_only=True)
    assert policy.answered(old, read_only=False) is Eviction.KEEP
    assert policy.answered(opened(), read_only=False) is Eviction.KEEP_AND_EMPTY


def test_dead_session_condemns_all_of_its_age_once() -> None:
    policy = EvictionPolicy()
    one, two = opened(), opened()
    assert [policy.dead(one), policy.dead(two)] == [Eviction.EMPTY, Eviction.DISCARD]
    assert policy.dead(opened()) is Eviction.EMPTY


def test_new_connections_on_another_server_empty_the_dbpool_and_leave_the_old_ones_behind() -> None:
    policy = EvictionPolicy()
    assert policy.reached(b"a", opened()) is Eviction.KEEP
    slow = opened()
    assert policy.reached(b"b", opened()) is Eviction.KEEP_AND_EMPTY
    assert policy.reached(b"b", opened()) is Eviction.KEEP
    assert policy.left_behind(b"a") > 0 and policy.left_behind(b"b") == 0
    assert policy.reached(b"a", slow) is Eviction.DISCARD  # it was under way to the old server meanwhile


def test_server_that_is_unknown_behind_pgbouncer_proves_nothing() -> None:
    policy = EvictionPolicy()
    assert {policy.reached(None, opened()) for _ in range(3)} == {Eviction.KEEP}
    assert policy.left_behind(None) == 0
