"""What PacSync asks of every connection to PostgreSQL when it starts. It must not connect or read the environment.

The server's dbpool, `deploy/database.py`, `manage.py healthcheck` and every other command use it, so that all of them
get the same connections. The user's own options come last, because PostgreSQL takes the last of several.
"""

from psycopg import OperationalError

# What the program relies on, whatever the role or the database presets. requirements.py checks that it holds.
NEEDED = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "default_transaction_isolation": "read committed",
    "client_min_messages": "notice",  # a warning says that no standby has a commit
}
# PgBouncer in transaction mode carries these over to each server connection by itself: one SET at connect is enough.
CARRIED = ("datestyle", "timezone", "standard_conforming_strings")
# A command may work for as long as it takes, even if the role presets a limit for people's queries.
UNLIMITED = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"


def startup(limits: str, user_options: str, *, serves: bool) -> str:
    """libpq's `options` for a connection.

    `limits` lists the server's own. They are empty behind PgBouncer, which takes no options except the `user_options`.
    """
    if not limits:
        return user_options
    needed = " ".join(f"-c {name}={escaped(value)}" for name, value in NEEDED.items())
    return " ".join(filter(None, (needed, limits, "" if serves else UNLIMITED, user_options)))


def escaped(value: str) -> str:
    """The value, escaped for libpq's `options`, where a space ends an option."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def explained(error: OperationalError) -> OperationalError:
    """The same error; if PgBouncer's text doesn't say what to do, one that does, in one line."""
    text = " ".join(str(error).split())
    if "unsupported startup parameter" not in text.lower():
        return error
    return OperationalError(
        f"{text} (PgBouncer takes no start-up options: set DB_PGBOUNCER=true, "
        "and no `options` in DATABASE_URL or PGOPTIONS)"
    )
