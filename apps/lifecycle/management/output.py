"""What management commands share: an example in `--help`, and `--format json`, with which they print one document.

It must not know what a command tells.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class TellingCommand(BaseCommand):
    """Names `example`, what comes after the command's name; ends `handle` with `self.tell(…)`."""

    example = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, epilog=f"Example: python %(prog)s {self.example}".strip(), **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        text = "text for people, or one JSON document for programs (default: %(default)s)"
        parser.add_argument("--format", choices=("text", "json"), default="text", help=text)

    def tell(self, options: dict[str, Any], document: Any, lines: Iterable[str]) -> None:
        """Print the document, or the lines that say the same."""
        told = json.dumps(document) if options["format"] == "json" else "\n".join(lines)
        if told:
            self.stdout.write(told)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table, each column as wide as its longest cell; None is a dash."""
    cells = [header, *(["-" if cell is None else str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def minute(time: datetime | None) -> str | None:
    """The time in UTC, without its seconds, for a table whose header says so."""
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"
