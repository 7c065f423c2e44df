"""The dbpool in this process, while PostgreSQL doesn't answer, refuses writes or ends a connection."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import InternalError, OperationalError, connection, transaction

from apps.lifecycle.dbpool import facade, thread_limits
from apps.lifecycle.dbpool.facade import DatabaseUnavailable
from tests.lifecycle.backend import ask
from tests.support.wait import until

pytestmark = [
    pytest.mark.skipif(settings.DATABASE_TYPE != "postgresql", reason="only PostgreSQL has a dbpool"),
    pytest.mark.django_db(transaction=True),
]


def test_connection_killed_by_the_server_next_query_gets_a_new_one(serve: Callable[..., Any]) -> None:
    serve(min_size=0, max_size=1)
    first = ask()
    connection.close()
    with psycopg.connect(**plain_parameters()) as killer:
        killer.execute("SELECT pg_terminate_backend(%s)", [first])
    time.sleep(0.1)
    assert ask() != first
    sample = facade.sample()
    assert sample is not None and sample.errors >= 1


def test_connection_killed_before_a_server_side_cursor_is_closed_is_an_error_of_django(
    serve: Callable[..., Any],
) -> None:
    """Otherwise no handler knows it: a page is a 500, and a background loop logs a traceback."""
    serve(min_size=0, max_size=2)
    with pytest.raises(OperationalError), transaction.atomic():
        victim = ask()
        rows = connection.chunked_cursor()
        rows.execute("SELECT generate_series(1, 10)")
        assert rows.fetchmany(2)
        with psycopg.connect(**plain_parameters(), autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s, 10000)", [victim])  # waits until it has ended
        try:
            rows.close()
        finally:
            rows.cursor.close()  # now psycopg knows that the connection is gone


def plain_parameters() -> dict[str, Any]:
    database = connection.settings_dict
    return {"host": database["HOST"], "port": database["PORT"], "user": database["USER"], "dbname": database["NAME"]}


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
        thread_limits.background(timeout=5, hold=0.5),
        pytest.raises(OperationalError),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(60)")
    connection.close()
    assert ask()
