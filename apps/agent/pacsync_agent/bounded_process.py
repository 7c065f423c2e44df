"""Runs a program that fetches something, within limits of time and of bytes, and sees that it ends with them.

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
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from .pacman_conf import ENVIRONMENT

POLL = 0.05  # seconds between two looks at the program
BLOCK = 512  # bytes, the unit of ulimit -f in POSIX (bash counts in twice that)
GRACE = 5  # seconds after which it is ended even if the agent has died
# The shell sets the limit: Python can't do it safely between fork and exec while other threads run.
_LIMITED = 'ulimit -f "$0"; exec timeout --signal=KILL "$@"'


class TooLong(Exception):
    """It didn't end within its time, and was killed."""


def run(
    command: Sequence[str], *, seconds: float, most: int, stop: threading.Event, cwd: Optional[Path] = None
) -> Optional[int]:
    """The exit status; None when `stop` was set, which kills it. `most`: bytes of a file that it writes, roughly.

    What it says is thrown away: it may show addresses with their passwords. Raises TooLong, FileNotFoundError,
    PermissionError.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(command[0])
    process = subprocess.Popen(
        ["/bin/sh", "-c", _LIMITED, str(most // BLOCK + 1), f"{seconds + GRACE:.0f}", *command],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        late = time.monotonic() > deadline
        if late or stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if late:
                raise TooLong
            return None
        time.sleep(POLL)
    return process.returncode
