"""Logs when `manage.py drain` begins a drain and when `--undo` takes it back: in the instance's own log, by its master.

The command only leaves a time in the shared memory, so a drain that is taken back within a second may be missed. It
must not know signals: they are logged where they are handled.
"""

import logging

from apps.lifecycle import memory

logger = logging.getLogger(__name__)


class DrainLog:
    """`look()` is called once a second; each change is told once."""

    def __init__(self) -> None:
        self._draining = False

    def look(self) -> None:
        """Compare what was asked for with what was told last."""
        times = memory.current().floats
        draining = bool(times[memory.DRAIN_REQUESTED_AT])
        if draining == self._draining:
            return
        self._draining = draining
        if draining:
            logger.info("`manage.py drain` was asked for: readiness is 503 from now on, everything is still served")
        else:
            logger.info("`manage.py drain --undo`: the drain was taken back, the instance serves normally again")
