"""Checks that PacSync can work on a new connection, and sets what can still be set. It must not know about the dbpool.

A role, a database, a server or the user's own options may preset something wrong. It is either corrected when the
connection starts (startup_options.py), corrected here, or refused here in one line, so that no request runs into it.
"""

import json
import logging
import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg import Connection, OperationalError, sql

from apps.lifecycle.dbpool.postgresql.startup_options import CARRIED, NEEDED

logger = logging.getLogger(__name__)

# One query for everything, because each query costs a new connection another round trip.
QUESTION = """
SELECT (SELECT json_object_agg(lower(name), json_build_array(setting, source)) FROM pg_settings
        WHERE lower(name) IN ({names}))::text,
       current_schema(), {collation}
"""
# PostgreSQL 15 knows which version of its collation a database was made with; NULL: the C library doesn't say.
COLLATION = """(SELECT json_build_array(datcollversion, pg_database_collation_actual_version(oid))::text
                FROM pg_database WHERE datname = current_database())"""
ORIGIN = {
    "client": "the connection's own options (DATABASE_URL, PGOPTIONS, PGDATESTYLE, PGTZ)",
    "user": "ALTER ROLE … SET",
    "database": "ALTER DATABASE … SET",
    "database user": "ALTER ROLE … IN DATABASE … SET",
    "configuration file": "postgresql.conf",
}
REACHED = "client_connection_check_interval"  # one of PacSync's start-up options: it shows whether they arrived


class DatabaseUnfit(OperationalError):
    """The database answers, but PacSync can't work on it; the text is one line for people."""


class Session(NamedTuple):
    """What a connection says about itself. `settings` are (value, source) by lower-case name."""

    settings: dict[str, tuple[str, str]]
    schema: str | None
    collation: tuple[str | None, str | None]

    def value(self, name: str) -> str:
        return self.settings[name][0]

    def source(self, name: str) -> str:
        return ORIGIN.get(self.settings[name][1], self.settings[name][1])


def prepare(connection: Connection[Any], *, direct: bool) -> None:
    """Raise DatabaseUnfit if PacSync can't work on `connection`, which is then closed.

    `direct`: it is one server session, with no PgBouncer in between.
    """
    try:
        _check_encoding(connection)
        session = _read(connection)
        _check_needed(connection, session, direct)
        if session.schema is None:
            raise DatabaseUnfit(
                f"search_path ({session.value('search_path')!r}, from {session.source('search_path')}) "
                "names no schema that exists and that this role may use: create it, "
                "GRANT USAGE, CREATE on it, or set another search_path."
            )
        _keep_what_was_acknowledged(connection, session, direct)
    except BaseException:
        connection.close()
        raise
    _warn(session, direct)


def _check_encoding(connection: Connection[Any]) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseUnfit(
            f"the database's encoding is {encoding}: PacSync needs UTF8 "
            "(CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)."
        )


def _read(connection: Connection[Any]) -> Session:
    names = ", ".join(f"'{name}'" for name in (*NEEDED, "search_path", "synchronous_commit", REACHED))
    knows = connection.info.server_version >= 150_000
    question = QUESTION.format(names=names, collation=COLLATION if knows else "NULL")
    row: Any = connection.execute(question).fetchone()
    found = {name: (value, source) for name, (value, source) in json.loads(row[0]).items()}
    versions = json.loads(row[2]) if row[2] else [None, None]
    return Session(found, row[1], (versions[0], versions[1]))


def _check_needed(connection: Connection[Any], session: Session, direct: bool) -> None:
    for name, needed in NEEDED.items():
        value, source = session.settings[name]
        if value.partition(",")[0] == needed:
            continue
        if source != "client" and not direct and name in CARRIED:
            connection.execute(sql.SQL("SELECT set_config({}, {}, false)").format(name, needed))
            continue
        cure = f"set it to {needed!r} there"
        if not direct and source != "client":
            cure = f"PgBouncer lets nobody else change it: {cure}"
        raise DatabaseUnfit(f"{name} is {value!r}, from {session.source(name)}: PacSync needs {needed!r}; {cure}.")


def _keep_what_was_acknowledged(connection: Connection[Any], session: Session, direct: bool) -> None:
    """With `synchronous_commit = off` the answer comes before the commit is on disk. The user's own options stay."""
    if session.value("synchronous_commit") != "off":
        return
    if direct and session.settings["synchronous_commit"][1] != "client":
        connection.execute("SET synchronous_commit = on")
        return
    _once(
        "synchronous_commit is off, from %s: a power cut loses what was acknowledged",
        session.source("synchronous_commit"),
    )


def _warn(session: Session, direct: bool) -> None:
    made, now = session.collation
    if made != now:
        _once(COLLATION_CHANGED, made, now or "a C library without versions")
    if direct and session.settings.get(REACHED, ("", "client"))[1] != "client":
        _once("the start-up options did not reach PostgreSQL: is PgBouncer in between? Then set DB_PGBOUNCER=true")


COLLATION_CHANGED = (
    "the database was made with version %s of its collation, and the host has %s: indexes on text may be in another "
    "order than searches, so rows are missed. REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION"
)


@dataclass
class _State:
    logged: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def _once(text: str, *values: object) -> None:
    """Log a warning once in this process: each new connection would repeat it."""
    with _state.lock:
        if text in _state.logged:
            return
        _state.logged.add(text)
    logger.warning(text, *values)
