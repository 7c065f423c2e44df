"""What the server has decided about a request before the application gets it. It must not know the reason."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from enum import Enum

BUSY = "This server has as many requests in progress as it can serve. Try again in a second."
"""What whoever is refused is told."""


class Admission(Enum):
    """UNDECIDED: the bulkhead decides. ADMITTED: it has a place. REFUSED: the bulkhead answers that there is none."""

    UNDECIDED, ADMITTED, REFUSED = range(3)


_current: ContextVar[Admission] = ContextVar("admission", default=Admission.UNDECIDED)


def current() -> Admission:
    """Of the request that this thread serves."""
    return _current.get()


@contextlib.contextmanager
def decided(admission: Admission) -> Iterator[None]:
    """The request that is served in this block has this admission."""
    token = _current.set(admission)
    try:
        yield
    finally:
        _current.reset(token)
