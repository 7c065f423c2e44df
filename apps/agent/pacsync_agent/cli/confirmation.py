"""Asks a person for a yes before what can't be undone easily. It must not know what is confirmed."""

from __future__ import annotations

import sys

from ..errors import Misused, Refused
from .call import Call
from .parser import Parser


def add_yes(parser: Parser) -> None:
    """Add --yes, which answers the question."""
    parser.add_argument("--yes", action="store_true", help="don't ask for a confirmation")


def confirm(call: Call, text: str, question: str) -> None:
    """Show `text`, and return after a yes. Raises Refused after a no, Misused where nobody can be asked."""
    if not call.output.as_json:
        call.output.line(text)
    if call.arguments.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty() or call.output.as_json:
        raise Misused("not_confirmed", "Nobody can be asked here, so nothing was done.", "Add --yes to confirm it.")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise Refused("not_confirmed", "Nothing was done.")
