"""The command `diff`: what a sync would change, and with --rehearse whether it would work. It must not change anything.

A rehearsal downloads the packages into the cache, as a sync does, and leaves them there for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from apps.fleet.alpm.state import InstalledPackage

from . import permission, recovery, render, report, transaction
from .api import ApiError
from .commands import Call, refuse_half_way, refuse_unfinished
from .context import Context, only_agent
from .errors import Exit
from .local_db import Installed
from .make_machine import machine_of

REHEARSED = "Rehearsed: all packages are here, and on a copy of the package database pacman comes to exactly this."


def diff(call: Call) -> int:
    """What a sync would change; with --rehearse it is tried on a copy of the package database."""
    context, rehearse = call.context(), call.arguments.rehearse
    if rehearse:
        transaction.needs_root(os.geteuid())
    with only_agent(context.state_dir, wait=call.arguments.wait):
        refuse_half_way(context)
        if rehearse:
            refuse_unfinished(context)
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
    """The server's answer; `fetch`: with what it says of package files, if it knows that question."""
    query = "?fetch=true" if fetch else ""
    try:
        return context.client.get(f"/endpoints/{context.credentials.name}/diff{query}")
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None


def _rehearse(context: Context, answer: Mapping[str, Any]) -> None:
    """Gather the packages and do it on a copy of the database. Raises AgentError with why it can't be done."""
    report.check_databases(context)
    transaction.check_entries(context.conf)
    machine = machine_of(context, answer.get("fetch") or ())
    installed = machine.installed()
    held, groups = report.holds(context, installed), context.conf.ignore_groups
    goal = _goal(installed, answer["changes"])
    permit = permission.of(context.conf, context.state_dir, context.protect, ())
    try:
        machine.prepare(goal, held=held, ignored_groups=groups, permit=permit)
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
