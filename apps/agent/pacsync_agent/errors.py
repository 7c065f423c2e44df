"""What can go wrong, each with an exit status for scripts and a code for programs. It must not print anything."""

from __future__ import annotations

import errno
from enum import IntEnum


class Exit(IntEnum):
    """The exit statuses of the command, documented in docs/agent.md and never renumbered."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_AUTHORIZED = 4
    UNAVAILABLE = 5
    BUSY = 6
    LOCAL = 7
    DIFFERENT = 10


class AgentError(Exception):
    """An error with a sentence, a stable code, and a hint that says what to do."""

    exit: int = Exit.FAILED
    log: str = ""
    """pacman's whole output, where it failed in a rehearsal."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Misused(AgentError):
    """The command line doesn't say what is needed."""

    exit = Exit.USAGE


class Failed(AgentError):
    """It was tried, and it failed."""


class Refused(AgentError):
    """It can't be done exactly, so it wasn't started; the machine is as it was."""

    exit = Exit.REFUSED


class NotAuthorized(AgentError):
    exit = Exit.NOT_AUTHORIZED


class Unavailable(AgentError):
    """The server or a mirror doesn't answer now; the same command may work later."""

    exit = Exit.UNAVAILABLE

    def __init__(self, code: str, message: str, hint: str = "", *, after: float = 0) -> None:
        """`after`: how many seconds the server wants to be left alone."""
        super().__init__(code, message, hint)
        self.after = after


class Unreachable(AgentError):
    """A mirror or the network fails at the moment: the target may be fine, and nothing was changed."""

    exit = Exit.UNAVAILABLE


class Busy(AgentError):
    """Another agent or another pacman is at work on this machine."""

    exit = Exit.BUSY


class Local(AgentError):
    """Something on this machine is missing or misconfigured, or needs root."""

    exit = Exit.LOCAL


READ_ONLY_HINT = (
    "Look with `dmesg` and `findmnt` for why: a disk with errors is made read-only. If nothing is wrong with it, run "
    "`mount -o remount,rw` on that place, and try again."
)


def pacman_unusable(reason: str) -> Local:
    """pacman is installed but doesn't start: usually a library is missing. `reason`: the system's own words."""
    return Local(
        "pacman_unusable",
        f"pacman doesn't start here: {reason}.",
        "Put right what is missing by other means: `pacman-static`, or the pacman of a rescue system with --root. "
        "Until then this machine continues to report, and nothing is changed.",
    )


def of_system(error: OSError) -> Local:
    """The error for what the system refused, if nothing more is known (disk_full.py may know more)."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Local(
            "disk_full",
            f"The disk is full{where}: nothing more can be written.",
            "Free some space, for example with `paccache -r`, and run the command again.",
        )
    if error.errno == errno.EROFS:
        return Local("read_only", f"A file system is mounted read-only{where}: nothing can be written.", READ_ONLY_HINT)
    return Local("system_error", f"The system refused: {error.strerror or error}{where}.")


class LeaseLost(AgentError):
    """The time that the server gave for an operation ran out: pacman mustn't be started for it."""

    def __init__(self) -> None:
        super().__init__(
            "lease_lost",
            "The lease of the operation was lost several times, so this run stopped; nothing was changed.",
            "Make sure that the machine always reaches the server, and run the command again.",
        )


class Interrupted(AgentError):
    """A signal asked the agent to stop, at a moment when it may."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted", "Stopped by a signal before pacman was started; nothing was changed.")
        self.exit = 128 + number


class HealthChecksStopped(Exception):
    """A signal asked the agent to stop after pacman, before it is known whether the operation stays.

    The journal stays, and the next start continues.
    """

    def __str__(self) -> str:
        return (
            "Stopped while the health of the machine was checked: the next start does it again and ends the operation."
        )


class PacmanGoesOn(Exception):
    """A signal asked the agent to stop while its pacman is at work: the agent leaves, pacman doesn't.

    It is not an AgentError, because nothing has failed: the journal stays, and the next start continues.
    """

    def __str__(self) -> str:
        return "Stopped while pacman is at work: pacman continues, and the next start finishes the work."
