"""Colours of texts on terminals. It must not know where the texts come from.

No colours if the stream isn't a terminal, if NO_COLOR is set (https://no-color.org), or if the terminal is dumb.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Optional, TextIO

RED, GREEN, YELLOW, BLUE, BOLD = "31", "32", "33", "34", "1"
_SIGNS = {"+": GREEN, "-": RED, "↑": BLUE, "↓": YELLOW, "⇄": BLUE, "~": BLUE}
_SIGN = re.compile(r"^(  )([+\-↑↓⇄~])(?= )", re.MULTILINE)
_STATUS = re.compile(
    r"^([^\n]*?: )?(?P<word>in sync|In sync|behind the target|ahead of the target|diverged from the target|offline)\b"
)
_STATUSES = {"in sync": GREEN, "offline": RED}


def wanted(stream: Optional[TextIO], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether text for this stream may have colours."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def paint(text: str, colour: str) -> str:
    return f"\033[{colour}m{text}\033[0m"


def of_result(text: str) -> str:
    """The result with its status and the signs of its changes in colour."""
    text = _SIGN.sub(lambda found: found[1] + paint(found[2], _SIGNS[found[2]]), text)
    found = _STATUS.search(text)
    if not found:
        return text
    start, end = found.span("word")
    return text[:start] + paint(text[start:end], _STATUSES.get(found["word"].lower(), YELLOW)) + text[end:]
