"""The commands, one function each: what they do, what they say, their exit status. Arguments are parsed in cli.py."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any, Optional

from . import (
    blocked,
    database_lock,
    lock_check,
    no_room,
    operation,
    pacman_conf,
    pacman_conf_kept,
    permission,
    render,
    report,
    settings,
    verification,
    work,
)
from . import context as contexts
from .context import Context, only_agent
from .errors import (
    AgentError,
    Busy,
    Exit,
    Interrupted,
    NotAuthorized,
    PacmanGoesOn,
    Unavailable,
)
from .output import Output
from .result import Ended
from .signals import Signals

INTERACTIVE_PATIENCE = 20  # seconds that a person waits for a server that doesn't answer
BACKGROUND_PATIENCE = 60
BUSY_PAUSE = 5  # seconds until `run` looks again whether it may work: a hook's report takes about one


class Call:
    """One call of the command: its arguments, the machine it names, where it says things."""

    def __init__(self, arguments: argparse.Namespace, output: Output, signals: Signals) -> None:
        self.arguments = arguments
        self.output = output
        self.signals = signals
        given = {key: getattr(arguments, key, None) for key in settings.KEYS}
        self.options = settings.load_options(given, getattr(arguments, "agent_config", None))
        self.conf = self.read_conf()
        if settings.names_machine(given) and not getattr(arguments, "agent_config", None):
            self.options = settings.of_machine(self.options, self.conf.root)
            output.hints.agent_config = str(settings.config_of_machine(self.conf.root))

    def read_conf(self) -> pacman_conf.PacmanConf:
        """pacman's configuration as it is now. Raises Local."""
        options = self.options
        return pacman_conf_kept.read(options.config, options.root, options.dbpath, options.state_dir)

    @property
    def state_dir(self) -> Path:
        return settings.state_dir(self.options, self.conf)

    def context(self, patience: float = INTERACTIVE_PATIENCE) -> Context:
        waybar = getattr(self.arguments, "waybar", False)  # it takes one JSON object, and nothing beside it
        for word in permission.senseless(self.options.protect, self.conf) if not waybar else ():
            self.output.warn(f"protect has {word}, which is neither a role nor a package that is installed here.")
        return contexts.make_context(self.options, self.conf, self.output, self.signals, patience)


def once(call: Call) -> int:
    """Report, and carry out what is queued for this machine; a quiet no-op while another agent is at work."""
    context = call.context()
    if report.another_pacman(context) and not context.transaction.is_running():
        # Asked for by a hook, as a rule: that pacman holds its lock until all of its hooks are done.
        database_lock.wait_until_free(context.conf.dbpath, call.arguments.wait)
    try:
        with only_agent(context.state_dir, wait=0):
            if not call.arguments.report_only:
                work.wait_for_own_pacman(context, call.arguments.wait)
            answer, ended = _step(context, may_work=not call.arguments.report_only)
    except Busy as error:
        call.output.line(error.message)
        call.output.result("", command="once", busy=True)
        return Exit.OK
    if ended:
        return render.ended(call.output, "once", ended)
    said = {**answer, "problems": context.problems}
    known = {**render.checked_in(answer), **({"busy": True} if context.blocked else {})}
    call.output.result(render.one_line(context.credentials.name, said), command="once", **known)
    return Exit.OK


def _step(context: Context, *, may_work: bool) -> tuple[dict[str, Any], Optional[Ended]]:
    """One round: finish what was begun, report, do what is queued; the server's answer and what was done."""
    in_hook = report.in_hook(context)
    unfinished = context.journal.load()
    if in_hook and unfinished:
        raise Busy("operation_unfinished", "An operation is unfinished: the machine is reported when it is over.")
    # Asked before the lock: our own pacman may end between the two questions, and its lock is not another's.
    ours_at_work = unfinished and context.transaction.is_running()
    if report.another_pacman(context) and not ours_at_work:
        raise Busy("database_locked", "Another pacman is at work: this machine reports when it is done.")
    ended = blocked.resume(context) if may_work and not in_hook else None
    if not unfinished and not in_hook:
        work.remove_leftovers(context)
    if unfinished and not may_work:
        raise Busy("operation_unfinished", "An operation is unfinished: `pacsync-agent once` finishes it.")
    answer = report.check_in(context, background=True)
    queued = answer.get("operation")
    if queued and may_work and not in_hook and ended is None and not context.blocked:
        ended = work.execute_queued(context, queued)
    return answer, ended


