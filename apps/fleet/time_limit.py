"""How much time the comparisons of one request may take. It must not know HTTP or what is compared.

It is processor time of the thread, not time on the clock: what a request costs doesn't depend on other work,
and waiting for the database has limits of its own. Without `begin` (commands, chores) there is no limit.
"""

import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from django.conf import settings

from .exceptions import ComparisonTooLong

T = TypeVar("T")
_began: ContextVar[float | None] = ContextVar("time_limit_began", default=None)


def begin() -> None:
    """From here on this thread works on a request, until `end`."""
    _began.set(time.thread_time())


def end() -> None:
    """This thread has no limit any more."""
    _began.set(None)


def spent() -> float:
    """The part of the time that is used up: 1 is all of it; 0 where there is no limit."""
    began, limit = _began.get(), settings.COMPARISON_TIMEOUT
    return (time.thread_time() - began) / limit if began is not None and limit else 0


def check() -> None:
    """Raise ComparisonTooLong when the time is used up."""
    if spent() > 1:
        raise ComparisonTooLong(
            f"The comparison was given up after {settings.COMPARISON_TIMEOUT:g} s of computing (COMPARISON_TIMEOUT). "
            "Compare smaller states, or use fewer patterns."
        )


def bounded(items: Iterable[T], *, every: int = 256) -> Iterator[T]:
    """The same items; the time is checked before every 256th, or before every `every`th. Raises ComparisonTooLong."""
    for number, item in enumerate(items):
        if number % every == 0:
            check()
        yield item
