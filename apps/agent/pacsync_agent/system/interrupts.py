"""What a signal does while pacman is at work: the first Ctrl-C prints a warning, the second leaves pacman alone.

It must not know what pacman does or end it.
"""

from __future__ import annotations

from ..terminal.output import Output
from .signals import Signals

AT_WORK = (
    "pacman is at work and must not be stopped: it continues, and this command finishes when it is done. "
    "Ctrl-C once more leaves it alone; the next start of the agent finishes the work then."
)


class Leaving:
    """Called repeatedly while pacman runs: whether the agent should leave it alone now."""

    def __init__(self, signals: Signals, output: Output) -> None:
        self._signals, self._output = signals, output
        self._said = False

    def __call__(self) -> bool:
        if self._signals.interrupts and not self._said:
            self._said = True
            self._output.warn(AT_WORK)
        return self._signals.is_to_leave()
