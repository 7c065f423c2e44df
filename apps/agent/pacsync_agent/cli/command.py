"""What a command of the agent declares: name, help, arguments and function.

The parser, the dispatch, the completions and the man page come from it. It must not know the commands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from .call import Call
from .parser import Parser


def no_arguments(parser: Parser) -> None:
    """For a command with no arguments of its own."""


def never(arguments: argparse.Namespace) -> bool:
    return False


@dataclass(frozen=True)
class Command:
    """One command; each module of commands/ has one as COMMAND, and command_list.py lists them.

    `help` is a phrase, `examples` are lines, `note` stands before them in the command's own help.
    `run` gives the exit status and raises AgentError; `text` stands instead of it where the command prints what it
    makes of the parser and the arguments, without looking at the machine.
    `add_arguments` adds the command's own arguments. A value completes by its choices, or by its metavar: FILE, DIR,
    PACKAGE.
    `waits`: it has --wait, for another agent at work. `needs_root`: whether only root may run it with these arguments;
    most commands find out later, when there is something to change.
    """

    name: str
    help: str
    examples: tuple[str, ...]
    run: Optional[Callable[[Call], int]] = None
    text: Optional[Callable[[Parser, argparse.Namespace], str]] = None
    add_arguments: Callable[[Parser], None] = no_arguments
    note: str = ""
    waits: bool = False
    needs_root: Callable[[argparse.Namespace], bool] = never
