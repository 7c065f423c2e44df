"""Threads that do the same thing at the same moment, each with its own database connection."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connections

MANY = 20  # at once, where a test has no reason for another number


def race(count: int, do: Callable[[int], Any]) -> list[Any]:
    """Run `do(0)` … `do(count - 1)` at once; what each returned, or the exception that it raised."""
    gate = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        try:
            gate.wait(30)
            results[number] = do(number)
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not any(thread.is_alive() for thread in threads), "a thread is stuck"
    return results


def kinds(results: list[Any]) -> dict[str, int]:
    """How many results there are of each type, by its name."""
    return dict(Counter(type(result).__name__ for result in results))
