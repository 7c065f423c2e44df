"""The commands, one function each: what they do, what they say, their exit status. Arguments are parsed in cli.py."""

from __future__ import annotations

import argparse
import platform
import random
import re
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from . import (
    blocked,
    database_lock,
    files,
    lock_check,
    no_room,
    operation,
    pacman_conf,
    permission,
    render,
    report,
    running_hook,
    settings,
    verification,
    work,
)
from . import context as contexts
from .api import ApiError, Client, normalized
from .context import Context, only_agent
from .errors import (
    AgentError,
    Busy,
    Exit,
    Interrupted,
    Local,
    NotAuthorized,
    PacmanGoesOn,
    Refused,
    Unavailable,
)
from .output import Output
from .result import Ended
from .revision_seen import RevisionSeen
from .signals import Signals

INTERACTIVE_PATIENCE = 20  # seconds that a person waits for a server that doesn't answer
BACKGROUND_PATIENCE = 60
BUSY_PAUSE = 5  # seconds until `run` looks again whether it may work: a hook's report takes about one
LOOPBACK = re.compile(r"https?://(127\.|localhost\b|\[::1\])")


class Call:
    """One call of the command: its arguments, the machine it names, where it says things."""

    def __init__(self, arguments: argparse.Namespace, output: Output, signals: Signals) -> None:
        self.arguments = arguments
        self.output = output
        self.signals = signals
        given = {key: getattr(arguments, key, None) for key in settings.KEYS}
        self.options = settings.load_options(given, getattr(arguments, "agent_config", None))
        self.conf = pacman_conf.read(self.options.config, self.options.root, self.options.dbpath)
        if settings.names_machine(given) and not getattr(arguments, "agent_config", None):
            self.options = settings.of_machine(self.options, self.conf.root)
            output.hints.agent_config = str(settings.config_of_machine(self.conf.root))

    @property
    def state_dir(self) -> Path:
        return settings.state_dir(self.options, self.conf)

    def context(self, patience: float = INTERACTIVE_PATIENCE) -> Context:
        for word in permission.senseless(self.options.protect, self.conf):
            self.output.warn(f"protect has {word}, which is neither a role nor a package that is installed here.")
        return contexts.make_context(self.options, self.conf, self.output, self.signals, patience)


def enroll(call: Call) -> int:
    """Make this machine known to the server, and keep the token that it gives."""
    if not call.options.server:
        raise Local("server_missing", "Which server? Name it with --server http://HOST:PORT.")
    server = normalized(call.options.server)
    directory = call.state_dir
    if settings.credentials_path(directory).exists() and not call.arguments.force:
        known = settings.load_credentials(directory)
        raise Refused(
            "already_enrolled",
            f"This machine is enrolled already, as {known.name} at {known.server}.",
            "Enrol it anew with --force; the server keeps the old name until it is deleted there.",
        )
    settings.make_state_dir(directory)
    with only_agent(directory, wait=call.arguments.wait):
        answer = _ask_to_enroll(call, server)
        credentials = settings.Credentials(server, str(answer["id"]), answer["name"], answer["token"])
        settings.save_credentials(directory, credentials)
        files.remove(report.status_path(directory))
        files.remove(RevisionSeen(directory).path)  # it was another server's, or another pool's
        reported = _first_report(call)
    if server.startswith("http:") and not LOOPBACK.match(server):
        call.output.warn("This server is reached without TLS: whoever can read the network can read the token.")
    pool = f"pool {answer['pool']}" if answer["pool"] else "no pool yet"
    call.output.result(
        f"Enrolled as {answer['name']} at {server}, in {pool}. {reported}",
        command="enroll",
        name=answer["name"],
        server=server,
        pool=answer["pool"],
    )
    return Exit.OK


def _first_report(call: Call) -> str:
    """Report at once, so that the server knows the machine's packages; being enrolled doesn't depend on it."""
    try:
        report.check_in(call.context())
    except AgentError as error:
        return f"Its packages are not reported yet. {error.message} {error.hint or 'Then run `pacsync-agent once`.'}"
    except OSError as error:
        return (
            f"Its packages are not reported yet. {no_room.as_agent_error(error).message} Then run `pacsync-agent once`."
        )
    return "Its packages are reported."


def _ask_to_enroll(call: Call, server: str) -> dict[str, Any]:
    name = call.arguments.name or socket.gethostname().partition(".")[0]
    body = {"code": call.arguments.code, "name": name, "arch": _architecture(call.conf)}
    try:
        client = Client(server, stop=call.signals.stop, patience=INTERACTIVE_PATIENCE, proxy=call.options.proxy)
        return client.post("/enroll", body)
    except ApiError as error:
        hint = ""
        if error.code == "name_taken":
            hint = "Choose another one with --name, or delete that endpoint on the server."
        elif error.code == "enrolment_code_invalid":
            hint = "Create one on the server: on its page Enrol, or with `manage.py create_enrolment_code`."
        kind = NotAuthorized if error.status == 403 else Refused
        raise kind(error.code, error.detail, hint) from None


def _architecture(conf: pacman_conf.PacmanConf) -> str:
    return next((arch for arch in conf.architectures if arch != "auto"), platform.machine())


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
    is at work. The configuration is read anew."""
    context.conf = pacman_conf.read(call.options.config, call.options.root, call.options.dbpath)
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


def status(call: Call) -> int:
    """How this machine stands, as the server sees it; the last known answer where only root may ask."""
    waybar = call.arguments.waybar
    try:
        known, fresh = _status(call)
    except AgentError as error:
        if not waybar:
            raise
        call.output.raw_json(render.waybar_error(error))
        return Exit.OK
    if waybar:
        call.output.raw_json(render.waybar(known))
    else:
        call.output.result(render.status(known, fresh), command="status", fresh=fresh, **known)
    return Exit.OK


def _status(call: Call) -> tuple[dict[str, Any], bool]:
    try:
        context = call.context(3 if call.arguments.waybar else INTERACTIVE_PATIENCE)
        answer = {**context.client.get("/me"), "server": context.credentials.server}
        if context.transaction.is_running():
            hook = running_hook.of(context.transaction.output(), context.conf)
            answer["pacman"] = {"at_work": True, "hook": asdict(hook) if hook else None}
        return answer, True
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None
    except (Local, Unavailable) as error:
        kept = files.read_json(report.status_path(call.state_dir))
        if kept is None or error.code not in {"not_root", "state_dir_unusable", "server_unavailable"}:
            raise
        kept["age"] = max(0, int(time.time()) - int(kept.get("checked_in", 0)))
        return kept, False


def diff(call: Call) -> int:
    """What a sync would change."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        refuse_half_way(context)
        report.check_in(context)
    try:
        answer = context.client.get(f"/endpoints/{context.credentials.name}/diff")
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None
    call.output.result(render.diff(answer, context.problems), command="diff", **answer)
    return Exit.DIFFERENT if call.arguments.exit_code and not answer["equal"] else Exit.OK


def refuse_half_way(context: Context) -> None:
    """Raise Busy while there is a lock of pacman's: what is installed then may be half of something."""
    lock_check.check_unlocked(context.conf)


__all__ = ["diff", "enroll", "once", "operation", "revert", "run", "status", "sync"]
