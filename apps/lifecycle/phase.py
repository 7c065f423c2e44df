"""The lifecycle phase of this instance. It must not know who changes it, nor what follows from it.

The phase isn't stored: it is derived from four times on the board, each with one writer, so that a `drain --undo` can't
race with a signal.
"""

import enum
import time

from apps.lifecycle import memory


class Phase(enum.StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


def current() -> Phase:
    return _phase(memory.current())[0]


def since() -> float:
    """When the current phase began, in Unix seconds."""
    return wall(_phase(memory.current())[1])


def of(board: memory.Memory) -> Phase:
    return _phase(board)[0]


def _phase(board: memory.Memory) -> tuple[Phase, float]:
    """The phase, and the monotonic time of its start."""
    times = board.floats
    if times[memory.STOPPING_AT]:
        return Phase.STOPPING, times[memory.STOPPING_AT]
    requested, signalled = times[memory.DRAIN_REQUESTED_AT], times[memory.SIGNAL_AT]
    if requested or signalled:
        return Phase.DRAINING, min(time for time in (requested, signalled) if time)
    if times[memory.SERVING_AT]:
        return Phase.SERVING, times[memory.SERVING_AT]
    return Phase.STARTING, times[memory.STARTED]


def began(board: memory.Memory) -> float:
    """The monotonic time of the start of the current phase."""
    return _phase(board)[1]


def leaving() -> bool:
    """Whether the instance drains or stops: no new background work starts, connections are closed."""
    times = memory.current().floats
    return bool(times[memory.SIGNAL_AT] or times[memory.DRAIN_REQUESTED_AT] or times[memory.STOPPING_AT])


def serve() -> None:
    """The first worker is ready: starting ends."""
    times = memory.current().floats
    if not times[memory.SERVING_AT]:
        times[memory.SERVING_AT] = time.monotonic()


def wall(monotonic: float) -> float:
    """Unix seconds of a time on the monotonic clock."""
    return time.time() - (time.monotonic() - monotonic)
