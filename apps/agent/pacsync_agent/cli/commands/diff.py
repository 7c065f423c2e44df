"""`diff`: what a sync would change, and with --rehearse whether it would work. It must not change anything.

A rehearsal downloads the packages into the cache, as a sync does, and leaves them there for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apps.fleet.alpm.state import InstalledPackage

from ...checkin import report
from ...context import Context, only_agent
from ...databases.local_db import Installed
from ...errors import Exit
from ...operation import recovery
from ...pacman import lock_check
from ...protection import permission
from ...server.client import ApiError
from ...transaction import keyring_first, preconditions
from ...transaction.machine_factory import machine_of
from .. import render
from ..call import Call
from ..command import Command
from ..parser import Parser

REHEARSED = "Rehearsed: all packages are here, and on a copy of the package database pacman comes to exactly this."


def diff(call: Call) -> int:
    """What a sync would change; with --rehearse it is tried on a copy of the package database."""
    context, rehearse = call.context(), call.arguments.rehearse
    with only_agent(context.state_dir, wait=call.arguments.wait):
        lock_check.check_unlocked(context.conf)
        if rehearse:
            context.journal.check_closed()
        report.check_in(context)
        answer = _ask(context, fetch=rehearse)
        text = render.diff(answer, context.problems)
        rehearsed = rehearse and not answer["equal"]
        if rehearsed:
            if not call.output.as_json:
                call.output.line(text)
            _rehearse(context, answer)
            text = REHEARSED
    fetch = answer.pop("fetch", None)
    call.output.result(text, command="diff", rehearsed=rehearsed, files=len(fetch or ()), **answer)
    return Exit.DIFFERENT if call.arguments.exit_code and not answer["equal"] else Exit.OK


def _ask(context: Context, *, fetch: bool) -> dict[str, Any]:
    """The server's answer; `fetch`: with what it says about package files, if it knows that question."""
    query = "?fetch=true" if fetch else ""
    try:
        return context.client.get(f"/endpoints/{context.credentials.name}/diff{query}")
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None


def _rehearse(context: Context, answer: Mapping[str, Any]) -> None:
    """Gather the packages and do it on a copy of the database. Raises AgentError with why it can't be done."""
    report.check_databases(context)
    preconditions.check_entries(context.conf)
    machine = machine_of(context, answer.get("fetch") or ())
    installed = machine.installed()
    held, groups = report.holds(context, installed), context.conf.ignore_groups
    goal = _goal(installed, answer["changes"])
    permit = permission.of(context.conf, context.state_dir, context.protect, ())
    try:
        keyring_first.prepare(machine, goal, held=held, ignored_groups=groups, permit=permit)
    finally:
        recovery.remove_rehearsal(context)


def _goal(installed: Installed, changes: Iterable[Mapping[str, Any]]) -> list[InstalledPackage]:
    """What is installed, with these changes."""
    goal = {name: package.as_installed() for name, package in installed.items()}
    for change in changes:
        goal.pop(change["name"], None)
        after = change["to"]
        if after:
            goal[change["name"]] = InstalledPackage(change["name"], after["version"], after["arch"], after["reason"])
    return list(goal.values())


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("--exit-code", action="store_true", help="exit status 10 when there are differences")
    parser.add_argument(
        "--rehearse", action="store_true", help="download the packages, and try it on a copy of pacman's database"
    )


COMMAND = Command(
    name="diff",
    help="what a sync would change",
    examples=(
        "sudo pacsync-agent diff",
        "sudo pacsync-agent diff --exit-code && echo in sync",
        "sudo pacsync-agent diff --rehearse     (would it work?)",
    ),
    run=diff,
    add_arguments=_add_arguments,
    waits=True,
    needs_root=lambda arguments: bool(arguments.rehearse),
)
