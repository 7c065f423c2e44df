"""The JSON object of `status --waybar`, as waybar's custom module reads it. It must not send requests.

waybar takes text and tooltip as Pango's markup, so that they are escaped here.
"""

from __future__ import annotations

import html
from typing import Any

from ..errors import AgentError, Unavailable
from ..terminal.printable import several_lines
from . import render

OFFLINE, LEFT_TO_DO = "⏻", "↺"


def status(known: dict[str, Any]) -> dict[str, str]:
    """How the machine stands: text, tooltip, class."""
    name = str(known.get("status") or "unknown")
    changes = sum((known.get("difference") or {}).values())
    if name == "in_sync" and render.files_differ(known):
        return _module("≠", render.one_line(str(known.get("name")), known), "in-sync")
    in_sync = LEFT_TO_DO if render.has_left_to_do(known) else "✓"
    text = {"in_sync": in_sync, "offline": OFFLINE, "unknown": "?"}.get(name) or (str(changes) if changes else "↻")
    tooltip = render.one_line(str(known.get("name")), known)
    if changes:
        tooltip += f"\n{render.counts(known['difference'])}"
    return _module(text, tooltip, name.replace("_", "-"))


def stale_status(known: dict[str, Any], problem: AgentError) -> dict[str, str]:
    """The same for what the server last said: offline where it doesn't answer."""
    if not isinstance(problem, Unavailable):
        return status(known)
    return _module(OFFLINE, render.stale_status(known, problem.message.rstrip(".")), "offline")


def failure(error: AgentError) -> dict[str, str]:
    if isinstance(error, Unavailable):
        return _module(OFFLINE, error.message, "offline")
    return _module("!", error.message, "error")


def _module(text: str, tooltip: str, name: str) -> dict[str, str]:
    return {"text": text, "tooltip": html.escape(several_lines(tooltip), quote=False), "class": name}
