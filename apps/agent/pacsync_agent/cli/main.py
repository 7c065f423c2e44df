"""The entry point: parses the command line, runs one command, and gives its exit status.

It must not know what the commands do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from ..errors import AgentError, Exit, Failed, HealthChecksStopped, PacmanGoesOn
from ..system import disk_full, preload, process_environment
from ..system.signals import Signals
from ..terminal.hints import Hints
from ..terminal.output import Output
from .arguments import make_parser
from .call import Call
from .command import Command
from .command_list import COMMANDS


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command; its exit status. Every error is one sentence and what to do, never a traceback."""
    parser = make_parser(COMMANDS)
    arguments = parser.parse(argv)
    command = next(one for one in COMMANDS if one.name == arguments.command)
    return _print(command.text(parser, arguments)) if command.text else _run(command, arguments)


def _print(text: str) -> int:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # the reader went away
        sys.stderr.close()
        return int(Exit.FAILED)
    return int(Exit.OK)


def _run(command: Command, arguments: argparse.Namespace) -> int:
    assert command.run  # noqa: S101 - what prints nothing runs
    output = Output(as_json=getattr(arguments, "json", False), quiet=getattr(arguments, "quiet", False))
    output.hints = Hints(arguments)
    signals = Signals()
    signals.install()
    try:
        process_environment.settle(arguments)
        preload.everything()
        return int(command.run(Call(arguments, output, signals, needs_root=command.needs_root(arguments))))
    except AgentError as error:
        output.error(error)
        return int(error.exit)
    except PacmanGoesOn as error:
        output.error(Failed("pacman_goes_on", str(error)))
        return 128 + int(signals.number or 0)
    except HealthChecksStopped as error:
        output.error(Failed("health_check_stopped", str(error)))
        return 128 + int(signals.number or 0)
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        return int(Exit.FAILED)
    except OSError as error:
        output.error(disk_full.as_agent_error(error))
        return int(Exit.LOCAL)
    finally:
        output.finish_line()