def run(call: Call) -> int:
    """Report and work for ever, at the pace that the server asks for, until a signal comes."""
    context = call.context(BACKGROUND_PATIENCE)
    context.client.waits_for_name = True
    call.output.line(f"Reporting {context.credentials.name} to {context.credentials.server}.")
    poll, failures, said, asked_to_wait = 60.0, 0, "", 0.0
    try:
        while not call.signals.stop.is_set():
            busy, asked_to_wait = False, 0.0
            try:
                asked = _round(call, context)
                busy, poll = asked is None, asked or poll
                if failures:
                    call.output.line("The server answers again.")
                failures, said = 0, ""
            except (Interrupted, NotAuthorized):
                raise
            except AgentError as error:
                failures += isinstance(error, Unavailable)
                asked_to_wait = error.after if isinstance(error, Unavailable) else 0.0
                said = _say_once(call, error, said)
            except OSError as error:  # a full disk, as a rule: the next round may find room
                said = _say_once(call, no_room.as_agent_error(error, (context.state_dir,)), said)
            delay = min(poll * 2 ** min(failures, 3), 600) if failures else min(poll, BUSY_PAUSE) if busy else poll
            call.signals.stop.wait(max(delay * random.uniform(0.9, 1.1), asked_to_wait))  # noqa: S311 - jitter
    except Interrupted:
        pass
    except PacmanGoesOn as error:
        call.output.line(str(error))
    call.output.line("Stopped.")
    return Exit.OK


def _say_once(call: Call, error: AgentError, said: str) -> str:
    """Say it, unless it was the last thing that was said; what is the last thing now."""
    if error.message != said:
        call.output.error(error)
    return error.message


def _round(call: Call, context: Context) -> Optional[float]:
    """One round of `run`; how many seconds until the next, as the server wishes, or None while another agent or pacman
    is at work. The configuration is read again."""
    context.conf = call.read_conf()
    try:
        with only_agent(context.state_dir, wait=0):
            answer, ended = _step(context, may_work=True)
    except Busy as error:
        blocked.say_once(context, error)
        return None
    if ended:
        render.ended(call.output, "run", ended)
    return float(answer["poll_seconds"])


def sync(call: Call, *, last: bool = True) -> int:
    """Bring this machine to the target of its pool. `last`: nothing follows in this command."""
    return _operate(call, "sync", "Already in sync: nothing to do.", last=last)


def revert(call: Call) -> int:
    """Take the last sync of this machine back."""
    return _operate(call, "revert", "Nothing to take back: the machine is where it was.")


def _operate(call: Call, kind: str, nothing: str, *, last: bool = True) -> int:
    context = call.context()
    context.force_remove = tuple(call.arguments.force_remove)
    with only_agent(context.state_dir, wait=call.arguments.wait), work.given_back(context):
        began = work.resume(context, give_back=True)
        if began:
            render.ended(call.output, kind, began, last=False)
            if began.kind == kind:
                return render.exit_of(began)
        ended = work.execute(context, kind)
    if ended is None and not last:
        return Exit.OK
    if ended is None:
        for problem in verification.among(context.problems):
            call.output.warn(problem["text"])
        call.output.result(nothing, command=kind, status="unchanged", operation=None)
        return Exit.OK
    return render.ended(call.output, kind, ended, last=last)


def refuse_half_way(context: Context) -> None:
    """Raise Busy while there is a lock of pacman's: what is installed then may be half of something."""
    lock_check.check_unlocked(context.conf)


def refuse_unfinished(context: Context) -> None:
    """Raise Busy while an earlier run has left an operation."""
    if context.journal.load():
        raise Busy(
            "operation_unfinished", "An operation of this machine is not finished.", "Run `pacsync-agent once` first."
        )


__all__ = ["once", "operation", "revert", "run", "sync"]
