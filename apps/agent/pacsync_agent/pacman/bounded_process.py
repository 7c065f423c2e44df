"""Runs a program that fetches something, within limits of time and bytes, and kills it when it passes one.

It must not know what the program does. Never for a pacman that changes the machine: that one is never killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from .configuration import ENVIRONMENT

EXIT_CHECK_INTERVAL = 0.05  # seconds between two checks of the program
BLOCK = 512  # bytes, the unit of ulimit -f in POSIX (bash counts in twice that)
GRACE = 5  # seconds after which `timeout` kills it in any case
# The shell sets the limit: Python can't do it safely between fork and exec while other threads run. Its standard input
# is a pipe that only the agent can write to: it ends with the agent, however that ends, and the whole group is killed.
_LIMITED = (
    'ulimit -f "$0"; exec 3<&0 </dev/null; (read -r _ <&3; kill -KILL -$$) & exec 3<&-; exec timeout -s KILL "$@"'
)


class TooLong(Exception):
    """It didn't end within its time, and was killed."""


def run(
    command: Sequence[str], *, seconds: float, most: int, stop: threading.Event, cwd: Optional[Path] = None
) -> Optional[int]:
    """The exit status; None when `stop` was set, which kills it. `most`: bytes of a file that it writes, roughly.

    Its output is thrown away: it may contain addresses with passwords. Raises TooLong, FileNotFoundError,
    PermissionError.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(command[0])
    deadline = time.monotonic() + seconds
    limits = [str(most // BLOCK + 1), f"{seconds + GRACE:.0f}"]
    with _started(["/bin/sh", "-c", _LIMITED, *limits, *command], cwd) as process:
        while process.poll() is None:
            if stop.is_set():
                return None
            if time.monotonic() > deadline:
                raise TooLong
            time.sleep(EXIT_CHECK_INTERVAL)
        return process.returncode


@contextlib.contextmanager
def _started(command: Sequence[str], cwd: Optional[Path]) -> Iterator[subprocess.Popen[bytes]]:
    """The program; afterwards it and all its children are gone."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdin  # noqa: S101 - it was asked for
        process.stdin.close()
