"""The JSON object of `status --waybar`, as waybar's custom module reads it. It must not send requests."""

from __future__ import annotations

from typing import Any

from ..errors import AgentError, Unavailable
from . import render

OFFLINE, LEFT_TO_DO = "⏻", "↺"


def status(known: dict[str, Any]) -> dict[str, str]:
    """How the machine stands: text, tooltip, class."""
    name = str(known.get("status") or "unknown")
    changes = sum((known.get("difference") or {}).values())
    if name == "in_sync" and render.files_differ(known):
        return {"text": "≠", "tooltip": render.one_line(str(known.get("name")), known), "class": "in-sync"}
    in_sync = LEFT_TO_DO if render.has_left_to_do(known) else "✓"
    text = {"in_sync": in_sync, "offline": OFFLINE, "unknown": "?"}.get(name) or (str(changes) if changes else "↻")
    tooltip = render.one_line(str(known.get("name")), known)
    if changes:
        tooltip += f"\n{render.counts(known['difference'])}"
    return {"text": text, "tooltip": tooltip, "class": name.replace("_", "-")}


def stale_status(known: dict[str, Any], problem: AgentError) -> dict[str, str]:
    """The same for what the server last said: offline where it doesn't answer."""
    if not isinstance(problem, Unavailable):
        return status(known)
    return {"text": OFFLINE, "tooltip": render.stale_status(known, problem.message.rstrip(".")), "class": "offline"}


def failure(error: AgentError) -> dict[str, str]:
    if isinstance(error, Unavailable):
        return {"text": OFFLINE, "tooltip": error.message, "class": "offline"}
    return {"text": "!", "tooltip": error.message, "class": "error"}
