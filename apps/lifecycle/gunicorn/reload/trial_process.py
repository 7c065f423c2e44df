"""The process in which a reload is tried (trial.py), as its master sees it. It must not know what the result leads to.

Nothing here waits: the master's main loop asks from time to time whether the process has ended.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from apps.lifecycle.dbpool import permits
from apps.lifecycle.shared_memory import memory

NO_RESULT = "the trial ended without a result: perhaps it was killed, for lack of memory"
LIMIT = 120.0  # seconds that it may take; on a quiet machine it takes about 2


class TrialProcess:
    """Is started at once, in `folder`, with gunicorn's own arguments. Raises OSError if that fails."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "apps.lifecycle.gunicorn.reload.trial", *sys.argv[1:]]
        self._output, output = os.pipe()
        self._said, self._ended, self._until = b"", False, time.monotonic() + LIMIT
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(output)

    def over(self) -> bool:
        """Whether it has ended, or its time is up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while not self._ended and selector.select(0):
                part = os.read(self._output, 65536)
                self._said += part
                self._ended = not part
        return self._ended or time.monotonic() >= self._until

    def end(self) -> dict[str, Any]:
        """Kill it if it hasn't ended. Returns what it found: `problem`, or `address` and `workers`."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._output)
        status = self._process.wait()  # 0 even when the main loop has reaped it already
        permits.release_for_trial(memory.current())
        return result(self._said, status) if self._ended else {"problem": f"it could not be tried within {LIMIT:g} s"}


def result(said: bytes, status: int = 0) -> dict[str, Any]:
    """The result in the trial's output, or else its last line that isn't one of the log, or that there is none."""
    last = ""
    for line in said.decode(errors="replace").splitlines():
        found = _parsed(line)
        if found is None:
            last = line.strip() or last
        elif "problem" in found or "address" in found:
            return found
    if status < 0 or not last:
        return {"problem": NO_RESULT}
    return {"problem": last.removeprefix("pacsync: ") + ("" if status else f" ({NO_RESULT})")}


def _parsed(line: str) -> dict[str, Any] | None:
    """The object of a line of JSON: the result, or a line of the log. None for other lines."""
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else None
    return None
