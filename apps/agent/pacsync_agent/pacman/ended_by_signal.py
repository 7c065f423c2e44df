"""What the exit status means of a pacman that a signal ended. It must not know what pacman was run for."""

from __future__ import annotations

import signal

from ..errors import Failed

# Signals of a crash; any other one comes from outside, and says nothing about what pacman was to do.
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS})


def status(returncode: int) -> int:
    """The exit status as a shell counts it: 128 and the signal's number, where subprocess has it negative."""
    return 128 - returncode if returncode < 0 else returncode


def words(status: int) -> str:
    """`signal 9 ended it`, for a status above 128."""
    return f"signal {status - 128} {'made it crash' if status - 128 in _CRASHES else 'ended it'}"


def check(returncode: int, doing: str) -> int:
    """The exit status as a shell counts it. Raises Failed (`pacman_killed`) when something else ended this pacman."""
    if returncode >= 0 or -returncode in _CRASHES:
        return status(returncode)
    memory = "; was there too little memory?" if -returncode == signal.SIGKILL else "."
    raise Failed(
        "pacman_killed",
        f"pacman was killed (signal {-returncode}) {doing}{memory}",
        "See in `dmesg` what did it. What the server has asked for is tried again automatically; else run the command "
        "again.",
    )
