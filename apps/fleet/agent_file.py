"""The checksum of the agent that this server hands out, for the command lines that fetch it.

It must not know how the agent is built or served: the app that does registers here.
"""

from collections.abc import Callable

_checksum: list[Callable[[], str]] = []


def register(sha256: Callable[[], str]) -> None:
    """Have `sha256` asked: it returns 64 hexadecimal digits. Safe in AppConfig.ready: it isn't called there."""
    _checksum[:] = [sha256]


def sha256() -> str:
    """64 hexadecimal digits. Raises LookupError where no app hands out an agent."""
    if not _checksum:
        raise LookupError("no app has registered an agent")
    return _checksum[0]()
