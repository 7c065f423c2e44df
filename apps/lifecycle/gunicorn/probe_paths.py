"""Which probes the main loop answers itself. It must not know what a probe answers, nor which probes there are."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


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
