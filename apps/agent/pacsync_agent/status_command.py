"""The command `status`: how this machine stands, also for people who aren't root and while the server is away.

It must not know how the server comes to its answer.
"""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import asdict
from typing import Any, Optional

from . import render, running_hook, status_file
from .api import ApiError
from .commands import Call
from .context import Context
from .errors import AgentError, Exit, Local, Unavailable

ANSWER = 2.0  # seconds that the server has: with the start of Python, `status` is done within three
STALE = {"not_root", "state_dir_unusable"}
"""Codes of what keeps this process from asking the server, where what it said last is an answer as well."""


def status(call: Call) -> int:
    """How this machine stands, as the server sees it; what it said last where it can't be asked."""
    waybar = call.arguments.waybar
    try:
        known, problem = _known(call)
    except AgentError as error:
        if not waybar:
            raise
        call.output.raw_json(render.waybar_error(error))
        return Exit.OK
    if waybar:
        call.output.raw_json(render.waybar_stale(known, problem) if problem else render.waybar(known))
        return Exit.OK
    if problem is None:
        call.output.result(render.status(known), command="status", fresh=True, **known)
        return Exit.OK
    why = "only root may ask the server" if _needs_root(problem) else problem.message.rstrip(".")
    said = {"code": problem.code, "message": problem.message}
    call.output.result(render.stale_status(known, why), command="status", fresh=False, reason=said, **known)
    return Exit.UNAVAILABLE if isinstance(problem, Unavailable) else Exit.OK


def _needs_root(problem: AgentError) -> bool:
    return problem.code == "not_root" or (problem.code in STALE and os.geteuid() != 0)


def _known(call: Call) -> tuple[dict[str, Any], Optional[AgentError]]:
    """What is known, and why it is only what the server said last (None: it was asked). Raises AgentError."""
    try:
        context = call.context(ANSWER)
        answer = {**_asked(context), "server": context.credentials.server}
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


def _asked(context: Context) -> dict[str, Any]:
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
