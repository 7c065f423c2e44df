"""Makes the parser of the command line from the commands' declarations. It must not know what the commands do."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from .. import __version__
from .command import Command
from .parser import Parser

EXIT_STATUSES = """exit statuses:
  0  done, or nothing to do          5  the server doesn't answer
  1  tried, and failed               6  another agent or pacman is at work
  2  wrong arguments                 7  something on this machine is wrong (or: not root)
  3  refused, nothing was changed    10 `diff --exit-code`, `verify`: there are differences
  4  not enrolled, or not allowed    128+N stopped by signal N before pacman started"""
_SHAPE = argparse.RawDescriptionHelpFormatter


def make_parser(commands: Iterable[Command]) -> Parser:
    common = _common()
    parser = Parser(
        prog="pacsync-agent",
        description="Keeps this Arch Linux machine on the packages of its pool, with pacman.",
        epilog=EXIT_STATUSES,
        parents=[common],
        formatter_class=_SHAPE,
    )
    parser.add_argument("--version", action="version", version=f"pacsync-agent {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in commands:
        example = "\n  ".join(command.examples)
        own = subparsers.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog="\n\n".join(filter(None, [command.note, f"example:\n  {example}", EXIT_STATUSES])),
            parents=[common],
            formatter_class=_SHAPE,
        )
        if command.waits:
            own.add_argument(
                "--wait",
                type=float,
                default=30,
                metavar="SECONDS",
                help="how long to wait for another agent or pacman (default: 30)",
            )
        command.add_arguments(own)
    return parser


def _common() -> Parser:
    """Options that may stand before and after the command."""
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    machine = common.add_argument_group("which machine (default: this one)")
    machine.add_argument("--config", metavar="FILE", help="the pacman.conf to use")
    machine.add_argument("--root", metavar="DIR", help="the machine's root directory")
    machine.add_argument("--dbpath", metavar="DIR", help="the machine's pacman database")
    agent = common.add_argument_group("the agent's own")
    agent.add_argument(
        "--state-dir", metavar="DIR", help="where it keeps its files (default: ROOT/var/lib/pacsync-agent)"
    )
    agent.add_argument("--agent-config", metavar="FILE", help="its configuration (default: /etc/pacsync-agent.conf)")
    agent.add_argument("--server", metavar="URL", help="the PacSync server (stored by `enroll`)")
    agent.add_argument("--json", action="store_true", help="one JSON object per line, the last one is the result")
    agent.add_argument("--quiet", action="store_true", help="only results, warnings and errors")
    return common


def force_remove(parser: Parser) -> None:
    """Add --force-remove, which `sync` and `revert` have."""
    parser.add_argument(
        "--force-remove",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="remove it although this machine protects it (may be given several times)",
    )
