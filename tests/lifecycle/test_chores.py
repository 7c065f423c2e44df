"""Chores: exclusive ones run in one instance at a time; on SQLite they just run."""

import threading

import pytest
from django.conf import settings
from django.db import connection

from apps.lifecycle.work import chores
from apps.lifecycle.work.chores import run_exclusively

only_postgresql = pytest.mark.skipif(settings.DATABASE_TYPE != "postgresql", reason="an advisory lock of PostgreSQL")


@pytest.mark.django_db(transaction=True)
def test_run_exclusively_free_runs_and_frees_the_lock() -> None:
    ran: list[int] = []
    assert run_exclusively("retention", lambda: ran.append(1))
    assert run_exclusively("retention", lambda: ran.append(2))
    assert ran == [1, 2]


@only_postgresql
@pytest.mark.django_db(transaction=True)
def test_run_exclusively_held_by_another_is_skipped_but_other_chores_run() -> None:
    inside, release = threading.Event(), threading.Event()

    def other() -> None:
        try:
            run_exclusively("retention", lambda: (inside.set(), release.wait(20)))
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert inside.wait(20)
        assert not run_exclusively("retention", lambda: pytest.fail("two at once"))
        assert run_exclusively("leases", lambda: None)
    finally:
        release.set()
        thread.join(20)
    assert run_exclusively("retention", lambda: None)


@pytest.mark.django_db(transaction=True)
def test_run_exclusively_failing_step_frees_the_lock() -> None:
    with pytest.raises(ZeroDivisionError):
        run_exclusively("retention", lambda: 1 / 0)
    assert run_exclusively("retention", lambda: None)


def test_lock_key_is_a_bigint_and_stable() -> None:
    assert chores.lock_key("retention") == chores.lock_key("retention") != chores.lock_key("leases")
    assert -(2**63) <= chores.lock_key("retention") < 2**63
