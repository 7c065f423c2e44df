"""Does one thing to many items at once, in threads that never keep the process from ending. It must not know what."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Optional, TypeVar, Union

Item = TypeVar("Item")
Result = TypeVar("Result")
PATIENCE = 1.0  # seconds for threads that were asked to end


def each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    fatal: Callable[[Exception], bool],
    poll: Callable[[], None] = lambda: None,
    cancel: Optional[threading.Event] = None,
) -> dict[Item, Union[Result, Exception]]:
    """What `function` returned or raised for each item. Raises at once what `fatal` says is not of one item alone.

    `poll` is called several times a second by the waiting thread, and may raise to stop waiting. Whatever is raised
    there, a signal's exception too, sets `cancel` and gives the other threads a second to end what they have begun.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Item, Union[Result, Exception]]] = queue.SimpleQueue()
    count = 0
    for item in items:
        waiting.put(item)
        count += 1

    def work() -> None:
        while True:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((item, function(item)))
            except Exception as error:  # handed to the waiting thread
                done.put((item, error))

    threads = [threading.Thread(target=work, name="download", daemon=True) for _ in range(min(workers, count))]
    results: dict[Item, Union[Result, Exception]] = {}
    try:
        for thread in threads:
            thread.start()
        while len(results) < count:
            poll()
            try:
                item, result = done.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(result, Exception) and fatal(result):
                raise result
            results[item] = result
    except BaseException:
        _end(threads, waiting, cancel)
        raise
    return results


def _end(
    threads: Iterable[threading.Thread], waiting: queue.SimpleQueue[Item], cancel: Optional[threading.Event]
) -> None:
    """Have nothing begun any more, and wait for the threads, a second at the most."""
    with contextlib.suppress(queue.Empty):
        while True:
            waiting.get_nowait()
    if cancel is None:
        return
    cancel.set()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
