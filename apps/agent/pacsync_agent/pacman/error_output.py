"""Reads pacman's output: why it failed, first cause first, and which hook or scriptlet failed, in its own words.

It must not know why pacman was run. Questions that pacman answered itself are in the same stream; they are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import ended_by_signal
from .running_hook import PHASE

QUESTION = re.compile(r"\[(Y/n|y/N)\] ?[yn]?\s*$")
FAILED_COMMAND = re.compile(r"error: command (failed to execute correctly|terminated by signal \d+.*)$")
_CAUSE = re.compile(
    r":: .*(breaks dependency|are in conflict|unable to satisfy dependency|requires installing|cannot resolve)"
)
# pacman's summary after the cause: `failed to commit transaction (…)`.
_STEP = re.compile(
    r"error: (failed to (prepare|commit|init|release) (the )?transaction|unresolvable package conflicts)"
)
_BEGINS = re.compile(r"\(\s*(\d+)/(\d+)\) (.+)$")
_SCRIPTLET = re.compile(r"(?:\(\s*\d+/\d+\) )?(?:removing|upgrading|downgrading|reinstalling|installing) (\S+)\.\.\.$")
_OWN_LINES = re.compile(r"(:: |error: |warning: |\(\s*\d+/\d+\) )")
_NOT_STARTED = re.compile(
    r"(pacman: error while loading shared libraries|pacman: symbol lookup error|.*pacman: .*not found)"
)
_LOCALE = "setlocale: LC_ALL: cannot change locale"  # bash prints it in a root without locales; it is harmless
_WORDS = 3  # lines of a command that failed
_LONGEST = 300  # characters of them


@dataclass(frozen=True)
class FailedCommand:
    """A hook or scriptlet that failed, by name; `words` are its last lines, empty if it printed nothing."""

    what: str
    words: str

    def __str__(self) -> str:
        return f"{self.what} failed: {self.words}" if self.words else f"{self.what} failed, and said nothing"


def causes(status: int, output: str) -> list[str]:
    """Why pacman ended with this status, one line each, without its prefixes; the first cause first."""
    lines = [line for line in output.splitlines() if not QUESTION.search(line) and not FAILED_COMMAND.match(line)]
    files = [line for line in lines if " exists in filesystem" in line or " exists in both '" in line]
    said = [line for line in lines if _CAUSE.match(line)]
    errors = [line for line in lines if line.startswith("error: ")]
    found = [*files, *said, *(line for line in errors if not _STEP.match(line)), *filter(_STEP.match, errors)]
    if status > 128 and not found:
        return [ended_by_signal.words(status)]
    if status and not found:  # the cause is near the end
        found = [line for line in lines if line.strip()][-_WORDS:]
    return [re.sub(r"^(error: |:: )", "", line).strip() for line in dict.fromkeys(found)]


def did_not_start(status: int, output: str) -> str:
    """Why pacman didn't start, in the system's words; empty if it did."""
    if status not in {126, 127}:
        return ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if _NOT_STARTED.match(line)), lines[-1] if lines else "it can't be executed")


def failed_commands(output: str, hooks: Sequence[str] = ()) -> list[FailedCommand]:
    """The hooks and scriptlets that failed. `hooks`: the file names of those that ran last, by pacman's log."""
    found: list[FailedCommand] = []
    lines = output.splitlines()
    begun = _begun(lines)
    from_the_end = {number: place for place, number in enumerate(reversed(begun))}
    in_hooks, current, words = False, "a command", list[str]()
    for number, line in enumerate(lines):
        phase, package = PHASE.match(line), _SCRIPTLET.match(line)
        if phase:
            in_hooks, current, words = phase.group(1).startswith("Running"), "a command", []
        elif number in begun:
            current, words = _hook(begun[number], hooks, from_the_end[number]), []
        elif package and not in_hooks:  # a hook may print such a line, too
            current, words = f"the scriptlet of {package.group(1)}", []
        elif FAILED_COMMAND.match(line):
            found.append(FailedCommand(current, _last(words)))
            words = []
        elif line.strip() and (in_hooks or not _OWN_LINES.match(line)) and _LOCALE not in line:
            words.append(line.strip())
    return found


def _begun(lines: Sequence[str]) -> dict[int, str]:
    """The line numbers at which hooks begin, with their descriptions. A hook may print similar lines."""
    found: dict[int, str] = {}
    place = (0, 0)  # which hook of how many comes next; of 0: the first one tells
    for number, line in enumerate(lines):
        phase, begins = PHASE.match(line), _BEGINS.match(line)
        if phase:
            place = (1, 0) if phase.group(1).startswith("Running") else (0, 0)
        elif begins and int(begins[1]) == place[0] and place[1] in {0, int(begins[2])}:
            found[number] = begins[3].rstrip(".")
            place = (place[0] + 1, int(begins[2]))
    return found


def _hook(description: str, hooks: Sequence[str], from_the_end: int) -> str:
    """`the hook NAME (description)`: the log has one entry for each hook that pacman names, in the same order."""
    if from_the_end >= len(hooks):
        return f"the hook {description!r}"
    name = hooks[len(hooks) - 1 - from_the_end]
    return f"the hook {name}" + (f" ({description})" if description not in {"", name} else "")


def _last(words: Iterable[str]) -> str:
    text = " / ".join(list(words)[-_WORDS:])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
