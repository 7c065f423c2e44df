"""What argparse lacks: an error shows the usage of its own command, and the word that was probably meant.

It must not know the commands.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn, Optional

_WRONG_CHOICE = re.compile(r"argument (?P<what>\S+): invalid choice: '(?P<word>.*?)' \(")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose subcommands are Parsers as well."""

    def parse(self, args: Optional[Sequence[str]] = None) -> argparse.Namespace:
        """Like `parse_args`, but an unknown argument is an error of the command that was given. Raises SystemExit."""
        known, unknown = self.parse_known_args(args)
        if unknown:
            self.commands.get(getattr(known, "command", ""), self).refuse(unknown[0], self.commands)
        return known

    @property
    def commands(self) -> Mapping[str, Parser]:
        """The parser of each command."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return action.choices
        return {}

    @property
    def options(self) -> list[argparse.Action]:
        """The options and positional arguments, without --help and the command itself."""
        left_out = (argparse._HelpAction, argparse._SubParsersAction)
        return [action for action in self._actions if not isinstance(action, left_out)]

    def refuse(self, word: str, commands: Mapping[str, Parser]) -> NoReturn:
        """End with this command's usage: it doesn't know the word. `commands`: all of them. Raises SystemExit."""
        flag = word.partition("=")[0]
        if not flag.startswith("-"):
            self.error(f"there is no place for {word!r} here")
        others = [name for name, parser in commands.items() if parser is not self and flag in parser.flags]
        have = f"; {' and '.join(f'`{name}`' for name in others)} {'have' if len(others) > 1 else 'has'} it"
        meant = meaning(flag, self.flags)
        self.error(f"there is no {flag} here{meant or (have if others else '')}")

    @property
    def flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]

    def _choices(self, what: str) -> list[str]:
        """The words that may be given for an argument, as argparse names it."""
        named = [action for action in self._actions if what in {action.dest, action.metavar, *action.option_strings}]
        return [str(word) for action in named for word in action.choices or ()]

    def error(self, message: str) -> NoReturn:
        """Print the usage, one sentence, and where to look. Raises SystemExit (status 2)."""
        found = _WRONG_CHOICE.search(message)
        if found and self.commands:
            message = f"there is no command {found['word']!r}{meaning(found['word'], self.commands)}"
        elif found:
            message += meaning(found["word"], self._choices(found["what"]))
        self.print_usage(sys.stderr)
        self.exit(2, f"error: {message}{_end(message)}\n       `{self.prog} --help` says what there is.\n")


def meaning(word: str, known: Iterable[str]) -> str:
    """`; did you mean sync?` as the end of a sentence; empty if no known word is similar."""
    like = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {like[0]}?" if like else ""


def _end(sentence: str) -> str:
    return "" if sentence.endswith("?") else "."
