"""Says why a program doesn't start, before the settings are loaded: one line, JSON if the server's own lines will be.

It must not know any setting except for STRUCTURED_LOGGING, and loads none.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured

from pacsync.environment import flag
from pacsync.logging import WITHOUT_REQUEST, JsonLines


def is_structured() -> bool:
    """Whether STRUCTURED_LOGGING is set and says yes, as the image has it. Unset: somebody may read at a terminal."""
    try:
        return flag("STRUCTURED_LOGGING", False)
    except ImproperlyConfigured:  # the settings refuse it
        return False


def refuse(text: str) -> NoReturn:
    """End the program with `text` on standard error. SystemExit, whose code is 1 or becomes it."""
    if not is_structured():
        sys.exit(f"pacsync: {text}")
    record = logging.makeLogRecord({"name": "pacsync", "levelno": logging.ERROR, "levelname": "ERROR", "msg": text})
    print(JsonLines(WITHOUT_REQUEST).format(record), file=sys.stderr, flush=True)
    sys.exit(1)


@contextmanager
def refusals() -> Iterator[None]:
    """What ends the program inside with a text says it as `refuse` does. Also a decorator."""
    try:
        yield
    except SystemExit as end:
        if isinstance(end.code, str):
            refuse(end.code.removeprefix("pacsync: "))
        raise
