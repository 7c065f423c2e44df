"""What every worker does each second, also while it isn't the leading one. It must not know what a heartbeat writes."""

from collections.abc import Callable

from apps.lifecycle.dbpool import facade, write_state
from apps.lifecycle.work import loops

LOOP = "worker-upkeep"
INTERVAL = 1.0  # seconds


def register(beat_if_needed: Callable[[], None]) -> None:
    """Have it done in each process that serves. `beat_if_needed` runs the heartbeat early where that is needed."""

    def step() -> None:
        facade.give_back()
        facade.publish()
        write_state.tick()
        beat_if_needed()

    loops.register(LOOP, INTERVAL, step, everywhere=True, while_draining=True)
