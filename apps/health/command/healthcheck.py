"""The `healthcheck` command: one attempt after another, and the line that it prints. Standard library only.

`manage.py` comes here before it loads Django: a container runs this every few seconds, and anything broken in the
settings must be reported as a sentence. Only `apps.health.command.local` (the configuration itself) loads Django.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from typing import IO

from apps.health.command import options, remote
from apps.health.command.exit_codes import READY, UNDETERMINED, Result, bounded, result
from apps.lifecycle.printable import one_line
from apps.lifecycle.streams import standard_output

PAUSE = 0.5  # seconds between two attempts of --wait


def one_try(given: argparse.Namespace) -> Result:
    if given.url is None:
        from apps.health.command import local

        return local.check(component=given.component, timeout=given.timeout)
    after = f"No answer within {given.timeout:g} s."
    return bounded(lambda: remote.ask(given), given.timeout, lambda: result(UNDETERMINED, after, reason="no_answer"))


def run(given: argparse.Namespace, output: IO[str] | None = None) -> int:
    """Try, repeatedly while --wait lasts, and print the last result. Returns the exit code."""
    deadline = time.monotonic() + given.wait
    found = one_try(given)
    while found["exit_code"] != READY and time.monotonic() + PAUSE < deadline:
        time.sleep(PAUSE)
        found = one_try(given)
    if given.format == "json":
        text = json.dumps(found)
    else:
        reason = f" ({found['reason']})" if found.get("reason") else ""
        # One line, whatever an unknown server says.
        text = one_line(f"{found['status'].replace('_', ' ')}{reason}: {found['message']}")
    print(text, file=output or sys.stdout, flush=True)
    return int(found["exit_code"])


def main(arguments: Sequence[str]) -> int:
    """Run the command with these arguments. Returns the exit code; SystemExit for --help and unknown options."""
    given = options.parser().parse_args(arguments)
    try:
        return run(given)
    except Exception as error:  # the edge: Python's own exit code is 1, which means something else here
        text = f"undetermined: {type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            print(one_line(text), file=sys.stderr, flush=True)
        return UNDETERMINED
    finally:
        standard_output.abandon()
