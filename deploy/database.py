"""Gets the database ready for a server: waits until it answers, and migrates it under a lock.

    python deploy/database.py wait       at most DATABASE_WAIT_SECONDS (60; 0 asks once); exit 1 with one clear line
    python deploy/database.py migrate    waits, then migrates; any number of instances may do it at once

A release that can't serve migrates nothing: all that a server loads at its start is loaded first (exit 3).
It must not know what serves afterwards. It waits and locks on connections of its own, never on the server's dbpool.
"""

import contextlib
import fcntl
import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

WAIT_SECONDS = 60
# Seconds to wait for another instance that migrates, in addition to the time that it may take (MIGRATE_TIMEOUT).
LOCK_SECONDS = 60
# Whoever migrates holds this PostgreSQL advisory lock; the number only has to be the same in all versions.
MIGRATION_LOCK = 0x7061_6373_796E_6301


logger = logging.getLogger("pacsync.database")
to_stderr = logging.StreamHandler()
to_stderr.setFormatter(logging.Formatter("database: %(message)s"))
logger.addHandler(to_stderr)
logger.setLevel(logging.INFO)
logger.propagate = False


def say(text: str, level: int = logging.INFO) -> None:
    """One line on standard error: for people, or JSON as the server's own lines if STRUCTURED_LOGGING is on."""
    logger.log(level, "%s", text)


def write_in_json() -> None:
    """From now on `say` and Python's warnings are lines of JSON, as the server's."""
    from pacsync.logging import WITHOUT_REQUEST, JsonLines

    to_stderr.setFormatter(JsonLines(WITHOUT_REQUEST))
    logging.captureWarnings(True)


def seconds_to_wait() -> float:
    """The value of DATABASE_WAIT_SECONDS. SystemExit with a clear line unless it is a number of at least 0."""
    text = os.environ.get("DATABASE_WAIT_SECONDS") or str(WAIT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise SystemExit(f"DATABASE_WAIT_SECONDS must be a number of at least 0, not {text!r}.")
    return seconds


def connect() -> Any:
    """A new connection with the server's options. django.db.OperationalError if the server wouldn't get one either."""
    from django.db import connections

    return connections.create_connection("default")


def ask() -> str:
    """Why the server couldn't use the database at this moment, in one line; empty if it could."""
    from django.db import Error

    ours = connect()
    try:
        with ours.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only'), pg_is_in_recovery()")
            read_only, standby = cursor.fetchone()
    except Error as error:
        return " ".join(str(error).split())
    finally:
        ours.close()
    if standby:
        return "the database is a standby, which takes no writes"
    return "the database is read-only (default_transaction_read_only)" if read_only == "on" else ""


def wait(seconds: float) -> None:
    """Return as soon as a server could use the database. SystemExit with the last reason after `seconds`."""
    deadline = time.monotonic() + seconds
    pause, said = 0.1, ""
    while reason := ask():
        if time.monotonic() >= deadline:
            raise SystemExit(f"The database did not answer within {seconds:g} s (DATABASE_WAIT_SECONDS): {reason}")
        if reason != said:
            say(f"waiting up to {seconds:g} s for it to answer: {reason}")
            said = reason
        time.sleep(pause)
        pause = min(pause * 1.5, 2)


@contextlib.contextmanager
def postgresql_lock() -> Iterator[None]:
    """The migration lock. It belongs to a transaction, so it works through PgBouncer and ends with this process."""
    from django.conf import settings
    from django.db import OperationalError

    seconds = int(settings.MIGRATE_TIMEOUT) + LOCK_SECONDS
    ours = connect()
    ours.set_autocommit(False)
    try:
        with ours.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{seconds}s'")
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            try:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) != "55P03":  # lock_not_available
                    raise
                raise SystemExit(f"Another instance has been migrating for {seconds} s; giving up.") from None
        yield
    finally:
        ours.close()


def check_place(database: Path) -> None:
    """SystemExit with one line if the SQLite file can be neither written nor created where it is configured."""
    place = next(path for path in (database, *database.absolute().parents) if path.exists())
    if place != database and not place.is_dir():
        raise SystemExit(f"The database {database} can't be written: {place} is not a directory.")
    if not os.access(place, os.W_OK):
        raise SystemExit(f"The database {database} can't be written: {place} is read-only for this user.")


def open_lock(path: Path) -> IO[bytes]:
    """The file to lock. Another user may have made it, such as root with this program: reading it is enough."""
    try:
        return path.open("ab")
    except PermissionError:
        return path.open("rb")


@contextlib.contextmanager
def sqlite_lock(database: Path) -> Iterator[None]:
    """The migration lock of a SQLite file: a lock on a file next to it, which ends with this process."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        file = open_lock(database.with_name(f"{database.name}.migrate"))
    except OSError as error:
        raise SystemExit(f"The database {database} can't be written: {error.strerror}.") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def load_release() -> None:
    """Load what a server loads. SystemExit (3) with one line if that fails: such a release must change no schema."""
    from apps.lifecycle import preloading

    try:
        preloading.load()
    except preloading.ReleaseBroken as error:
        say(f"not migrated: {error}")
        raise SystemExit(preloading.EXIT) from None


class Said(io.TextIOBase):
    """A stream whose texts become lines of the log, in its format."""

    def write(self, text: str) -> int:
        if text.strip():
            say(text.strip())
        return len(text)


def migrate() -> None:
    """Bring the schema up to date, unless it is already."""
    from django.core.management import CommandError, call_command
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor

    from apps.lifecycle.dbpool import rights

    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        if lacks := rights.missing_right(error, connection):
            raise SystemExit(f"not migrated: {lacks}") from None
        raise
    if not plan:
        say("the schema is up to date")
        return
    say(f"applying {len(plan)} migration(s): {plan[0][0]} to {plan[-1][0]}")
    try:
        call_command("migrate", interactive=False, verbosity=0, stderr=Said())
    except CommandError as error:
        raise SystemExit(str(error)) from None
    say("migrated")


def main(arguments: list[str]) -> None:
    if arguments not in (["wait"], ["migrate"]):
        raise SystemExit("usage: database.py wait|migrate")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connection, connections

    seconds = seconds_to_wait()
    try:
        django.setup()
        if settings.STRUCTURED_LOGGING:
            write_in_json()
        vendor = connection.vendor
    except ImproperlyConfigured as error:
        raise SystemExit(f"The configuration is wrong: {error}") from None
    if arguments == ["migrate"]:
        load_release()
    if vendor == "postgresql":
        wait(seconds)
    else:
        check_place(Path(connection.settings_dict["NAME"]))
    if arguments == ["migrate"]:
        with postgresql_lock() if vendor == "postgresql" else sqlite_lock(Path(connection.settings_dict["NAME"])):
            migrate()
    connections.close_all()


if __name__ == "__main__":
    # A program that is started by its file name hasn't got the project's folder on its path.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from apps.lifecycle.streams import unread_output
    from pacsync import early_log

    if early_log.is_structured():
        write_in_json()
    unread_output.replace()
    to_stderr.setStream(sys.stderr)
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        if isinstance(end.code, str):
            say(end.code, logging.ERROR)
            sys.exit(1)
        raise
