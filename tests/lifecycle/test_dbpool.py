"""The dbpool in this process, against the real PostgreSQL of the test run."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from apps.lifecycle.dbpool import facade, thread_limits
from apps.lifecycle.dbpool.facade import DatabaseUnavailable, DbpoolExhausted
from apps.lifecycle.dbpool.postgresql import closing
from tests.lifecycle.backend import ask
from tests.support.wait import until

pytestmark = [
    pytest.mark.skipif(settings.DATABASE_TYPE != "postgresql", reason="only PostgreSQL has a dbpool"),
    pytest.mark.django_db(transaction=True),
]


def test_no_dbpool_in_a_process_that_does_not_serve() -> None:
    ask()
    assert cast(Any, connection).dbpool is None
    assert facade.sample() is None


def test_sample_counts_connections_in_use_and_idle(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=4)
    ask()
    sample = facade.sample()
    assert sample is not None
    assert (sample.active, sample.min_size, sample.max_size) == (1, 1, 4)
    connection.close()
    sample = facade.sample()
    assert sample is not None
    assert sample.active == 0 and sample.idle == sample.size >= 1


def test_close_for_good_a_later_query_fails_instead_of_opening_it_again(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=2)
    ask()
    facade.close_for_good()
    with pytest.raises(DatabaseUnavailable, match="shutting down"):
        ask()
    sample = facade.sample()
    assert sample is not None and sample.size == 0


def test_exhausted_background_gets_the_connection_that_requests_leave(serve: Callable[..., Any]) -> None:
    wrapper = serve(min_size=0, max_size=3, timeout=0.3)
    pool = wrapper.pool
    pool.open_once()
    held = [pool.getconn(timeout=5) for _ in range(2)]
    with pytest.raises(DbpoolExhausted):
        ask()
    with thread_limits.background(timeout=5):
        assert ask()
        connection.close()
    assert pool.sample().exhausted == 1
    for one in held:
        pool.putconn(one)
    assert ask()


def test_exhausted_error_is_an_operational_error_with_retry_after(serve: Callable[..., Any]) -> None:
    wrapper = serve(min_size=0, max_size=1, timeout=0.2)
    pool = wrapper.pool
    pool.open_once()
    held = pool.getconn(timeout=5)
    with pytest.raises(OperationalError) as caught:
        ask()
    assert isinstance(caught.value, DbpoolExhausted) and caught.value.retry_after == 1
    pool.putconn(held)


def test_maintain_retires_idle_connections_past_their_lifetime(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=2, max_lifetime=0.2)
    first = ask()
    connection.close()
    time.sleep(0.4)
    facade.maintain()
    assert ask() != first


def test_statement_timeout_applies_to_requests_not_to_commands(serve: Callable[..., Any]) -> None:
    def limit() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            return str(cursor.fetchone()[0])

    assert limit() == "0"
    serve()
    assert limit() == "30s"


def test_fork_child_does_not_use_the_parents_dbpool(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=2)
    ask()
    connection.close()
    child = os.fork()
    if child == 0:
        os._exit(0 if cast(Any, connection).dbpool is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask()


def test_close_before_fork_leaves_no_connection(serve: Callable[..., Any]) -> None:
    wrapper = serve(min_size=1, max_size=2)
    ask()
    facade.close_before_fork()
    assert wrapper.connection is None and wrapper.dbpool is None


def test_threads_more_than_connections_all_served(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=4, timeout=20)
    seen: list[int] = []
    active: list[int] = []

    def work() -> None:
        for _ in range(5):
            seen.append(ask())
            sample = facade.sample()
            active.append(sample.active if sample else 0)
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 40
    assert len(set(seen)) <= 4
    assert max(active) <= 3  # the fourth is left to background work


def fill(pool: Any, size: int) -> None:
    """Have `size` connections in use at once, and give them back."""
    pool.open_once()
    with_background = [pool.getconn(timeout=10) for _ in range(size)]
    for one in with_background:
        pool.putconn(one)


def test_maintain_opens_no_connection_that_nobody_waits_for(serve: Callable[..., Any]) -> None:
    pool = serve(min_size=1, max_size=8).pool
    ask()
    connection.close()
    until(lambda: pool.get_stats()["pool_size"] == pool.sample().size)
    before = pool.sample().size
    for _ in range(6):
        facade.maintain()
    assert pool.get_stats()["pool_size"] == before < 8


def test_maintain_below_the_minimum_opens_them_again(serve: Callable[..., Any]) -> None:
    pool = serve(min_size=3, max_size=8).pool
    ask()
    connection.close()
    until(lambda: pool.sample().size >= 3)
    with pool._lock:
        lost = [pool._pool.popleft() for _ in range(2)]
        pool._nconns -= 2  # as after attempts that were given up
    for one in lost:
        one.close()
    facade.maintain()
    until(lambda: pool.sample().size >= 3)


def test_idle_connections_above_the_minimum_are_closed_together(serve: Callable[..., Any]) -> None:
    pool = serve(min_size=1, max_size=8, max_idle=1).pool
    fill(pool, 6)
    assert pool.sample().size >= 6
    until(lambda: pool.sample().size == 1, 6)


@pytest.mark.parametrize("counted", [True, False])
def test_give_back_keeps_the_permit_until_the_backend_is_gone(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, counted: bool
) -> None:
    """Another thread may take a permit at that moment. The negative twin counts a closed connection no more."""
    pool = serve(min_size=1, max_size=2).pool
    pool.open_once()
    until(lambda: pool.sample().idle == 1)
    held: list[int] = []

    @contextlib.contextmanager
    def noted(connections: Any) -> Iterator[None]:
        yield
        assert all(connection.closed for connection in connections)
        held.append(pool._connections.held())

    monkeypatch.setattr(closing, "until_gone", noted)
    if not counted:
        monkeypatch.setattr(pool._connections, "ending", lambda connections: contextlib.nullcontext())
    pool.give_back()
    assert (held, pool._connections.held()) == ([int(counted)], 0)
