"""Tests whether the database has room and rights for a write, and leaves nothing behind.

The heartbeat rewrites one row, which may still succeed on a full disk (its page has room), or for a role that has lost
its rights on other tables. So this runs with the heartbeat while there is a doubt (write_state.py), and in the
`healthcheck` command. It must not know what is in the tables.
"""

import errno
import os
import tempfile
from pathlib import Path

from django.apps import apps
from django.db import connection, transaction

from apps.lifecycle.dbpool import write_state

ROOM = 256 * 1024
"""Bytes that are written and thrown away."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
LIMITS = "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '2s'; SET LOCAL temp_tablespaces = ''"
# A new file is made for it in the database's own tablespace, so that a full disk can't be missed.
FILL = (
    "CREATE TEMPORARY TABLE pacsync_write_trial ON COMMIT DROP AS "
    "SELECT repeat('x', 1000) AS filler FROM generate_series(1, %s)"
)
RIGHTS = "no right to SELECT, INSERT, UPDATE and DELETE in"
MISSING_RIGHTS = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(quote_ident(name)) IS NOT NULL AND NOT (
    has_table_privilege(quote_ident(name), 'SELECT')
    AND has_table_privilege(quote_ident(name), 'INSERT')
    AND has_table_privilege(quote_ident(name), 'UPDATE')
    AND has_table_privilege(quote_ident(name), 'DELETE'))
"""
ROW_SECURITY = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(quote_ident(name)) IS NOT NULL AND row_security_active(quote_ident(name))
"""


class WriteRefused(Exception):
    """`problem` is one of write_state.PROBLEMS."""

    def __init__(self, problem: str, text: str) -> None:
        super().__init__(text)
        self.problem = problem


def run() -> None:
    """Raises WriteRefused, or the database's own error."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(LIMITS)
            for question, said in ((MISSING_RIGHTS, RIGHTS), (ROW_SECURITY, "row security limits this role in")):
                cursor.execute(question, [tables()])
                found = [name for (name,) in cursor.fetchall()]
                if found:
                    raise WriteRefused(write_state.NO_RIGHT, f"{said} {', '.join(found)}")
            # Takes a transaction id, and asks whether the role may make a temporary table.
            cursor.execute("SELECT txid_current(), has_database_privilege(current_database(), 'TEMPORARY')")
            if cursor.fetchone()[1]:
                cursor.execute(FILL, [ROOM // 1000])
    else:
        fill_file(Path(str(connection.settings_dict["NAME"])))


def tables() -> list[str]:
    """The names of our tables."""
    return sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.managed})


def fill_file(database: Path) -> None:
    """Write a file in the folder of the database's file, and remove it. Raises WriteRefused."""
    if not database.is_file():  # in memory
        return
    try:
        with tempfile.TemporaryFile(dir=database.parent) as file:
            file.write(b"\0" * ROOM)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        full = error.errno in FULL
        raise WriteRefused(
            write_state.DISK_FULL if full else write_state.READ_ONLY, f"{database.parent}: {error.strerror}"
        ) from error
