"""Speaks HTTP to the server: one request, repeated until it is answered. It must not know what the requests mean.

Every request of the protocol may be repeated (docs/protocol.md). The token goes to the server's own address only:
redirects are not followed.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Optional

from . import __version__
from .errors import AgentError, Failed, Local, NotAuthorized, Refused, Unavailable

API = "/api/v1"
ANSWER_LIMIT = 64 << 20  # bytes
RETRIED = {429, 502, 503, 504}
TOO_MANY = 429
LONGEST_WAIT = 3600.0  # seconds: what a server may ask this machine to wait


class ApiError(Exception):
    """The server said no: HTTP `status`, stable `code`, and a sentence."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail

    def as_agent_error(self) -> AgentError:
        """The same for a person."""
        if self.status == 401:
            hint = "Enrol the machine again: `pacsync-agent enroll --force …` with a new code."
            return NotAuthorized(self.code, "The server doesn't know this machine's token (any more).", hint)
        kind = NotAuthorized if self.status == 403 else Refused if self.status < 500 else Failed
        return kind(self.code, self.detail)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        return None


def normalized(server: str) -> str:
    """The server's base URL without a trailing slash. Raises Local when it isn't an http(s) URL."""
    try:
        parts = urllib.parse.urlsplit(server.strip())
    except ValueError:  # brackets that hold no IPv6 address
        parts = urllib.parse.urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Local(
            "server_invalid",
            f"{server!r} is not the address of a server.",
            "Give it as http://HOST:PORT or https://HOST.",
        )
    return server.strip().rstrip("/")


class Client:
    """`patience`: for how many seconds a request is repeated while the server doesn't answer."""

    def __init__(
        self,
        server: str,
        token: Optional[str] = None,
        *,
        patience: float = 30,
        timeout: float = 15,
        stop: Optional[threading.Event] = None,
    ) -> None:
        self.server = normalized(server)
        self.token = token
        self.patience = patience
        self.timeout = timeout
        self.stop = stop or threading.Event()
        self._opener = urllib.request.build_opener(_NoRedirect())

    def get(self, path: str) -> dict[str, Any]:
        return self.request("GET", path)

    def post(self, path: str, body: dict[str, Any], *, patience: Optional[float] = None) -> dict[str, Any]:
        return self.request("POST", path, json.dumps(body).encode(), "application/json", patience=patience)

    def put_text(self, path: str, text: bytes) -> dict[str, Any]:
        """Upload one of the canonical texts, compressed."""
        return self.request("PUT", path, gzip.compress(text, mtime=0), "text/plain; charset=utf-8", encoding="gzip")

    def request(
        self,
        method: str,
        path: str,
        body: Optional[bytes] = None,
        kind: str = "",
        *,
        encoding: str = "",
        patience: Optional[float] = None,
    ) -> dict[str, Any]:
        """The answer's object. Raises ApiError (the server refuses) and Unavailable (it doesn't answer in time)."""
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        attempt = 0
        while True:
            try:
                return self._once(method, path, body, kind, encoding)
            except _Again as again:
                delay = max(again.after, random.uniform(0.5, 1) * min(8.0, 0.25 * 2**attempt))  # noqa: S311 - jitter
                attempt += 1
                if time.monotonic() + delay > deadline or self.stop.wait(delay):
                    raise again.as_agent_error(self.server) from None

    def _once(self, method: str, path: str, body: Optional[bytes], kind: str, encoding: str) -> dict[str, Any]:
        request = urllib.request.Request(self.server + API + path, data=body, method=method)  # noqa: S310 - normalized()
        request.add_header("Accept", "application/json")
        request.add_header("User-Agent", f"pacsync-agent/{__version__}")
        if kind:
            request.add_header("Content-Type", kind)
        if encoding:
            request.add_header("Content-Encoding", encoding)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return self._object(answer.read(ANSWER_LIMIT + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
            reason = getattr(error, "reason", None) or error
            raise _Again(str(reason) or type(error).__name__) from None

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        if error.code in RETRIED:
            after = error.headers.get("Retry-After", "")
            seconds = min(LONGEST_WAIT, float(after)) if after.isdigit() else 0.0
            if error.code == TOO_MANY:
                return _Again(self._detail(error), seconds, too_many=True)
            return _Again(f"it answers {error.code} {error.reason}", min(30.0, seconds))
        if 300 <= error.code < 400:
            target = error.headers.get("Location", "another address")
            return Local(
                "server_redirects",
                f"The server {self.server} redirects to {target}, and the token is sent to nobody else.",
                "Enrol with the address that the server redirects to.",
            )
        try:
            problem = self._object(error.read(ANSWER_LIMIT))
        except (AgentError, OSError, http.client.HTTPException):
            problem = {}
        if "code" not in problem:
            return _not_pacsync(self.server, f"it answers {error.code} {error.reason} without a reason")
        return ApiError(error.code, str(problem["code"]), _sentence(problem))

    def _detail(self, error: urllib.error.HTTPError) -> str:
        """What the server or a proxy in front of it says of a refusal, in a sentence."""
        try:
            return _sentence(self._object(error.read(ANSWER_LIMIT))) or str(error.reason)
        except (AgentError, OSError, http.client.HTTPException):
            return f"It answers {error.code} {error.reason}."

    def _object(self, content: bytes) -> dict[str, Any]:
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise _not_pacsync(self.server, "its answer is not a JSON object")
        return value


def _not_pacsync(server: str, reason: str) -> Failed:
    return Failed(
        "server_unexpected",
        f"{server} doesn't behave like a PacSync server: {reason}.",
        "Check the address of the server.",
    )


class _Again(Exception):
    """No answer yet: `reason`, and after how many seconds the server wants to be asked again.

    `too_many`: the server is there, and says in `reason` that this machine or its network asked too often.
    """

    def __init__(self, reason: str, after: float = 0, *, too_many: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.too_many = too_many

    def as_agent_error(self, server: str) -> Unavailable:
        """The same for a person, once the patience is used up."""
        if self.too_many:
            hint = f"Nothing is lost; the same command may be repeated in {max(1, round(self.after))} s."
            return Unavailable("too_many_requests", self.reason, hint, after=self.after)
        return Unavailable(
            "server_unavailable",
            f"The server {server} doesn't answer: {self.reason}.",
            "Check the address and the network; nothing is lost, and the same command may be repeated.",
        )


def _sentence(problem: dict[str, Any]) -> str:
    """What a problem says, with the fields that it names (RFC 9457, and `errors` of docs/api.md)."""
    said = str(problem.get("detail") or problem.get("title") or "")
    errors = problem.get("errors")
    fields = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    named = [f"{'.'.join(map(str, one.get('loc') or ()))}: {one.get('message')}" for one in fields[:5]]
    return " ".join((said, *(f"({text})" for text in named)))
