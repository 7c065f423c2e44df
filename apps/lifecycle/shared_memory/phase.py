"""The lifecycle phase of this instance. It must not know who changes it or what follows from it.

The phase isn't stored: it is derived from four times in the shared memory. Each has one writer, so that a
`drain --undo` can't race with a signal.
"""

import enum
import time

from apps.lifecycle.shared_memory import memory


class Phase(enum.StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


def current() -> Phase:
    return _phase(memory.current())[0]


def of(shared: memory.Memory) -> Phase:
    return _phase(shared)[0]


def _phase(shared: memory.Memory) -> tuple[Phase, float]:
    """The phase, and the monotonic time of its start."""
    header = shared.header
    if header.stopping_at:
        return Phase.STOPPING, header.stopping_at
    requested, signalled = header.drain_requested_at, header.signal_at
    if requested or signalled:
        return Phase.DRAINING, min(time for time in (requested, signalled) if time)
    if header.serving_at:
        return Phase.SERVING, header.serving_at
    return Phase.STARTING, header.started


def began(shared: memory.Memory) -> float:
    """The monotonic time of the start of the current phase."""
    return _phase(shared)[1]


def leaving() -> bool:
    """Whether the instance drains or stops: no new background work starts, connections are closed."""
    header = memory.current().header
    return bool(header.signal_at or header.drain_requested_at or header.stopping_at)


def serve() -> None:
    """The first worker is ready: starting ends."""
    header = memory.current().header
    if not header.serving_at:
        header.serving_at = time.monotonic()


def wall(monotonic: float) -> float:
    """Unix seconds of a time on the monotonic clock."""
    return time.time() - (time.monotonic() - monotonic)
