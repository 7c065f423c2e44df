"""Whether an operator cancelled an operation of this agent. It must not know how operations are carried out."""

from __future__ import annotations

from ..errors import AgentError, Refused
from ..server.client import ApiError, Client


def check(client: Client, operation: str) -> None:
    """Raise Refused (`cancelled`) if so: then it mustn't be made again. No answer from the server counts as no."""
    try:
        answer = client.get(f"/operations/{operation}")
    except (ApiError, AgentError):
        return
    if answer["status"] == "cancelled" and (answer.get("result") or {}).get("code") == "cancelled":
        raise Refused(
            "cancelled",
            "The operation was cancelled on the server before pacman was started; nothing was changed.",
            "Run the command again if you still want it.",
        )
