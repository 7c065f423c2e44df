"""Waits for the end of a process, and notices it at once. It must not know what the process does."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterator
from typing import Callable


@contextlib.contextmanager
def waiting(pid: int) -> Iterator[Callable[[float], object]]:
    """A function that waits for a number of seconds, or until this child has ended.

    Where the kernel has no descriptors for processes (before Linux 5.3) it waits for the whole time.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        yield time.sleep
        return
    try:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        yield lambda seconds: ended.poll(seconds * 1000)
    finally:
        os.close(handle)
