"""Says what wait, healthcheck and the server itself make of a database, as one JSON object in a line.

The answer is {"refused": …} when the settings are, else {"wait", "healthcheck", "server"}: an empty text when it could
work, else the reason; "session" is what the server's own session is set to. The server is its dbpool and its checks,
as a worker has them.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

NAMES = (
    "client_min_messages",
    "statement_timeout",
    "application_name",
    "synchronous_commit",
    "work_mem",
    "transaction_isolation",
    "timezone",
    "client_min_messages",
)


def main() -> None:
    """One line on standard output; what else is written there goes to standard error."""
    output = os.dup(1)
    os.dup2(2, 1)
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root), str(root / "deploy")]
    os.write(output, json.dumps(judged()).encode() + b"\n")
    os._exit(0)


def judged() -> dict[str, str]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")
    from django.core.exceptions import ImproperlyConfigured

    try:
        import django

        django.setup()
    except ImproperlyConfigured as error:
        return {"refused": str(error)}
    return verdicts()


def verdicts() -> dict[str, str]:
    import database  # deploy/database.py
    from django.db import connections

    from apps.health.command import local

    found = local.check(component=None, timeout=20)
    said = {"wait": database.ask(), "healthcheck": "" if found["exit_code"] == 0 else found["message"]}
    connections.close_all()
    return said | server()


def server() -> dict[str, str]:
    """What a worker's checks say on its dbpool, and what its dbpool logs; when it works, what a session is set to."""
    import logging

    from django.db import connection

    from apps.health.checking.checker import Checker
    from apps.lifecycle.dbpool import facade

    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("apps.lifecycle.dbpool.postgresql").addHandler(handler)
    facade.allow()  # as in a server, but without its loops
    checker = Checker(interval=1)
    checker.step()
    reason = checker.results.readiness.reason
    session = "" if reason else settings_of(connection)
    lines += checker.errors.values()
    facade.close_for_good()
    return {"server": f"{reason}: {' '.join(lines)}" if reason else "", "session": session, "log": " ".join(lines)}


def settings_of(connection: Any) -> str:
    with connection.cursor() as cursor:
        found = []
        for name in NAMES:
            cursor.execute(f"SHOW {name}")
            found.append(f"{name}={cursor.fetchone()[0]}")
        cursor.execute("SELECT now(), interval '1 day', '\\x00ff'::bytea, E'a\\\\b' = 'a\\b'")  # psycopg can read them
        assert cursor.fetchone()[3]
    connection.close()
    return " ".join(found)


if __name__ == "__main__":
    main()
