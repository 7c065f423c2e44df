"""Which body a request announces, and how large it may be: by its route, and by whether it shows who sends it.

It must not know what a route does; the apps name those that take more or less than `DATA_UPLOAD_MAX_MEMORY_SIZE`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

Refusal = tuple[int, str, str]
"""Status, code and detail (apps/lifecycle/refusals.py)."""
Ask = Callable[[dict[str, Any]], Refusal | None]
ASKED = ("AUTHORIZATION", "COOKIE", "X-FORWARDED-FOR")  # headers that say who sends it

_limits: list[tuple[str, str, int]] = []
_anonymous: list[str] = []
_ask: list[Ask] = []


def allow(method: str, prefix: str, limit: int) -> None:
    """Requests with this method and a path that begins with `prefix` may have bodies of `limit` bytes."""
    _limits.append((method, prefix, limit))


def anonymous(prefix: str) -> None:
    """Paths that begin with `prefix` serve strangers: their bodies are short, whoever asks."""
    _anonymous.append(prefix)


def ask_with(ask: Ask) -> None:
    """Have `ask` look at the WSGI environment of a request with a large body: it says who must not send it.

    It is called in a thread, and may ask the database.
    """
    _ask.append(ask)


@dataclass(frozen=True)
class Announced:
    """What a head says of its body. `length` is None when it is chunked."""

    method: str
    path: str
    length: int | None
    limit: int
    expects: bool
    who: tuple[tuple[str, str], ...] = ()

    @property
    def is_large(self) -> bool:
        """Whether only somebody whom we know may send it."""
        return (self.length or 0) > settings.REQUEST_ANONYMOUS_BODY_LIMIT


def announced(cfg: Any, head: bytes, client: Any, number: int) -> Announced | None:
    """What gunicorn's own parser reads out of a complete head; None when it refuses it."""
    try:
        request = Request(cfg, IterUnreader(iter([head])), client, number)
    except (ParseException, OSError, ValueError, StopIteration):
        return None
    reader = request.body.reader
    length = None if isinstance(reader, ChunkedReader) else int(reader.length)
    limit = limit_of(request.method, request.path, shows_who=_shows_who(request.headers))
    who = tuple((name, value) for name, value in request.headers if name in ASKED)
    return Announced(request.method, request.path, length, limit, request._expected_100_continue, who)


def refusal_of(found: Announced, client: Any) -> Refusal | None:
    """Why the client (its socket address) must not send this body; None when it may."""
    environ: dict[str, Any] = {"REQUEST_METHOD": found.method, "PATH_INFO": found.path, "wsgi.input": BytesIO()}
    environ["REMOTE_ADDR"] = client[0] if isinstance(client, tuple) else ""
    environ |= {f"HTTP_{name.replace('-', '_')}": value for name, value in found.who}
    return next((refusal for ask in _ask if (refusal := ask(environ))), None)


def limit_of(method: str, path: str, *, shows_who: bool) -> int:
    """Bytes that a body may have. Whether a token or session is valid is the application's to say."""
    if not shows_who or any(path.startswith(prefix) for prefix in _anonymous):
        return int(settings.REQUEST_ANONYMOUS_BODY_LIMIT)
    for one, prefix, limit in _limits:
        if one == method and path.startswith(prefix):
            return limit
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or settings.REQUEST_ANONYMOUS_BODY_LIMIT)


def _shows_who(headers: list[tuple[str, str]]) -> bool:
    session = f"{settings.SESSION_COOKIE_NAME}="
    return any(name == "AUTHORIZATION" or (name == "COOKIE" and session in value) for name, value in headers)
