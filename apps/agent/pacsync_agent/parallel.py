"""Does one thing to many items at once, in threads that never keep the process from ending. It must not know what."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar, Union

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    fatal: Callable[[Exception], bool],
    poll: Callable[[], None] = lambda: None,
) -> dict[Item, Union[Result, Exception]]:
    """What `function` returned or raised for each item. Raises at once what `fatal` says is not of one item alone.

    `poll` is called several times a second by the waiting thread, and may raise to stop waiting.
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

    for _ in range(min(workers, count)):
        threading.Thread(target=work, name="download", daemon=True).start()
    results: dict[Item, Union[Result, Exception]] = {}
    while len(results) < count:
        poll()
        try:
            item, result = done.get(timeout=0.1)
        except queue.Empty:
            continue
        if isinstance(result, Exception) and fatal(result):
            raise result
        results[item] = result
    return results
