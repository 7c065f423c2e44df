"""How many bytes a request's body may have: by its route, and by whether the request shows who sends it.

It must not know what a route does or which server reads the body: apps register the routes whose bodies may be larger
or must be shorter than DATA_UPLOAD_MAX_MEMORY_SIZE.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

Refusal = tuple[int, str, str]
"""Status, code and detail of the answer to a request whose body isn't taken."""
SenderCheck = Callable[[dict[str, Any]], Refusal | None]


@dataclass
class _State:
    limits: list[tuple[str, str, int]] = field(default_factory=list)  # method, prefix of the path, bytes
    short: list[str] = field(default_factory=list)  # prefixes of paths
    checks: list[SenderCheck] = field(default_factory=list)


_state = _State()


def allow(method: str, prefix: str, limit: int) -> None:
    """Requests with this method and a path that begins with `prefix` may have bodies of `limit` bytes."""
    _state.limits.append((method, prefix, limit))


def keep_short(prefix: str) -> None:
    """Bodies for paths that begin with `prefix` are limited like those of anonymous requests, whoever sends them."""
    _state.short.append(prefix)


def check_senders_with(check: SenderCheck) -> None:
    """Have `check` look at the WSGI environment of each request with a large body, before the body is read.

    It returns why the sender must not send it, or None. It is called in a thread, and may ask the database.
    """
    _state.checks.append(check)


def limit_of(method: str, path: str, *, shows_sender: bool) -> int:
    """How many bytes a body may have. The application decides whether a token or session is valid."""
    if not shows_sender or any(path.startswith(prefix) for prefix in _state.short):
        return int(settings.REQUEST_ANONYMOUS_BODY_LIMIT)
    for one, prefix, limit in _state.limits:
        if one == method and path.startswith(prefix):
            return limit
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE or settings.REQUEST_ANONYMOUS_BODY_LIMIT)


def shows_sender(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a header with an upper-case name holds a token or a session."""
    session = f"{settings.SESSION_COOKIE_NAME}="
    return any(name == "AUTHORIZATION" or (name == "COOKIE" and session in value) for name, value in headers)


def refusal_of(environ: dict[str, Any]) -> Refusal | None:
    """Why the sender of this request must not send its large body; None if it may."""
    return next((refusal for check in _state.checks if (refusal := check(environ))), None)
