"""The moment a process begins to serve: its loops start, and it may have a dbpool.

It must not know which server runs it.
"""

import threading
from dataclasses import dataclass, field

from apps.lifecycle.dbpool import facade
from apps.lifecycle.shared_memory import phase
from apps.lifecycle.work import loops


@dataclass
class _State:
    lock: threading.Lock = field(default_factory=threading.Lock)
    serving: bool = False


_state = _State()


def begin() -> None:
    """Called by gunicorn's hook, or by the first request under runserver. Does it once."""
    with _state.lock:
        if not _state.serving:
            _state.serving = True
            facade.allow()
            phase.serve()
            loops.start()


def active() -> bool:
    """Whether this process serves requests."""
    return _state.serving


def end() -> None:
    """For tests: as if this process had never served."""
    with _state.lock:
        _state.serving = False
        facade.allow(False)
