"""Logs, in the master, when `manage.py drain` begins a drain and when `--undo` takes it back.

The command only leaves a time in the shared memory, so a drain that is undone within a second may be missed. It
must not know about signals: they are logged where they are handled.
"""

import logging

from apps.lifecycle.shared_memory import memory

logger = logging.getLogger(__name__)


class DrainLog:
    """`log_changes()` is called once a second, and logs each change once."""

    def __init__(self) -> None:
        self._draining = False

    def log_changes(self) -> None:
        """Log whether the instance drains, if that has changed since the last call."""
        header = memory.current().header
        draining = bool(header.drain_requested_at)
        if draining == self._draining:
            return
        self._draining = draining
        if draining:
            logger.info("`manage.py drain` was asked for: readiness is 503 from now on, everything is still served")
        else:
            logger.info("`manage.py drain --undo`: the drain was undone, the instance serves normally again")
