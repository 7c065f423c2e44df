"""The enrolment code of `enroll`: from the command line, a file or the environment. It must not know its use.

Everybody on the machine can read a command line (`ps`); only root can read the other two.
"""

from __future__ import annotations

import os
import sys
from typing import Optional

from ..errors import Local, Misused

VARIABLE = "PACSYNC_ENROLMENT_CODE"
STDIN = "-"
MOST = 4096  # characters of a file that holds one code


def take(code: Optional[str], file: Optional[str]) -> str:
    """The code. The variable is removed, so that pacman and its hooks don't see it. Raises Misused, Local."""
    variable = os.environ.pop(VARIABLE, "").strip()
    if file:
        return _from_file(file)
    found = code or variable
    if found:
        return found
    raise Misused(
        "code_missing",
        "Which enrolment code?",
        f"Give it with --code CODE; or, so that nobody sees it in `ps`, with --code-file FILE (- is the standard input)"
        f" or in {VARIABLE}.",
    )


def _from_file(name: str) -> str:
    what = "The standard input" if name == STDIN else name
    try:
        if name == STDIN:
            text = sys.stdin.read(MOST + 1) if sys.stdin else ""
        else:
            with open(name, encoding="utf-8") as file:
                text = file.read(MOST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Local(
            "code_file_unreadable", f"{what} can't be read: {reason}.", "Name the file with the code."
        ) from None
    words = text.split()
    if len(words) == 1 and len(text) <= MOST:
        return words[0]
    wrong = "is too long for a code" if len(text) > MOST else "holds more than one word" if words else "holds nothing"
    raise Local("code_file_unreadable", f"{what} {wrong}.", "It may contain only an enrolment code (psc_…).")
