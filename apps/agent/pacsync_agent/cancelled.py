"""Whether an operator cancelled an operation that this agent had. It must not know how operations are carried out."""

from __future__ import annotations

from .api import ApiError, Client
from .errors import AgentError, Refused


def check(client: Client, operation: str) -> None:
    """Raise Refused (`cancelled`) when somebody did: then it mustn't be made again. Nothing if the server can't say."""
    try:
        answer = client.get(f"/operations/{operation}")
    except (ApiError, AgentError):
        return
    if answer["status"] == "cancelled" and (answer.get("result") or {}).get("code") == "cancelled":
        raise Refused(
            "cancelled",
            "The operation was cancelled on the server before pacman was started; nothing was changed.",
            "Run the command again if it is wanted all the same.",
        )
