"""Ends a command whose PostgreSQL no longer answers. It must not know what the command does.

A frozen server still acknowledges what it gets, so no TCP timeout ends a statement that waits for it, and its own
`statement_timeout` is frozen too. A command that cron runs would wait forever, and so would the next one.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from django.db import DEFAULT_DB_ALIAS, Error, connections

QUIET = 6.0  # seconds before the server is asked for the first time, and between two attempts
PATIENCE = 5.0  # seconds that the server has to answer a new connection
TRIES = 2  # how often in a row it must have failed to answer
SENTENCE = f"The database can't be used: it has not answered a new connection within {PATIENCE:g} s, {TRIES} times."


@contextlib.contextmanager
def expected(exit_code: int) -> Iterator[None]:
    """Inside, the process ends with this exit code and a sentence once the database has stopped answering."""
    over = threading.Event()
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        threading.Thread(target=_watch, args=(over, exit_code), name="answering", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(over: threading.Event, exit_code: int) -> None:
    silent = 0
    while not over.wait(0 if silent else QUIET):
        silent = 0 if _within(PATIENCE, _ask) else silent + 1
        if silent >= TRIES and not over.is_set():
            with contextlib.suppress(OSError, ValueError):
                print(f"CommandError: {SENTENCE}", file=sys.stderr, flush=True)
            os._exit(exit_code)  # the main thread waits in a system call that nothing ends


def _within(seconds: float, do: Callable[[], bool]) -> bool:
    """What `do` returns; False if that takes longer."""
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(do()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found == [True]


def _ask() -> bool:
    """Whether the server answers, even with a refusal: the command's own connection finds out what that means."""
    asking = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        with asking.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return "timeout" not in str(error).lower()
    finally:
        with contextlib.suppress(Error):
            asking.close()
    return True
