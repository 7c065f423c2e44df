"""Runs one health command within a limit of time, and keeps the end of its output.

The command leads a process group of its own, and nothing of that group is left when it has ended, reached its limit, or
the agent has ended, however that came. It must not know what the commands are for.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..pacman.configuration import ENVIRONMENT
from ..terminal.printable import printable

LINES, LINE, KEPT = 20, 300, 2000  # of the output: the last lines, characters of a line, characters of all
_READ = 1 << 16  # bytes
_AFTERWARDS = 1 << 20  # bytes that are read after its end: what it left running may write for ever
_INTERVAL = 0.05  # seconds between two looks at it
# Its standard input is empty. The pipe, which only the agent can write to, ends with the agent: then the group is
# killed.
_ENDS_WITH_AGENT = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -KILL -$$) >/dev/null 2>&1 & exec 3<&-; exec "$@"'


class Stopped(Exception):
    """The agent was asked to stop; the command was killed."""


@dataclass(frozen=True)
class CommandResult:
    """`status` is the exit status, None where it has none; `why` a clause that says why it failed, empty if it passed.

    `output` is the end of what it printed, standard error included.
    """

    name: str
    status: Optional[int]
    why: str
    output: str = ""

    @property
    def passed(self) -> bool:
        return not self.why


def name_of(command: Path) -> str:
    """Its name as it is shown and sent."""
    return printable(command.name, 255)


def run(command: Path, root: Path, *, seconds: float, limit: str, is_to_stop: Callable[[], bool]) -> CommandResult:
    """Run the command, in a chroot if it is another machine's. `limit` says in words what `seconds` is.

    Raises Stopped as soon as `is_to_stop` says so.
    """
    name = name_of(command)
    words = [str(command)] if root == Path("/") else ["chroot", str(root), f"/{command.relative_to(root)}"]
    output = _Tail()
    with _started(words) as process:
        assert process.stdout  # noqa: S101 - it was asked for
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if is_to_stop():
                raise Stopped
            if time.monotonic() > deadline:
                return CommandResult(name, None, f"didn't end within {limit}", output.text())
            output.read(process.stdout.fileno(), _READ, wait=_INTERVAL)
        output.read(process.stdout.fileno(), _AFTERWARDS, wait=0)
        status = process.returncode
    if status < 0:
        return CommandResult(name, None, f"was killed by signal {-status}", output.text())
    return CommandResult(name, status, f"ended with status {status}" if status else "", output.text())


@contextlib.contextmanager
def _started(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The command; afterwards its process group is gone."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", _ENDS_WITH_AGENT, "sh", *words],
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin and process.stdout  # noqa: S101 - they were asked for
    os.set_blocking(process.stdout.fileno(), False)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have killed its group itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


class _Tail:
    """The end of an output, however long that is."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._open = True

    def read(self, handle: int, most: int, *, wait: float) -> None:
        """Read at most so many bytes of what is there now, or comes within `wait` seconds."""
        if not self._open:
            time.sleep(wait)
            return
        if not select.select([handle], [], [], wait)[0]:
            return
        while most > 0:
            try:
                data = os.read(handle, min(most, _READ))
            except BlockingIOError:
                return
            if not data:
                self._open = False
                return
            most -= len(data)
            self._kept += data
            del self._kept[: -4 * KEPT]  # a character has four bytes at most

    def text(self) -> str:
        """The last lines, in printable characters."""
        lines = self._kept.decode(errors="replace").splitlines()
        lines = [printable(line.rstrip(), LINE) for line in lines if line.strip()]
        return "\n".join(lines[-LINES:])[-KEPT:]
