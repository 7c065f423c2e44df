"""Which requests ask for health, and which of them the main loop answers itself. It must not know the answers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings


@dataclass
class _State:
    quick: re.Pattern[bytes] = re.compile(rb"(?!)")  # matches nothing until `register` is called


_state = _State()


def register(paths: Iterable[str]) -> None:
    """Have the main loop answer the probes with these paths: their answers need no I/O and no waiting.

    A probe with `exclude=` combines what all workers have found, for people: that is work for a thread.
    """
    either = "|".join(re.escape(path) for path in paths)
    _state.quick = re.compile(rf"(?:GET|HEAD) (?:{either})/?(?: |\?(?![^ ]*exclude=))".encode())


def is_quick(head: bytes) -> bool:
    """Whether the head is that of a probe whose answer needs no I/O and no waiting."""
    return _state.quick.match(head) is not None


def is_of_health(head: bytes) -> bool:
    """Whether the head asks for a page of health, which the application answers outside the bulkhead."""
    path = head.split(b" ", 2)[1:2]
    return bool(path and settings.HEALTH_PATH.fullmatch(path[0].partition(b"?")[0].decode("latin-1")))
