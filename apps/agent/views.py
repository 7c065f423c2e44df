"""Hands out the agent as one file, with its digest. It must not know what the agent does."""

import base64
import hashlib
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import condition, require_safe

from . import build


@cache
def agent_file() -> bytes:
    """The agent, built once in each process."""
    return build.build()


@cache
def agent_sha256() -> bytes:
    return hashlib.sha256(agent_file()).digest()


def _etag(request: HttpRequest) -> str:
    return f'"{agent_sha256().hex()}"'


@require_safe
@condition(etag_func=_etag)
def agent(request: HttpRequest) -> HttpResponse:
    """The file `pacsync-agent`. Its digest is in Repr-Digest (RFC 9530) and is the ETag."""
    digest = base64.b64encode(agent_sha256()).decode()
    headers = {
        "Content-Disposition": 'attachment; filename="pacsync-agent"',
        "Cache-Control": "no-cache",  # ask each time: after an upgrade of the server it is another file
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    return HttpResponse(agent_file(), content_type="application/zip", headers=headers)


@require_safe
def agent_checksum(request: HttpRequest) -> HttpResponse:
    """What `sha256sum -c` reads."""
    text = f"{agent_sha256().hex()}  pacsync-agent\n"
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})
