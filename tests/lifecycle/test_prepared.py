"""Statements that a session of PostgreSQL plans once: that it does, and what a migration does to such a plan."""

from typing import Any, cast

import pytest
from django.db import connection, connections
from django.db.utils import ProgrammingError

from apps.lifecycle.dbpool import facade

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite plans at no cost")
READ = "SELECT name FROM prepared_once WHERE id = %s"


@pytest.fixture
def table(transactional_db: None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE prepared_once (id int, name varchar(10))")
        cursor.execute("INSERT INTO prepared_once VALUES (1, 'one')")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE prepared_once")


def read() -> object:
    with facade.execute_prepared(READ, [1]) as cursor:
        return cursor.fetchone()


def prepared() -> list[tuple[str, int]]:
    """(statement, executions) of those that this session has prepared."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements"
            " WHERE statement LIKE '%%prepared_once%%'",
            [],
        )
        return list(cursor.fetchall())


def test_it_returns_what_the_usual_cursor_returns(table: None) -> None:
    assert [read(), read(), read()] == [("one",)] * 3


@postgresql
def test_a_statement_is_prepared_and_others_are_not(table: None) -> None:
    for _ in range(5):
        read()
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM prepared_once WHERE name = %s", ["one"])
    assert prepared() == [("SELECT name FROM prepared_once WHERE id = $1", 4)]


@postgresql
def test_a_plan_that_a_migration_outdates_costs_no_error(table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = type(cast(Any, connections["default"]))
    monkeypatch.setattr(backend, "prepares", True)
    read(), read()
    other = cast(Any, connection).copy()  # psycopg itself forgets its statements after an ALTER in the same session
    with other.cursor() as cursor:
        cursor.execute("ALTER TABLE prepared_once ALTER name TYPE text")
    other.close()
    assert read() == ("one",)
    assert not backend.prepares
    assert read() == ("one",)


@postgresql
def test_a_wrong_statement_is_an_error_as_always(table: None) -> None:
    with pytest.raises(ProgrammingError):
        facade.execute_prepared("SELECT nothing FROM prepared_once", [])
    assert read() == ("one",)


@postgresql
def test_nothing_is_prepared_through_pgbouncer(table: None) -> None:
    wrapper = cast(Any, connection).copy()
    wrapper.settings_dict["OPTIONS"] = {"dbpool": {"direct": False, "startup": ""}}
    assert wrapper.get_connection_params()["prepare_threshold"] is None
    assert cast(Any, connection).get_connection_params()["prepare_threshold"] == 1
