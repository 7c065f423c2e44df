"""Calls a function for many items, in threads that don't keep the process from ending. It must not know what for."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Optional, TypeVar, Union

Item = TypeVar("Item")
Result = TypeVar("Result")
PATIENCE = 1.0  # seconds for threads that should end


def each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    fatal: Callable[[Exception], bool],
    poll: Callable[[], None] = lambda: None,
    cancel: Optional[threading.Event] = None,
) -> dict[Item, Union[Result, Exception]]:
    """What `function` returned or raised for each item. An exception that `fatal` accepts is raised at once.

    The waiting thread calls `poll` several times a second; it may raise to stop waiting. Any exception there, even a
    signal's, ends the waiting: no item is begun any more. With `cancel`, it is set, and the threads have a second to
    end; without it, nothing waits for them.
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
            except Exception as error:  # passed to the waiting thread
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
    """Begin nothing new, and wait for the threads, a second at most."""
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
