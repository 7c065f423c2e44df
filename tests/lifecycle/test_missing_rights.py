"""The line about a right that the server's role lacks: whose, and the statement that gives it."""

from types import SimpleNamespace
from typing import Any

import pytest
from psycopg import errors

from apps.lifecycle.dbpool import rights


def said(text: str, kind: type[Exception] = errors.InsufficientPrivilege, **settings: Any) -> str:
    connection: Any = SimpleNamespace(settings_dict={"USER": "pacsync", "OPTIONS": {}} | settings)
    return rights.missing_right(kind(text), connection)


def test_role_is_quoted_where_sql_needs_it() -> None:
    line = said("permission denied for schema public", USER='pacsync-"app"')
    assert line.endswith('GRANT USAGE, CREATE ON SCHEMA public TO "pacsync-""app""";')


def test_role_that_the_session_takes_on_is_the_one_that_lacks_the_right() -> None:
    line = said("must be owner of table fleet_pool", OPTIONS={"assume_role": "owner"})
    assert line.startswith("the role owner lacks a right (must be owner of table fleet_pool).")
    assert line.endswith("ALTER TABLE fleet_pool OWNER TO owner;")


@pytest.mark.parametrize(
    "text", ["must be owner of index fleet_pool_pkey", "keine Berechtigung für Tabelle fleet_pool"]
)
def test_text_that_is_not_known_is_told_without_a_remedy(text: str) -> None:
    assert said(text) == f"the role pacsync lacks a right ({text})."


def test_other_error_is_no_missing_right() -> None:
    assert said("relation does not exist", errors.UndefinedTable) == ""
