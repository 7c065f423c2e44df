"""`status`: the status of this machine, even without root or while the server doesn't answer.

It must not know how the server works that out.
"""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import asdict
from typing import Any, Optional

from ...context import Context
from ...errors import AgentError, Exit, Local, Unavailable
from ...pacman import running_hook
from ...server import status_file
from ...server.client import ApiError
from ...trust import signed_revision
from .. import render, waybar
from ..call import Call
from ..command import Command
from ..parser import Parser

ANSWER = 2.0  # seconds that the server has: with the start of Python, `status` is done within three
STALE = {"not_root", "read_only", "state_dir_unusable"}
"""Codes of errors that keep this process from asking the server: what it said last is shown instead."""


def status(call: Call) -> int:
    """How this machine stands, as the server sees it, or as it last said; the exit status."""
    as_waybar = call.arguments.waybar
    try:
        known, problem = _known(call)
    except AgentError as error:
        if not as_waybar:
            raise
        call.output.raw_json(waybar.failure(error))
        return Exit.OK
    if as_waybar:
        call.output.raw_json(waybar.stale_status(known, problem) if problem else waybar.status(known))
        return Exit.OK
    known = {**known, "signing": _signing(call)}
    if problem is None:
        call.output.result(render.status(known), command="status", fresh=True, **known)
        return Exit.OK
    why = "only root may ask the server" if _needs_root(problem) else problem.message.rstrip(".")
    said = {"code": problem.code, "message": problem.message}
    call.output.result(render.stale_status(known, why), command="status", fresh=False, reason=said, **known)
    return Exit.UNAVAILABLE if isinstance(problem, Unavailable) else Exit.OK


def _signing(call: Call) -> Optional[dict[str, Any]]:
    """The keys that this machine trusts, and the last accepted revision; None where it trusts none."""
    try:
        return signed_revision.report(call.state_dir)
    except AgentError as error:
        return {"keys": [], "pool": None, "accepted": None, "problem": error.code, "message": error.message}


def _needs_root(problem: AgentError) -> bool:
    return problem.code == "not_root" or (problem.code in STALE and os.geteuid() != 0)


def _known(call: Call) -> tuple[dict[str, Any], Optional[AgentError]]:
    """What is known, and why the server wasn't asked (None: it was). Raises AgentError."""
    try:
        context = call.context(ANSWER)
        answer = {**ask_server(context), "server": context.credentials.server}
        if context.transaction.is_running():
            hook = running_hook.of(context.transaction.output(), context.conf)
            answer["pacman"] = {"at_work": True, "hook": asdict(hook) if hook else None}
        return answer, None
    except ApiError as error:
        raise error.as_agent_error(context.credentials.name) from None
    except (Local, Unavailable) as error:
        kept = status_file.load(call.state_dir)
        if kept is None or not (isinstance(error, Unavailable) or error.code in STALE):
            raise
        return kept, error


def ask_server(context: Context) -> dict[str, Any]:
    """The server's answer. Raises ApiError, AgentError: Unavailable after ANSWER seconds, whatever takes so long.

    Asked in a thread, because nothing ends the resolver when it waits for a name server that is gone.
    """
    client = context.client
    client.timeout = ANSWER
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(client.request("GET", "/me", patience=ANSWER / 2))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="status", daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER)
    except queue.Empty:
        text = f"The server {client.server} doesn't answer: no answer within {ANSWER:.0f} s."
        raise Unavailable("server_unavailable", text, "Check the address and the network.") from None
    if isinstance(answer, Exception):
        raise answer
    found: dict[str, Any] = answer
    return found


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("--waybar", action="store_true", help="JSON for a custom module of waybar")


COMMAND = Command(
    name="status",
    help="show the status of this machine",
    examples=(
        "pacsync-agent status",
        "pacsync-agent status --json",
        "pacsync-agent status --waybar     (for waybar)",
    ),
    run=status,
    add_arguments=_add_arguments,
)
