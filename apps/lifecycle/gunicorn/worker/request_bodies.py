"""Which body a request announces, as gunicorn's own parser reads its head. It must not know what a route allows.

Reason: gunicorn calls the application before the body has arrived, so nothing decides earlier which bodies are taken.
Remove with whole_requests.py. The limits stay: they are rules of PacSync (apps/lifecycle/wsgi/body_limits.py).
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from apps.lifecycle.wsgi import body_limits

SENDER_HEADERS = ("AUTHORIZATION", "COOKIE", "X-FORWARDED-FOR")  # those that say who sends the request


@dataclass(frozen=True)
class Announced:
    """What a head says about its body. `length` is in bytes, None for a chunked body; `limit` is how long it may be."""

    method: str
    path: str
    length: int | None
    limit: int
    expects: bool
    sender_headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether only a known sender may send it."""
        return (self.length or 0) > settings.REQUEST_ANONYMOUS_BODY_LIMIT


def announced(cfg: Any, head: bytes, client: Any, number: int) -> Announced | None:
    """What gunicorn's parser finds in a complete head; None if it refuses the head."""
    try:
        request = Request(cfg, IterUnreader(iter([head])), client, number)
    except (ParseException, OSError, ValueError, StopIteration):
        return None
    reader = request.body.reader
    length = None if isinstance(reader, ChunkedReader) else int(reader.length)
    shows_sender = body_limits.shows_sender(request.headers)
    limit = body_limits.limit_of(request.method, request.path, shows_sender=shows_sender)
    sender_headers = tuple((name, value) for name, value in request.headers if name in SENDER_HEADERS)
    return Announced(request.method, request.path, length, limit, request._expected_100_continue, sender_headers)


def refusal_of(found: Announced, client: Any) -> body_limits.Refusal | None:
    """Why the client (its socket address) must not send this body; None if it may."""
    environ: dict[str, Any] = {"REQUEST_METHOD": found.method, "PATH_INFO": found.path, "wsgi.input": BytesIO()}
    environ["REMOTE_ADDR"] = client[0] if isinstance(client, tuple) else ""
    environ |= {f"HTTP_{name.replace('-', '_')}": value for name, value in found.sender_headers}
    return body_limits.refusal_of(environ)
