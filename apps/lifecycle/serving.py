"""The moment a process begins to serve: its loops start, its dbpool may open. It must not know which server runs it."""

import threading

from apps.lifecycle import loops, phase

_lock = threading.Lock()
_serving = False


def begin() -> None:
    """Called by gunicorn's hook, or by the first request under runserver. Does it once."""
    global _serving
    with _lock:
        if not _serving:
            _serving = True
            phase.serve()
            loops.start()


def active() -> bool:
    """Whether this process serves requests: then, and only then, it has a dbpool."""
    return _serving


def end() -> None:
    """For tests: as if this process had never served."""
    global _serving
    with _lock:
        _serving = False
