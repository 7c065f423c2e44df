"""What management commands share: an example in `--help`, one document with `--format json`, an exit code that means
what the command says, even if the database is frozen or nothing can be written, and texts that control no terminal.

It must not know what a command prints.
"""

import contextlib
import json
import logging
import sys
import traceback
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from apps.lifecycle.management import frozen_database
from apps.lifecycle.printable import one_line, several_lines
from apps.lifecycle.streams import standard_output


class ExitCode(SystemExit):
    """Raised by `handle`: this exit code is the command's answer, not a failure."""


class PrintableOutput(OutputWrapper):
    """Django's stream of a command. What endpoints have said controls no terminal; Django's own colours stay."""

    @classmethod
    def around(cls, wrapper: OutputWrapper) -> "PrintableOutput":
        """One that writes to the same stream."""
        return cls(wrapper._out, wrapper.ending)  # type: ignore[arg-type]  # the stubs take it for a method

    def write(  # type: ignore[override]  # as Django's own
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        # Only Django's system checks name a function: they have their colours in the text itself.
        super().write(msg if style_func else several_lines(str(msg)), style_func, ending)


class PrintableCommand(BaseCommand):
    """A command whose `stdout` and `stderr` are PrintableOutput, whichever streams Django gives them."""

    @property
    def stdout(self) -> OutputWrapper:
        return self._stdout

    @stdout.setter
    def stdout(self, wrapper: OutputWrapper) -> None:
        self._stdout = PrintableOutput.around(wrapper)

    @property
    def stderr(self) -> OutputWrapper:
        return self._stderr

    @stderr.setter
    def stderr(self, wrapper: OutputWrapper) -> None:
        self._stderr = PrintableOutput.around(wrapper)


class TellingCommand(PrintableCommand):
    """A subclass sets `example`, the text after the command's name, and ends `handle` with `self.tell(…)`.

    `failure` is the exit code for anything that goes wrong, if 1 has another meaning.
    """

    example = ""
    failure = 1

    def run_from_argv(self, argv: list[str]) -> None:
        """Like Django's, but errors exit with `failure`, and the log goes to standard error."""
        _log_to_standard_error()
        try:
            with frozen_database.expected(self.failure):
                super().run_from_argv(argv)
        except ExitCode:
            raise
        except SystemExit as left:
            sys.exit(self.failure if left.code == 1 else left.code)
        except Exception:  # the edge: Python's own exit code is 1
            with contextlib.suppress(OSError):
                self.stderr.write(traceback.format_exc())
            sys.exit(self.failure)
        finally:
            standard_output.abandon()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, epilog=f"Example: python %(prog)s {self.example}".strip(), **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        text = "text for people, or one JSON document for programs (default: %(default)s)"
        parser.add_argument("--format", choices=("text", "json"), default="text", help=text)

    def tell(self, options: dict[str, Any], document: Any, lines: Iterable[str]) -> None:
        """Print the document, or the lines with the same content. Raises CommandError if nothing can be written.

        Each of `lines` stays one line, whatever is in it.
        """
        text = json.dumps(document) if options["format"] == "json" else "\n".join(map(one_line, lines))
        try:
            if text:
                self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            raise CommandError(f"The standard output takes nothing: {error.strerror or error}.") from error


def _log_to_standard_error() -> None:
    """Standard output is for the answer alone."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table, each column as wide as its longest cell; None is a dash."""
    cells = [header, *(["-" if cell is None else one_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def minute(time: datetime | None) -> str | None:
    """The time in UTC, without its seconds, for a table whose header says so."""
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"
