"""The agent's output: progress on a terminal, plain lines elsewhere, JSON for scripts. It must not decide anything.

Whatever a server, a mirror, a package or a file name says: only this module's own sequences reach a terminal.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Optional, TextIO

from ..errors import AgentError
from . import colours
from .hints import Hints
from .operation_progress import OperationProgress
from .printable import printable, several_lines

_PHASES = ("rehearsing", "downloading", "applying", "verifying", "comparing")
TITLES = {**{phase: phase.capitalize() for phase in _PHASES}, "checking": "Running health commands:"}


def human_bytes(count: float) -> str:
    """12.3 MiB and the like."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def _shown(hosts: Sequence[str]) -> str:
    """Two of the hosts without their scheme, and how many more there are."""
    names = [host.partition("://")[2] or "this machine" for host in hosts]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _indented(text: str, columns: int) -> str:
    """The text for a terminal or a log, its later lines indented: none of them can look like another message."""
    return several_lines(text).replace("\n", "\n" + " " * columns)


class Output:
    """Writes to stdout and stderr. Safe to use from several threads."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, stream: Optional[TextIO] = None) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.hints = Hints()
        # A closed stdout (`>&-`, some units) is no reason not to work: Python has None there.
        self.stream = stream or sys.stdout or io.StringIO()
        self._terminal = self.stream.isatty() and not as_json
        self._coloured = self._terminal and colours.wanted(self.stream)
        self._open_line = False
        self._last = ("", 0.0)
        self._ended = self._waits = False
        self._lock = threading.Lock()
        self.last_progress: Optional[OperationProgress] = None
        """The last progress, even if it was not printed."""
        self.interval = 0.1 if self._terminal else 5.0
        """Seconds between two lines on the progress of a phase."""

    def line(self, text: str, **data: Any) -> None:
        """Print a line for a person; in JSON it carries `data`."""
        if self.quiet:
            return
        if self.as_json:
            self._object({"event": "message", "message": text, **data})
        else:
            self._write(several_lines(text) + "\n")

    def warn(self, text: str) -> None:
        text = self.hints.for_machine(text)
        if self.as_json:
            self._object({"event": "warning", "message": text})
        else:
            word = colours.paint("warning:", colours.YELLOW) if self._coloured else "warning:"
            self._write(f"{word} {_indented(text, len('warning: '))}\n")

    def progress(
        self,
        phase: str,
        done: int = 0,
        total: int = 0,
        bytes_done: int = 0,
        bytes_total: int = 0,
        *,
        hosts: Sequence[str] = (),
        waiting: str = "",
        package: str = "",
    ) -> None:
        """Show the progress of a phase: a line that is rewritten on a terminal, a few lines elsewhere.

        `hosts`: those of running transfers; `waiting`: what the downloads wait for; `package`: the current one.
        """
        self.last_progress = OperationProgress(
            phase, done, total, bytes_done, bytes_total, package, tuple(hosts), waiting
        )
        now = time.monotonic()
        begins, ends = phase != self._last[0], bool(total) and done == total
        again, self._ended = ends and self._ended and not begins, ends
        begins_to_wait, self._waits = bool(waiting) and not self._waits, bool(waiting)
        if self.quiet or again or not (begins or ends or begins_to_wait or now - self._last[1] > self.interval):
            return
        self._last = (phase, now)
        if self.as_json:
            numbers = {"done": done, "total": total, "bytes_done": bytes_done, "bytes_total": bytes_total}
            now_at = {"hosts": list(hosts), "waiting": waiting, "package": package}
            self._object({"event": "progress", "phase": phase, **numbers, **now_at})
            return
        text = TITLES.get(phase, phase)
        text += f" {done} of {total}" if total else ""
        text += f", {human_bytes(bytes_done)} of {human_bytes(bytes_total)}" if bytes_total else ""
        text += f", from {_shown(hosts)}" if hosts else ""
        text = printable(text + (f", waiting for {waiting}" if waiting else ""))
        if self._terminal:
            self._write(f"\r\033[K{text} …", open_line=True)
        else:
            self._write(f"{text}\n")

    def result(self, text: str, **data: Any) -> None:
        """Print the result, the last line of a command."""
        if self.as_json:
            self._object({"event": "result", **data})
        elif text:
            text = several_lines(self.hints.for_machine(text))
            self._write((colours.of_result(text) if self._coloured else text) + "\n")

    def raw_json(self, value: dict[str, Any]) -> None:
        """Print a JSON object whose form another program defines."""
        self._object(value)

    def error(self, error: AgentError) -> None:
        """Print an error, cause first, then what to do: on stderr, or as JSON on stdout."""
        message, hint = self.hints.for_machine(error.message), self.hints.for_machine(error.hint)
        with contextlib.suppress(OSError):  # a full disk behind stdout: stderr may still take it
            if self.as_json:
                self._object({"event": "error", "code": error.code, "message": message, "hint": hint})
                return
            self.finish_line()
        word = colours.paint("error:", f"{colours.BOLD};{colours.RED}") if colours.wanted(sys.stderr) else "error:"
        print(word, _indented(message + (f"\n{hint}" if hint else ""), len("error: ")), file=sys.stderr)

    def finish_line(self) -> None:
        if self._open_line:
            self._write("")

    def _object(self, value: dict[str, Any]) -> None:
        self._write(json.dumps(value) + "\n")

    def _write(self, text: str, *, open_line: bool = False) -> None:
        with self._lock:
            if self._open_line and not open_line:
                text = f"\r\033[K{text}"
            self._open_line = open_line
            try:
                self.stream.write(text)
                self.stream.flush()
            except OSError:
                # The reader went away (`| head`) or its disk is full: what was begun is finished all the same. What is
                # still in the buffer goes nowhere too, or Python would try again at its exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
