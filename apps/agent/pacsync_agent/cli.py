"""The command line: arguments, help, exit statuses. It must not know what the commands do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Optional

from . import (
    __version__,
    commands,
    completion,
    diff_command,
    enroll,
    file_commands,
    manual,
    no_room,
    preload,
    service,
    set_latest,
    status_command,
    surroundings,
)
from .errors import AgentError, Exit, Failed, PacmanGoesOn
from .hints import Hints
from .output import Output
from .parser import Parser
from .signals import Signals

EXITS = """exit statuses:
  0  done, or nothing to do          5  the server doesn't answer
  1  tried, and failed               6  another agent or pacman is at work
  2  wrong arguments                 7  something on this machine is wrong (or: not root)
  3  refused, nothing was changed    10 `diff --exit-code`, `verify`: there are differences
  4  not enrolled, or not allowed    128+N stopped by signal N before pacman started"""

NOTES = {
    "set-latest": "The endpoint needs the right to set targets; an operator gives it.",
    "enroll": "The code may also come from the environment, as PACSYNC_ENROLMENT_CODE.",
    "service": (
        "`install` writes units of systemd to /etc/systemd/system and a hook to pacman's directory of hooks, or takes\n"
        "those of the package, enables the service and starts it. `enroll` does it, too."
    ),
}

# name: (function, what it does, example, needs --wait)
COMMANDS: dict[str, tuple[Callable[[commands.Call], int], str, str, bool]] = {
    "enroll": (
        enroll.enroll,
        "make this machine known to a server, and keep the agent running",
        "sudo pacsync-agent enroll --server https://pacsync.lan --code psc_…\n"
        "  sudo pacsync-agent enroll --server https://pacsync.lan --code-file /root/code     (not seen in `ps`)",
        True,
    ),
    "service": (
        service.command,
        "keep the agent running, now and after each start of the machine; or no longer",
        "sudo pacsync-agent service install\n  sudo pacsync-agent service remove",
        False,
    ),
    "once": (
        commands.once,
        "report, and carry out what is queued for this machine",
        "sudo pacsync-agent once\n  sudo pacsync-agent once --report-only     (what the pacman hook does)",
        True,
    ),
    "run": (commands.run, "do `once` for ever (the service)", "sudo pacsync-agent run", False),
    "status": (
        status_command.status,
        "how this machine stands",
        "pacsync-agent status\n  pacsync-agent status --json\n  pacsync-agent status --waybar     (for waybar)",
        False,
    ),
    "diff": (
        diff_command.diff,
        "what a sync would change",
        "sudo pacsync-agent diff\n  sudo pacsync-agent diff --exit-code && echo in sync\n"
        "  sudo pacsync-agent diff --rehearse     (would it work?)",
        True,
    ),
    "sync": (
        file_commands.sync,
        "bring this machine to exactly the target of its pool",
        "sudo pacsync-agent sync\n  sudo pacsync-agent sync --repair     (and put back files that differ)\n"
        "  sudo pacsync-agent sync --config /mnt/etc/pacman.conf --root /mnt",
        True,
    ),
    "verify": (
        file_commands.verify,
        "compare the files of all packages with the packages",
        "sudo pacsync-agent verify\n  sudo pacsync-agent verify --checksums     (read every file)",
        True,
    ),
    "set-latest": (
        set_latest.set_latest,
        "make what this machine has the target of its pool",
        "sudo pacsync-agent set-latest --comment 'after the kernel update'",
        True,
    ),
    "revert": (commands.revert, "take the last sync of this machine back", "sudo pacsync-agent revert", True),
}


# What is printed from the parser alone: (what it makes of parser and arguments, what it does, example).
PRINTED: dict[str, tuple[Callable[[Parser, argparse.Namespace], str], str, str]] = {
    "completion": (
        lambda parser, arguments: completion.of(arguments.shell, parser),
        "print the completion for a shell",
        "pacsync-agent completion bash >/usr/share/bash-completion/completions/pacsync-agent",
    ),
    "manual": (
        lambda parser, arguments: manual.page(parser, EXITS),
        "print the man page",
        "pacsync-agent manual | man -l -",
    ),
}


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
    agent.add_argument("--server", metavar="URL", help="the PacSync server (kept by `enroll`)")
    agent.add_argument("--json", action="store_true", help="one JSON object a line, the last one is the result")
    agent.add_argument("--quiet", action="store_true", help="only results, warnings and errors")
    return common


def make_parser() -> Parser:
    common = _common()
    shape = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="pacsync-agent",
        description="Keeps this Arch Linux machine on the packages of its pool, with pacman.",
        epilog=EXITS,
        parents=[common],
        formatter_class=shape,
    )
    parser.add_argument("--version", action="version", version=f"pacsync-agent {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    described = {name: (text, example, waits) for name, (_, text, example, waits) in COMMANDS.items()}
    described.update({name: (text, example, False) for name, (_, text, example) in PRINTED.items()})
    for name, (text, example, waits) in described.items():
        epilog = "\n\n".join([*([NOTES[name]] if name in NOTES else []), f"example:\n  {example}", EXITS])
        command = subparsers.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=epilog,
            parents=[common],
            formatter_class=shape,
        )
        if waits:
            command.add_argument(
                "--wait", type=float, default=30, metavar="SECONDS", help="for another one at work (default: 30)"
            )
        _own_arguments(name, command)
    return parser


def _own_arguments(name: str, command: Parser) -> None:
    if name == "enroll":
        code = command.add_mutually_exclusive_group()
        code.add_argument("--code", help="an enrolment code of the server (psc_…)")
        code.add_argument("--code-file", metavar="FILE", help="a file with the code alone (- is the standard input)")
        command.add_argument("--name", help="the name of this machine (default: its host name)")
        command.add_argument("--force", action="store_true", help="even if it is enrolled already")
        command.add_argument("--no-service", action="store_true", help="don't keep the agent running")
    elif name == "service":
        command.add_argument("action", choices=("install", "remove"), help="install, or undo all of that")
    elif name == "once":
        command.add_argument("--report-only", action="store_true", help="carry nothing out")
    elif name == "status":
        command.add_argument("--waybar", action="store_true", help="JSON for a custom module of waybar")
    elif name == "diff":
        command.add_argument("--exit-code", action="store_true", help="exit status 10 when there are differences")
        command.add_argument(
            "--rehearse", action="store_true", help="download the packages, and try it on a copy of pacman's database"
        )
    elif name in {"sync", "revert"}:
        command.add_argument(
            "--force-remove",
            action="append",
            default=[],
            metavar="PACKAGE",
            help="remove it although this machine protects it (may be given several times)",
        )
        if name == "sync":
            command.add_argument("--repair", action="store_true", help="also reinstall packages whose files differ")
    elif name == "verify":
        command.add_argument(
            "--checksums", action="store_true", help="read every file, also where size and time are the package's"
        )
    elif name == "completion":
        command.add_argument("shell", choices=list(completion.SHELLS), help="the shell")
    elif name == "set-latest":
        command.add_argument("--comment", default="", help="why, for the history")
        command.add_argument(
            "--force",
            action="store_true",
            help="even from a package set that isn't sound; a new revision also when it is the target already",
        )


def _print(text: str) -> int:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # the reader went away
        sys.stderr.close()
        return int(Exit.FAILED)
    return int(Exit.OK)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command; its exit status. Every error is one sentence and what to do, never a traceback."""
    parser = make_parser()
    arguments = parser.parse(argv)
    if arguments.command in PRINTED:
        return _print(PRINTED[arguments.command][0](parser, arguments))
    output = Output(as_json=getattr(arguments, "json", False), quiet=getattr(arguments, "quiet", False))
    output.hints = Hints(arguments)
    signals = Signals()
    signals.install()
    try:
        surroundings.settle(arguments)
        preload.everything()
        return int(COMMANDS[arguments.command][0](commands.Call(arguments, output, signals)))
    except AgentError as error:
        output.error(error)
        return int(error.exit)
    except PacmanGoesOn as error:
        output.error(Failed("pacman_goes_on", str(error)))
        return 128 + int(signals.number or 0)
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        return int(Exit.FAILED)
    except OSError as error:
        output.error(no_room.as_agent_error(error))
        return int(Exit.LOCAL)
    finally:
        output.finish_line()
