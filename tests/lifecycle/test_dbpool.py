"""The dbpool in this process, against the real PostgreSQL of the test run."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import psycopg
import pytest
from django.conf import settings
from django.db import InternalError, OperationalError, connection

from apps.lifecycle import dbpool, memory, serving
from apps.lifecycle.dbpool import DatabaseUnavailable, DbpoolExhausted
from apps.lifecycle.memory import Memory
from pacsync.postgresql import closing

pytestmark = [
    pytest.mark.skipif(settings.DATABASE_TYPE != "postgresql", reason="only PostgreSQL has a dbpool"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def serve(own_board: Memory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`serve(max_size=4)`: this process has a dbpool with these options from now on."""
    wrapper = cast(Any, connection)

    def start(**options: object) -> Any:
        wrapper.close()
        own_board.integers[memory.WORKERS] = 1  # one worker: it has the whole budget
        settings_of_it = wrapper.settings_dict["OPTIONS"]
        monkeypatch.setitem(settings_of_it, "dbpool", settings_of_it["dbpool"] | options)
        monkeypatch.setattr(serving, "active", lambda: True)
        return wrapper

    yield start
    wrapper.close()
    wrapper.close_pool()
    monkeypatch.undo()


def ask() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_no_dbpool_in_a_process_that_does_not_serve() -> None:
    ask()
    assert cast(Any, connection).dbpool is None
    assert dbpool.sample() is None


def test_sample_counts_connections_in_use_and_idle(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=4)
    ask()
    sample = dbpool.sample()
    assert sample is not None
    assert (sample.active, sample.min_size, sample.max_size) == (1, 1, 4)
    connection.close()
    sample = dbpool.sample()
    assert sample is not None
    assert sample.active == 0 and sample.idle == sample.size >= 1


def test_shut_a_later_query_fails_instead_of_opening_it_again(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=2)
    ask()
    dbpool.shut()
    with pytest.raises(DatabaseUnavailable, match="shutting down"):
        ask()
    sample = dbpool.sample()
    assert sample is not None and sample.size == 0


def test_connection_killed_by_the_server_next_query_gets_a_new_one(serve: Callable[..., Any]) -> None:
    serve(min_size=0, max_size=1)
    first = ask()
    connection.close()
    with psycopg.connect(**plain_parameters()) as killer:
        killer.execute("SELECT pg_terminate_backend(%s)", [first])
    time.sleep(0.1)
    assert ask() != first
    sample = dbpool.sample()
    assert sample is not None and sample.errors >= 1


def plain_parameters() -> dict[str, Any]:
    database = connection.settings_dict
    return {"host": database["HOST"], "port": database["PORT"], "user": database["USER"], "dbname": database["NAME"]}


def test_exhausted_background_gets_the_connection_that_requests_leave(serve: Callable[..., Any]) -> None:
    wrapper = serve(min_size=0, max_size=3, timeout=0.3)
    pool = wrapper.pool
    pool.open_once()
    held = [pool.getconn(timeout=5) for _ in range(2)]
    with pytest.raises(DbpoolExhausted):
        ask()
    with dbpool.background(timeout=5):
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
    dbpool.wake()
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
    dbpool.close_before_fork()
    assert wrapper.connection is None and wrapper.dbpool is None


def test_threads_more_than_connections_all_served(serve: Callable[..., Any]) -> None:
    serve(min_size=1, max_size=4, timeout=20)
    seen: list[int] = []
    active: list[int] = []

    def work() -> None:
        for _ in range(5):
            seen.append(ask())
            sample = dbpool.sample()
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


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.02)


def test_maintain_opens_no_connection_that_nobody_waits_for(serve: Callable[..., Any]) -> None:
    pool = serve(min_size=1, max_size=8).pool
    ask()
    connection.close()
    until(lambda: pool.get_stats()["pool_size"] == pool.sample().size)
    before = pool.sample().size
    for _ in range(6):
        dbpool.wake()
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
    dbpool.wake()
    until(lambda: pool.sample().size >= 3)


def test_idle_connections_above_the_minimum_are_closed_together(serve: Callable[..., Any]) -> None:
    pool = serve(min_size=1, max_size=8, max_idle=1).pool
    fill(pool, 6)
    assert pool.sample().size >= 6
    until(lambda: pool.sample().size == 1, 6)


def test_nobody_answers_all_who_wait_are_told_at_once_and_once_in_the_log(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wrapper = serve(min_size=0, max_size=4, timeout=60)
    pool = wrapper.pool
    right = pool.kwargs["port"]
    pool.kwargs["port"] = 1
    errors: list[BaseException] = []

    def work() -> None:
        try:
            ask()
        except DatabaseUnavailable as error:
            errors.append(error)
        finally:
            connection.close()

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)  # half of what one of them would wait
    assert len(errors) == 18
    assert caplog.text.count("no database connection can be made: ") == 1
    pool.kwargs["port"] = right
    assert ask()  # the first one after it is back
    assert caplog.text.count("database connections can be made again") == 1


def test_nobody_answers_for_a_moment_only_the_request_waits_and_is_served(serve: Callable[..., Any]) -> None:
    pool = serve(min_size=0, max_size=4, timeout=20).pool
    right, pool.kwargs["port"] = pool.kwargs["port"], 1
    answers: list[int] = []
    thread = threading.Thread(target=lambda: (answers.append(ask()), connection.close()))
    thread.start()
    until(lambda: pool.get_stats().get("connections_errors", 0) >= 2)
    pool.kwargs["port"] = right
    thread.join(20)
    assert len(answers) == 1


def test_nobody_answers_but_a_connection_is_in_use_waits_for_it(serve: Callable[..., Any]) -> None:
    """PostgreSQL may only have refused one connection more than it has."""
    pool = serve(min_size=0, max_size=4, timeout=20).pool
    pool.open_once()
    held = pool.getconn(timeout=5)
    pool.kwargs["port"] = 1
    answers: list[int] = []
    thread = threading.Thread(target=lambda: (answers.append(ask()), connection.close()))
    thread.start()
    until(lambda: pool.get_stats().get("connections_errors", 0) >= 2)
    pool.putconn(held)
    thread.join(20)
    assert len(answers) == 1


def test_session_that_refuses_a_write_empties_the_dbpool(serve: Callable[..., Any]) -> None:
    """A failover in the middle of a request: its session, and the idle ones, aren't used again."""
    pool = serve(min_size=3, max_size=4).pool
    pool.open_once()
    until(lambda: pool.sample().idle == 3)
    before = {connection.info.backend_pid for connection in pool._pool}
    first = ask()
    with pytest.raises(InternalError), connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        cursor.execute("CREATE TABLE refused (id int)")
    connection.close()
    after = ask()
    assert after != first and after not in before


def test_check_sees_a_read_only_session_before_a_request_has_it(serve: Callable[..., Any]) -> None:
    serve(min_size=0, max_size=1)
    first = ask()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    connection.close()
    assert ask() != first


def test_connection_with_a_limit_is_cut_off_in_the_middle_of_a_statement(serve: Callable[..., Any]) -> None:
    """As a health check's, when the server is frozen: nobody but we can end it."""
    serve(min_size=0, max_size=3)
    with (
        dbpool.background(timeout=5, hold=0.5),
        pytest.raises(OperationalError),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(60)")
    connection.close()
    assert ask()


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
        held.append(pool._held())

    monkeypatch.setattr(closing, "until_gone", noted)
    if not counted:
        monkeypatch.setattr(pool, "_counted", lambda connections: contextlib.nullcontext())
    pool.give_back()
    assert (held, pool._held()) == ([int(counted)], 0)
