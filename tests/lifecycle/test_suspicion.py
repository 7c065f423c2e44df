"""What is discarded after which finding, without a database."""

import time

import pytest

from pacsync.postgresql import suspicion
from pacsync.postgresql.suspicion import Suspicion, Verdict


@pytest.fixture(autouse=True)
def retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again by itself in the time that a test takes."""
    monkeypatch.setattr(suspicion, "RETRY", 3600)


def opened() -> float:
    return time.monotonic()


def test_read_only_session_empties_the_dbpool_once_and_its_equals_are_discarded() -> None:
    doubt = Suspicion()
    old, older = opened(), opened()
    assert doubt.judge(old, read_only=True) is Verdict.EMPTY
    assert doubt.judge(older, read_only=True) is Verdict.DISCARD
    assert doubt.condemned(old) and doubt.read_only


def test_read_only_that_stays_new_sessions_are_kept_until_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = Suspicion()
    doubt.judge(opened(), read_only=True)
    assert [doubt.judge(opened(), read_only=True) for _ in range(100)] == [Verdict.KEEP] * 100
    monkeypatch.setattr(suspicion, "RETRY", 0)
    assert doubt.judge(opened(), read_only=True) is Verdict.DISCARD  # one session, not all


def test_writable_session_after_read_only_ones_empties_the_dbpool_of_them() -> None:
    doubt = Suspicion()
    first, kept = opened(), None
    doubt.judge(first, read_only=True)
    kept = opened()
    assert doubt.judge(kept, read_only=True) is Verdict.KEEP
    assert doubt.judge(opened(), read_only=False) is Verdict.KEEP_AND_EMPTY
    assert doubt.judge(kept, read_only=True) is Verdict.DISCARD
    assert not doubt.read_only
    assert doubt.judge(opened(), read_only=False) is Verdict.KEEP


def test_answer_of_an_old_session_proves_nothing_about_the_new_ones() -> None:
    doubt = Suspicion()
    old = opened()
    doubt.judge(opened(), read_only=True)
    assert doubt.judge(old, read_only=False) is Verdict.KEEP
    assert doubt.read_only


def test_dead_session_condemns_all_of_its_age_once() -> None:
    doubt = Suspicion()
    one, two = opened(), opened()
    assert [doubt.dead(one), doubt.dead(two)] == [Verdict.EMPTY, Verdict.DISCARD]
    assert doubt.dead(opened()) is Verdict.EMPTY


def test_new_connections_on_another_server_empty_the_dbpool_and_leave_the_old_ones_behind() -> None:
    doubt = Suspicion()
    assert doubt.reached(b"a", opened()) is Verdict.KEEP
    slow = opened()
    assert doubt.reached(b"b", opened()) is Verdict.KEEP_AND_EMPTY
    assert doubt.reached(b"b", opened()) is Verdict.KEEP
    assert doubt.left_behind(b"a") > 0 and doubt.left_behind(b"b") == 0
    assert doubt.reached(b"a", slow) is Verdict.DISCARD  # it was under way to the old server meanwhile


def test_server_that_is_unknown_behind_pgbouncer_proves_nothing() -> None:
    doubt = Suspicion()
    assert {doubt.reached(None, opened()) for _ in range(3)} == {Verdict.KEEP}
    assert doubt.left_behind(None) == 0
