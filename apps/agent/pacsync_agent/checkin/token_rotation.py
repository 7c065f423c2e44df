"""Gives this machine a new token, at any moment with one on its disk that works. It must not know who asks for it.

The agent makes the token. It keeps both in its credentials, tells the server the hash of the new one, and uses it; with
that the old one becomes invalid. Then it forgets the old one. Where it dies in between, the file has both, and the
client takes the one that the server knows (`Client.kept_tokens`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets

from .. import settings
from ..context import Context
from ..errors import AgentError, NotAuthorized, Refused
from ..server.client import ApiError, Client

PREFIX = "pse_"
UNKNOWN = {404, 405}  # an older server has no such request


def rotate(context: Context) -> None:
    """Change to a new token, or to the one that an earlier run prepared. The caller is the only agent.

    Raises Refused (the machine keeps its token), Unavailable (a later run finishes it), NotAuthorized.
    """
    _reload(context)
    if context.credentials.next_token:
        _change(context, prepared=True)
        return
    new = PREFIX + secrets.token_urlsafe(32)
    _keep(context, dataclasses.replace(context.credentials, next_token=new))
    _change(context, prepared=False)


def finish(context: Context) -> None:
    """Finish what an earlier run began; warn where the server refuses it. Raises Unavailable, NotAuthorized."""
    _reload(context)
    if context.credentials.next_token:
        _warned(context)


def _reload(context: Context) -> None:
    """Take what another agent of this machine may have made of the token since this one was started."""
    now, known = settings.load_credentials(context.state_dir), context.credentials
    if (now.server, now.id) == (known.server, known.id):
        context.credentials = now


def rotate_as_asked(context: Context) -> None:
    """Change to a new token because the server asks for it; warn where that can't be done now."""
    try:
        _warned(context)
    except AgentError as error:
        if isinstance(error, NotAuthorized):
            raise
        context.output.warn(f"The token isn't rotated yet. {error.message}")


def _warned(context: Context) -> None:
    try:
        rotate(context)
        context.output.line(f"{context.credentials.name} has a new token.")
    except Refused as error:
        context.output.warn(f"The token stays as it is. {error.message}")


def _change(context: Context, *, prepared: bool) -> None:
    """`prepared`: the server may know the new token, so that is tried first."""
    credentials = context.credentials
    new = context.client.with_token(credentials.next_token)
    try:
        if not (prepared and _is_known(new)):
            _prepare(context)
            new.get("/me")
    except ApiError as error:
        if error.status != 401:
            _keep(context, dataclasses.replace(credentials, next_token=""))
        if error.status in UNKNOWN:
            said = "The server is older than this agent: it can't rotate a token on request."
            raise Refused("server_older", said, "Upgrade the server.") from None
        raise error.as_agent_error(credentials.name) from None
    _keep(context, dataclasses.replace(credentials, token=credentials.next_token, next_token=""))
    context.client.token = context.credentials.token


def _is_known(client: Client) -> bool:
    """Whether the server knows the client's token. Raises ApiError, Unavailable."""
    try:
        client.get("/me")
    except ApiError as error:
        if error.status == 401:
            return False
        raise
    return True


def _prepare(context: Context) -> None:
    digest = hashlib.sha256(context.credentials.next_token.encode()).hexdigest()
    context.client.put("/me/token", {"token_hash": digest})


def _keep(context: Context, credentials: settings.Credentials) -> None:
    settings.save_credentials(context.state_dir, credentials)
    context.credentials = credentials
