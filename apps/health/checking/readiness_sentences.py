"""What each readiness reason means, as a sentence: on the page, and as `manage.py healthcheck` says it.

Standard library only: the command doesn't load Django. It must not know when a reason applies.
"""

from typing import NamedTuple


class Sentences(NamedTuple):
    """`page` is for the one who looks at the instance, `command` for the one who waits for it."""

    page: str
    command: str


SENTENCES = {
    "": Sentences("Ready for requests.", "Requests can be served."),
    "shutting_down": Sentences(
        "It still answers, but new requests should go to another instance.",
        "The server is shutting down.",
    ),
    "starting": Sentences(
        "Not ready for requests: its first checks are not done yet.",
        "The server has just started; its first checks are not done.",
    ),
    "checker_stalled": Sentences(
        "Not ready for requests: its health checks don't run any more, so nothing is known.",
        "The server's health checks don't run any more: restart it.",
    ),
    "database_unhealthy": Sentences(
        "Not ready for requests: the database cannot be used.",
        "The database cannot be used.",
    ),
    "database_right_missing": Sentences(
        "Not ready for requests: the server's database role lacks a right.",
        "The server's database role lacks a right; the server's log names it.",
    ),
    "migrations_pending": Sentences(
        "Not ready for requests: the database lacks migrations.",
        "The database lacks migrations: run `python manage.py migrate`.",
    ),
    "database_not_writable": Sentences(
        "Not ready for requests: the database takes no changes. Reading still works.",
        "The database can be read, but takes no changes.",
    ),
    "dependencies_not_ready": Sentences(
        "Not ready for requests: not every dependency works.",
        "Not every dependency can work",  # the command adds which
    ),
}
