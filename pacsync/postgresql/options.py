"""What PacSync asks of every connection to PostgreSQL when it starts. It must not connect, nor read the environment.

One place for the server's dbpool, `deploy/database.py`, `manage.py healthcheck` and every other command, so that none
of them gets a connection that another one wouldn't. The user's own options come last: PostgreSQL takes the last word.
"""

from psycopg import OperationalError

# What the program relies on, whatever the role or the database presets. requirements.py sees that it holds.
NEEDED = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "default_transaction_isolation": "read committed",
    "client_min_messages": "notice",  # a warning says that no standby has a commit
}
# PgBouncer in transaction mode carries these over to each server connection by itself: a SET at connect holds.
CARRIED = ("datestyle", "timezone", "standard_conforming_strings")
# A command may work for as long as it takes, even if the role presets a limit for people's queries.
UNLIMITED = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"


def startup(limits: str, said: str, *, serves: bool) -> str:
    """libpq's `options` for a connection.

    `limits` are the server's; empty: PgBouncer is in between, and takes no options but those that the user `said`.
    """
    if not limits:
        return said
    needed = " ".join(f"-c {name}={escaped(value)}" for name, value in NEEDED.items())
    return " ".join(filter(None, (needed, limits, "" if serves else UNLIMITED, said)))


def escaped(value: str) -> str:
    """A value as libpq's `options` takes it, where a space ends an option."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def explained(error: OperationalError) -> OperationalError:
    """The same error, or one that says what to do where PgBouncer's words don't. One line."""
    text = " ".join(str(error).split())
    if "unsupported startup parameter" not in text.lower():
        return error
    return OperationalError(
        f"{text} (PgBouncer takes no start-up options: set DB_PGBOUNCER=true, "
        "and no `options` in DATABASE_URL or PGOPTIONS)"
    )
